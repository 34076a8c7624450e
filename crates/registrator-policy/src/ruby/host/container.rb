# The container that policies see.

module Kontena
  module Registrator
    # One container as `docker inspect` describes it. Immutable.
    class Container
      # The whole document. What is nested in it is this evaluation's own.
      attr_reader :json

      def initialize(json)
        @json = json.freeze
        freeze
      end

      # Digs into the document. A missing step and an empty string are nil.
      def [](*path)
        found = @json.dig(*path)
        found == '' ? nil : found
      end

      def id
        @json['Id']
      end

      def name
        self['Name'].to_s.split('/').last || id[0, 12]
      end

      def hostname
        self['Config', 'Hostname']
      end

      # What image and user set, split at the first `=`; without one the value is empty.
      def env
        lines = self['Config', 'Env'] || []
        lines.to_h { |line| pair(line) }
      end

      def labels
        self['Config', 'Labels'] || {}
      end

      def label(name)
        labels[name.to_s]
      end

      # By name, as `docker inspect` describes them.
      def networks
        self['NetworkSettings', 'Networks'] || {}
      end

      def network(name)
        networks[name.to_s]
      end

      def network_ip(name)
        self['NetworkSettings', 'Networks', name.to_s, 'IPAddress']
      end

      def to_s
        name
      end

      def inspect
        "#<Container #{name}>"
      end

      def ==(other)
        Container === other && json == other.json
      end
      alias eql? ==

      def hash
        id.hash
      end

      private

      def pair(line)
        name, value = line.split('=', 2)
        [name.to_s, value.to_s]
      end
    end
  end
end
