# container: web-published
# config: {"prefix": "svc"}
# /svc/shop/front/53/udp = {"host":"172.17.0.4","port":53,"protocol":"udp","tags":["greeting=hello=world"]}
# /svc/shop/front/80/tcp = {"host":"172.17.0.4","port":80,"protocol":"tcp","tags":["greeting=hello=world"]}
# log: INFO services: Shop.Front: 2 of 3 ports
# log: ERROR services: 443/tcp is not for others (RuntimeError)

class NotForOthers < RuntimeError; end

class Service
  ATTRIBUTES = [:host, :port, :protocol, :tags]
  attr_accessor(*ATTRIBUTES)

  def initialize(values = {})
    values.each { |name, value| public_send("#{name}=", value) }
    yield self if block_given?
  end

  def to_hash
    ATTRIBUTES.inject({}) { |all, name| all.update(name => send(name)) }
  end
end

config do
  json_attr :prefix, default: 'services'

  def path(*parts)
    "/#{[prefix, *parts].join('/')}".gsub(%r{//+}, '/').downcase
  end
end

def check(port, bindings)
  raise NotForOthers, "#{port} is not for others" if bindings.any? { |it| it.fetch('HostIp') == '127.0.0.1' }
end

def docker_container(container)
  name = container.label('io.kontena.skydns.service') or return
  all = container.json['NetworkSettings']['Ports']
  nodes = {}
  all.each do |port, bindings|
    begin
      check(port, bindings)
      number, protocol = port.split('/', 2)
      service = Service.new(host: container.network_ip('bridge'), port: number.to_i) do |it|
        it.protocol = protocol
        it.tags = container.env.select { |key, _| key == 'GREETING' }.map { |pair| pair.join('=').sub(/\A\w+/, &:downcase) }
      end
      nodes[config.path(name.split('.'), port)] = service.to_hash
    rescue NotForOthers => error
      logger.error('services') { RuntimeError.new(error.message) }
    end
  end
  logger.info('services') { "#{name}: #{nodes.size} of #{all.size} ports" }
  nodes
end
