//! Policies that hang, die, eat memory, fork or write nonsense: each is an error of that one evaluation, and the next works.

use crate::common::inspect;
use crate::common::ruby::{self, patient, policy_with};
use registrator_core::evaluate::evaluation::EvalErrorKind::{self, Host, Limit, Raised};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::observe::container::Container;
use registrator_policy::{Policy, Settings};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Does what the container's label `do` says, and gives a node with the number of its process.
pub(crate) fn obedient(cases: &[(&str, &str)]) -> String {
    let branches = cases
        .iter()
        .map(|(name, code)| format!("  when '{name}' then {code}\n"));
    format!(
        "# for faults\ndef docker_container(container)\n  case container.label('do')\n{}  when nil then nil\n  end\n  {{ '/pid' => Process.pid }}\nend\n",
        branches.collect::<String>()
    )
}

pub(crate) fn told_to(what: &str) -> Container {
    let json =
        json!({"Id": format!("{what:0<64}"), "Name": "/web", "Config": {"Labels": {"do": what}}});
    Container::from_inspect(json).unwrap()
}

pub(crate) fn pid(evaluation: &Evaluation) -> String {
    let (_, values) = evaluation.nodes.iter().next().unwrap();
    values.iter().next().unwrap().to_string()
}

pub(crate) fn healthy(policy: &mut dyn Policy) -> String {
    pid(&policy.evaluate(None, &inspect("web")).unwrap())
}

pub(crate) fn brief() -> Settings {
    let mut settings = patient();
    settings.limits.time = Duration::from_secs(2);
    settings
}

/// One evaluation goes wrong in this way; the next one works, in the same interpreter or in another one.
fn check(code: &str, kind: EvalErrorKind, part: &str, survives: bool) {
    check_with(&brief(), code, kind, part, survives);
}

fn check_with(settings: &Settings, code: &str, kind: EvalErrorKind, part: &str, survives: bool) {
    if !ruby::is_there() {
        return;
    }
    let (folder, mut policy) = policy_with(&obedient(&[("fault", code)]), settings).unwrap();
    let before = healthy(policy.as_mut());
    let error = policy.evaluate(None, &told_to("fault")).expect_err(code);
    let text = ruby::told(&folder, &error);
    assert_eq!(error.kind, kind, "{code}: {text}");
    assert!(text.contains(part), "{code}: {text}");
    let after = healthy(policy.as_mut());
    assert_eq!(before == after, survives, "{code}: {text}");
    if !survives {
        assert!(is_gone(&before), "{code}: process {before} is left");
    }
}

/// Whether there is no such process, or only what a dead one leaves until its parent looks: that it does not see before all
/// threads have ended.
pub(crate) fn is_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    status.is_empty() || status.contains(") Z ") && threads <= 1
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_raise_is_an_answer() {
    check("raise 'no'", Raised, "p.rb:4: RuntimeError: no", true);
    check(
        "raise Exception, 'no'",
        Raised,
        "p.rb:4: Exception: no",
        true,
    );
    check("throw :nowhere", Raised, "UncaughtThrowError", true);
    check("exit 3", Raised, "p.rb:4: the policy called exit", true);
    check("abort 'bye'", Raised, "the policy called exit", true);
    check("Thread.main.kill", Raised, "the policy called exit", true);
    check(
        "raise SignalException, 'TERM'",
        Raised,
        "SignalException",
        true,
    );
}

#[test]
fn a_loop_is_interrupted_where_it_is() {
    let part = "p.rb:4: the policy was still running here when its time was up";
    check("loop { }", Limit, part, true);
    check("sleep", Limit, part, true);
    check("Thread.new { sleep }.join", Limit, part, true);
    check(
        "loop { begin; loop { }; rescue; nil; end }",
        Limit,
        part,
        true,
    );
}

#[test]
fn a_loop_that_cannot_be_interrupted_is_killed() {
    let part = "took longer than 2s for container web and could not be interrupted";
    check(
        "loop { begin; loop { }; rescue Exception; nil; end }",
        Limit,
        part,
        false,
    );
    check("trap('USR1', 'IGNORE') && loop { }", Limit, part, false);
    check("Process.kill(:STOP, 0)", Limit, part, false);
}

