//! Ranges of keys, as a request names them by `key` and `range_end`.

use std::ops::Bound;

/// A key, or the keys from one on, up to an end or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: End,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum End {
    /// Only the start.
    #[default]
    Single,
    /// Up to this key, exclusive.
    Before(Vec<u8>),
    /// All from the start on.
    Open,
}

impl KeyRange {
    /// The range that a request means: an empty `range_end` is the single key, one zero byte all keys from `key` on,
    /// anything else an exclusive end (etcd's `rpc.proto`, RangeRequest).
    pub fn new(key: Vec<u8>, range_end: Vec<u8>) -> Self {
        let end = match range_end.as_slice() {
            [] => End::Single,
            [0] => End::Open,
            _ => End::Before(range_end),
        };
        Self { start: key, end }
    }

    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self {
            start: key.into(),
            end: End::Single,
        }
    }

    /// All keys that begin with `prefix`; with an empty one all keys.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start: Vec<u8> = prefix.into();
        let end = start.iter().rposition(|byte| *byte != 0xff).map(|last| {
            let mut end = start.get(..=last).unwrap_or_default().to_vec();
            if let Some(byte) = end.last_mut() {
                *byte += 1;
            }
            end
        });
        let start = if start.is_empty() { vec![0] } else { start };
        Self {
            start,
            end: end.map_or(End::Open, End::Before),
        }
    }

    /// All keys.
    pub fn all() -> Self {
        Self::prefix([])
    }

    /// The first key; empty in a request that names none.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(end) if *end <= self.start)
    }

    /// Whether it has no end.
    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Before(end) => self.start.as_slice() <= key && key < end.as_slice(),
            End::Open => self.start.as_slice() <= key,
        }
    }

    /// Bounds for an ordered map; only for a range that is not empty.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = match &self.end {
            End::Single => Bound::Included(self.start.as_slice()),
            End::Before(end) => Bound::Excluded(end.as_slice()),
            End::Open => Bound::Unbounded,
        };
        (Bound::Included(self.start.as_slice()), end)
    }

    /// The same range for a watch, where an empty key is the lowest possible one.
    pub(super) fn for_watch(mut self) -> Self {
        if self.start.is_empty() {
            self.start.push(0);
        }
        self
    }

    /// The bytes that a request spends on it.
    pub(super) fn content_size(&self) -> usize {
        self.start.len()
            + match &self.end {
                End::Single => 0,
                End::Before(end) => end.len(),
                End::Open => 1,
            }
    }
}
