# container: web
# config: {"weight": 0.1, "size": 2, "huge": 123456789012345678901234567890}
# /n/float = 0.1
# /n/half = 1.0
# /n/hex = 0x02
# /n/huge = 123456789012345678901234567891
# /n/mixed = [2.5,"007","3.14",null,true,{"1":"one","two":{"three":"four"}}]
# /n/percent = 10.0%
# /n/yes = true

config do
  json_attr :weight
  json_attr :size
  json_attr :huge
end

def docker_container(container)
  weight, size = config.weight, config.size
  {
    '/n/float' => weight,
    '/n/half' => size / 2.0,
    '/n/hex' => format('0x%02x', size),
    '/n/huge' => config.huge + 1,
    '/n/mixed' => [size + 0.5, (size + 5).to_s.rjust(3, '0'), '%.2f' % Math::PI, nil, !!container, { 1 => :one, two: { 'three' => 'four' } }],
    '/n/percent' => "#{(weight * 100).round(1)}%",
    '/n/yes' => container.name.eql?('web'),
  }
end