#[test]
fn memory_and_stack_are_bounded() {
    check("'x' * (1 << 40)", Limit, "", false);
    check_with(
        &patient(),
        "a = []\n loop { a << 'x' * (1 << 20) }",
        Limit,
        "NoMemoryError",
        false,
    );
    check("def self.f; end", Raised, "FrozenError", true);
    check(
        "f = -> (g) { [g.call(g)] }\n f.call(f)",
        Limit,
        "SystemStackError: stack level too deep",
        true,
    );
}

#[test]
fn a_dead_interpreter_is_started_again() {
    let lost = "the Ruby interpreter of policy p is lost in the evaluation of container web";
    check(
        "exit! 3",
        Host,
        &format!("{lost}, and is started again: it ended with exit status: 3"),
        false,
    );
    check(
        "Process.kill(:KILL, Process.pid)",
        Host,
        "it ended with signal: 9 (SIGKILL)",
        false,
    );
    check("Process.kill(:SEGV, Process.pid)", Host, lost, false);
    check("exec 'sleep 1000'", Host, lost, false);
    check("Process.daemon", Host, lost, false);
}

#[test]
fn nonsense_on_the_protocols_pipe_is_found() {
    let each = |what: &str| {
        format!(
            "ObjectSpace.each_object(IO) {{ |io| begin; {what}; rescue IOError, SystemCallError; nil; end }}"
        )
    };
    let write = each("io.syswrite(\"garbage\\n\") if io.fileno > 2");
    check(
        &write,
        Host,
        "something else than answers came from it",
        false,
    );
    let early = each("io.syswrite(\"{\\\"id\\\":999,\\\"nodes\\\":[]}\\n\") if io.fileno > 2");
    check(
        &early,
        Host,
        "something else than answers came from it",
        false,
    );
    check(
        &each("io.close if io.fileno > 2"),
        Host,
        "the Ruby interpreter of policy p is lost",
        false,
    );
}

#[test]
fn standard_streams_are_not_the_protocols() {
    if !ruby::is_there() {
        return;
    }
    let code = "puts('{\"id\":2,\"nodes\":[]}') || $stdout.write(\"x\\n\") && STDIN.read && $stdin.gets && system('cat; echo x') && $stdout.close && $stderr.close";
    let (_folder, mut policy) = policy_with(&obedient(&[("print", code)]), &brief()).unwrap();
    let before = healthy(policy.as_mut());
    let done = policy.evaluate(None, &told_to("print")).unwrap();
    assert_eq!(done.log[0].text, "{\"id\":2,\"nodes\":[]}");
    assert_eq!(pid(&done), before);
    assert_eq!(healthy(policy.as_mut()), before);
}

#[test]
fn forks_are_ended() {
    if !ruby::is_there() {
        return;
    }
    let part = "the policy left processes running (";
    check("fork { sleep 1000 }", Raised, part, false);
    check("Process.detach(spawn('sleep 1000'))", Raised, part, false);
    check(
        "fork { Process.setsid; fork { sleep 1000 } }",
        Raised,
        part,
        false,
    );
    let folder = crate::common::Folder::with(&[]);
    let file = folder.path("pids");
    let code = format!(
        "3.times {{ fork {{ File.write('{}', \"#{{Process.pid}}\\n\", mode: 'a'); loop {{ }} }} }}; loop {{ }}",
        file.display()
    );
    // On a busy machine the parent may not get to say where it was.
    check(&code, Limit, "p.rb", false);
    let pids = std::fs::read_to_string(&file).unwrap();
    assert!(pids.lines().count() > 0);
    wait_until("forks are left", || pids.lines().all(is_gone));
}

#[test]
fn a_fork_that_goes_on_does_not_answer() {
    if !ruby::is_there() {
        return;
    }
    // Both halves return from the method; only the parent's answer counts.
    let cases = [("fork", "fork"), ("wait", "Process.wait(fork { exit! 0 })")];
    let (_folder, mut policy) = policy_with(&obedient(&cases), &brief()).unwrap();
    let before = healthy(policy.as_mut());
    for (what, _) in cases {
        let done = policy.evaluate(None, &told_to(what)).unwrap();
        assert_eq!(pid(&done), before);
        assert_eq!(healthy(policy.as_mut()), before);
    }
}

