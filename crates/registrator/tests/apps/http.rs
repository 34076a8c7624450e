//! A request over HTTP/1.1, and its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Who waits longer asks again: the request may have gone to a container that ended meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Status and body of `GET /` with this `Host`; the error as text where there is none.
pub(crate) fn get(server: SocketAddr, host: &str, path: &str) -> Result<(u16, String), String> {
    get_within(PATIENCE, server, host, path)
}

/// The same, for who does not ask again.
pub(crate) fn get_within(
    patience: Duration,
    server: SocketAddr,
    host: &str,
    path: &str,
) -> Result<(u16, String), String> {
    let text = exchange(patience, server, host, path).map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no end of the head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("no status")?, body.trim_end().to_owned()))
}

fn exchange(
    patience: Duration,
    server: SocketAddr,
    host: &str,
    path: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(patience))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
