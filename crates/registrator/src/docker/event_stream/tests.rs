//! Splitting of the stream, and a table of real events.

mod fuzz;

use super::*;

/// Recorded from Docker 20.10.24: create, start, stop, start, rename, pause, unpause, network connect and disconnect, update,
/// exec, kill -HUP, top, cp, commit, export and rm of one container.
const LIFE: &str = include_str!("life.jsonl");
/// Recorded from Docker 20.10.24: a container whose health check fails from the start.
const HEALTH: &str = include_str!("health.jsonl");

/// Feeds the bytes in chunks of `chunk`; each hint as a short line.
fn hints(bytes: &[u8], chunk: usize) -> Result<Vec<String>, Error> {
    let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
    for chunk in bytes.chunks(chunk) {
        splitter.push(chunk);
        while let Some(event) = splitter.pop()? {
            lines.extend(hint(&event).map(|hint| shown(&event, &hint)));
        }
    }
    Ok(lines)
}

fn shown(event: &Document, hint: &Hint) -> String {
    let action = event.at(&["Action"]).and_then(Part::as_str).unwrap();
    match hint {
        Hint::Changed(id) | Hint::Ended(id, _) | Hint::Started(id) => {
            format!("{} {action}", id.short())
        }
        Hint::Signalled(id, signal) => format!("{} signal {signal}", id.short()),
        Hint::Health(id, status) => format!("{} health {status}", id.short()),
        Hint::Gone(id) => format!("{} gone", id.short()),
    }
}

const LIFE_HINTS: [&str; 24] = [
    "create",
    "connect",
    "start",
    "signal 15",
    "signal 9",
    "die",
    "disconnect",
    "stop",
    "connect",
    "start",
    "rename",
    "pause",
    "unpause",
    "connect",
    "disconnect",
    "disconnect",
    "update",
    "signal 1",
    "pause",
    "unpause",
    "signal 9",
    "die",
    "disconnect",
    "gone",
];

#[test]
fn a_life_in_hints_however_it_is_chunked() {
    let expected: Vec<_> = LIFE_HINTS
        .iter()
        .map(|action| format!("76ebded6e4f8 {action}"))
        .collect();
    assert_eq!(
        LIFE.lines().count(),
        34,
        "what is left out: exec, top, commit, export, archive, images, networks"
    );
    for chunk in [1, 7, 100, 4096, LIFE.len()] {
        assert_eq!(
            hints(LIFE.as_bytes(), chunk).unwrap(),
            expected,
            "chunks of {chunk}"
        );
    }
}

#[test]
fn health_probes_are_no_hints() {
    let expected = [
        "create",
        "connect",
        "start",
        "health unhealthy",
        "signal 9",
        "die",
        "disconnect",
        "gone",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|action| format!("5a311b5f0a12 {action}"))
        .collect();
    assert_eq!(hints(HEALTH.as_bytes(), HEALTH.len()).unwrap(), expected);
}

#[test]
fn values_need_no_newlines() {
    let text = LIFE.replace('\n', "");
    assert_eq!(hints(text.as_bytes(), 333).unwrap().len(), LIFE_HINTS.len());
}

fn event(kind: &str, action: &str, id: &str, attributes: &str) -> String {
    format!(
        r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{attributes}}}}}"#
    )
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[track_caller]
fn check(event: &str, expected: &str) {
    assert_eq!(
        hints(event.as_bytes(), event.len()).unwrap().join(),
        expected,
        "{event}"
    );
}

trait Join {
    fn join(&self) -> String;
}

impl Join for Vec<String> {
    fn join(&self) -> String {
        self.as_slice().join(", ")
    }
}

#[test]
fn every_kind_of_event() {
    for action in [
        "create", "start", "restart", "die", "stop", "oom", "pause", "unpause", "rename", "update",
        "died",
    ] {
        check(
            &event("container", action, ID, "{}"),
            &format!("0123456789ab {action}"),
        );
    }
    for action in [
        "kill",
        "exec_create: sh",
        "exec_start: sh",
        "exec_die",
        "exec_detach",
        "top",
        "attach",
        "detach",
        "resize",
        "export",
        "copy",
    ] {
        check(&event("container", action, ID, "{}"), "");
    }
    for action in [
        "commit",
        "archive-path",
        "extract-to-dir",
        "health",
        "",
        "start: now",
    ] {
        let expected = if action == "start: now" {
            "0123456789ab start: now"
        } else {
            ""
        };
        check(&event("container", action, ID, "{}"), expected);
    }
    check(
        &event("container", "destroy", ID, "{}"),
        "0123456789ab gone",
    );
    check(&event("container", "remove", ID, "{}"), "0123456789ab gone");
    for kind in [
        "image", "volume", "daemon", "plugin", "service", "node", "secret", "config", "builder",
    ] {
        check(&event(kind, "update", ID, "{}"), "");
    }
}

