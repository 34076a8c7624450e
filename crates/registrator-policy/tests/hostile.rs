//! Policies that loop, eat memory, nest values or return nonsense: each is an error of that one evaluation, and the next works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{config, inspect, plain_error, policy_with};
use registrator_core::evaluate::evaluation::EvalErrorKind::{self, Limit, Raised, Type};
use registrator_policy::{Limits, Policy, Settings, load};
use std::time::{Duration, Instant};

fn limits() -> Settings {
    let limits = Limits {
        ticks: 50_000,
        time: Duration::from_secs(60),
        ..Limits::default()
    };
    Settings {
        limits,
        ..Settings::default()
    }
}

/// The body of `docker_container` fails with this kind and a message that has this part.
fn check(body: &str, kind: EvalErrorKind, part: &str) {
    let text = format!(
        "def docker_container(container, config):\n    {}\n",
        body.replace('\n', "\n    ")
    );
    let mut policy =
        policy_with(&text, &limits()).unwrap_or_else(|error| panic!("{body}: {error}"));
    check_loaded(policy.as_mut(), body, kind, part);
}

fn check_loaded(policy: &mut dyn Policy, name: &str, kind: EvalErrorKind, part: &str) {
    let error = policy.evaluate(None, &inspect("web")).expect_err(name);
    let text = plain_error(&error);
    assert_eq!(error.kind, kind, "{name}: {text}");
    assert!(text.contains(part), "{name}: {text}");
    assert!(
        text.len() < 3000,
        "{name}: the message has {} bytes",
        text.len()
    );
}

#[test]
fn loops_end() {
    let part = "made more than 50000 calls and turns of loops for container web";
    check("for i in range(1000000000):\n    pass", Limit, part);
    check("return [i for i in range(1000000000)]", Limit, part);
    check(
        "return [i for i in range(1000000000) if i < 0]",
        Limit,
        part,
    );
    check(
        "return {str(i): None for i in range(1000000000)}",
        Limit,
        part,
    );
    check(
        "for a in range(100000):\n    for b in range(100000):\n        pass",
        Limit,
        part,
    );
    check(
        "def f(): return 1\nfor i in range(1000000000):\n    f()",
        Limit,
        part,
    );
    check(
        "return [x for x in range(100000) for y in range(100000)]",
        Limit,
        part,
    );
}

#[test]
fn recursion_ends() {
    let part = "p.star";
    check(
        "def f(n): return f(n + 1)\nreturn f(0)",
        Limit,
        "call stack overflow",
    );
    check(
        "f = lambda g: g(g)\nreturn f(f)",
        Limit,
        "call stack overflow",
    );
    let text = "def f(n):\n    return [f(n + 1)]\ndef docker_container(container, config):\n    return f(0)\n";
    let mut policy = policy_with(text, &limits()).unwrap();
    check_loaded(policy.as_mut(), text, Limit, part);
}

#[test]
fn memory_is_bounded_between_steps() {
    let part = "used more than 8388608 bytes for container web";
    check(
        "l = []\nfor i in range(1000000):\n    l.append(str(i) * 1000)",
        Limit,
        part,
    );
    check(
        "s = 'x' * 1000\nfor i in range(20000):\n    s += 'y' * 1000\nreturn s",
        Limit,
        part,
    );
}

