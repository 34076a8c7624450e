//! An engine's API over its Unix socket, without a client in between: what a bench asks itself, and the least that any client does.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection that is kept open between requests.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to the engine at `socket`.
    pub(crate) fn open(socket: &Path) -> Connection {
        let stream = UnixStream::connect(socket).expect("the engine listens");
        Connection {
            stream: BufReader::new(stream),
        }
    }

    /// The body of the answer.
    pub(crate) fn get(&mut self, path: &str) -> Vec<u8> {
        self.ask("GET", path);
        let Some(mut left) = self.head("200") else {
            return self.chunks();
        };
        let mut body = Vec::new();
        while left > 0 {
            left -= self.take(left, &mut body);
        }
        body
    }

    /// Asks for something that has no answer but "done".
    pub(crate) fn post(&mut self, path: &str) {
        self.ask("POST", path);
        self.head("204");
    }

    /// The lines of an answer that does not end, from now on. Docker writes an event in one line.
    pub(crate) fn lines(mut self, path: &str) -> impl Iterator<Item = String> + use<> {
        self.ask("GET", path);
        // The head comes when the engine listens.
        self.head("200");
        self.stream.lines().map_while(Result::ok)
    }

    fn ask(&mut self, method: &str, path: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).expect("the engine reads");
    }

    /// Reads the head of an answer, which must have this status: the length of the body, `None` if it comes in chunks.
    fn head(&mut self, status: &str) -> Option<usize> {
        let first = self.line();
        assert!(first.contains(status), "the engine answers {first:?}");
        let mut length = Some(0);
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                return length;
            }
            if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().ok();
            } else if line == "transfer-encoding: chunked" {
                length = None;
            }
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut left = usize::from_str_radix(&self.line(), 16).expect("a chunk");
            if left == 0 {
                self.line();
                return body;
            }
            while left > 0 {
                left -= self.take(left, &mut body);
            }
            self.line();
        }
    }

    fn take(&mut self, most: usize, body: &mut Vec<u8>) -> usize {
        let mut part = Read::by_ref(&mut self.stream).take(most as u64);
        let read = part.read_to_end(body).expect("the engine writes");
        assert!(read > 0, "the engine's answer breaks off");
        read
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the engine writes");
        line.trim_end().to_owned()
    }
}