#[test]
fn health() {
    check(
        &event("container", "health_status: healthy", ID, "{}"),
        "0123456789ab health healthy",
    );
    check(
        &event("container", "health_status: unhealthy", ID, "null"),
        "0123456789ab health unhealthy",
    );
    let podman = r#"{"health_status":"healthy"}"#;
    check(
        &event("container", "health_status", ID, podman),
        "0123456789ab health healthy",
    );
}

#[test]
fn signals() {
    for (signal, expected) in [
        ("15", "signal 15"),
        ("SIGHUP", "signal 1"),
        ("9", "signal 9"),
    ] {
        let attributes = format!(r#"{{"signal":"{signal}"}}"#);
        let expected = format!("0123456789ab {expected}");
        check(&event("container", "kill", ID, &attributes), &expected);
    }
    for attributes in ["{}", "null", r#"{"signal":"0"}"#, r#"{"signal":15}"#] {
        check(&event("container", "kill", ID, attributes), "");
    }
}

#[test]
fn networks() {
    let attributes = format!(r#"{{"container":"{ID}","name":"bridge"}}"#);
    check(
        &event("network", "connect", "n1", &attributes),
        "0123456789ab connect",
    );
    check(
        &event("network", "disconnect", "n1", &attributes),
        "0123456789ab disconnect",
    );
    check(&event("network", "create", "n1", &attributes), "");
    check(
        &event(
            "network",
            "connect",
            "n1",
            r#"{"container":"ingress-sbox"}"#,
        ),
        "",
    );
    check(&event("network", "connect", "n1", "{}"), "");
    // Recorded from Podman 4.3.1.
    let podman = r#"{"containerExitCode":"0","image":"","name":"web","podId":""}"#;
    check(
        &event("network", "connect", ID, podman),
        "0123456789ab connect",
    );
    check(
        &event("network", "disconnect", ID, podman),
        "0123456789ab disconnect",
    );
}

#[test]
fn odd_shapes_are_skipped() {
    for odd in [
        "1",
        "[]",
        "{}",
        r#"{"Action":1}"#,
        r#"{"Type":"container","Action":"start","Actor":"x"}"#,
    ] {
        check(odd, "");
    }
    check(&event("container", "start", "../../x", "{}"), "");
}

#[test]
fn what_is_no_json_ends_the_stream() {
    for nonsense in ["{\"Type\":<html>", "<html>", "null", "}"] {
        let error = hints(nonsense.as_bytes(), 3).unwrap_err();
        let expected = "Docker's answer to the events request is not what its API documents";
        assert_eq!(error.to_string(), expected, "{nonsense}");
    }
    let endless = format!("{{\"Type\":\"{}", "x".repeat(MAX_EVENT));
    let error = hints(endless.as_bytes(), endless.len()).unwrap_err();
    let expected = "Docker's answer to the events request is longer than 1048576 bytes";
    assert_eq!(error.to_string(), expected);
}

/// Labels of a megabyte must not end the stream, and the event counts.
#[test]
fn of_an_event_that_is_too_long_its_beginning_counts() {
    let id = "7".repeat(64);
    let long = |action: &str, size| {
        let label = "{\\\"\u{e9}}".repeat(size);
        format!(
            r#"{{"status":"{action}","id":"{id}","from":"x","Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"label":"{label}","signal":"15"}}}},"scope":"local","time":1}}"#
        )
    };
    let events = [
        long("start", 1),
        long("start", MAX_EVENT),
        long("die", MAX_EVENT / 2),
        long("destroy", 2),
    ];
    let stream = events.join("\n");
    let expected = ["start", "start", "die", "gone"].map(|hint| format!("777777777777 {hint}"));
    for chunk in [8192, 1 << 20, stream.len()] {
        assert_eq!(
            hints(stream.as_bytes(), chunk).unwrap(),
            expected,
            "{chunk}"
        );
    }
    let mut splitter = Splitter::default();
    for chunk in stream.as_bytes().chunks(8192) {
        splitter.push(chunk);
        while splitter.pop().unwrap().is_some() {}
        assert!(
            splitter.bytes.len() <= MAX_EVENT + 2 * 8192,
            "it is not kept"
        );
    }
}

#[test]
fn the_daemon_filters_too() {
    let path = EventStream::path();
    assert!(
        path.starts_with("/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D"),
        "{path}"
    );
    assert!(!path.contains("exec"), "{path}");
}

#[test]
fn a_number_may_come_in_pieces() {
    let event = br#"{"Type":"container","Action":"start","Actor":{"ID":"0123456789ab"},"n":[-1,-0.5,2E+3,1e-7]}"#;
    for cut in 1..event.len() {
        let mut splitter = Splitter::default();
        splitter.push(&event[..cut]);
        assert!(splitter.pop().unwrap().is_none(), "cut at {cut}");
        splitter.push(&event[cut..]);
        let found = hint(&splitter.pop().unwrap().unwrap());
        assert_eq!(found, Some(Hint::Started(ContainerId::new("0123456789ab"))));
    }
}
