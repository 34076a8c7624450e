# Tells the registrator about an exception.

module Kontena
  module Registrator
    # The evaluation is overdue. Not a StandardError, so that a plain `rescue` lets it pass.
    class TookTooLong < Exception
      def initialize
        super('execution expired')
      end
    end

    # Describes exceptions as data.
    module Faults
      # How many places in the policy are told.
      PLACES = 12

      # How long a message may be.
      MESSAGE = 4000

      HOST = ['(registrator)', '-e:'].freeze
      # There may be no RubyGems, or only its name.
      GEMS = defined?(Gem) && Gem.respond_to?(:path) ? Gem.path : []
      LIBRARIES = ['<internal:', RbConfig::CONFIG['rubylibprefix'].to_s, *GEMS].reject(&:empty?).freeze

      class << self
        # The part of the configuration that is being converted.
        attr_accessor :place
      end

      module_function

      def describe(error)
        {
          'kind' => kind(error),
          'class' => name(NotNodes === error ? error.class.superclass : error.class),
          'message' => message(error),
          'places' => places(error),
          'spoilt' => NoMemoryError === error
        }
      end

      def name(type)
        Module.instance_method(:to_s).bind(type).call
      end

      def kind(error)
        case error
        when NotNodes then 'type'
        when TookTooLong then 'time'
        when NoMemoryError then 'memory'
        when SystemStackError then 'depth'
        when SystemExit then 'exit'
        else 'raised'
        end
      end

      def message(error)
        text = error.message.to_s.dup.force_encoding(Encoding::UTF_8).scrub('?')
        place = Faults.place
        text = "#{place}: #{text}" if place && !text.start_with?(place)
        text.length > MESSAGE ? "#{text[0, MESSAGE]}..." : text
      rescue StandardError
        'an exception without a message'
      end

      # Where in the policy it happened, the innermost first: path, line, name of the method.
      def places(error)
        lines = backtrace(error).map { |line| line.dup.force_encoding(Encoding::UTF_8).scrub('?') }
        own = lines.reject { |line| line.start_with?(*HOST, *LIBRARIES) }
        own.first(PLACES).map do |line|
          match = line.match(/\A(.+?):(\d+)(?::in (.*))?\z/m)
          match ? [match[1], match[2].to_i, match[3].to_s] : [line, 0, '']
        end
      end

      # A policy's own exceptions may have methods that fail.
      def backtrace(error)
        Exception.instance_method(:backtrace).bind(error).call.to_a
      end
    end
  end
end
