//! What was told lately: the last thousand lines, numbered, for explanations, for the page's log and for whoever follows.

use crate::peers::wall_time;
use registrator_core::tell::explanation::Recent;
use registrator_core::tell::notice::{Level, Notice};
use registrator_core::tell::walltime::span;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// How many lines are kept.
const KEPT: usize = 1000;

/// The most bytes of one line.
const MOST_BYTES: usize = 2000;

/// How many lines an explanation ends with.
const RECENT: usize = 5;

/// One line, and the container that it is about, by id or name.
#[derive(Debug, Clone)]
struct FeedLine {
    recent: Recent,
    container: Option<String>,
}

/// The lines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    lines: Arc<Mutex<VecDeque<FeedLine>>>,
    /// The number of the last line: wakes those who follow.
    last: watch::Sender<u64>,
}

/// What comes after a line.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// These, in order; maybe none.
    Lines(Vec<Recent>),
    /// Some of them are gone.
    TooOld,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            lines: Arc::default(),
            last: watch::channel(0).0,
        }
    }
}

impl Feed {
    /// Keeps a fact of the core.
    pub fn notice(&self, notice: &Notice) {
        if notice.level() == Level::Debug {
            return;
        }
        let mut text = notice.to_string();
        if let Notice::Registered {
            took: Some(took), ..
        } = notice
        {
            text += &format!(", {} after the event", span(*took));
        }
        let key = notice.key().map(|key| key.as_str().to_owned());
        let container = notice.container().map(str::to_owned);
        self.add(notice.level(), text, key, container);
    }

    /// Keeps what an adapter reports.
    pub fn tell(&self, told: Option<(Level, String)>) {
        if let Some((level, text)) = told {
            self.add(level, text, None, None);
        }
    }

    fn add(&self, level: Level, mut text: String, key: Option<String>, container: Option<String>) {
        if text.len() > MOST_BYTES {
            text.truncate(text.floor_char_boundary(MOST_BYTES));
            text.push('…');
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = *self.last.borrow() + 1;
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        lines.push_back(FeedLine {
            recent: Recent {
                seq,
                at: wall_time(),
                level: match level {
                    Level::Debug => "debug",
                    Level::Info => "info",
                    Level::Warn => "warn",
                    Level::Error => "error",
                },
                text,
                key,
            },
            container,
        });
        drop(lines);
        self.last.send_replace(seq);
    }

    /// The last few lines about these keys or this container.
    pub fn about(&self, keys: &[&str], container: Option<(&str, &str)>) -> Vec<Recent> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |told: &&FeedLine| {
            let key = told.recent.key.as_deref();
            let of = told.container.as_deref();
            key.is_some_and(|key| keys.contains(&key))
                || container.is_some_and(|(id, name)| of == Some(id) || of == Some(name))
        };
        let last = lines.iter().rev().filter(fits).take(RECENT);
        let mut last: Vec<Recent> = last.map(|told| told.recent.clone()).collect();
        last.reverse();
        last
    }

    /// The number of the last line.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Wakes with each line.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// The lines behind this one.
    pub fn after(&self, seq: u64) -> After {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let first = lines.front().map_or(1, |told| told.recent.seq);
        // Who knows nothing yet gets all that is kept.
        if (seq > 0 && seq + 1 < first) || seq > self.last() {
            return After::TooOld;
        }
        let behind = lines.iter().filter(|told| told.recent.seq > seq);
        After::Lines(behind.map(|told| told.recent.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_old_ones_go() {
        let feed = Feed::default();
        assert_eq!(feed.after(0), After::Lines(Vec::new()));
        feed.tell(Some((Level::Warn, "a".into())));
        feed.tell(Some((Level::Info, "ü".repeat(MOST_BYTES))));
        let After::Lines(lines) = feed.after(0) else {
            panic!("nothing is too old");
        };
        assert_eq!(
            (lines[0].seq, lines[0].level, &*lines[0].text),
            (1, "warn", "a")
        );
        assert!(lines[1].text.len() <= MOST_BYTES + "…".len());
        assert_eq!(feed.after(2), After::Lines(Vec::new()));
        assert_eq!(feed.after(3), After::TooOld, "of a process before");
        (0..KEPT).for_each(|_| feed.tell(Some((Level::Info, "b".into()))));
        assert_eq!(feed.after(1), After::TooOld);
        assert!(matches!(feed.after(2), After::Lines(lines) if lines.len() == KEPT));
    }
}
