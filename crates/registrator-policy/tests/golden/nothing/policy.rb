docker_container -> (container) { nil }
