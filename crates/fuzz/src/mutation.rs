//! Mutations of seeds: of their bytes, of their lines, and of JSON in them.

use crate::json;
use fastrand::Rng;
use std::fs;
use std::ops::Range;

/// The longest input, in bytes.
const LONGEST: usize = 1 << 16;

/// The most seeds that a run finds for itself.
const MOST: usize = 1024;

/// Numbers at which something often changes.
pub(crate) const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "127",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "1e400",
    "-0.0",
    "1.5",
    "00000000000000000000000000000000000000000000000001",
];

/// Bytes that are no UTF-8, and characters that are easily taken for one byte or one column.
const ODD: [&[u8]; 12] = [
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    "é".as_bytes(),
    "\u{2028}".as_bytes(),
    "😀".as_bytes(),
    "\u{feff}".as_bytes(),
    "İ".as_bytes(),
    b"\r\n",
    b"\\u0000",
];

/// What opens something that can be nested.
const OPENINGS: [&[u8]; 5] = [b"[", b"{\"a\":", b"(", b"{", b"-"];

/// What inputs are made of.
pub(crate) struct Seeds<'a> {
    seeds: Vec<Vec<u8>>,
    given: usize,
    words: &'a [&'a [u8]],
}

impl<'a> Seeds<'a> {
    /// Reads a corpus.
    pub(crate) fn read(folder: &str, words: &'a [&'a [u8]]) -> Self {
        let entries = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("the corpus {folder} cannot be read: {error}"));
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("the corpus can be listed").path())
            .collect();
        files.sort();
        let read = |path| fs::read(path).expect("the corpus can be read");
        let seeds: Vec<Vec<u8>> = files.iter().map(read).collect();
        assert!(!seeds.is_empty(), "the corpus {folder} is empty");
        Self {
            given: seeds.len(),
            seeds,
            words,
        }
    }

    pub(crate) fn all(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// One more, as long as there is room.
    pub(crate) fn add(&mut self, seed: Vec<u8>) {
        if self.seeds.len() < self.given + MOST {
            self.seeds.push(seed);
        }
    }

    /// A new input.
    pub(crate) fn mutation(&self, rng: &mut Rng) -> Vec<u8> {
        let mut input = self.any(rng).to_vec();
        let times = 1 << rng.u8(0..4);
        for _ in 0..times {
            self.mutate(&mut input, rng);
        }
        input.truncate(LONGEST);
        input
    }

    /// Half of them given ones, however many were found.
    fn any(&self, rng: &mut Rng) -> &[u8] {
        let (given, found) = self.seeds.split_at(self.given);
        let seeds = if rng.bool() || found.is_empty() {
            given
        } else {
            found
        };
        rng.choice(seeds).map_or(&[], Vec::as_slice)
    }

    fn mutate(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        match rng.u8(0..20) {
            0..6 if self.mutate_json(input, rng).is_some() => {}
            0..9 => self.mutate_lines(input, rng),
            9..13 => self.put_word(input, rng),
            _ => self.mutate_bytes(input, rng),
        }
    }

    /// Of the whole, or of a line of it.
    fn mutate_json(&self, input: &mut Vec<u8>, rng: &mut Rng) -> Option<()> {
        let place = if rng.bool() {
            0..input.len()
        } else {
            any_line(input, rng)
        };
        let mut tree = serde_json::from_slice(input.get(place.clone())?).ok()?;
        let other = self.any(rng);
        let other = other.get(any_line(other, rng)).unwrap_or_default();
        let other = serde_json::from_slice(other).unwrap_or_default();
        json::mutate(&mut tree, &other, self.words, rng);
        input.splice(place, tree.to_string().into_bytes());
        Some(())
    }

    fn mutate_lines(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let line = any_line(input, rng);
        let end = (line.end + 1).min(input.len());
        let other = match rng.u8(0..3) {
            0 => input.as_slice(),
            _ => self.any(rng),
        };
        let mut other = other.get(any_line(other, rng)).unwrap_or_default().to_vec();
        match rng.u8(0..4) {
            0 => drop(input.drain(line.start..end)),
            1 => drop(input.splice(line, other)),
            _ => {
                other.push(b'\n');
                drop(input.splice(line.start..line.start, other));
            }
        }
    }

    fn put_word(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let word = match rng.u8(0..6) {
            0 => rng.choice(ODD).unwrap_or_default(),
            1 => rng.choice(NUMBERS).unwrap_or_default().as_bytes(),
            _ => rng.choice(self.words).copied().unwrap_or_default(),
        };
        let place = match rng.u8(0..3) {
            0 => any_range(input, 8, rng),
            1 => any_token(input, rng),
            _ => any_range(input, 0, rng),
        };
        input.splice(place, word.iter().copied());
    }

    fn mutate_bytes(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let place = any_range(input, 64, rng);
        match rng.u8(0..8) {
            0 => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte ^= 1 << rng.u8(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte = rng.u8(..);
                }
            }
            2 => drop(input.drain(place)),
            3 if rng.u8(0..8) == 0 => input.truncate(place.start),
            4 => {
                let piece = input.get(place.clone()).unwrap_or_default();
                let copies = piece.repeat(few(rng));
                input.splice(place.start..place.start, copies);
            }
            5 => {
                let other = self.any(rng);
                let piece = other.get(any_range(other, 256, rng)).unwrap_or_default();
                input.splice(place, piece.iter().copied());
            }
            6 if rng.u8(0..8) == 0 => {
                let opening = rng.choice(OPENINGS).unwrap_or_default();
                let nested = opening.repeat(rng.usize(1..10_000));
                input.splice(place.start..place.start, nested);
            }
            _ => {
                let piece = input.get(place).unwrap_or_default().to_vec();
                let to = any_range(input, 64, rng);
                input.splice(to, piece);
            }
        }
    }
}

/// Mostly one or two, seldom many.
pub(crate) fn few(rng: &mut Rng) -> usize {
    let most = 1 << rng.u8(0..8);
    rng.usize(1..=most)
}

/// A range that is no longer than `longest`.
fn any_range(input: &[u8], longest: usize, rng: &mut Rng) -> Range<usize> {
    let start = rng.usize(0..=input.len());
    let length = rng.usize(0..=longest.min(input.len() - start));
    start..start + length
}

/// A line without its end.
fn any_line(input: &[u8], rng: &mut Rng) -> Range<usize> {
    let at = rng.usize(0..=input.len());
    let (before, after) = input.split_at(at);
    let start = before.iter().rposition(|byte| *byte == b'\n');
    let length = after.iter().position(|byte| *byte == b'\n');
    start.map_or(0, |start| start + 1)..length.map_or(input.len(), |length| at + length)
}

/// Letters and digits that belong together.
fn any_token(input: &[u8], rng: &mut Rng) -> Range<usize> {
    let at = rng.usize(0..=input.len());
    let (before, after) = input.split_at(at);
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    let start = before.iter().rposition(ends);
    let length = after.iter().position(ends);
    start.map_or(0, |start| start + 1)..length.map_or(input.len(), |length| at + length)
}
