config etcd_path: '/kontena/services/demo/:service' do
  json_attr :network
  json_attr :ports, default: [80]
  json_attr :ttl
  json_attr :weights, default: {}
  json_attr :extra, default: { a: [1, 2.5, nil] }
end

def docker_container(container)
  {
    "/config/#{config.service}" => {
      network: config.network,
      ports: config.ports,
      ttl: config.ttl,
      weights: config.weights,
      extra: config.extra,
    },
  }
end
