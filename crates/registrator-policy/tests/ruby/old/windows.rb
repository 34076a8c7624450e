# container: web
# /crlf/web = {"text":"a\nb","ü":"ü"}

TEXT = <<~END
  a
  b
END

docker_container ->(container) {
  { "/crlf/#{container}" => { text: TEXT.chomp, "ü" => "ü" } }
}
