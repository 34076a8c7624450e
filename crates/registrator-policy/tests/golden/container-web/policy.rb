# All that the Starlark policy beside it shows, from the inspect document.
def show_network(network)
  ipv4 = text(network['IPAddress'])
  ipv6 = text(network['GlobalIPv6Address'])
  {
    ipv4: ipv4,
    ipv6: ipv6,
    ip: ipv4 || ipv6,
    ips: [ipv4, ipv6].compact,
    ipv4_prefix_len: ipv4 && network['IPPrefixLen'],
    ipv6_prefix_len: ipv6 && network['GlobalIPv6PrefixLen'],
    gateway: text(network['Gateway']),
    ipv6_gateway: text(network['IPv6Gateway']),
    mac: text(network['MacAddress']),
    aliases: network['Aliases'] || [],
  }
end

def text(value)
  value unless value.nil? || value.empty?
end

def show_ports(ports)
  shown = (ports || {}).map do |name, bindings|
    number, protocol = name.split('/')
    places = (bindings || []).reject { |binding| binding['HostPort'].empty? }
    places = places.map { |binding| [text(binding['HostIp']), binding['HostPort'].to_i] }.uniq
    [number.to_i, protocol, places.empty? ? nil : places.first[1], places]
  end
  shown.sort_by { |port| port.first(2) }
end

def show_state(state)
  {
    status: state['Status'],
    running: state['Running'],
    paused: state['Paused'],
    restarting: state['Restarting'],
    started: !state['StartedAt'].start_with?('0001-'),
    finished: !state['FinishedAt'].start_with?('0001-'),
    exit_code: state['ExitCode'],
  }
end

def show_compose(labels)
  project = labels['com.docker.compose.project']
  return 'no' unless project

  number = labels['com.docker.compose.container-number']
  [project, labels['com.docker.compose.service'], number && number.to_i, labels['com.docker.compose.oneoff'] == 'True']
end

def docker_container(container)
  c = container
  {
    '/id' => [c.id, c.id[0, 12], true],
    '/name' => c.name,
    '/hostname' => [c.hostname, c['Config', 'Domainname']],
    '/image' => c['Config', 'Image'],
    '/image_id' => c['Image'].split(':')[0],
    '/command' => [c['Path'], *c['Args']],
    '/labels' => c.labels,
    '/env' => c.env,
    '/networks' => c.networks.map { |name, network| [name, show_network(network)] }.to_h,
    '/network_mode' => c['HostConfig', 'NetworkMode'],
    '/ports' => show_ports(c['NetworkSettings', 'Ports']),
    '/exposed_ports' => show_ports((c['Config', 'ExposedPorts'] || {}).map { |name, _| [name, nil] }.to_h),
    '/running' => c['State', 'Running'],
    '/state' => show_state(c['State']),
    '/health' => c['State', 'Health', 'Status'] || 'no check',
    '/compose' => show_compose(c.labels),
    '/label' => [c.label('role'), c.label('role') || 'none', c.label('role') || 1],
    '/network_ip' => [c.network_ip('bridge'), c.network_ip('front'), c.network_ip('missing')],
  }
end
