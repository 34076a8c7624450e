# Speaks with the registrator: one JSON object per line in, one per line out.

module Kontena
  module Registrator
    # The loop around one policy.
    class Host
      # The signal by which the registrator ends an overdue evaluation.
      OVERDUE = 'USR1'.freeze

      # The number of the system call prctl.
      PRCTL = {
        'x86_64' => 157, 'aarch64' => 167, 'arm64' => 167, 'riscv64' => 167, 'loongarch64' => 167,
        'powerpc64le' => 171, 'arm' => 172, 'armv6l' => 172, 'armv7l' => 172, 'i386' => 172, 'i686' => 172, 's390x' => 172
      }[RbConfig::CONFIG['host_cpu']]
      PR_SET_PDEATHSIG = 1
      PR_SET_CHILD_SUBREAPER = 36

      # The address space of an interpreter that cannot look at it.
      OWN_MEMORY = 512 << 20

      def initialize(input, output)
        @input = input
        @output = output
        @errors = $stderr.dup
        @pid = Process.pid
        @running = false
      end

      def run
        move_off_standard_streams
        hello = parse(line)
        text = @input.read(hello['bytes'])
        confine(hello)
        @limit = hello['seconds']
        @logger = Log.logger(@errors)
        return unless answer(0) { load(hello['name'], hello['path'], text) }

        trap(OVERDUE) { overdue }
        serve
      end

      private

      # What a policy reads or prints is none of the protocol's.
      def move_off_standard_streams
        @output.sync = @errors.sync = true
        $stdin.reopen(File::NULL)
        $stdout.reopen($stderr)
        $stdout.sync = $stderr.sync = true
      end

      def confine(hello)
        { AS: hello['memory'] + own_memory, CORE: 0, NOFILE: 256 }.each do |name, limit|
          Process.setrlimit(name, limit)
        rescue SystemCallError, ArgumentError
          nil # It is lower already.
        end
        end_with_the_registrator(hello['parent'])
      end

      # How many bytes of address space the interpreter takes by itself: Ruby 3.3 reserves 400 MB at its start, others little.
      def own_memory
        File.read('/proc/self/statm').to_i * Etc.sysconf(Etc::SC_PAGESIZE)
      rescue SystemCallError
        OWN_MEMORY
      end

      # Not even an endless loop may outlive the registrator, and no process that a policy starts may get lost.
      def end_with_the_registrator(parent)
        verbose = $VERBOSE
        return unless PRCTL

        $VERBOSE = nil
        syscall(PRCTL, PR_SET_PDEATHSIG, Signal.list['KILL'], 0, 0, 0)
        syscall(PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        exit!(1) if Process.ppid != parent
      rescue SystemCallError, NotImplementedError
        nil
      ensure
        $VERBOSE = verbose
      end

      def load(name, path, text)
        type = Class.new(Policy)
        Policies.const_set(constant(name), type)
        REGISTRATOR_POLICY_FILE.call(type, text.force_encoding(Encoding::UTF_8), path)
        type.seal
        @type = type
        { 'ruby' => RUBY_VERSION, 'files' => helpers(path), 'schema' => schema(type), 'validates' => type.validates? }
      end

      def constant(name)
        words = name.split(/[^a-zA-Z0-9]+/).reject(&:empty?).map { |word| word[0].upcase + word[1..-1] }
        constant = words.join('')
        constant.match?(/\A[A-Z]/) ? constant : "Policy#{constant}"
      end

      # The files in the policy's folder that it required.
      def helpers(path)
        folder = "#{File.dirname(File.realpath(path))}/"
        $LOADED_FEATURES.select { |file| file.start_with?(folder) }
      rescue SystemCallError
        []
      end

      def schema(policy)
        type = policy.configuration
        return nil unless type

        attributes = type.json_attrs.each_value.map do |attribute|
          {
            'name' => attribute.member, 'kind' => kind(attribute), 'default' => plain(attribute.default),
            'values' => plain(attribute.values), 'min' => plain(attribute.min), 'max' => plain(attribute.max)
          }
        end
        { 'etcd_path' => type.etcd_path, 'line' => policy.configuration_line, 'attributes' => attributes }
      end

      def kind(attribute)
        return 'object' if attribute.model
        return 'array' if attribute.array_model

        attribute.type == String ? 'string' : 'any'
      end

      # The default for people; the child has the object itself.
      def plain(value)
        ::JSON.parse(::JSON.generate([value])).first
      rescue StandardError
        nil
      end

      # What a policy makes of `$/` must not count here.
      def line
        @input.gets("\n")
      end

      def serve
        while (text = line)
          request = parse(text)
          answer(request['id']) { evaluate(request) }
        end
      end

      def evaluate(request)
        policy = @type.new(config(request['config']), @logger)
        return check(policy) if request['check']

        found = Nodes.new
        collect = proc { |*all| all.each { |nodes| found.add(nodes) } && nil }
        found.add(policy.__send__(:docker_container, Container.new(request['json']), &collect))
        { 'nodes' => found.pairs, 'objects' => found.objects }
      end

      # What is wrong with the configuration is raised.
      def check(policy)
        policy.instance_exec(policy.config, &@type.validator) if @type.validator
        {}
      end

      def config(given)
        return nil unless given && @type.configuration

        @type.configuration.load_checked(given['members'], given['defaulted'], 'the configuration')
      end

      # Sends what the block gives, or its exception. Tells whether there was none.
      def answer(id)
        begin
          result = guarded { yield }
        rescue Exception => error
          failure = Faults.describe(error)
        end
        leave_forks
        left = left_behind
        failure ||= left
        failure['spoilt'] = true if left
        send_line({ 'id' => id }.merge(failure ? { 'error' => failure } : result))
        failure.nil?
      end

      # Only in here can an overdue evaluation be ended.
      def guarded
        Faults.place = nil
        @started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        @running = true
        yield
      ensure
        @running = false
      end

      # A signal may come too late, when the next evaluation runs already.
      def overdue
        return unless @running && Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started > @limit / 2

        @running = false
        raise TookTooLong
      end

      # A process that the policy forked must not take part in the protocol.
      def leave_forks
        exit!(0) unless Process.pid == @pid
      end

      # Threads and processes would disturb later evaluations, so they end here. A process is a fault, and a thread that does not end.
      def left_behind
        left_threads || left_processes
      end

      def left_threads
        threads = Thread.list - [Thread.main]
        threads.each(&:kill)
        patience = 20
        while threads.any?(&:alive?)
          return left('threads', threads.count(&:alive?)) if patience.zero?

          patience -= 1
          sleep 0.005
        end
      end

      def left_processes
        patience = 20
        loop do
          next if Process.wait(-1, Process::WNOHANG)
          return end_processes if patience.zero?

          patience -= 1
          sleep 0.005
        end
      rescue Errno::ECHILD
        nil
      end

      def end_processes
        pids = Dir.glob('/proc/self/task/*/children').flat_map { |path| File.read(path).split.map(&:to_i) }
        pids.each { |pid| Process.kill(:KILL, pid) }
        left('processes', pids.join(', '))
      rescue SystemCallError => error
        left('processes', error.message)
      end

      def left(kind, message)
        { 'kind' => kind, 'class' => '', 'message' => message.to_s, 'places' => [] }
      end

      def send_line(value)
        @output.write("#{::JSON.generate(value)}\n")
      end

      def parse(line)
        ::JSON.parse(line.force_encoding(Encoding::UTF_8), max_nesting: 0)
      end
    end
  end
end