#[test]
fn a_policy_that_always_dies_is_started_ever_less_often() {
    if !ruby::is_there() {
        return;
    }
    let (_folder, mut policy) = policy_with(&obedient(&[("die", "exit! 1")]), &brief()).unwrap();
    let mut refused = None;
    for _ in 0..20 {
        let error = policy.evaluate(None, &told_to("die")).unwrap_err();
        assert_eq!(error.kind, Host);
        if error
            .message
            .contains("fails again and again: it is not started again for")
        {
            refused = Some(Instant::now());
            break;
        }
    }
    assert!(refused.is_some());
    wait_until("it is never started again", || {
        policy.evaluate(None, &inspect("web")).is_ok()
    });
}

#[test]
fn an_interpreter_killed_between_evaluations_costs_nothing_twice() {
    if !ruby::is_there() {
        return;
    }
    let (_folder, mut policy) = policy_with(&obedient(&[]), &brief()).unwrap();
    let before = healthy(policy.as_mut());
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &before])
        .status();
    assert!(killed.unwrap().success());
    wait_until("it lives", || is_gone(&before));
    assert_ne!(healthy(policy.as_mut()), before);
}

#[test]
fn the_interpreter_ends_with_its_policy() {
    if !ruby::is_there() {
        return;
    }
    let (_folder, mut policy) = policy_with(&obedient(&[]), &brief()).unwrap();
    let pid = healthy(policy.as_mut());
    drop(policy);
    assert!(is_gone(&pid));
}

#[test]
fn loading_that_fails_or_hangs_is_an_error() {
    if !ruby::is_there() {
        return;
    }
    let error = policy_with("x = 1\nsleep\n", &brief()).err().unwrap();
    assert!(
        error.contains("the policy was not loaded after 20s: make its top level do less"),
        "{error}"
    );
    let error = policy_with("fork { sleep 1000 }\n", &brief())
        .err()
        .unwrap();
    assert!(
        error.contains("the policy left processes running"),
        "{error}"
    );
    let error = policy_with("warn 'hint'\nProcess.kill(:KILL, Process.pid)\n", &brief())
        .err()
        .unwrap();
    assert!(
        error.contains("it ended with signal: 9 (SIGKILL)\n --> p.rb\nprinted: hint"),
        "{error}"
    );
}

#[test]
fn a_running_evaluation_can_be_cancelled() {
    if !ruby::is_there() {
        return;
    }
    let folder = crate::common::Folder::with(&[]);
    let begun = folder.path("begun");
    let code = format!("File.write('{}', '') && sleep", begun.display());
    let (_folder, mut policy) = policy_with(&obedient(&[("sleep", &code)]), &patient()).unwrap();
    let before = healthy(policy.as_mut());
    let canceller = policy.canceller();
    let began = Instant::now();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("it never began", || Path::new(&begun).exists());
            canceller.cancel();
        });
        policy.evaluate(None, &told_to("sleep")).unwrap_err()
    });
    assert_eq!(error.kind, Limit);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let _ = before;
    healthy(policy.as_mut());
}

/// One that dies without an answer takes no printed line of its neighbours with it.
#[test]
fn what_is_printed_belongs_to_its_evaluation() {
    if !ruby::is_there() {
        return;
    }
    let text = "puts 'load'\ndef docker_container(container)\n  name = container.label('do')\n  logger.info(name)\n  exit! 1 if name == 'die'\n  $stdout.print(\"end of #{name}\")\n  { '/k' => name }\nend\n";
    let (_folder, mut policy) = policy_with(text, &brief()).unwrap();
    let mut ask = |name: &str| match policy.evaluate(None, &told_to(name)) {
        Ok(done) => {
            assert_eq!(pid(&done), name);
            let lines = done.log.into_iter().map(|line| line.text);
            lines.collect::<Vec<String>>().join(", ")
        }
        Err(error) => {
            assert_eq!((name, error.kind), ("die", Host), "{error}");
            let printed = error.message.split_once('\n').unwrap_or_default();
            printed.1.to_owned()
        }
    };
    assert_eq!(ask("a"), "load, a, end of a");
    assert_eq!(ask("b"), "b, end of b");
    assert_eq!(ask("die"), "printed: die");
    assert_eq!(ask("c"), "load, c, end of c");
    for number in 0..100 {
        let name = format!("c{number}");
        assert_eq!(ask(&name), format!("{name}, end of {name}"));
    }
}
