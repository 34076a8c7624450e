//! Where a server listens: `HOST:PORT` as people write it, for Docker and etcd alike.

use http::uri;
use std::fmt;
use std::net::Ipv6Addr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A DNS name or an IP address, an IPv6 address without its brackets.
    pub host: String,
    /// A TCP port, never 0.
    pub port: u16,
}

/// Why a text says no endpoint, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {text:?}: {problem}")]
pub struct EndpointError {
    option: &'static str,
    text: String,
    problem: String,
}

impl EndpointError {
    /// The `problem` of `text`, which the option with this name has. What may be a password in `text` is not kept.
    pub fn new(option: &'static str, text: &str, problem: impl Into<String>) -> EndpointError {
        EndpointError {
            option,
            text: without_user(text),
            problem: problem.into(),
        }
    }
}

fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

impl Authority {
    /// Reads `HOST`, `HOST:PORT` and `[IPv6]:PORT`, each also with a slash at its end.
    ///
    /// # Errors
    /// What is wrong, in words that follow the text.
    pub fn parse(text: &str, default_port: u16) -> Result<Authority, &'static str> {
        if text.contains('@') {
            return Err("user names and passwords have no place here");
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.contains(['/', '?', '#']) {
            return Err("nothing may follow the port");
        }
        if text.is_empty() {
            return Err("there is no host name");
        }
        let parsed: uri::Authority = text.parse().map_err(|_| not_an_authority(text))?;
        let port = if text == parsed.host() {
            Some(default_port)
        } else {
            parsed.port_u16()
        };
        Ok(Authority {
            host: host(parsed.host())?,
            port: port
                .filter(|port| *port != 0)
                .ok_or("the port must be a number from 1 to 65535")?,
        })
    }
}

const NO_BRACKETS: &str = "an IPv6 address needs brackets around it, as in [2001:db8::1]";
const NO_HOST_NAME: &str = "the host name holds a character that no host name has";

fn not_an_authority(text: &str) -> &'static str {
    let colons = text.bytes().filter(|byte| *byte == b':').count();
    if colons > 1 || text.contains(['[', ']']) {
        NO_BRACKETS
    } else {
        NO_HOST_NAME
    }
}

/// A URI allows more in the place of its host than DNS does.
fn host(text: &str) -> Result<String, &'static str> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or(NO_BRACKETS)?;
        let known: Result<Ipv6Addr, _> = address.parse();
        return known.map(|_| address.to_owned()).map_err(|_| NO_BRACKETS);
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    match text {
        "" => Err("there is no host name"),
        _ if text.bytes().all(is_name) => Ok(text.to_owned()),
        _ => Err(NO_HOST_NAME),
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match Authority::parse(text, 80) {
            Ok(authority) => authority.to_string(),
            Err(problem) => problem.to_owned(),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn hosts_and_ports() {
        check("etcd", "etcd:80");
        check("my_host-1.example.com:4001/", "my_host-1.example.com:4001");
        check("10.0.0.1:65535", "10.0.0.1:65535");
        check("[::1]", "[::1]:80");
        check("[2001:db8::1]:1", "[2001:db8::1]:1");
        let local = Authority::parse("[::1]:1", 80).unwrap();
        assert_eq!(local.host, "::1", "as a certificate names it");
    }

    #[test]
    fn junk() {
        for text in ["h:0", "h:65536", "h:http", "h:", "h:-1", "[::1]1", "[::1]:"] {
            check(text, "the port must be a number from 1 to 65535");
        }
        for text in ["h:1/prefix", "h?x", "h#x", "//", "[::1]:1/v3"] {
            check(text, "nothing may follow the port");
        }
        for text in ["u:p@h:1", "u@h", "u:p/@h", "@"] {
            check(text, "user names and passwords have no place here");
        }
        for text in ["", "/", ":1"] {
            check(text, "there is no host name");
        }
        for text in [
            "::1",
            "::1:80",
            "[::1",
            "::1]:1",
            "[nonsense]:1",
            "[]",
            "[::1]]:1",
        ] {
            check(text, NO_BRACKETS);
        }
        for text in ["a b", "a%20b", "ä", "a!", "x[::1]:1"] {
            check(text, NO_HOST_NAME);
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        let shown = |text| EndpointError::new("DOCKER_HOST", text, "no").to_string();
        assert_eq!(shown("tcp://u:p@h:1"), "DOCKER_HOST \"…@h:1\": no");
        assert_eq!(shown("tcp://h:1"), "DOCKER_HOST \"tcp://h:1\": no");
    }
}
