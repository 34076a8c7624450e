//! The brake on mass deletion: one mistake must not take all nodes of a host at once.
//!
//! It only ever leaves out deletions, which is as if they had not been decided yet. What it holds back stays under the lease.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Fewer deletions than these never engage it.
const FEW: usize = 10;

/// Deletions so close together are one.
const WINDOW: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);

/// How many nodes may be deleted within a minute though their containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxDelete {
    /// So many of a hundred.
    Percent(u8),
    /// So many.
    Number(usize),
    /// All.
    Off,
}

/// Why a text is no [`MaxDelete`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no limit: write a share such as 50%, a number of nodes such as 20, or off")]
pub struct MaxDeleteError(String);

impl FromStr for MaxDelete {
    type Err = MaxDeleteError;

    fn from_str(text: &str) -> Result<MaxDelete, MaxDeleteError> {
        let error = || MaxDeleteError(text.to_owned());
        // `parse` takes a sign.
        let digits = text.strip_suffix('%').unwrap_or(text);
        if text != "off" && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        match text.strip_suffix('%') {
            _ if text == "off" => Ok(MaxDelete::Off),
            Some(share) => match share.parse() {
                Ok(share) if share <= 100 => Ok(MaxDelete::Percent(share)),
                _ => Err(error()),
            },
            None => text.parse().map(MaxDelete::Number).map_err(|_| error()),
        }
    }
}

impl fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxDelete::Percent(share) => write!(f, "{share}%"),
            MaxDelete::Number(number) => write!(f, "{number}"),
            MaxDelete::Off => f.write_str("off"),
        }
    }
}

impl MaxDelete {
    /// Whether so many deletions of `held` nodes are too many.
    pub fn forbids(self, deletions: usize, held: usize) -> bool {
        let too_many = match self {
            MaxDelete::Percent(share) => deletions * 100 > held * usize::from(share),
            MaxDelete::Number(number) => deletions > number,
            MaxDelete::Off => false,
        };
        too_many && deletions >= FEW
    }
}

/// How the brake is set.
#[derive(Debug, Clone, Copy)]
pub struct BrakeSettings {
    /// What engages it.
    pub max_delete: MaxDelete,
    /// How long it holds nodes back at most; `None` until it is released.
    pub hold: Option<Duration>,
}

impl Default for BrakeSettings {
    fn default() -> BrakeSettings {
        BrakeSettings {
            max_delete: MaxDelete::Percent(50),
            hold: Some(Duration::from_secs(15 * 60)),
        }
    }
}

/// What it remembers: deletions of the last minute, and how many nodes were held before.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    /// How many nodes were held when all was settled and none was about to go, the most of each second. The first is the last from
    /// before the window.
    held: VecDeque<(Instant, usize)>,
    /// Deletions that it let go.
    gone: VecDeque<(Instant, usize)>,
    engaged: Option<Instant>,
}

impl Brake {
    /// Takes in how many nodes are held now that all is settled and none is about to go. Nodes that were written in the place of
    /// others do not count before those are gone.
    pub(crate) fn settled(&mut self, held: usize, now: Instant) {
        match self.held.back_mut() {
            Some((at, most)) if now < *at + SECOND => *most = held.max(*most),
            _ => self.held.push_back((now, held)),
        }
        while self.held.get(1).is_some_and(|(at, _)| now >= *at + WINDOW) {
            self.held.pop_front();
        }
    }

    /// The most nodes that were held within the last minute; `now_held` if nothing was ever settled.
    pub(crate) fn held_before(&self, now_held: usize) -> usize {
        let most = self.held.iter().map(|(_, held)| *held).max();
        most.unwrap_or(now_held)
    }

    /// How many deletions it let go within the last minute.
    pub(crate) fn gone_lately(&mut self, now: Instant) -> usize {
        while self.gone.front().is_some_and(|(at, _)| now >= *at + WINDOW) {
            self.gone.pop_front();
        }
        self.gone.iter().map(|(_, count)| count).sum()
    }

    /// Engages, if it was not: tells since when it is.
    pub(crate) fn engage(&mut self, now: Instant) -> Instant {
        *self.engaged.get_or_insert(now)
    }

    /// Lets so many deletions go; tells whether it was engaged.
    pub(crate) fn let_go(&mut self, deletions: usize, now: Instant) -> bool {
        if deletions > 0 {
            self.gone.push_back((now, deletions));
        }
        self.engaged.take().is_some()
    }

    /// Lets go because somebody said so, or because its time is over: what comes later counts anew.
    pub(crate) fn release(&mut self) {
        *self = Brake::default();
    }

    /// Since when it is engaged.
    pub(crate) fn engaged(&self) -> Option<Instant> {
        self.engaged
    }
}

#[cfg(test)]
mod tests;
