# Makes everything that an evaluation can reach immutable.

module Kontena
  module Registrator
    # Freezes values and all that they hold.
    module Freezing
      # Ruby's own data. Objects of other libraries stay as they are: an IPAddr, for one, does not work when it is frozen.
      DATA = [String, Symbol, Array, Hash, Struct, Range, Numeric].freeze

      # What the classes of policies are called.
      POLICIES = 'Kontena::Policies::'.freeze

      module_function

      def deep(object, seen = {}.compare_by_identity)
        return object if seen[object] || !own?(object)

        seen[object] = true
        parts(object).each { |part| deep(part, seen) }
        object.freeze
      end

      # Data, models, and objects of the policy's own classes.
      def own?(object)
        return true if DATA.any? { |type| type === object } || JSON::Model === object || Proc === object
        return true if defined?(::Set) && ::Set === object

        object.class.name.to_s.start_with?(POLICIES) && !(Module === object)
      end

      # A class or module with its constants and variables, and those of the classes in it. What is defined elsewhere and only
      # named here stays as it is.
      def namespace(space, seen = {}.compare_by_identity)
        return if seen[space]

        seen[space] = true
        space.constants(false).each do |name|
          next if space.autoload?(name)

          value = space.const_get(name, false)
          if !(Module === value)
            deep(value, seen)
          elsif value.name.to_s.start_with?("#{space.name}::", POLICIES)
            namespace(value, seen)
          end
        end
        variables(space).each { |value| deep(value, seen) }
        space.freeze
      end

      def variables(space)
        space.instance_variables.map { |name| space.instance_variable_get(name) } +
          space.class_variables(false).map { |name| space.class_variable_get(name) }
      end

      # The local variables that a block or lambda of the policy can see. Those that Ruby makes itself see none.
      def captured(lambda)
        binding = lambda.binding
        binding.local_variables.map { |name| binding.local_variable_get(name) }
      rescue ArgumentError
        []
      end

      def parts(object)
        own = object.instance_variables.map { |name| object.instance_variable_get(name) }
        case object
        when Hash then own + object.keys + object.values + [object.default, object.default_proc]
        when Proc then own + captured(object)
        when Array, Struct, defined?(::Set) ? ::Set : Array then own + object.to_a
        when Range then own + [object.begin, object.end]
        else own
        end
      end
    end
  end
end