#[test]
fn values_are_bounded() {
    let deep = "nested too deeply";
    check(
        "l = []\nfor i in range(20000):\n    l = [l]\nreturn {'k': l}",
        Type,
        deep,
    );
    check(
        "l = {}\nfor i in range(20000):\n    l = {'x': l}\nreturn {'k': l}",
        Type,
        deep,
    );
    check(
        "l = ()\nfor i in range(20000):\n    l = (l,)\nreturn {'k': l}",
        Type,
        deep,
    );
    check(
        "l = None\nfor i in range(20000):\n    l = struct(x = l)\nreturn {'k': l}",
        Type,
        deep,
    );
    check(
        "l = []\nfor i in range(20000):\n    l = [l]\nreturn l",
        Type,
        deep,
    );
    check(
        "l = []\nfor i in range(20000):\n    l = [l]\nreturn json.encode(l)",
        Raised,
        deep,
    );
    check("l = []\nl.append(l)\nreturn {'k': l}", Type, deep);
    check("l = []\nl.append(l)\nreturn l", Type, deep);
    check("d = {}\nd['/x'] = d\nreturn d", Type, deep);
    check(
        "return {'k': 'x' * 1048577}",
        Type,
        "a value has at most 1048576 bytes",
    );
    check(
        "x = 'x' * 100000\nreturn {'k': [x] * 100}",
        Type,
        "larger than 1048576 bytes as JSON",
    );
    check(
        "l = [1]\nfor i in range(60):\n    l = [l, l]\nreturn {'k': l}",
        Type,
        "larger than 1048576 bytes as JSON",
    );
    check(
        "l = []\nfor i in range(60):\n    l = [l, l]\nreturn l",
        Type,
        "more than 30000 items",
    );
    check(
        "return [{'k' + str(i): None} for i in range(16000)]",
        Type,
        "more than 30000 items",
    );
}

#[test]
fn numbers_are_exact_or_errors() {
    check(
        "return {'k': float('nan')}",
        Type,
        "the value of k: NaN cannot be written as JSON",
    );
    check(
        "return {'k': [float('inf')]}",
        Type,
        "inf cannot be written as JSON",
    );
    check(
        "return {'k': [-float('inf')]}",
        Type,
        "-inf cannot be written as JSON",
    );
    check(
        "return {'k': 1 << 100000}",
        Type,
        "an integer has more than 1000 digits",
    );
    check(
        "return json.decode('1e400')",
        Raised,
        "the number 1e+400 is too large for a float",
    );
    check(
        "return json.decode('[1' + '0' * 2000 + ']')",
        Raised,
        "an integer has more than 1000 digits",
    );
    check(
        "return json.decode('[' * 100 + ']' * 100)",
        Raised,
        deep_json(),
    );
    check(
        "return json.decode('[' * 10000)",
        Raised,
        "json.decode: recursion limit exceeded",
    );
    check(
        "return json.decode('oops')",
        Raised,
        "json.decode: expected value at line 1 column 1; give default = None",
    );
}

fn deep_json() -> &'static str {
    "nested too deeply: at most 64 levels are possible"
}

#[test]
fn keys_are_checked() {
    check("return {'': 'x'}", Type, "a key must not be empty");
    check("return {'/a/': 'x'}", Type, "ends with a slash");
    check("return {'/a//b': 'x'}", Type, "component \"\"");
    check("return {'/a\\nb': 'x'}", Type, "has a control character");
    check(
        "return {'k' * 2000: 'x'}",
        Type,
        "a key has at most 1024 bytes, this one has 2000",
    );
    check(
        "return {None: 'x'}",
        Type,
        "the key None is of type NoneType: a key must be a str",
    );
    check(
        "return {(1, 2): 'x'}",
        Type,
        "of type tuple: a key must be a str",
    );
    check(
        "return {'k': {1: 2}}",
        Type,
        "the key 1 of a dict is of type int",
    );
}

#[test]
fn only_nodes_may_be_returned() {
    let part = |kind: &str| {
        format!(
            "docker_container must return a dict of nodes, an object, None, or a list of these, not a {kind}"
        )
    };
    check("return 1", Type, &part("int"));
    check("return True", Type, &part("bool"));
    check("return ['/a']", Type, &part("string"));
    check("return ({'/a': 'x'},)", Type, &part("tuple"));
    check("return struct(a = 1)", Type, &part("struct"));
    check("return container", Type, &part("Container"));
    check(
        "return {'k': container}",
        Type,
        "take the fields that you need",
    );
    check("return {'k': set([1])}", Type, "make a list of it");
    check("return {'k': range(3)}", Type, "make a list of it");
    check(
        "return {'k': docker_container}",
        Type,
        "a value of type function cannot be written as JSON: call it",
    );
    check("return {'k': len}", Type, "cannot be written as JSON");
}

