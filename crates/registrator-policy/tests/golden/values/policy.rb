def docker_container(container)
  {
    '/v/string' => 'raw: / " \\ ü',
    '/v/empty' => '',
    '/v/none' => nil,
    '/v/true' => true,
    '/v/int' => 80,
    '/v/negative' => -1,
    '/v/big' => 18446744073709551616,
    '/v/bigger' => 10000000000000000000000000000000000000001,
    '/v/float' => 0.1,
    '/v/whole' => 1.0,
    '/v/list' => ['a', 1, nil, true, [], {}],
    '/v/tuple' => [1, :two],
    '/v/dict' => { z: 1, 'a' => { y: 2, b: 3 } },
    '/v/struct' => { host: '172.17.0.2', port: 80 },
    '/v/text' => { path: '/a/b', name: 'Käse ☃', quote: "\"\\", control: "\t\n\r\x01" },
  }
end
