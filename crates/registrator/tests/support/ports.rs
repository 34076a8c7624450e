//! Ports for servers of tests.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of the loopback that is free for UDP and TCP: one below those that the system gives to whoever asks for any, so that nobody
/// takes it by chance before the server does, or while it is stopped. Tests of other processes begin elsewhere.
pub(crate) fn free_port() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + begin.wrapping_add(number) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
