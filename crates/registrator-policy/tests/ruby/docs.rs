//! Keeps docs/ruby.md true: its policies load and give nodes, and its numbers are the program's.

use crate::common::ruby::{self, patient, policy_with};
use crate::common::{config, inspect, lines};
use registrator_policy::Limits;

const TEXT: &str = include_str!("../../../../docs/ruby.md");

#[test]
fn the_policies_give_nodes() {
    if !ruby::is_there() {
        return;
    }
    let blocks = TEXT.split("```ruby\n").skip(1);
    let policies: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    let cases = [
        ("{}", "/addresses/web = {\"host\":\"172.17.0.2\"}\n"),
        (
            "{\"ports\": [{\"port\": 80}, {\"port\": 53, \"protocol\": \"udp\"}], \"names\": \"a,b\"}",
            "/ports/web = [\"80/tcp\",\"53/udp\",\"a\",\"b\"]\n",
        ),
        ("{}", "/demo/web = demo.local\n"),
        (
            "{}",
            "object /lb/web, in conflict smallest\n  hosts = web.test\n  member servers/113ad94dfc20 = 172.17.0.2:80\n",
        ),
    ];
    assert_eq!(policies.len(), cases.len());
    for (text, (members, expected)) in policies.into_iter().zip(cases) {
        let (_folder, mut policy) = policy_with(text, &patient()).unwrap();
        let config = config(policy.as_ref(), members);
        let done = policy.evaluate(config.as_ref(), &inspect("web")).unwrap();
        assert_eq!(lines(&done), expected);
    }
}

#[test]
fn the_limits_are_those_of_the_program() {
    let limits = Limits::default();
    for (row, holds) in [
        (
            "| address space, beyond the interpreter's own | 512 MiB |",
            limits.process_bytes == 512 << 20,
        ),
        ("| nodes returned | 30,000 |", limits.answer_items == 30_000),
        (
            "| lines and bytes printed | 100, 16 KiB; what is more is dropped |",
            limits.log_lines == 100 && limits.log_bytes == 16 << 10,
        ),
    ] {
        assert!(holds && TEXT.contains(row), "{row}");
    }
    if !ruby::is_there() {
        return;
    }
    // Reached in the tests of hostile policies.
    assert!(TEXT.contains("| bytes of their keys and values | 8 MiB |"));
    assert!(TEXT.contains("| open files | 256 |"));
    let limits = ruby::expression(
        "%i[CORE NOFILE].map { |name| Process.getrlimit(name).first }",
        &inspect("web"),
    );
    assert_eq!(limits, "[[0,256]]");
    // What it has, and a little for the policy: no version of Ruby has less room than that.
    let room = ruby::expression(
        "File.read('/proc/self/statm').to_i * Etc.sysconf(Etc::SC_PAGESIZE) + (500 << 20) < Process.getrlimit(:AS).first",
        &inspect("web"),
    );
    assert_eq!(room, "[true]");
}
