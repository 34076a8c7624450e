require_relative 'lib/path'

docker_container -> (container) {
  { Paths.join('a', container.name) => Paths::ANSWER.to_s }
}
