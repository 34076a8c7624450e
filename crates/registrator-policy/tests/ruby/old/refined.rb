# container: two-nets
# /r/A = [1,2,"b"]
# /r/path = /r/two_nets
# /r/digest = 0e5b97a30e

require 'digest'
require 'set'

module Paths
  refine String do
    def to_path
      "/r/#{tr('-', '_')}"
    end
  end
end
using Paths

NAMES = Set.new(%w[two-nets web])
TYPES = Hash.new { |_hash, key| key.to_s[0] }
COLLECT = ->(all, item) { all + [item] }
TWICE = :to_s.to_proc >> ->(text) { text * 2 }

docker_container lambda { |container|
  return unless NAMES.include?(container.name)

  list = [1, 2, TYPES[:b]].reduce([], &COLLECT)
  { '/r/A' => list, '/r/path' => container.name.to_path, '/r/digest' => Digest::SHA256.hexdigest(TWICE.call(container.name))[0, 10] }
}
