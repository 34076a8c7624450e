# The words of a policy file, which is the body of a class derived from Policy.

module Kontena
  # The classes that policy files are the bodies of.
  module Policies
  end

  module Registrator
    # An older word for methods, which need none.
    module Helpers
      def helpers(&block)
        class_exec(&block)
      end
    end

    # What a policy declares with `config`.
    class Configuration
      include Kontena::JSON::Model

      extend Helpers

      class << self
        # Where configurations are in etcd; its `:names` can be read on the configuration. With an argument, a word that
        # declares it.
        def etcd_path(path = nil)
          return @etcd_path if path.nil?
          raise ArgumentError, 'etcd_path is declared twice' if @etcd_path

          @etcd_path = path.to_s.dup.freeze
        end

        # To be called when all is declared.
        def seal
          @placeholders = @etcd_path.to_s.split('/').select { |part| part.start_with?(':') }.map { |part| part[1..-1] }
          (@placeholders - json_attrs.values.map(&:member)).each do |name|
            next unless name.match?(/\A[a-zA-Z_]\w*\z/)

            variable = :"@#{name}"
            define_method(name) { instance_variable_get(variable) } unless method_defined?(name, false)
          end
          freeze
        end

        # Makes a configuration of checked members; those named in `defaulted` were not given.
        def load_checked(members, defaulted, place)
          known = json_attrs.values.map(&:member)
          given = members.select { |name, _| known.include?(name) && !defaulted.include?(name) }
          object = load_json(given, place)
          (@placeholders - known).each do |name|
            object.instance_variable_set(:"@#{name}", members[name]) if name.match?(/\A[a-zA-Z_]\w*\z/)
          end
          object.freeze
        end
      end
    end

    # The class behind each policy file. `docker_container` is asked for the nodes of a container.
    class Policy
      extend Helpers

      class << self
        # The class of the declared configuration, or nil.
        attr_reader :configuration, :configuration_line

        # The lambda that looks at configurations before they count, or nil.
        attr_reader :validator

        def config(etcd_path: nil, &block)
          raise ArgumentError, 'config is declared twice' if !frozen? && @configuration

          @configuration_line = caller_locations(1, 1).first.lineno
          @configuration = Class.new(Configuration)
          Policies.const_set(:"#{name.split('::').last}Config", @configuration)
          @configuration.etcd_path(etcd_path)
          @configuration.class_exec(&block) if block
        end

        def docker_container(lambda = nil, &block)
          body = lambda || block
          unless Proc === body
            raise ArgumentError, "docker_container takes a lambda, as in docker_container -> (container) { ... }, not #{body.inspect}"
          end

          define_method(:docker_container, &body)
        end

        # Declares what looks at each configuration before it counts, and raises if something is wrong.
        def validate(lambda = nil, &block)
          body = lambda || block
          raise ArgumentError, "validate takes a lambda, as in validate -> (config) { ... }, not #{body.inspect}" unless Proc === body

          @validator = body
        end

        # Whether code of the policy looks at configurations.
        def validates?
          !@validator.nil? || (!@configuration.nil? && @configuration.json_attrs.each_value.any? { |attribute| !attribute.plain? })
        end

        # To be called when the file was evaluated. What constants and variables refer to stays as it is: policies keep things there.
        def seal
          @configuration&.seal
          freeze
        end
      end

      attr_reader :config, :logger

      def initialize(config, logger)
        @config = config
        @logger = logger
        freeze
      end

      # Tells those who run containers why one has no node, or not another one. `next explain('...')` gives nothing, with this reason.
      def explain(text)
        Log.explain(text)
      end

      # Nodes that are one thing: they count as a whole, or not at all. Keys go on from the name.
      def object(name, nodes, members: {}, conflict: 'smallest', uses: [])
        NodesObject.new(name, nodes, members, conflict, uses)
      end

      def docker_container(_container)
        raise ArgumentError,
              "the policy has no docker_container: write docker_container -> (container) { { '/key' => 'value' } }, or def docker_container(container)"
      end

      def inspect
        "#<#{self.class}>"
      end
      alias to_s inspect
    end
  end
end