/// On a thread as an evaluation should have: these operations are recursive.
#[test]
fn deep_values_can_be_printed_compared_and_hashed() {
    let work = || {
        for step in ["(l,)", "[l]", "{1: l}", "struct(x = l)"] {
            for end in [
                "print(l)",
                "x = same(l) == same([l])",
                "x = same([l]) == same([l])",
                "x = {l: 1}",
                "x = sorted([l, l])",
                "x = repr(l)",
            ] {
                let body = format!(
                    "l = ()\nfor i in range(1000000):\n    l = {step}\n    if i == 45000:\n        break\n{end}"
                );
                let text = format!(
                    "def same(x):\n    return x\ndef docker_container(container):\n    {}\n",
                    body.replace('\n', "\n    ")
                );
                let mut policy = policy_with(&text, &limits()).unwrap();
                let _ = policy.evaluate(None, &inspect("web"));
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(registrator_policy::STACK_BYTES);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_failed_evaluation_leaves_the_policy_usable() {
    let text = "def docker_container(container):\n    if container.name == 'web':\n        for i in range(1000000000):\n            pass\n    return {'/ok': container.name}\n";
    let mut policy = policy_with(text, &limits()).unwrap();
    for _ in 0..2 {
        check_loaded(policy.as_mut(), text, Limit, "calls and turns");
        let done = policy.evaluate(None, &inspect("dual")).unwrap();
        assert_eq!(common::lines(&done), "/ok = dual\n");
    }
}

#[test]
fn an_evaluation_ends_at_its_deadline_and_when_cancelled() {
    let text = "def docker_container(container):\n    for i in range(1000000000):\n        pass\n";
    let mut settings = limits();
    settings.limits.ticks = u64::MAX;
    settings.limits.time = Duration::from_millis(50);
    let mut policy = policy_with(text, &settings).unwrap();
    let start = Instant::now();
    check_loaded(
        policy.as_mut(),
        text,
        Limit,
        "policy p took too long for container web",
    );
    assert!(start.elapsed() < Duration::from_secs(30));

    settings.limits.time = Duration::from_secs(600);
    let mut policy = policy_with(text, &settings).unwrap();
    let canceller = policy.canceller();
    canceller.cancel();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The evaluation may not have begun yet: cancelling before it does nothing.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                canceller.cancel();
                std::thread::yield_now();
            }
        });
        check_loaded(
            policy.as_mut(),
            text,
            Limit,
            "policy p was cancelled for container web",
        );
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn printing_is_bounded() {
    let text = "def docker_container(container):\n    for i in range(1000):\n        print('line', i, ['x'])\n";
    let mut policy = policy_with(text, &limits()).unwrap();
    let log = policy.evaluate(None, &inspect("web")).unwrap().log;
    assert_eq!(
        (log.len(), log[0].text.as_str(), log[99].text.as_str()),
        (100, "line 0 [\"x\"]", "… (more was printed than is kept)")
    );

    let text = "def docker_container(container):\n    print('a\\nb')\n    print('x' * 100000)\n    print('c')\n";
    let mut policy = policy_with(text, &limits()).unwrap();
    let log = policy.evaluate(None, &inspect("web")).unwrap().log;
    let log: Vec<String> = log.into_iter().map(|line| line.text).collect();
    assert_eq!(log, ["a", "b", "… (more was printed than is kept)"]);
}

/// A text that is deeply nested, or loops, while it is loaded.
fn check_load(text: &str, part: &str) {
    let start = Instant::now();
    let result = policy_with(text, &limits());
    let error = result.err().unwrap_or_else(|| "loads".into());
    let begin: String = text.chars().take(60).collect();
    assert!(
        error.contains(part),
        "{begin}: {}",
        error.chars().take(600).collect::<String>()
    );
    assert!(
        error.len() < 3000,
        "{begin}: the message has {} bytes",
        error.len()
    );
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{begin}: took {:?}",
        start.elapsed()
    );
}

#[test]
fn loading_survives_deep_nesting() {
    let entry = "\ndef docker_container(container):\n    return None\n";
    let nested = |open: &str, close: &str, count: usize| {
        format!("x = {}1{}{entry}", open.repeat(count), close.repeat(count))
    };
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{1:", "}"),
        ("f(", ")"),
        ("-", ""),
        ("1+", ""),
        ("not ", ""),
    ] {
        check_load(
            &nested(open, close, 20_000),
            "is nested too deeply: give its parts names of their own",
        );
        let _ = policy_with(&nested(open, close, 450), &limits());
    }
    check_load(
        &"(".repeat(250_000),
        "line 1 of p.star is nested too deeply",
    );
    check_load(
        &"x".repeat(300_000),
        "has more than 262144 bytes: a policy must be smaller",
    );
    let deep = |step: &str| {
        format!(
            "_l = []\ndef make():\n    l = []\n    for i in range(1000000000):\n        l = {step}\n    return l\n_l = make(){entry}"
        )
    };
    check_load(&deep("[l]"), "");
    check_load(&deep("(l,)"), "");
    check_load(
        &deep("(((((((((((((((((((((((((l,),),),),),),),),),),),),),),),),),),),),),),),),)"),
        "",
    );
    check_load(&deep("lambda: l"), "");
}

