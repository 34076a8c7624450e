docker_container -> (c) {
  {
    '/address' => c['NetworkSettings', 'IPAddress'],
    '/nested' => c['NetworkSettings', 'Networks', 'bridge', 'IPAddress'],
    '/missing' => [c['NetworkSettings', 'Nothing'], c['Nothing', 'IPAddress'], (c['Name', 'x'] rescue nil), c['State', 0]],
    '/empty' => [c['Config', 'Domainname'], c['NetworkSettings', 'Networks', 'bridge', 'GlobalIPv6Address']],
    '/items' => [c['Config', 'Cmd', 0], c['Config', 'Cmd', 1], c['Config', 'Cmd', 2]],
    '/types' => [c['State', 'Running'], c['State', 'ExitCode'], c['Config', 'Cmd'], c['Config', 'Env']],
    '/whole' => [c.json['Name'], c['State'].size],
  }
}
