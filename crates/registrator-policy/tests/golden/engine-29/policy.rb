# Engines since API 1.52 have no address in NetworkSettings itself.
docker_container -> (c) {
  { '/address' => c['NetworkSettings', 'IPAddress'], '/mac' => c['NetworkSettings', 'MacAddress'], '/all' => c['NetworkSettings'] }
}
