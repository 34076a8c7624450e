def docker_container(container)
  { '/services/web/node1:web-1:80' => '172.17.0.2:80', '/ünï/…' => 'x', '/plain' => 'y' }
end
