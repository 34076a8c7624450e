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
      # How many bytes all keys and values may have. What Starlark policies make is bounded alike.
      BYTES = 8 << 20

      attr_reader :pairs

      def initialize
        @pairs = []
        @room = BYTES
      end

      def add(nodes)
        return if NilClass === nodes

        unless Hash === nodes
          raise InvalidNodes, "docker_container must give a Hash of etcd keys and values, or nil, not #{class_of(nodes)}: #{shown(nodes)}"
        end

        nodes.each { |key, value| add_node(key, value) }
      end

      private

      def add_node(key, value)
        unless String === key || Symbol === key
          raise InvalidNodes, "a key must be a String or a Symbol, an absolute path in etcd, not #{class_of(key)}: #{shown(key)}"
        end
        return if NilClass === value

        key = bytes(key.to_s, "the key #{shown(key)}")
        raise InvalidNodes, "the key #{shown(key)} must be an absolute path in etcd: begin it with a slash" unless key.start_with?('/')

        @pairs << [key, text(key, value)]
      end

      # A String is stored as it is, most else as Ruby's own JSON.
      def text(key, value)
        case value
        when String then bytes(value, "the value of #{key}")
        when true, false, Integer, Float, Array, Hash then bytes(json(key, value), "the value of #{key}")
        else
          raise InvalidValue,
                "the value of #{key} is of class #{class_of(value)}: it must be nil, true, false, a String, an Integer, a Float, an Array or a Hash"
        end
      end

      def json(key, value)
        String(value.to_json)
      rescue ::JSON::JSONError, EncodingError => error
        raise InvalidValue, "the value of #{key} cannot be written as JSON: #{error.message}"
      end

      # The bytes decide, whatever encoding Ruby takes them for, and whatever a class derived from String makes of them.
      def bytes(string, what)
        text = String.new(string).force_encoding(Encoding::UTF_8)
        raise InvalidValue, "#{what} is not valid UTF-8: #{shown(string)}" unless text.valid_encoding?

        @room -= text.bytesize
        raise InvalidNodes, "docker_container gave more than #{BYTES} bytes of keys and values" if @room.negative?

        text
      end

      # Also of what has no methods at all.
      def class_of(value)
        Kernel.instance_method(:class).bind(value).call
      end

      def shown(value)
        text = value.inspect
        text.length > 200 ? "#{text[0, 200]}..." : text
      rescue StandardError
        '(it cannot be shown)'
      end
    end
  end
end
