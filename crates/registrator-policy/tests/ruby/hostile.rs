//! Policies that do to their interpreter what nobody should: it costs the evaluation that did it, at most.

use crate::common::inspect;
use crate::common::ruby::{self, policy_with, told};
use crate::common::{Folder, lines};
use crate::faults::{brief, healthy, is_gone, obedient, pid, told_to, wait_until};
use registrator_core::evaluate::evaluation::EvalError;
use registrator_core::evaluate::evaluation::EvalErrorKind::{self, Host, Limit, Raised, Type};
use registrator_policy::Policy;

/// A policy with these declarations at its top, that does this when it is told to.
fn policy(top: &str, code: &str) -> (Folder, Box<dyn Policy>) {
    let text = format!("{top}\n{}", obedient(&[("fault", code)]));
    policy_with(&text, &brief()).unwrap_or_else(|error| panic!("{top}\n{code}\n{error}"))
}

/// It does it twice without an error, and the interpreter is the same afterwards.
fn harmless(top: &str, code: &str) {
    let (folder, mut policy) = policy(top, code);
    let before = healthy(policy.as_mut());
    for _ in 0..2 {
        let done = policy.evaluate(None, &told_to("fault"));
        let done = done.unwrap_or_else(|error| panic!("{code}: {}", told(&folder, &error)));
        assert_eq!(pid(&done), before, "{code}");
        assert_eq!(healthy(policy.as_mut()), before, "{code}");
    }
}

/// It is an error, and the evaluations before and after it work.
fn costs_itself(top: &str, code: &str, kind: EvalErrorKind, part: &str) {
    let (folder, mut policy) = policy(top, code);
    healthy(policy.as_mut());
    let error: EvalError = policy.evaluate(None, &told_to("fault")).expect_err(code);
    let text = told(&folder, &error);
    assert_eq!(error.kind, kind, "{code}: {text}");
    assert!(text.contains(part), "{code}: {text}");
    healthy(policy.as_mut());
}

#[test]
fn the_host_does_not_depend_on_what_a_policy_redefines() {
    if !ruby::is_there() {
        return;
    }
    harmless("class ::Object; def to_json(*); 'x'; end; end", "nil");
    harmless(
        "class ::Hash; def to_json(*); '7'; end; end\nclass ::String; def to_json(*); '8'; end; end",
        "nil",
    );
    harmless(
        "module ::Kernel; def puts(*); end; def p(*); exit!; end; def write(*); exit!; end; end",
        "puts 1",
    );
    harmless("", "$/ = 'x'; $, = 'y'; $; = 'z'; $\\ = 'w'");
    harmless(
        "",
        "Encoding.default_external = 'ASCII'; Encoding.default_internal = 'ISO-8859-1'",
    );
    harmless("", "ENV['X'] = '1'; Dir.chdir('/'); srand(1)");
    harmless(
        "",
        "$stdout = Object.new.tap { |it| def it.write(*); 0; end }",
    );
    harmless("", "[STDIN, STDOUT, STDERR].each(&:close)");
    costs_itself(
        "",
        "def (::JSON).generate(*); 'garbage'; end",
        Host,
        "something else than answers came from it",
    );
    let text = "def (::JSON).generate(*)\n  'garbage'\nend\n";
    let error = policy_with(text, &brief()).err().unwrap();
    assert!(
        error.contains("the policy disturbed the interpreter's answer"),
        "{error}"
    );
}

#[test]
fn signals_and_what_runs_at_the_end_are_the_policys_own() {
    if !ruby::is_there() {
        return;
    }
    harmless(
        "",
        "%w[TERM INT HUP CHLD ALRM EXIT].each { |s| trap(s) { sleep } }",
    );
    harmless("at_exit { sleep }", "at_exit { loop { } }");
    costs_itself(
        "",
        "at_exit { sleep }; exit",
        Raised,
        "the policy called exit",
    );
    costs_itself("", "Process.kill(:TERM, 0); sleep", Raised, "SIGTERM");
    costs_itself(
        "",
        "trap('USR1') { }; loop { }",
        Limit,
        "could not be interrupted",
    );
    costs_itself(
        "",
        "trap('TERM') { exit! }; Process.kill(:TERM, $$); sleep",
        Host,
        "it ended with",
    );
}

#[test]
fn threads_end_with_their_evaluation() {
    if !ruby::is_there() {
        return;
    }
    harmless(
        "",
        "Thread.new { loop { sleep 0.001; $stdout.puts 'thread' } }",
    );
    harmless("", "Thread.new { Thread.main.raise('too late') if sleep }");
    harmless(
        "require 'timeout'",
        "begin; Timeout.timeout(0.01) { sleep }; rescue Timeout::Error; nil; end",
    );
    let part = "the policy left threads running that do not end (1): join what it starts";
    let ensures = "q = Queue.new; Thread.new { begin; q << 1; sleep; ensure; loop { sleep 0.01 }; end }; q.pop";
    costs_itself("", ensures, Raised, part);
    costs_itself(
        "",
        "q = Queue.new; Thread.new { Thread.handle_interrupt(Object => :never) { q << 1; loop { sleep 0.01 } } }; q.pop",
        Raised,
        part,
    );
    let part = "still running here when its time was up";
    costs_itself("", "Fiber.new { sleep }.resume", Limit, part);
    costs_itself("", "Thread.new { loop { } }.value", Limit, part);
}

