//! Lets clients in that send an URL as the name of the host.
//!
//! `etcdctl` 3.4 does so in some calls: its `:authority` is `http://127.0.0.1:2379`. etcd does not look at it; the HTTP/2
//! library used here refuses the request, and cannot be told not to. So what comes from the network is looked through before
//! that library reads it: where a request's `:authority` begins with `http://` it is renamed to `user-agent`, which nothing reads and
//! which may be there twice. Both names have ten letters and a number in HPACK's static table, so that one byte changes, no
//! length does, and the tables of both sides stay the same. These clients send `:authority` as the last of the
//! names with a colon, so none of those follows after an ordinary one.

/// HTTP/2's first bytes, before any frame.
const PREFACE: usize = 24;

/// Length, kind, flags and stream of a frame.
const FRAME_HEAD: usize = 9;

/// The kind of frame in which a request begins.
const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The biggest frame that is looked into, which is also the biggest that the server takes.
const MAX_LENGTH: usize = 16 << 10;

/// A field with the name `:authority` that goes into the table, and one with the name `user-agent`.
const AUTHORITY: u8 = 0x41;
const USER_AGENT: u8 = 0x7a;

/// `http://` in HPACK's Huffman code: five bytes and the first bit of a sixth, which is 0.
const CODED_SCHEME: &[u8] = &[0x9d, 0x29, 0xae, 0xe3, 0x0c];
const PLAIN_SCHEME: &[u8] = b"http://";

/// What a client sends, on its way to the server.
#[derive(Debug)]
pub(super) struct Requests {
    /// So many bytes more go through as they are.
    passing: usize,
    /// The beginning of a frame whose rest has not come.
    held: Vec<u8>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            passing: PREFACE,
            held: Vec::new(),
        }
    }

    /// Takes what has come, and appends to `ready` what may go on.
    pub(super) fn take(&mut self, come: &[u8], ready: &mut Vec<u8>) {
        self.held.extend_from_slice(come);
        loop {
            if self.passing == 0 && !self.next_frame() {
                return;
            }
            let now = self.passing.min(self.held.len());
            if now == 0 {
                return;
            }
            ready.extend(self.held.drain(..now));
            self.passing -= now;
        }
    }

    /// What has not gone on, when no more will come.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Decides how much of what is held goes on next; `false` if more must come before that.
    fn next_frame(&mut self) -> bool {
        let Some(&[high, middle, low, kind, flags]) = self.held.first_chunk() else {
            return false;
        };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let whole = FRAME_HEAD + length;
        if kind == HEADERS && length <= MAX_LENGTH {
            let Some(frame) = self.held.get_mut(..whole) else {
                return false;
            };
            mend(frame, flags);
        }
        self.passing = whole;
        true
    }
}

/// Renames the authority of a request if it is an URL.
fn mend(frame: &mut [u8], flags: u8) {
    let padding = usize::from(flags & PADDED != 0);
    let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
    let start = FRAME_HEAD + padding + priority;
    let mut fields = Fields {
        block: frame.get(start..).unwrap_or_default(),
        at: 0,
    };
    let found = std::iter::from_fn(|| fields.next()).find(|field| field.is_url_as_authority());
    if let Some(field) = found
        && let Some(first) = frame.get_mut(start + field.at)
    {
        *first = USER_AGENT;
    }
}

/// The fields of a header block in HPACK, as far as they can be told apart.
struct Fields<'a> {
    block: &'a [u8],
    at: usize,
}

struct Field<'a> {
    /// Where it begins in the block.
    at: usize,
    first: u8,
    /// The value as it is sent; empty if it is in the table.
    value: &'a [u8],
    is_coded: bool,
}

impl Field<'_> {
    fn is_url_as_authority(&self) -> bool {
        let is_url = if self.is_coded {
            let next = self.value.get(CODED_SCHEME.len());
            self.value.starts_with(CODED_SCHEME) && next.is_some_and(|next| next & 0x80 == 0)
        } else {
            self.value.starts_with(PLAIN_SCHEME)
        };
        self.first == AUTHORITY && is_url
    }
}

