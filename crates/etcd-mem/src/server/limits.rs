//! How much of the server all network clients together may take.

use std::io;
use std::time::Duration;

/// What network clients may have at once. Connections within the process do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections; more are closed at once.
    pub connections: usize,
    /// Calls under way on one connection, watches' streams among them; more wait at the client.
    pub streams: u32,
    /// Watches; more are refused.
    pub watches: usize,
    /// Requests that are coming, and answers that are made or taken, of more than 16 KiB each. Further ones wait, and of one
    /// connection all but one.
    pub big_messages: usize,
    /// The most that one transaction may read, in bytes of keys and values, whichever way its conditions go.
    pub txn_reads: usize,
    /// How long a client may take to begin to speak HTTP/2, to send a request, and to take anything of what was sent to it. It has
    /// twice as long to take a whole answer.
    pub patience: Duration,
}

impl Default for Limits {
    /// Plenty for the readers of one host: 128 connections of 64 streams, 256 watches, 8 big messages, 32 MiB, 5 s.
    fn default() -> Self {
        Self {
            connections: 128,
            streams: 64,
            watches: 256,
            big_messages: 8,
            txn_reads: 32 << 20,
            patience: Duration::from_secs(5),
        }
    }
}

/// Something that the owner of the server should know. Each kind is told at most once a minute.
#[derive(Debug)]
pub enum Trouble {
    /// There are as many connections as [`Limits`] allow, so one was closed.
    Full {
        /// How many that is.
        connections: usize,
    },
    /// No connection can be accepted now. It is tried again.
    Accept(io::Error),
}
