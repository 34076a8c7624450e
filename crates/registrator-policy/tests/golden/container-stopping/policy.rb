docker_container -> (container) {
  stopping = container['State', 'Status'] == 'stopping'
  {
    '/stopping' => stopping,
    '/running' => container['State', 'Running'],
    '/status' => container['State', 'Status'],
    '/withdrawn' => stopping ? nil : 'no',
  }
}
