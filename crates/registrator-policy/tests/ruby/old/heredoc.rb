# container: web-published
# /nginx/upstreams/front = upstream front {\n  server 172.17.0.4:8080; # Shop\n}\n
# /nginx/notes = {"error":"no JSON: hello","fallback":true,"time":"2026-11-22"}
# log: WARN no JSON: hello

require 'erb'
require 'time'

TEMPLATE = ERB.new(<<~'TEXT', trim_mode: '-')
  upstream <%= role %> {
  <%- ports.each do |port| -%>
    server <%= ip %>:<%= port %>; # <%= container.hostname %>
  <%- end -%>
  }
TEXT

def greeting(container)
  JSON.parse(container.env['GREETING'])
rescue JSON::ParserError, TypeError => error
  text = "no JSON: #{container.env['GREETING'][/\w+/]}"
  logger.warn text
  { error: text, fallback: error.is_a?(StandardError) }
else
  {}
ensure
  nil
end

def docker_container(container)
  role = container.label(:role)
  ip, ports = container['NetworkSettings', 'IPAddress'], [8080]
  created = Time.parse(container['Created']).utc.strftime('%F')
  return unless ip

  {
    "/nginx/upstreams/#{role}" => TEMPLATE.result(binding),
    '/nginx/notes' => greeting(container).merge('time' => created),
  }
end
