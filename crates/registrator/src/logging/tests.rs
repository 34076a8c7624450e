//! What the log looks like.

use super::*;
use expect_test::{Expect, expect};
use std::io::Write;
use std::sync::Mutex;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// The log of `action`, with `T` for the time.
fn log(level: Level, format: Format, colour: bool, action: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    write(buffer.clone(), level, Style { format, colour }, action);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    text.split_inclusive('\n').map(without_time).collect()
}

/// Writes the log of `action` to the end.
fn write(writer: impl Write + Send + 'static, level: Level, style: Style, action: impl FnOnce()) {
    let queue = Queue::start(style, writer).unwrap();
    let subscriber = subscriber(level, style, Arc::clone(&queue));
    tracing::subscriber::with_default(subscriber, action);
    assert!(queue.flush(Duration::from_secs(60)));
}

fn without_time(line: &str) -> String {
    let start = line.find("20").unwrap_or(line.len());
    match line.get(start..start + 27) {
        Some(time) if time.ends_with('Z') => line.replace(time, "T"),
        _ => line.into(),
    }
}

fn check(format: Format, action: impl FnOnce(), expected: &Expect) {
    expected.assert_eq(&log(Level::Debug, format, false, action));
}

fn every_kind_of_field() {
    tracing::info!(
        key = "/a",
        empty = "",
        spaces = "a b",
        count = 3,
        part = 0.5,
        on = true,
        path = ?"x",
        "node created"
    );
}

#[test]
fn a_line_is_time_level_message_and_fields() {
    check(
        Format::Text,
        every_kind_of_field,
        &expect![[r#"
            T INFO  node created key=/a empty="" spaces="a b" count=3 part=0.5 on=true path="\"x\""
        "#]],
    );
    check(
        Format::Json,
        every_kind_of_field,
        &expect![[r#"
            {"time":"T","level":"info","message":"node created","key":"/a","empty":"","spaces":"a b","count":3,"part":0.5,"on":true,"path":"\"x\""}
        "#]],
    );
}

#[test]
fn no_key_is_there_twice() {
    let action = || {
        tracing::warn!(
            time = 1,
            level = "x",
            r#type = "t",
            twice = 1,
            twice = 2,
            "m"
        )
    };
    check(
        Format::Json,
        action,
        &expect![[r#"
            {"time":"T","level":"warn","message":"m","field_time":1,"field_level":"x","type":"t","twice":2}
        "#]],
    );
}

#[test]
fn text_from_outside_cannot_look_like_a_line_or_steer_the_terminal() {
    let action = || tracing::error!(name = "a\nT INFO  all is well", "bad\x1b[2J\npolicy");
    check(
        Format::Text,
        action,
        &expect![[r#"
            T ERROR bad\u{1b}[2J
                policy name="a\nT INFO  all is well"
        "#]],
    );
}

#[test]
fn errors_are_shown_with_their_causes() {
    let error = io::Error::other(io::Error::other("cause"));
    let action = || tracing::error!(error = &error as &dyn Error, "failed");
    check(
        Format::Text,
        action,
        &expect![[r#"
            T ERROR failed error=cause
        "#]],
    );
}

#[test]
fn only_a_terminal_sees_colour() {
    let text = log(Level::Debug, Format::Text, true, || {
        tracing::warn!(a = 1, "m")
    });
    expect!["\u{1b}[2mT\u{1b}[0m \u{1b}[33mWARN \u{1b}[0m m \u{1b}[2ma=\u{1b}[0m1\n"]
        .assert_eq(&text);
    let text = log(Level::Debug, Format::Json, true, || tracing::warn!("m"));
    expect![[r#"
        {"time":"T","level":"warn","message":"m"}
    "#]]
    .assert_eq(&text);
}

fn all_levels() {
    tracing::debug!("d");
    tracing::info!("i");
    tracing::warn!("w");
    tracing::error!("e");
    tracing::info!(target: "h2", "lib-i");
    tracing::warn!(target: "h2", "lib-w");
    fatal(&io::Error::other("f"));
}

#[test]
fn levels_let_through_what_they_say() {
    let check = |level, expected: &str| {
        let text = log(level, Format::Text, false, all_levels);
        let messages: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2))
            .collect();
        assert_eq!(messages.join(" "), expected, "{level:?}");
    };
    check(Level::Debug, "d i w e lib-w f");
    check(Level::Info, "i w e lib-w f");
    check(Level::Warn, "w e lib-w f");
    check(Level::Error, "e f");
    check(Level::Fatal, "f");
    expect![[r#"
        T FATAL f
    "#]]
    .assert_eq(&log(Level::Fatal, Format::Text, false, all_levels));
}

#[test]
fn a_closed_stderr_disturbs_nobody() {
    let style = Style {
        format: Format::Text,
        colour: false,
    };
    write(Closed, Level::Debug, style, || tracing::error!("lost"));
}