#[test]
fn long_calculations_end() {
    if !ruby::is_there() {
        return;
    }
    costs_itself("", "a = 10**100_000; loop { a**3 }", Limit, "");
    costs_itself(
        "",
        "loop { ('a' * 40 + 'b').match?(/\\A(a|a)*\\1\\z/) }",
        Limit,
        "",
    );
    costs_itself(
        "",
        "Process.setrlimit(:CPU, 0); loop { }",
        Host,
        "it ended with signal",
    );
}

#[test]
fn memory_is_the_policys_own() {
    if !ruby::is_there() {
        return;
    }
    harmless("", "'x' * 200_000_000");
    costs_itself("", "'x' * 600_000_000", Limit, "NoMemoryError");
    costs_itself(
        "",
        "GC.disable; loop { 'x' * (1 << 20) }",
        Limit,
        "NoMemoryError",
    );
    costs_itself(
        "def deep(x); [x].map { |y| deep(y) }; end",
        "deep(1)",
        Limit,
        "SystemStackError",
    );
    costs_itself(
        "",
        "h = {}; h[:h] = h; return { '/k' => h }",
        Type,
        "nesting of",
    );
    let part = "docker_container gave more than 8388608 bytes of keys and values";
    costs_itself("", "return { '/k' => 'x' * 100_000_000 }", Type, part);
    costs_itself("", "return { '/k' => ['x' * 1_000_000] * 30 }", Type, part);
    costs_itself(
        "",
        "return (1..1000).map { |i| [\"/k/#{i}\", 'x' * 20_000] }.to_h",
        Type,
        part,
    );
    // Each byte of these is six in JSON.
    costs_itself(
        "",
        "return (1..4).map { |i| [\"/k/#{i}\", \"\\1\" * 1_000_000] }.to_h",
        Host,
        "it answered with more than 16777216 bytes",
    );
}

#[test]
fn objects_that_misbehave_are_told_in_words() {
    if !ruby::is_there() {
        return;
    }
    let evil = "class ::Evil < StandardError\n  def message; raise 'evil'; end\n  def backtrace; 5; end\n  def self.to_s; 5; end\nend";
    costs_itself(
        evil,
        "raise Evil",
        Raised,
        "Evil: an exception without a message",
    );
    costs_itself(
        "",
        "return BasicObject.new",
        Type,
        "ArgumentError: docker_container must give a Hash of etcd keys and values, an object, or nil, not BasicObject: (it cannot be shown)",
    );
    costs_itself(
        "",
        "return { '/k' => BasicObject.new }",
        Type,
        "is of class BasicObject",
    );
    costs_itself(
        "class ::Liar; def inspect; raise 'no'; end; end",
        "return { Liar.new => 1 }",
        Type,
        "not Liar: (it cannot be shown)",
    );
    costs_itself(
        "class ::Key < String; def start_with?(*); true; end; end",
        "return { Key.new('k') => 1 }",
        Type,
        "the key \"k\" must be an absolute path",
    );
    costs_itself(
        "class ::Text < String; def valid_encoding?; true; end; end",
        "return { '/k' => Text.new(\"\\xff\") }",
        Type,
        "the value of /k is not valid UTF-8",
    );
    costs_itself(
        "class ::Sly < Hash; def each; loop { }; end; end",
        "return Sly.new",
        Limit,
        "",
    );
    let text = "class Text < String; def to_json(*); '5'; end; end\ndef docker_container(container)\n  { Text.new('/k') => Text.new('v') }\nend\n";
    let (_folder, mut policy) = policy_with(text, &brief()).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/k = v\n");
}

/// Not even when the interpreter can end nothing any more. Only a process that leaves the interpreter's process group stays.
#[test]
fn no_process_is_left_when_the_interpreter_is_lost() {
    if !ruby::is_there() {
        return;
    }
    let folder = Folder::with(&[]);
    for (name, code, kind) in [
        (
            "hangs",
            "fork { TOLD.call; sleep }; sleep 0.01 until File.exist?(FILE); loop { begin; loop { }; rescue Exception; nil; end }",
            Limit,
        ),
        (
            "exits",
            "fork { TOLD.call; sleep }; sleep 0.01 until File.exist?(FILE); exit! 1",
            Host,
        ),
        (
            "killed",
            "Process.spawn('sleep 1000').tap { |pid| TOLD.call(pid) }; Process.kill(:KILL, $$)",
            Host,
        ),
    ] {
        let file = folder.path(name);
        let top = format!(
            "FILE = '{}'\nTOLD = lambda do |pid = Process.pid|\n  File.write(\"#{{FILE}}.new\", pid.to_s)\n  File.rename(\"#{{FILE}}.new\", FILE)\nend",
            file.display()
        );
        let (_folder, mut policy) = policy(&top, code);
        healthy(policy.as_mut());
        let error = policy.evaluate(None, &told_to("fault")).unwrap_err();
        assert_eq!(error.kind, kind, "{name}: {error}");
        healthy(policy.as_mut());
        let pid = std::fs::read_to_string(&file).unwrap();
        wait_until(name, || is_gone(&pid));
    }
}
