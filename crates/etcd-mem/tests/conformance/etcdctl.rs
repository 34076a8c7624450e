//! Debian's etcdctl, command by command, as people use it. The texts it prints are the same for every server.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use expect_test::expect;

use crate::session::normalize;
use crate::target::{Kind, Target, on_path, skip};

pub async fn run(target: &Target, kind: Kind) {
    let Some(program) = on_path("etcdctl") else {
        skip::<()>(
            "etcdctl",
            "no program `etcdctl` is in PATH (Debian: etcd-client)",
        );
        return;
    };
    // With the scheme, the etcdctl of 3.4 sends `http://…` as the name of the host in some calls, which is no valid HTTP/2.
    let endpoint = target.endpoint.clone();
    let compacts = kind != Kind::Running;
    // The server of this process needs this thread while the commands run.
    tokio::task::spawn_blocking(move || {
        let mut shell = Shell {
            program,
            endpoint,
            lines: Vec::new(),
        };
        keys(&mut shell);
        leases(&mut shell);
        watches(&mut shell, compacts);
        members(&mut shell);
    })
    .await
    .expect("the commands run");
}

/// Runs commands and writes down what they print.
struct Shell {
    program: PathBuf,
    endpoint: String,
    lines: Vec<String>,
}

impl Shell {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.endpoint));
        command
            .args(arguments.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &str, input: &str) -> String {
        let mut child = self.command(arguments).spawn().expect("etcdctl starts");
        child
            .stdin
            .take()
            .expect("its input")
            .write_all(input.as_bytes())
            .expect("input");
        let output = child.wait_with_output().expect("its output");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // Its log lines are JSON with the time.
        let errors = errors
            .lines()
            .filter(|line| !line.starts_with('{'))
            .collect::<Vec<_>>()
            .join("\n");
        format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
            .trim_end()
            .to_owned()
    }

    fn run(&mut self, arguments: &str) -> String {
        self.run_with(arguments, "")
    }

    fn run_with(&mut self, arguments: &str, input: &str) -> String {
        let output = self.output(arguments, input);
        self.note(arguments, &output);
        output
    }

    /// Runs a command that does not end by itself until it has printed `count` lines.
    fn follow(&mut self, arguments: &str, count: usize) {
        let mut child = self.command(arguments).spawn().expect("etcdctl starts");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let lines: Vec<String> = stdout.lines().map_while(Result::ok).take(count).collect();
        child.kill().expect("it runs on");
        let mut errors = String::new();
        child
            .stderr
            .take()
            .expect("its errors")
            .read_to_string(&mut errors)
            .expect("errors");
        child.wait().expect("its end");
        assert_eq!(lines.len(), count, "{arguments}: {lines:?} {errors}");
        self.note(arguments, &lines.join("\n"));
    }

    fn note(&mut self, arguments: &str, output: &str) {
        self.lines.push(format!("$ {arguments}\n{output}"));
    }

    /// The present revision, out of the JSON that etcdctl prints.
    fn revision(&self) -> i64 {
        let json = self.output("get /kontena/ctl/nothing -w json", "");
        let digits = json.split("\"revision\":").nth(1).expect("a revision");
        digits
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    fn expect(&mut self, expected: expect_test::Expect) {
        self.output("del --prefix /kontena/ctl/", "");
        expected.assert_eq(&normalize(&std::mem::take(&mut self.lines)));
    }
}

