# The logger of policies. Its lines go where everything goes that is printed, with a mark that says how important they are.

module Kontena
  module Registrator
    # Makes loggers.
    module Log
      MARK = "\1".freeze

      # How many warnings are remembered.
      TOLD = 1000

      @told = {}

      module_function

      def logger(output)
        @output = output
        logger = ::Logger.new(output)
        logger.formatter = method(:format).to_proc
        logger
      end

      # Warns of what would otherwise be told in each evaluation.
      def once(subject, text)
        return if @told.key?(subject)

        @told.clear if @told.size >= TOLD
        @told[subject] = true
        @output.write(format('WARN', nil, nil, text))
      end

      # Keeps why a container has no node, or no other one.
      def explain(text)
        @output.write("#{MARK}R#{words(text).split("\n").join(' ')}\n")
        nil
      end

      def format(severity, _time, program, message)
        text = program.nil? ? words(message) : "#{program}: #{words(message)}"
        text.split("\n").map { |line| "#{MARK}#{severity[0]}#{line}\n" }.join('')
      end

      def words(message)
        case message
        when String then message
        when Exception then "#{message.message} (#{message.class})"
        else message.inspect
        end
      end
    end
  end
end

# Not in the modules above, so that their names do not hide those that a policy means. No method, since `using` is not allowed in one.
# Not in a class either: a WebAssembly build of Ruby 3.4.1 crashed there in tests/ruby/old/control.rb; the cause is not known.
REGISTRATOR_POLICY_FILE = lambda do |__registrator_class__, __registrator_text__, __registrator_path__|
  __registrator_class__.class_eval(__registrator_text__, __registrator_path__, 1)
end
