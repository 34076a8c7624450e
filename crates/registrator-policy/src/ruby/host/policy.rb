# The words of a policy file, which is the body of a class derived from Policy.

module Kontena
  # The classes that policy files are the bodies of.
  module Policies
  end

  module Registrator
    # What a policy declares with `config`.
    class Configuration
      include Kontena::JSON::Model

      class << self
        # Where configurations are in etcd; its `:names` can be read on the configuration.
        attr_reader :etcd_path

        def declare_etcd_path(path)
          @etcd_path = path.to_s.dup.freeze
          @placeholders = @etcd_path.split('/').select { |part| part.start_with?(':') }.map { |part| part[1..-1] }
          (@placeholders - json_attrs.values.map(&:member)).each do |name|
            next unless name.match?(/\A[a-zA-Z_]\w*\z/)

            variable = :"@#{name}"
            define_method(name) { instance_variable_get(variable) } unless method_defined?(name, false)
          end
        end

        # Makes a configuration of checked members; those named in `defaulted` were not given.
        def load_checked(members, defaulted, place)
          known = json_attrs.values.map(&:member)
          given = members.select { |name, _| known.include?(name) && !defaulted.include?(name) }
          object = load_json(given, place)
          (@placeholders.to_a - known).each do |name|
            object.instance_variable_set(:"@#{name}", members[name]) if name.match?(/\A[a-zA-Z_]\w*\z/)
          end
          Freezing.deep(object)
        end
      end
    end

    # The class behind each policy file. `docker_container` is asked for the nodes of a container.
    class Policy
      class << self
        # The class of the declared configuration, or nil.
        attr_reader :configuration, :configuration_line

        # The lambda that looks at configurations before they count, or nil.
        attr_reader :validator

        def config(etcd_path: nil, &block)
          raise ArgumentError, 'config is declared twice' if !frozen? && @configuration

          closed_over(block)
          @configuration_line = caller_locations(1, 1).first.lineno
          @configuration = Class.new(Configuration)
          Policies.const_set(:"#{name.split('::').last}Config", @configuration)
          @configuration.class_exec(&block) if block
          @configuration.declare_etcd_path(etcd_path) unless etcd_path.nil?
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

          closed_over(body)
          @validator = body
        end

        # Whether code of the policy looks at configurations.
        def validates?
          !@validator.nil? || (!@configuration.nil? && @configuration.json_attrs.each_value.any? { |attribute| !attribute.plain? })
        end

        def define_method(name, *method, &block)
          super
          closed_over(*method, block)
          name.to_sym
        end

        # To be called when the file was evaluated.
        def seal
          @yields = yields?(instance_method(:docker_container))
          Freezing.namespace(@configuration) if @configuration
          Freezing.namespace(self)
        end

        # Whether nodes may come by `yield`: then what is returned need not be a Hash.
        def yields_nodes?
          @yields
        end

        private

        # Keeps blocks, for what they see is frozen with the class.
        def closed_over(*blocks)
          @blocks = (@blocks || []) + blocks.grep(Proc)
        end

        def yields?(method)
          return true if method.parameters.any? { |kind, _| kind == :block }

          code = RubyVM::InstructionSequence.of(method)
          !code.nil? && code.disasm.include?('invokeblock')
        end
      end

      attr_reader :config, :logger

      def initialize(config, logger)
        @config = config
        @logger = logger
        freeze
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