fn keys(shell: &mut Shell) {
    shell.run("put /kontena/ctl/a 1");
    shell.run("put --prev-kv /kontena/ctl/a 2");
    shell.run("put /kontena/ctl/b 3");
    shell.run("get --prefix /kontena/ctl/");
    shell.run("get --prefix /kontena/ctl/ --keys-only --sort-by=MODIFY --order=DESCEND");
    shell.run("get --prefix /kontena/ctl/ --print-value-only --limit=1");
    let before = shell.revision() - 1;
    let old = shell.output(&format!("get /kontena/ctl/b --rev={before}"), "");
    shell.note("get /kontena/ctl/b before it was written", &old);
    let txn = "value(\"/kontena/ctl/a\") = \"2\"\n\nput /kontena/ctl/c 4\nget /kontena/ctl/c\n\nget /kontena/ctl/a\n\n";
    shell.run_with("txn", txn);
    shell.run_with("txn", &txn.replace("\"2\"", "\"9\""));
    shell.run_with(
        "txn --interactive",
        &txn.replace("value(", "mod(").replace("\"2\"", "\"0\""),
    );
    shell.run("del --prev-kv /kontena/ctl/a");
    shell.run("del --prefix /kontena/ctl/");
    shell.run("put /kontena/ctl/a 1 --lease=77");
    shell.expect(expect![[r#"
        $ put /kontena/ctl/a 1
        OK
        $ put --prev-kv /kontena/ctl/a 2
        OK
        /kontena/ctl/a
        1
        $ put /kontena/ctl/b 3
        OK
        $ get --prefix /kontena/ctl/
        /kontena/ctl/a
        2
        /kontena/ctl/b
        3
        $ get --prefix /kontena/ctl/ --keys-only --sort-by=MODIFY --order=DESCEND
        /kontena/ctl/b

        /kontena/ctl/a
        $ get --prefix /kontena/ctl/ --print-value-only --limit=1
        2
        $ get /kontena/ctl/b before it was written

        $ txn
        SUCCESS

        OK

        /kontena/ctl/c
        4
        $ txn
        FAILURE

        /kontena/ctl/a
        2
        $ txn --interactive
        compares:
        success requests (get, put, del):
        failure requests (get, put, del):
        FAILURE

        /kontena/ctl/a
        2
        $ del --prev-kv /kontena/ctl/a
        1
        /kontena/ctl/a
        2
        $ del --prefix /kontena/ctl/
        2
        $ put /kontena/ctl/a 1 --lease=77
        Error: etcdserver: requested lease not found
    "#]]);
}

fn leases(shell: &mut Shell) {
    let granted = shell.output("lease grant 60", "");
    let id = granted.split(' ').nth(1).expect("an id").to_owned();
    let named = |text: &str| text.replace(&id, "ID");
    shell.note("lease grant 60", &named(&granted));
    shell.run(&format!("put --lease={id} /kontena/ctl/a 1"));
    for command in [
        "timetolive --keys ID",
        "keep-alive --once ID",
        "revoke ID",
        "timetolive ID",
        "revoke ID",
    ] {
        if command.starts_with("revoke") {
            let list = shell.output("lease list", "");
            shell.note(
                "lease list",
                if list.contains(&id) {
                    "it is there"
                } else {
                    "it is not there"
                },
            );
        }
        let output = shell.output(&format!("lease {}", command.replace("ID", &id)), "");
        shell.note(
            &format!("lease {command}"),
            &without_remaining(&named(&output)),
        );
        if command.starts_with("keep-alive") {
            shell.follow(&format!("lease keep-alive {id}"), 1);
        }
    }
    shell.run("get /kontena/ctl/a");
    shell
        .lines
        .iter_mut()
        .for_each(|line| *line = line.replace(&id, "ID"));
    shell.expect(expect![[r#"
        $ lease grant 60
        lease ID granted with TTL(60s)
        $ put --lease=ID /kontena/ctl/a 1
        OK
        $ lease timetolive --keys ID
        lease ID granted with TTL(60s), remaining(…), attached keys([/kontena/ctl/a])
        $ lease keep-alive --once ID
        lease ID keepalived with TTL(60)
        $ lease keep-alive ID
        lease ID keepalived with TTL(60)
        $ lease list
        it is there
        $ lease revoke ID
        lease ID revoked
        $ lease timetolive ID
        lease ID already expired
        $ lease list
        it is not there
        $ lease revoke ID
        Error: failed to revoke lease (etcdserver: requested lease not found)
        $ get /kontena/ctl/a

    "#]]);
}

/// The remaining seconds depend on the time.
fn without_remaining(text: &str) -> String {
    let Some((before, rest)) = text.split_once("remaining(") else {
        return text.to_owned();
    };
    let after = rest.split_once("s)").map_or(rest, |(_, after)| after);
    format!("{before}remaining(…){after}")
}

fn watches(shell: &mut Shell, compacts: bool) {
    shell.run("put /kontena/ctl/a 1");
    let first = shell.revision();
    shell.run("put /kontena/ctl/a 2");
    shell.run("del /kontena/ctl/a");
    shell.run("put /kontena/ctl/b 3");
    shell.follow(
        &format!("watch --rev={first} --prefix /kontena/ctl/ --prev-kv"),
        15,
    );
    shell.follow(&format!("watch --rev={first} /kontena/ctl/a"), 9);
    if compacts {
        // Everything else was printed before, so a server of others keeps its history.
        shell.run(&format!("compaction {}", first + 2));
        shell.run(&format!("get --rev={first} /kontena/ctl/a"));
        shell.run(&format!("watch --rev={first} /kontena/ctl/a"));
    }
    for (number, name) in ["first", "second", "third"].into_iter().enumerate() {
        let revision = first + i64::try_from(number).expect("a small number");
        shell
            .lines
            .iter_mut()
            .for_each(|line| *line = line.replace(&revision.to_string(), name));
    }
    if !compacts {
        shell.output("del --prefix /kontena/ctl/", "");
        shell.lines.clear();
        return;
    }
    shell.expect(expect![[r#"
        $ put /kontena/ctl/a 1
        OK
        $ put /kontena/ctl/a 2
        OK
        $ del /kontena/ctl/a
        1
        $ put /kontena/ctl/b 3
        OK
        $ watch --rev=first --prefix /kontena/ctl/ --prev-kv
        PUT
        /kontena/ctl/a
        1
        PUT
        /kontena/ctl/a
        1
        /kontena/ctl/a
        2
        DELETE
        /kontena/ctl/a
        2
        /kontena/ctl/a

        PUT
        /kontena/ctl/b
        $ watch --rev=first /kontena/ctl/a
        PUT
        /kontena/ctl/a
        1
        PUT
        /kontena/ctl/a
        2
        DELETE
        /kontena/ctl/a

        $ compaction third
        compacted revision third
        $ get --rev=first /kontena/ctl/a
        Error: etcdserver: mvcc: required revision has been compacted
        $ watch --rev=first /kontena/ctl/a
        watch was canceled (etcdserver: mvcc: required revision has been compacted)
        Error: watch is canceled by the server
    "#]]);
}

/// Names and addresses differ.
fn members(shell: &mut Shell) {
    let status = shell.output("endpoint status", "");
    assert!(
        status.starts_with(&format!("{}, ", shell.endpoint)) && status.contains(", 3."),
        "{status}"
    );
    let health = shell.output("endpoint health", "");
    assert!(
        health.contains("is healthy: successfully committed proposal"),
        "{health}"
    );
    let members = shell.output("member list", "");
    assert!(
        members.contains(", started, ") && members.contains(&shell.endpoint),
        "{members}"
    );
    assert_eq!(shell.output("alarm list", ""), "");
}