#[test]
fn deep_values_that_fit_the_limits_are_frozen() {
    let entry = "\ndef docker_container(container):\n    return None\n";
    for step in [
        "(l,)",
        "[l]",
        "{1: l}",
        "struct(x = l)",
        "lambda: l",
        "((((((((l,),),),),),),),)",
    ] {
        let text = format!(
            "def wrap(l):\n    return {step}\ndef make():\n    l = 1\n    for i in range(24000):\n        l = wrap(l)\n    return l\n_l = make(){entry}"
        );
        let _ = policy_with(&text, &limits());
    }
}

#[test]
fn loading_is_limited() {
    check_load(
        "for i in range(1000000000):\n    pass\n",
        "Execution duration limit of 50000 ticks",
    );
    check_load(
        "x = [i for i in range(1000000000)]\n",
        "Execution duration limit of 50000 ticks",
    );
    check_load("def f(a):\n    return a(a)\nf(f)\n", "call stack overflow");
    check_load(
        "x = [str(i) * 100 for i in range(100000)]\n",
        "Heap memory limit",
    );
    check_load("print('x')\n", "print() works only in an evaluation");
    check_load("fail('no')\n", "error: no\n --> p.star:1:1");
}

#[test]
fn a_configuration_that_is_no_value_is_an_error() {
    let text = "config(attrs = {'x': attr(typing.Any)})\ndef docker_container(container, config):\n    return {'k': config.x}\n";
    let mut policy = policy_with(text, &limits()).unwrap();
    let mut check = |json: &str, part: &str| {
        let config = config(policy.as_ref(), &format!("{{\"x\": {json}}}"));
        let error = policy
            .evaluate(config.as_ref(), &inspect("web"))
            .expect_err(json);
        assert_eq!(error.kind, Type);
        assert!(error.message.contains(part), "{}", error.message);
    };
    check(
        "1e400",
        "the configuration: the number 1e+400 is too large for a float",
    );
    check(
        &format!("{}{}", "[".repeat(100), "]".repeat(100)),
        "the configuration: the value is nested too deeply",
    );
    let config = config(
        policy.as_ref(),
        "{\"x\": [18446744073709551616, 1.50, \"ü\"]}",
    );
    let done = policy.evaluate(config.as_ref(), &inspect("web")).unwrap();
    assert_eq!(
        common::lines(&done),
        "k = [18446744073709551616,1.5,\"ü\"]\n"
    );
}

#[test]
fn odd_files_are_errors() {
    let folder = common::Folder::with(&[("a b.star", ""), ("x.py", ""), ("dir.star/x", "")]);
    std::fs::write(folder.path("bytes.star"), b"x = 1\ny = '\xff'\n").unwrap();
    let check = |name: &str, part: &str| {
        let error = load(&folder.path(name), &Settings::default())
            .err()
            .expect(name)
            .to_string();
        let error = folder.plain(&error);
        assert!(error.contains(part), "{name}: {error}");
    };
    check("a b.star", "\"a b\" cannot name a policy");
    check("x.py", "a policy is a *.star or *.rb file");
    check(
        "missing.star",
        "cannot read missing.star: No such file or directory",
    );
    check("dir.star", "dir.star is not a file");
    check(
        "bytes.star",
        "bytes.star is not UTF-8 text: line 2 has other bytes",
    );
}
