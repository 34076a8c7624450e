# What policies use to declare the JSON that they take: `json_attr`.

module Kontena
  module JSON
    # Makes a class a model of a JSON object, with one attribute for each `json_attr`.
    module Model
      # One declared attribute.
      class Attribute
        attr_reader :name, :member, :type, :model, :array_model, :values, :min, :max

        def initialize(name, member: nil, default: nil, type: nil, model: nil, array_model: nil, omitnil: false, readonly: false, values: nil, min: nil, max: nil, block: nil)
          @name = name.to_sym
          @member = (member || name).to_s.freeze
          @default = default
          @type = type
          @model = model
          @array_model = array_model
          @omitnil = omitnil
          @readonly = readonly
          @values = values
          @min = min
          @max = max
          @block = block
          check
          freeze
        end

        # Made afresh, so that what is done to one shows in no other.
        def default
          copy(@default)
        end

        def readonly?
          @readonly
        end

        def variable
          :"@#{name}"
        end

        # The attribute's value for a member's value, found at `place`.
        def load(value, place)
          Registrator::Faults.place = place
          within_bounds(value)
          value = convert(value, place)
          value = @block.call(value) if @block
          Registrator::Faults.place = nil
          value
        end

        def omit?(value)
          @omitnil && value.nil?
        end

        # Whether a JSON value is kept as it is.
        def plain?
          !(@type || @model || @array_model || @block)
        end

        private

        # Data alone is copied. Objects of other kinds may be what they are by being the same.
        def copy(value)
          case value
          when String then value.dup
          when Array then value.map { |item| copy(item) }
          when Hash then value.dup.transform_values! { |item| copy(item) }
          when Model
            value.dup.tap do |object|
              object.instance_variables.each { |name| object.instance_variable_set(name, copy(object.instance_variable_get(name))) }
            end
          else value
          end
        end

        def check
          given = { type: @type, model: @model, array_model: @array_model }.reject { |_, value| value.nil? }
          raise ArgumentError, "json_attr :#{name} can have one of #{given.keys.join(', ')}" if given.size > 1
          raise ArgumentError, "json_attr #{name.inspect} is not a name for an attribute" unless name.match?(/\A[a-zA-Z_]\w*\z/)

          given.each do |option, value|
            raise ArgumentError, "json_attr :#{name}: #{option} must be a class, not #{value.inspect}" unless Class === value
          end
          { model: @model, array_model: @array_model }.each_value do |value|
            next if value.nil? || value < Model

            raise ArgumentError, "json_attr :#{name}: #{value} must include Kontena::JSON::Model"
          end
        end

        # The configuration's own members were looked at before; those of models in it were not.
        def within_bounds(value)
          case value
          when Array then value.each { |item| within_bounds(item) }
          when String, Numeric
            raise ArgumentError, "must be one of #{@values.map(&:to_json).join(', ')}, not #{value.to_json}" if @values && !@values.include?(value)
          end
          return unless Numeric === value

          raise ArgumentError, "must be #{@min} or more, not #{value}" if @min && value < @min
          raise ArgumentError, "must be at most #{@max}, not #{value}" if @max && value > @max
        end

        def convert(value, place)
          return value if value.nil?
          return @type.new(value) if @type
          return @model.load_json(value, place) if @model
          return value unless @array_model
          raise ArgumentError, "#{place} must be an array, not #{value.to_json}" unless Array === value

          value.each_with_index.map { |item, at| @array_model.load_json(item, "#{place}[#{at}]") }
        end
      end

      # What a model's class can do.
      module ClassMethods
        # All attributes by name, those of the ancestors first.
        def json_attrs
          inherited = superclass.respond_to?(:json_attrs) ? superclass.json_attrs : {}
          inherited.merge(@json_attrs || {})
        end

        def json_attr(name, **options, &block)
          options[:member] = options.delete(:name) if options.key?(:name)
          attribute = Attribute.new(name, **options, block: block)
          twice = json_attrs.each_value.find { |other| other.name != attribute.name && other.member == attribute.member }
          raise ArgumentError, "json_attr :#{name} and :#{twice.name} are both the member #{attribute.member.inspect}" if twice

          @json_attrs = (@json_attrs || {}).merge(attribute.name => attribute)
          attribute.readonly? ? attr_reader(attribute.name) : attr_accessor(attribute.name)
          attribute.name
        end

        def from_json(text)
          load_json(::JSON.parse(text))
        end

        # Makes an object of a parsed JSON object.
        def load_json(members, place = name.to_s)
          raise ArgumentError, "#{place} must be an object, not #{members.to_json}" unless Hash === members

          note_unknown(members, place)
          object = allocate
          json_attrs.each_value do |attribute|
            value = attribute.default
            if members.key?(attribute.member)
              value = attribute.load(members[attribute.member], "#{place}.#{attribute.member}")
            end
            object.instance_variable_set(attribute.variable, value)
          end
          object
        end

        private

        def note_unknown(members, place)
          known = json_attrs.values.map(&:member)
          (members.keys - known).each do |member|
            told = "#{place}: unknown member #{member.inspect} is ignored: the policy knows #{known.join(', ')}"
            Registrator::Log.once([told, members.hash], told)
          end
        end
      end

      def self.included(base)
        base.extend(ClassMethods)
      end

      def initialize(**values)
        values.each_key do |name|
          raise ArgumentError, "unknown attribute #{name.inspect} of #{self.class}" unless self.class.json_attrs.key?(name)
        end
        self.class.json_attrs.each_value do |attribute|
          instance_variable_set(attribute.variable, values.fetch(attribute.name, attribute.default))
        end
      end

      # The members that encode it, by name.
      def to_h
        members = {}
        self.class.json_attrs.each_value do |attribute|
          value = instance_variable_get(attribute.variable)
          members[attribute.member] = value unless attribute.omit?(value)
        end
        members
      end

      def to_json(*arguments)
        to_h.to_json(*arguments)
      end

      def ==(other)
        self.class == other.class && to_h == other.to_h
      end
      alias eql? ==

      def hash
        [self.class, to_h].hash
      end

      def inspect
        "#<#{self.class} #{to_h.map { |name, value| "#{name}=#{value.inspect}" }.join(' ')}>"
      end
    end
  end
end
