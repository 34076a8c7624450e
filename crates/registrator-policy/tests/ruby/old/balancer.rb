# container: web-published
# /lb/services/front/servers/Shop = http://172.17.0.4:80
# /lb/services/front/servers/Shop-443 = http://172.17.0.4:443
# /lb/services/front/settings = {"mode":"http","balance":"roundrobin","weight":10}

require 'json'

SETTINGS = { mode: 'http', balance: 'roundrobin' }.freeze
SERVER = 'http://%s:%d'

config etcd_path: '/kontena/registrator/services/balancer/:service' do
  json_attr :label, default: 'role'
  json_attr :network, default: 'bridge'
  json_attr :prefix, default: '/lb'

  def base(*parts)
    File.join([prefix, 'services', parts].flatten)
  end
end

def tcp_ports(container)
  (container['Config', 'ExposedPorts'] || {}).keys.map { |port| port.split('/') }
                                             .select { |_, protocol| protocol == 'tcp' }
                                             .map { |number, _| number.to_i }.sort
end

docker_container -> (container) {
  service = container.label(config.label)
  ip = container['NetworkSettings', 'Networks', config.network, 'IPAddress']
  return nil unless service && ip

  nodes = { config.base(service, 'settings') => SETTINGS.merge(weight: tcp_ports(container).size * 5) }
  tcp_ports(container).each_with_index do |port, index|
    name = index.zero? ? container.hostname : "#{container.hostname}-#{port}"
    nodes[config.base(service, 'servers', name)] = SERVER % [ip, port]
  end
  nodes
}
