# Turns what `docker_container` gives into pairs of key and text.

module Kontena
  module Registrator
    # The result is not nodes. Its class says which of Ruby's errors that is.
    module NotNodes
    end

    # A result that is not a Hash of nodes.
    class InvalidNodes < ArgumentError
      include NotNodes
    end

    # A value that cannot be stored.
    class InvalidValue < TypeError
      include NotNodes
    end

    # Collects the nodes of one evaluation.
    class Nodes
      attr_reader :pairs

      def initialize
        @pairs = []
      end

      def add(nodes)
        return if nodes.nil?

        unless Hash === nodes
          raise InvalidNodes, "docker_container must give a Hash of etcd keys and values, or nil, not #{nodes.class}: #{shown(nodes)}"
        end

        nodes.each { |key, value| add_node(key, value) }
      end

      private

      def add_node(key, value)
        unless String === key
          raise InvalidNodes, "a key must be a String, an absolute path in etcd, not #{key.class}: #{shown(key)}"
        end
        return if value.nil?

        raise InvalidNodes, "the key #{shown(key)} must be an absolute path in etcd: begin it with a slash" unless key.start_with?('/')

        @pairs << [bytes(key, "the key #{shown(key)}"), text(key, value)]
      end

      # A String is stored as it is, most else as Ruby's own JSON.
      def text(key, value)
        case value
        when String then bytes(value, "the value of #{key}")
        when true, false, Integer, Float, Array, Hash then bytes(json(key, value), "the value of #{key}")
        else
          raise InvalidValue,
                "the value of #{key} is of class #{value.class}: it must be nil, true, false, a String, an Integer, a Float, an Array or a Hash"
        end
      end

      def json(key, value)
        String(value.to_json)
      rescue ::JSON::JSONError, EncodingError => error
        raise InvalidValue, "the value of #{key} cannot be written as JSON: #{error.message}"
      end

      # The bytes decide, whatever encoding Ruby takes them for.
      def bytes(string, what)
        text = string.encoding == Encoding::UTF_8 ? string : string.dup.force_encoding(Encoding::UTF_8)
        raise InvalidValue, "#{what} is not valid UTF-8: #{shown(string)}" unless text.valid_encoding?

        text
      end

      def shown(value)
        text = value.inspect
        text.length > 200 ? "#{text[0, 200]}..." : text
      end
    end
  end
end
