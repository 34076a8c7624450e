DOMAIN = ENV.fetch('DEMO_DOMAIN', 'default.local')
UNSET = ENV['DEMO_UNSET']

config do
  json_attr :domain, default: DOMAIN
  json_attr :network, default: ENV.fetch('DEMO_NETWORK', 'bridge')
end

docker_container -> (container) {
  { '/env' => [DOMAIN, config.domain, config.network, UNSET] }
}
