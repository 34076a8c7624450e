//! One line of the log.

use super::{FATAL, Format};
use registrator_core::tell::printable::{self, indented, one_line};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// What lines look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) format: Format,
    /// Of text; JSON never has it.
    pub(super) colour: bool,
}

impl Style {
    /// The line as it is written.
    pub(super) fn show(self, line: Line) -> String {
        match self.format {
            Format::Text => line.text(self.colour),
            Format::Json => line.json(),
        }
    }
}

/// An event, taken apart.
pub(super) struct Line {
    /// RFC 3339, UTC.
    time: String,
    level: &'static str,
    message: String,
    /// Unique names, none of them one of the line's own.
    fields: Map<String, Json>,
}

impl Line {
    /// Takes the event apart, now.
    pub(super) fn of(event: &Event<'_>) -> Line {
        let mut line = Line::now(level(event));
        event.record(&mut line);
        line
    }

    /// Says that lines are missing, how many, and of which levels.
    pub(super) fn lost(counts: &BTreeMap<Level, u64>) -> Line {
        let total: u64 = counts.values().sum();
        let mut line = Line::now("warn");
        line.message = if total == 1 {
            "1 line is missing here: standard error did not take it".to_owned()
        } else {
            format!("{total} lines are missing here: standard error did not take them")
        };
        for (level, count) in counts {
            line.fields.insert(name(*level).into(), (*count).into());
        }
        line
    }

    fn now(level: &'static str) -> Line {
        let mut time = String::new();
        // Writing to a String cannot fail; without a clock the line has no time.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        Line {
            time,
            level,
            message: String::new(),
            fields: Map::new(),
        }
    }

    /// `TIME LEVEL message key=value…`, ending with a line feed.
    ///
    /// Further lines of a message are indented, so that no text from outside can look like a line of its own.
    fn text(&self, colour: bool) -> String {
        let (on, dim, off) = if colour {
            (paint(self.level), "\x1b[2m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let level = self.level.to_uppercase();
        let mut text = format!("{dim}{}{off} {on}{level:<5}{off} ", self.time);
        text.push_str(&indented(&self.message));
        for (name, value) in &self.fields {
            let _ = write!(text, " {dim}{name}={off}{}", one_line(&shown(value)));
        }
        text.push('\n');
        text
    }

    /// One JSON object, ending with a line feed: `time`, `level`, `message`, then the fields.
    fn json(self) -> String {
        let mut object = Map::new();
        object.insert("time".into(), self.time.into());
        object.insert("level".into(), self.level.into());
        object.insert("message".into(), self.message.into());
        object.extend(self.fields);
        format!("{}\n", printable::json(&Json::Object(object).to_string()))
    }

    fn add(&mut self, field: &Field, value: Json) {
        let name = match field.name() {
            "time" => "field_time",
            "level" => "field_level",
            name => name.trim_start_matches("r#"),
        };
        self.fields.insert(name.into(), value);
    }

    fn add_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, text.into()),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add_text(field, crate::error_chain::error_chain(value));
    }
}

fn level(event: &Event<'_>) -> &'static str {
    if event.metadata().target() == FATAL {
        return "fatal";
    }
    name(*event.metadata().level())
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn paint(level: &str) -> &'static str {
    match level {
        "fatal" | "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// A field's value: bare where that is unambiguous, quoted where it is not.
fn shown(value: &Json) -> String {
    let Json::String(text) = value else {
        return value.to_string();
    };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
    if !text.is_empty() && text.chars().all(plain) {
        text.clone()
    } else {
        format!("{text:?}")
    }
}
