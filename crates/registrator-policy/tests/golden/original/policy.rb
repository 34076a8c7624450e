config etcd_path: '/kontena/registrator/services/skydns/:service' do
  json_attr :domain, default: ENV.fetch('SKYDNS_DOMAIN', 'skydns.local')
  json_attr :network, default: 'bridge'

  def skydns_path(*parts)
    File.join(['/skydns', domain.split('.').reverse, parts].flatten)
  end
end

docker_container -> (container) {
  if ip = container['NetworkSettings', 'Networks', config.network, 'IPAddress']
    { config.skydns_path(container.hostname) => { host: ip } }
  end
}
