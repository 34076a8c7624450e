# DNS names for containers, as the original program's policy registers them: /skydns/local/skydns/HOSTNAME = {"host":"172.17.0.2"}.
#
# The label io.kontena.registrator.enable=false keeps a container out.
#
# etc/policies/skydns.star does this too, with "layout": "hostname", and more. Run one of the two, not both.

OUT = %w[0 f F false False FALSE].freeze

config etcd_path: '/kontena/registrator/services/skydns/:service' do
  json_attr :domain, default: ENV.fetch('SKYDNS_DOMAIN', 'skydns.local')
  json_attr :network, default: ENV.fetch('SKYDNS_NETWORK', 'bridge')

  def skydns_path(*names)
    File.join(['/skydns', domain.split('.').reverse, names].flatten)
  end
end

docker_container -> (container) {
  out = container.label('io.kontena.registrator.enable')
  next explain("the label io.kontena.registrator.enable is #{out.inspect}") if OUT.include?(out)

  if ip = container['NetworkSettings', 'Networks', config.network, 'IPAddress']
    {
      config.skydns_path(container.hostname) => { host: ip },
    }
  else
    explain("it has no IPv4 address in the network #{config.network}")
  end
}
