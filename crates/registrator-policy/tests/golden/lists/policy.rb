def docker_container(container)
  yield({ '/l/a' => '1', '/l/same' => 'x' })
  yield nil
  [{ '/l/b' => '2' }, { '/l/same' => 'x', '/l/other' => '9' }].each { |nodes| yield nodes }
  { '/l/other' => '10', '/l/gone' => nil }
end
