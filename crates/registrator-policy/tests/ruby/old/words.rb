# container: web
# config: {"domain": "example.test"}
# /dns/test/example/113ad94dfc20 = {"host":"172.17.0.2"}
# /dns/test/example/by-name/web = service web

config do
  etcd_path '/kontena/registrator/services/dns/:service'
  json_attr :domain, default: 'x.local'
end

helpers do
  def key_of(*names)
    File.join(['/dns', config.domain.split('.').reverse, names].flatten)
  end
end

docker_container -> (container) {
  if ip = container['NetworkSettings', 'Networks', 'bridge', 'IPAddress']
    {
      key_of(container.hostname) => { host: ip },
      key_of('by-name', container.name).to_sym => "service #{config.service}",
    }
  end
}
