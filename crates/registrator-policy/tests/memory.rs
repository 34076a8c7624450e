//! Policies that would need more memory than there is: each is an error before the memory is taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{inspect, plain_error, policy_with};
use registrator_core::evaluate::evaluation::EvalErrorKind::{self, Limit, Raised};
use registrator_policy::{Limits, Settings};
use std::time::Duration;

/// The body of `docker_container` fails with this kind and a message that has this part.
fn check(body: &str, kind: EvalErrorKind, part: &str) {
    let limits = Limits {
        time: Duration::from_secs(60),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let body = body.replace('\n', "\n    ");
    let text = format!("def docker_container(container, config):\n    {body}\n");
    let mut policy = policy_with(&text, &settings).unwrap();
    let error = policy.evaluate(None, &inspect("web")).expect_err(&body);
    let shown = plain_error(&error);
    assert_eq!(error.kind, kind, "{body}: {shown}");
    assert!(shown.contains(part), "{body}: {shown}");
}

/// What one operation would make is known before it is made: none of these takes the memory that it asks for.
#[test]
fn single_operations_are_bounded() {
    let part = "used more than 8388608 bytes for container web";
    for body in [
        "x = 'x' * 1000000000",
        "x = 'x'\nx *= 1000000000",
        "x = [0] * 1000000000",
        "x = 1000000000 * (0,)",
        "x = ('z' * 1000000).join(['y'] * 100000)",
        "x = ('a' * 100000).replace('a', 'b' * 100000)",
        "x = ('a' * 100000).replace('', 'b' * 100000)",
        "x = ('{0}' * 10000).format('x' * 100000)",
        "x = ('{a}' * 10000).format(a = 'x' * 100000)",
        "x = ('%s' * 1000) % (('x' * 100000,) * 1000)",
    ] {
        check(body, Limit, part);
    }
    for end in [
        "x = str(l)",
        "x = repr(l)",
        "print(l)",
        "fail(l)",
        "x = '%s' % l",
        "x = '{}'.format(l)",
        "x = f'{l}'",
        "x = ('%r' % [l]).join('a')",
    ] {
        let body = format!("l = [1]\nfor i in range(60):\n    l = [l, l]\n{end}");
        let part = "the text of a value may have at most 1048576 bytes";
        check(&body, Raised, part);
    }
    let integer = "an integer may have at most 131072 bits";
    check("n = 3\nfor i in range(40):\n    n = n * n", Raised, integer);
    check("n = 3\nfor i in range(40):\n    n *= n", Raised, integer);
    check("return 1 << 1000000000", Raised, integer);
    check("n = 1\nn <<= 100000000", Raised, integer);
    let range = "a range may have at most 1000000 items";
    check("return list(range(1000000000))", Raised, range);
    check("l = []\nl += range(1000000000)", Raised, range);
    check("return max(range(1000000000))", Raised, range);
}

/// None of these makes 1,000 turns, which is when the interpreter looks by itself.
#[test]
fn memory_is_bounded_from_statement_to_statement() {
    let part = "used more than 8388608 bytes for container web";
    let big = "x = 'ab' * 500000\n";
    for body in [
        format!("x = 'x'\n{}", "x = x + x\n".repeat(40)),
        format!("x = 'x'\n{}", "x += x\n".repeat(40)),
        format!("x = [1]\n{}", "x += x\n".repeat(40)),
        format!("{big}for i in range(100):\n    x = x.replace('a', 'aa').replace('aa', 'a')"),
        format!("{big}for i in range(100):\n    y = x.upper()"),
        format!("{big}for i in range(100):\n    y = x[1:]"),
        format!("{big}y = [x.lower() for i in range(100)]"),
        format!("{big}y = {{i: x[i:] for i in range(100)}}"),
        format!("{big}{}", "y = x.split('b')\n".repeat(20)),
        "d = {i: 1 for i in range(1000)}\nl = []\nfor i in range(400):\n    l.append(dict(d))"
            .into(),
    ] {
        check(&body, Limit, part);
    }
}
