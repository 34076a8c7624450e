# container: two-nets
# config: {"networks": ["front", "back", "none"], "format": "text"}
# /net/back/two-nets = 172.20.0.2
# /net/front/two-nets = 172.19.0.2
# /net/summary = back,front
# /net/count = 2

config do
  json_attr :networks, default: %w[bridge]
  json_attr :format, default: :json
end

def each_address(container)
  config.networks.each do |name|
    next unless (ip = container.network_ip(name))

    yield name, ip
  end
end

def docker_container(container)
  found = {}
  each_address(container) do |name, ip|
    found[name] = ip
    yield "/net/#{name}/#{container}" => config.format.to_sym == :text ? ip : { ip: ip }
  end
  yield nil
  yield({}) if found.empty?
  yield '/net/summary' => found.keys.sort.join(','), '/net/skipped' => nil
  { '/net/count' => found.size }
end
