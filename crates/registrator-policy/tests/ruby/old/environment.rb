# env: {"DNS_DOMAIN": "Example.net", "DNS_TTL": "60", "FLAGS": "a=1,b=2"}
# container: web
# /env/net/example = {"ttl":60,"flags":{"a":"1","b":"2"},"missing":"none"}
# /env/file = ["environment.rb",true]
# log: DEBUG loading for Example.net

DOMAIN = ENV['DNS_DOMAIN'] || 'local'
TTL = Integer(ENV.fetch('DNS_TTL') { '30' })
FLAGS = Hash[ENV.fetch('FLAGS', '').split(',').map { |pair| pair.split('=') }]
MISSING = ENV.fetch('DNS_NOTHING', 'none')
begin
  ENV.fetch('DNS_NOTHING')
rescue KeyError
  puts "loading for #{DOMAIN}"
end

config do
  json_attr :domain, default: DOMAIN
end

def docker_container(_)
  parts = config.domain.downcase.split('.').reverse
  { "/env/#{parts.join('/')}" => { ttl: TTL, flags: FLAGS, missing: MISSING }, '/env/file' => [File.basename(__FILE__), File.directory?(__dir__)] }
end
