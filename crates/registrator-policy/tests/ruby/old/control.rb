# container: web-published
# /c/first = 53
# /c/groups = {"tcp":["443","80"],"udp":["53"]}
# /c/kind = shop front
# /c/pairs = [["443","53"],["80"]]
# /c/range = {"a":"1..3","b":["x","y"],"c":null}
# /c/stars = **

# frozen_string_literal: true

def kind(service)
  case service
  when nil, '' then 'none'
  when /\A(\w+)\.(\w+)\z/ then "#{$1} #{$2}".downcase
  else
    "other #{service}"
  end
end

def smallest(ports)
  catch(:found) do
    ports.sort_by(&:to_i).each { |port| throw :found, port }
    nil
  end
end

docker_container proc { |container|
  ports = container['NetworkSettings', 'Ports'].keys
  numbers = ports.map { |port| port[/\d+/] }.sort
  stars = +''
  i = 0
  while true
    break if (i += 1) > 2

    stars << '*'
  end
  begin
    tries = (tries || 0) + 1
    raise IOError, 'again' if tries < 3
  rescue IOError
    retry
  end
  next nil unless tries == 3

  {
    '/c/first' => smallest(numbers),
    '/c/groups' => ports.sort.group_by { |port| port.split('/').last }.transform_values { |all| all.map { |port| port.to_i.to_s } },
    '/c/kind' => kind(container.labels['io.kontena.skydns.service']),
    '/c/pairs' => numbers.each_slice(2).to_a,
    '/c/range' => { a: (1..3).to_s, b: ('x'..'y'), c: nil }.merge(b: ('x'..'y').to_a),
    '/c/stars' => stars,
  }
}
