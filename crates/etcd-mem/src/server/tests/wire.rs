//! HTTP/2 by hand, for what no client library does.

/// How each client begins.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of this kind and with these flags, on a stream.
pub(super) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The name of a header that both sides know by its number, or that is in `field`, with a new value.
pub(super) fn field(head: &[u8], value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("short");
    [head, &[length], value.as_bytes()].concat()
}
