//! The log: one line per fact on standard error, as text for people or as JSON for machines.

mod line;
mod queue;

use crate::error_chain::error_chain;
use clap::ValueEnum;
use line::{Line, Style};
use queue::Queue;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;
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
    /// Standard error, or a thread for it, cannot be had.
    #[error("cannot start the log")]
    Output(#[source] io::Error),
}

/// How long the end of the program waits for standard error: within the ten seconds that Docker gives, after all else.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Events under this target end the program: they are shown at every level, as `fatal`. [`fatal`] makes them.
pub const FATAL: &str = "fatal";

/// Logs what ends the program, with its causes.
pub fn fatal(error: &(dyn Error + 'static)) {
    tracing::error!(target: FATAL, "{}", error_chain(error));
}

/// The process's log. When it is dropped it waits for what is not written yet, for [`FLUSH_WITHIN`] at most.
#[derive(Debug)]
pub struct Log(Arc<Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(FLUSH_WITHIN);
    }
}

/// Starts the process's log on standard error, with panics in it. `colour` is wanted on a terminal only; JSON never has it.
///
/// # Errors
/// It was started before, or cannot have its thread.
pub fn init(level: Level, format: Format, colour: bool) -> Result<Log, LoggingError> {
    // Not through the standard library's lock, which a panic elsewhere would wait for.
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let stderr = File::from(stderr.map_err(LoggingError::Output)?);
    let style = Style { format, colour };
    let queue = Queue::start(style, stderr).map_err(LoggingError::Output)?;
    let subscriber = subscriber(level, style, Arc::clone(&queue));
    tracing::subscriber::set_global_default(subscriber).map_err(LoggingError::Started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log(queue))
}

/// What [`init`] installs.
fn subscriber(level: Level, style: Style, queue: Arc<Queue>) -> impl Subscriber + Send + Sync {
    let lines = Lines { style, queue };
    tracing_subscriber::registry().with(lines.with_filter(filter(level)))
}

/// Only a panic of the main thread ends the program.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    if name == "main" {
        tracing::error!(target: FATAL, "thread {name} {panic}{backtrace}");
    } else {
        tracing::error!("thread {name} {panic}{backtrace}");
    }
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

/// Makes a line of each event.
struct Lines {
    style: Style,
    queue: Arc<Queue>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let text = self.style.show(Line::of(event));
        let metadata = event.metadata();
        if metadata.target() == FATAL {
            self.queue.push_always(*metadata.level(), text);
        } else {
            self.queue.push(*metadata.level(), text);
        }
    }
}

#[cfg(test)]
mod tests;
