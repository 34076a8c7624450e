# encoding: iso-8859-1
# container: web
# /latin/web = gr\u00fc\u00dfe

def docker_container(container)
  { "/latin/#{container}" => "grüße".encode("UTF-8").dump.delete(%q(")).downcase }
end