impl<'a> Fields<'a> {
    /// The next field, or the next change of the table's size; `None` at the end, or where nothing can be told any more.
    fn next(&mut self) -> Option<Field<'a>> {
        let at = self.at;
        let first = *self.block.get(at)?;
        let (is_coded, value): (bool, &[u8]) = if first & 0x80 != 0 {
            self.number(7)?;
            (false, &[])
        } else if first & 0xe0 == 0x20 {
            self.number(5)?;
            (false, &[])
        } else {
            let name = self.number(if first & 0x40 != 0 { 6 } else { 4 })?;
            if name == 0 {
                self.text()?;
            }
            self.text()?
        };
        Some(Field {
            at,
            first,
            value,
            is_coded,
        })
    }

    /// A number in the last bits of a byte, and in those after it if it does not fit there.
    fn number(&mut self, bits: u32) -> Option<usize> {
        let largest = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & largest;
        if number < largest {
            return Some(number);
        }
        // Three further bytes are more than any length in a frame needs.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A text, and whether it is in the Huffman code.
    fn text(&mut self) -> Option<(bool, &'a [u8])> {
        let is_coded = self.block.get(self.at)? & 0x80 != 0;
        let length = self.number(7)?;
        let end = self.at.checked_add(length)?;
        let text = self.block.get(self.at..end)?;
        self.at = end;
        Some((is_coded, text))
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// `:method POST`, `:scheme http`, `:path /a`.
    const BEFORE: &[u8] = &[0x83, 0x86, 0x44, 0x02, b'/', b'a'];

    /// `http://127.0.0.1:24790` as etcdctl 3.4 sends it.
    const URL: &[u8] = &[
        0x41, 0x90, 0x9d, 0x29, 0xae, 0xe3, 0x0c, 0x04, 0x4e, 0xae, 0x05, 0xc0, 0xb8, 0x6e, 0x09,
        0xa7, 0x5f, 0x07,
    ];

    /// `127.0.0.1:24790`.
    const HOST: &[u8] = &[
        0x41, 0x8b, 0x08, 0x9d, 0x5c, 0x0b, 0x81, 0x70, 0xdc, 0x13, 0x4e, 0xbe, 0x0f,
    ];

    fn frame(kind: u8, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
        let payload = parts.concat();
        let length = u32::try_from(payload.len())
            .expect("a length")
            .to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head, payload.as_slice()].concat()
    }

    fn through(stream: &[u8], part: usize) -> Vec<u8> {
        let (mut requests, mut ready) = (Requests::new(), Vec::new());
        for come in stream.chunks(part) {
            requests.take(come, &mut ready);
        }
        ready.extend(requests.take_rest());
        ready
    }

    /// What comes out if these frames come in, whole and in parts.
    #[track_caller]
    fn check(frames: &[Vec<u8>], expected: &[Vec<u8>]) {
        let stream = [PREFACE, &frames.concat()].concat();
        let expected = [PREFACE, &expected.concat()].concat();
        for part in [1, 2, 7, 24, 33, stream.len()] {
            assert_eq!(through(&stream, part), expected, "in parts of {part} bytes");
        }
    }

    #[test]
    fn an_url_is_no_name_of_a_host() {
        let mended = [&[USER_AGENT], &URL[1..]].concat();
        let settings = frame(4, 0, &[&[0, 4, 0, 0, 255, 255]]);
        let data = frame(0, 1, &[&[0; 5]]);
        let request = |authority: &[u8]| frame(HEADERS, 4, &[BEFORE, authority, &[0x7a, 1, b'x']]);
        check(
            &[settings.clone(), request(URL), data.clone(), request(URL)],
            &[settings, request(&mended), data, request(&mended)],
        );
        let plain = |first| [&[first, 9_u8], b"http://a:".as_slice()].concat();
        check(
            &[request(&plain(AUTHORITY))],
            &[request(&plain(USER_AGENT))],
        );
        let flagged = |authority: &[u8]| {
            let front = [3, 0, 0, 0, 0, 16];
            frame(
                HEADERS,
                4 | PADDED | PRIORITY,
                &[&front, BEFORE, authority, &[0; 3]],
            )
        };
        check(&[flagged(URL)], &[flagged(&mended)]);
    }

    #[test]
    fn everything_else_is_left_alone() {
        let same =
            |frame: Vec<u8>| check(std::slice::from_ref(&frame), std::slice::from_ref(&frame));
        same(frame(HEADERS, 4, &[BEFORE, HOST]));
        same(frame(HEADERS, 4, &[BEFORE, &[0x41, 4], b"http"]));
        // The same bytes in data, in another field, behind something broken, and cut off.
        same(frame(0, 0, &[BEFORE, URL]));
        same(frame(HEADERS, 4, &[BEFORE, &[0x7a], &URL[1..]]));
        same(frame(
            HEADERS,
            4,
            &[&[0x41, 0xff, 0xff, 0xff, 0xff, 0xff], URL],
        ));
        same(frame(HEADERS, 4, &[BEFORE, &URL[..9]]));
        same(frame(HEADERS, 4, &[]));
        same(frame(HEADERS, 4, &[&vec![0; MAX_LENGTH + 1]]));
        same(vec![0, 0, 1, HEADERS]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_comes(stream: Vec<u8>, parts in 1..40_usize) {
            let through = through(&stream, parts);
            prop_assert_eq!(through.len(), stream.len());
            let differ = through.iter().zip(&stream).filter(|(after, before)| after != before);
            prop_assert!(differ.into_iter().all(|pair| pair == (&USER_AGENT, &AUTHORITY)));
        }
    }
}
