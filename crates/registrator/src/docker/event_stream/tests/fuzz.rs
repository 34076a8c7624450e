//! Mutated event streams, in pieces of any length.

use super::*;
use ::fuzz::Target;

/// A limit that inputs can exceed.
const SHORT: usize = 200;

#[test]
fn fuzz_events() {
    let target = Target {
        corpus: "corpus/events",
        words: &[
            b"{",
            b"}",
            b"[",
            b"]",
            b"\"",
            b"\\",
            b"\\\"",
            b"{}",
            b"[]",
            b"1",
            b" ",
            b"\n",
            b"null",
            b"\"Type\":\"container\"",
            b"\"Action\":\"kill\"",
            b"\"Action\":\"start\"",
            b"\"Action\":\"health_status: healthy\"",
            b"\"Actor\":{\"ID\":\"0123456789ab\",",
            b"\"Attributes\":",
            b"\"Attributes\":{\"signal\":\"15\"}",
            b"SIGRTMIN+3",
            b"RTMAX-255",
            b"network",
            b"connect",
            b"destroy",
            b": ",
        ],
        inputs: 500,
    };
    target.run(|input| {
        let sizes = [input.len() % 7 + 1, input.len() % 101 + 1];
        let (whole, end) = read(input, input.len().max(1), MAX_EVENT);
        for size in sizes {
            let (pieces, pieces_end) = read(input, size, MAX_EVENT);
            assert_eq!(pieces, whole, "in pieces of {size} bytes");
            let is_noticed = pieces_end.is_some() == end.is_some();
            // Nonsense that is long before it ends is noticed while it is short.
            let is_noticed = is_noticed || (input.len() > SHORT_EVENT && end.is_none());
            assert!(
                is_noticed,
                "in pieces of {size} bytes: {pieces_end:?}, {end:?}"
            );
            read(input, size, SHORT);
        }
        let shown = whole.iter().take(4).map(|hint| format!("{hint:?}"));
        let kinds: String = shown
            .filter_map(|it| Some(it.split_once('(')?.0.to_owned()))
            .collect();
        format!("{kinds} {}", end.unwrap_or_default())
    });
}

/// The hints up to the first error, and that.
fn read(bytes: &[u8], size: usize, longest: usize) -> (Vec<Hint>, Option<String>) {
    let mut splitter = Splitter::with_events_of(longest);
    let mut hints = Vec::new();
    for piece in bytes.chunks(size) {
        splitter.push(piece);
        loop {
            match splitter.pop() {
                Ok(Some(event)) => hints.extend(hint(&event)),
                Ok(None) => break,
                Err(error) => return (hints, Some(error.to_string())),
            }
        }
        let kept = splitter.bytes.len() - splitter.done;
        assert!(kept <= longest, "{kept} bytes are kept");
    }
    (hints, None)
}
