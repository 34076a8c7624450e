# container: shop-api-1
# config: {"zone": "Example.ORG.", "rules": [{"match": "api", "ttl": "30"}, {"match": "^web", "records": [{"kind": "A"}]}], "log_level": "debug"}
# /dns/org/example/api = {"host":"172.19.0.3","ttl":30}
# /dns/rules = [{"match":"api","ttl":30,"records":[]},{"match":"^web","ttl":60,"records":[{"kind":"A"}]}]
# /dns/zone = example.org

class Zone
  attr_reader :name

  def initialize(text)
    raise ArgumentError, "no zone: #{text.inspect}" unless text =~ /\A[\w.-]+\z/

    @name = text.downcase.chomp('.')
  end

  def path(*labels)
    "/#{(['dns'] + name.split('.').reverse + labels) * '/'}"
  end

  alias to_s name
end

class Base
  include Kontena::JSON::Model
  json_attr :note, omitnil: true
end

class Record < Base
  json_attr :kind, default: 'AAAA'
end

class Rule < Base
  json_attr :match
  json_attr(:ttl, default: 60) { |value| Integer(value) }
  json_attr :records, array_model: Record, default: []

  def applies_to?(name)
    Regexp.new(match) === name
  end
end

config etcd_path: '/kontena/registrator/services/dns/:service' do
  json_attr :zone, type: Zone
  json_attr :rules, array_model: Rule, default: []
  json_attr :level, name: 'log_level', default: 'info', readonly: true

  def rule_for(name)
    rules.find { |rule| rule.applies_to?(name) }
  end
end

docker_container -> (container) do
  service = container.label('com.docker.compose.service')
  rule = config.rule_for(service) or return {}
  logger.debug { "#{container.name}: #{rule.inspect}" } if config.level == 'debug'
  ip = container.networks.values.map { |network| network['IPAddress'] }.reject(&:empty?).first
  { config.zone.path(service) => { host: ip, ttl: rule.ttl }, '/dns/rules' => config.rules, '/dns/zone' => config.zone.to_s }
end
