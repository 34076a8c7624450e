//! The log: one line per fact on standard error, as text for people or as JSON for machines.

mod line;

use crate::error_chain::error_chain;
use clap::ValueEnum;
use line::Line;
use std::error::Error;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The least important facts that the log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything, with the program's own reasoning.
    Debug,
    /// What changes.
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
    /// Only what ends the program.
    Fatal,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, level, message, then `key=value` fields.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The process has a log already.
    #[error("the log was started twice")]
    Started(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Events under this target end the program: they are shown at every level, as `fatal`. [`fatal`] makes them.
pub const FATAL: &str = "fatal";

/// Logs what ends the program, with its causes.
pub fn fatal(error: &(dyn Error + 'static)) {
    tracing::error!(target: FATAL, "{}", error_chain(error));
}

/// Starts the process's log on standard error. `colour` is wanted on a terminal only; JSON never has it.
///
/// # Errors
/// It was started before.
pub fn init(level: Level, format: Format, colour: bool) -> Result<(), LoggingError> {
    let subscriber = subscriber(level, format, colour, io::stderr());
    tracing::subscriber::set_global_default(subscriber).map_err(LoggingError::Started)
}

/// What [`init`] installs, writing to `writer`.
pub fn subscriber<W: Write + Send + 'static>(
    level: Level,
    format: Format,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync {
    let lines = Lines {
        format,
        colour,
        writer: Mutex::new(writer),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(level)))
}

/// Libraries speak of heartbeats at `info` and below, so only their warnings pass. Of the program's own crates this one alone
/// logs.
fn filter(level: Level) -> Targets {
    let (own, libraries) = match level {
        Level::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        Level::Info => (LevelFilter::INFO, LevelFilter::WARN),
        Level::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        Level::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        Level::Fatal => (LevelFilter::OFF, LevelFilter::OFF),
    };
    Targets::new()
        .with_default(libraries)
        .with_target(env!("CARGO_CRATE_NAME"), own)
        .with_target(FATAL, LevelFilter::ERROR)
}

/// Writes each event as one line, in one write, so that lines of several threads do not mix.
struct Lines<W> {
    format: Format,
    colour: bool,
    writer: Mutex<W>,
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        let text = match self.format {
            Format::Text => line.text(self.colour),
            Format::Json => line.json(),
        };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can be told that standard error is closed, and the nodes matter more than the log.
        let _ = writer
            .write_all(text.as_bytes())
            .and_then(|()| writer.flush());
    }
}

#[cfg(test)]
mod tests;
