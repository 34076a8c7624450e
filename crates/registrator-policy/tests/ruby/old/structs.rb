# container: web-published
# /endpoints/443-tcp = {"address":"127.0.0.1:8443","public":false}
# /endpoints/53-udp = {"address":"172.17.0.4:53","public":true}
# /endpoints/80-tcp = {"address":"172.17.0.4:80","public":true}

require 'ipaddr'

Endpoint = Struct.new(:ip, :port, :published) do
  include Comparable

  def <=>(other)
    [port, ip] <=> [other.port, other.ip]
  end

  def loopback?
    published.all? { |host| IPAddr.new('127.0.0.0/8').include?(IPAddr.new(host[:ip])) }
  end

  def to_h
    { address: loopback? ? published.first.values_at(:ip, :port).join(':') : "#{ip}:#{port}", public: !loopback? }
  end
end

def endpoints(container)
  return enum_for(:endpoints, container) unless block_given?

  container.json.dig('NetworkSettings', 'Ports')&.each_pair do |port, bindings|
    number, = port.scan(/\d+/)
    hosts = bindings.to_a.reject { |it| it['HostIp'].include?(':') }.map { |it| { ip: it['HostIp'], port: Integer(it['HostPort'], 10) } }
    yield port.tr('/', '-'), Endpoint.new(container.network_ip(:bridge), number.to_i, hosts)
  end
end

def docker_container(container)
  endpoints(container).sort_by(&:last).each { |name, endpoint| yield "/endpoints/#{name}" => endpoint.to_h }
  nil
end
