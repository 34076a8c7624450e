# Nodes that are one thing.

module Kontena
  module Registrator
    # What `object` gives: nodes that are one thing. They are read at once, so what the policy does to its Hashes afterwards is of no matter.
    class NodesObject
      CONFLICTS = %w[smallest none].freeze

      attr_reader :bytes

      def initialize(name, nodes, members, conflict, uses)
        reader = Nodes.new
        name = reader.name(name)
        unless CONFLICTS.include?(conflict.to_s)
          raise InvalidNodes, "object #{name}: conflict must be 'smallest' or 'none', not #{conflict.inspect}"
        end
        raise InvalidNodes, "object #{name}: uses must be an Array of names, not #{uses.inspect}" unless Array === uses

        nodes = reader.parts(name, 'nodes', nodes)
        raise InvalidNodes, "object #{name} has no nodes: give it at least one" if nodes.empty?

        members = reader.parts(name, 'members', members)
        @object = { 'name' => name, 'conflict' => conflict.to_s, 'nodes' => nodes, 'members' => members, 'uses' => uses.map { |used| reader.name(used) } }
        @bytes = reader.taken
        freeze
      end

      def to_h
        @object
      end

      def ==(other)
        NodesObject === other && other.to_h == @object
      end

      def inspect
        "object(#{@object['name'].inspect})"
      end
      alias to_s inspect
    end
  end
end
