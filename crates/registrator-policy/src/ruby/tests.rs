//! Mutated answers of an interpreter, over real pipes: `cat` takes its place and answers with what it is sent.

use super::*;
use crate::settings::Limits;
use fuzz::Target;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// The end of the answers to one input.
const END: &str = "the end";

#[test]
fn fuzz_answers() {
    let target = Target {
        corpus: "corpus/ruby",
        words: &[
            b"\"id\":",
            b"\"error\":",
            b"\"nodes\":",
            b"\"objects\":[{\"name\":\"/o\"",
            b"\"conflict\":\"smallest\"",
            b"\"members\":[]",
            b"\"uses\":[\"/o\"]",
            b"[\"/a\",\"b\"]",
            b"\"kind\":\"type\"",
            b"\"class\":\"SyntaxError\"",
            b"p.rb:1: ",
            b"p.rb:0: ",
            b":18446744073709551615: ",
            b"places",
            b"message",
            b"spoilt",
            b"schema",
            b"attributes",
            b"etcd_path",
            b"/:a/:a",
            b"string",
            b"/a/../b",
            b"/",
            b"null",
            b"\x01W",
            b"\n\n",
            b"\r\n",
        ],
        inputs: 3_000,
    };
    let folder = TempDir::new().unwrap();
    let mut policy = policy(&folder);
    target.run(|input| {
        let answers = echoed(&mut policy, input);
        let told: Vec<String> = answers.iter().map(|line| outcome(&policy, line)).collect();
        let mut log = Log::new(&policy.settings.limits);
        printed::add(input, &mut log);
        check_log(&log, &policy.settings.limits);
        told.concat()
    });
}

fn policy(folder: &TempDir) -> RubyPolicy {
    let echo = folder.path().join("echo");
    fs::write(&echo, "#!/bin/sh\nexec cat\n").unwrap();
    fs::set_permissions(&echo, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = Settings {
        ruby: echo,
        ..Settings::default()
    };
    RubyPolicy {
        spec: PolicySpec {
            name: PolicyName::parse("p").unwrap(),
            fingerprint: 1,
            validates: false,
            schema: None,
        },
        path: "p.rb".into(),
        source: PolicySource {
            shown: "p.rb".into(),
            text: "def docker_container(container)\n  é\nend\n".into(),
        },
        running: Some(Box::new(Running {
            child: Child::start(&settings).unwrap(),
            last: 0,
        })),
        settings,
        canceller: Canceller::default(),
        restarts: Restarts::default(),
    }
}

/// What the other side's lines are after they went through both pipes.
fn echoed(policy: &mut RubyPolicy, input: &[u8]) -> Vec<Vec<u8>> {
    let child = &mut policy.running.as_mut().unwrap().child;
    let bytes = [input, b"\n", END.as_bytes(), b"\n"].concat();
    // In two pieces, as a pipe may cut it.
    let (first, second) = bytes.split_at(bytes.len() / 3);
    child.send(first);
    child.send(second);
    let until = Instant::now() + LOAD_TIME;
    let count = bytes.iter().filter(|byte| **byte == b'\n').count();
    let mut lines = Vec::new();
    while lines.len() < count {
        match child.line(until, &|| false) {
            Waited::Line(line) => lines.push(line),
            other => panic!("{other:?} after {} lines", lines.len()),
        }
    }
    assert!(
        [lines.join(&b'\n'), b"\n".to_vec()].concat() == bytes,
        "no byte is lost"
    );
    lines.truncate(count - 1);
    lines
}

/// What a line means, as an answer to a hello and as one to a request.
fn outcome(policy: &RubyPolicy, line: &[u8]) -> String {
    let Some(Reply { id: _, result }) = Reply::parse(line) else {
        return "no answer".into();
    };
    let answer = match result {
        Ok(answer) => answer,
        Err(fault) => {
            let error = policy.source.eval_error(&fault);
            assert!(error.at.is_some());
            return error.to_string();
        }
    };
    let nodes = policy.evaluation(&answer, Log::new(&policy.settings.limits));
    let told = match nodes {
        Ok(evaluation) => {
            let most = policy.settings.limits.answer_items;
            assert!(evaluation.nodes.len() <= most);
            format!("{} nodes", evaluation.nodes.len().min(9))
        }
        Err(error) => error.to_string(),
    };
    let schema = Hello::parse(answer).map(|hello| schema::schema(&hello.schema));
    match schema {
        Some(Ok(schema)) => format!("{told} {schema:?}"),
        Some(Err(error)) => format!(
            "{told} {}",
            policy.source.about(error.line, error.message).text()
        ),
        None => told,
    }
}

fn check_log(log: &Log, limits: &Limits) {
    let shown = log.shown();
    assert!(
        shown.len() <= limits.log_bytes + 1000,
        "{} bytes",
        shown.len()
    );
}
