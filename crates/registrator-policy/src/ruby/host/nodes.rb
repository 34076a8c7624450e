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

      attr_reader :pairs, :objects

      def initialize
        @pairs = []
        @objects = []
        @room = BYTES
      end

      def add(nodes)
        case nodes
        when NilClass then nil
        when NodesObject then add_object(nodes)
        when Hash then nodes.each { |key, value| add_node(key, value) }
        else
          raise InvalidNodes, "docker_container must give a Hash of etcd keys and values, an object, or nil, not #{class_of(nodes)}: #{shown(nodes)}"
        end
      end

      # How many bytes were read.
      def taken
        BYTES - @room
      end

      # The name of an object.
      def name(value)
        path(value, 'the name of an object')
      end

      # The nodes of an object, whose keys go on from its name.
      def parts(object, what, nodes)
        raise InvalidNodes, "object #{object}: #{what} must be a Hash, not #{class_of(nodes)}: #{shown(nodes)}" unless Hash === nodes

        nodes.each_with_object([]) do |(key, value), pairs|
          raise InvalidNodes, "object #{object}: a key must be a String or a Symbol, not #{class_of(key)}: #{shown(key)}" unless text?(key)
          next if NilClass === value

          key = bytes(key.to_s, "the key #{shown(key)}")
          pairs << [key, text("#{object}/#{key}", value)]
        end
      end

      private

      def add_object(object)
        take(object.bytes)
        @objects << object.to_h
      end

      def add_node(key, value)
        return if NilClass === value && text?(key)

        key = path(key, 'a key')
        @pairs << [key, text(key, value)]
      end

      # An absolute path.
      def path(key, what)
        unless text?(key)
          raise InvalidNodes, "#{what} must be a String or a Symbol, an absolute path in etcd, not #{class_of(key)}: #{shown(key)}"
        end

        key = bytes(key.to_s, "the key #{shown(key)}")
        raise InvalidNodes, "the key #{shown(key)} must be an absolute path in etcd: begin it with a slash" unless key.start_with?('/')

        key
      end

      def text?(key)
        String === key || Symbol === key
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

        take(text.bytesize)
        text
      end

      def take(count)
        @room -= count
        raise InvalidNodes, "docker_container gave more than #{BYTES} bytes of keys and values" if @room.negative?
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
