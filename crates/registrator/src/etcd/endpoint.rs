//! Where etcd is: endpoints as people write them.

use std::fmt;

/// etcd's port for clients.
const DEFAULT_PORT: u16 = 2379;

/// One address of etcd: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    /// With brackets if it is an IPv6 address.
    host: String,
    port: u16,
}

/// Why a text is not an [`Endpoint`]. The text is not repeated where it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Nothing there, or nothing between two commas.
    #[error(
        "an etcd endpoint is empty in {0:?}: write http://HOST:PORT, several separated by commas"
    )]
    Empty(String),
    /// Neither http nor https.
    #[error("etcd endpoint {0:?}: the scheme must be http or https")]
    Scheme(String),
    /// A user name or password in front of the host.
    #[error(
        "an etcd endpoint must not contain a user name or password: give them by their own options"
    )]
    UserInfo,
    /// Something follows the port.
    #[error("etcd endpoint {0:?}: nothing may follow the port, write http://HOST:PORT")]
    Path(String),
    /// No host.
    #[error("etcd endpoint {0:?} has no host name: write http://HOST:PORT")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("etcd endpoint {0:?}: the port must be a number from 1 to 65535")]
    Port(String),
}

/// Reads a list separated by commas, such as `http://10.0.0.1:2379,10.0.0.2`. At least one endpoint is in the answer.
///
/// # Errors
/// The first [`EndpointError`] in the list.
pub fn parse_endpoints(list: &str) -> Result<Vec<Endpoint>, EndpointError> {
    let parts = list.split(',').map(str::trim);
    parts
        .map(|part| match part {
            "" => Err(EndpointError::Empty(list.to_owned())),
            text => Endpoint::parse(text),
        })
        .collect()
}

impl Endpoint {
    /// Reads `http://host:port`, `https://host:port`, `host:port` (which is http), each also without the port (which is 2379).
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        if rest.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(EndpointError::Path(text.to_owned()));
        }
        let (host, port) = split_port(authority);
        if !is_host(host) {
            return Err(EndpointError::Host(text.to_owned()));
        }
        let port = match port.map(str::parse) {
            None => DEFAULT_PORT,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return Err(EndpointError::Port(text.to_owned())),
        };
        Ok(Endpoint {
            tls,
            host: host.to_owned(),
            port,
        })
    }

    /// Whether TLS is to be spoken.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host name or address, an IPv6 address without brackets: the name that a certificate must bear.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    if authority.starts_with('[') && authority.ends_with(']') {
        return (authority, None);
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// A bare IPv6 address is refused: its last part would be taken for a port.
fn is_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest
                .strip_suffix(']')
                .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        }
        None => host,
    };
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: Result<&str, &str>) {
        let found = parse_endpoints(list)
            .map(|list| {
                list.iter()
                    .map(Endpoint::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, expected, "for {list:?}");
    }

    #[test]
    fn endpoints_are_read() {
        check("http://127.0.0.1:2379", Ok("http://127.0.0.1:2379"));
        check("127.0.0.1:4001", Ok("http://127.0.0.1:4001"));
        check("etcd", Ok("http://etcd:2379"));
        check("https://etcd.local/", Ok("https://etcd.local:2379"));
        check(
            "https://[::1]:1, [fe80::1]",
            Ok("https://[::1]:1 http://[fe80::1]:2379"),
        );
    }

    #[test]
    fn faults_are_named() {
        check(
            "",
            Err(
                "an etcd endpoint is empty in \"\": write http://HOST:PORT, several separated by commas",
            ),
        );
        check(
            "a,,b",
            Err(
                "an etcd endpoint is empty in \"a,,b\": write http://HOST:PORT, several separated by commas",
            ),
        );
        check(
            "ftp://a:1",
            Err("etcd endpoint \"ftp\": the scheme must be http or https"),
        );
        check(
            "http://u:secret@a",
            Err(
                "an etcd endpoint must not contain a user name or password: give them by their own options",
            ),
        );
        check(
            "http://a:1/v3",
            Err(
                "etcd endpoint \"http://a:1/v3\": nothing may follow the port, write http://HOST:PORT",
            ),
        );
        check(
            "http://:1",
            Err("etcd endpoint \"http://:1\" has no host name: write http://HOST:PORT"),
        );
        check(
            "::1",
            Err("etcd endpoint \"::1\" has no host name: write http://HOST:PORT"),
        );
        check(
            "a:x",
            Err("etcd endpoint \"a:x\": the port must be a number from 1 to 65535"),
        );
        check(
            "a:0",
            Err("etcd endpoint \"a:0\": the port must be a number from 1 to 65535"),
        );
    }

    #[test]
    fn the_host_is_the_certificates_name() {
        assert_eq!(
            Endpoint::parse("https://[::1]:1").map(|one| one.host().to_owned()),
            Ok("::1".into())
        );
    }
}
