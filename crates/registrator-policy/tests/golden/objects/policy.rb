def backend(name, members)
  object "/lb/#{name}", { balance: 'leastconn', 'health/port' => 8080, 'cookie' => nil, 'hosts' => %w[a.test b.test] }, members: members
end

def docker_container(container)
  short = container.id[0, 12]
  web = backend('web', { "servers/#{short}" => 'x:80', 'servers/none' => nil })
  same = backend('web', { "servers/#{short}" => 'x:80' })
  raise 'objects with the same nodes are equal, and no others' if web != same || web == backend('api', {}) || web == '/lb/web'

  yield web
  yield object("/lb/routes/#{container.name}", { to: 'web' }, conflict: :none, uses: ['/lb/web'])
  yield "/lb/seen/#{container.name}" => web.to_s
  web
end
