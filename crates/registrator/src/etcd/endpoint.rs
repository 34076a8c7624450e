//! Where etcd is: endpoints as people write them.

use crate::endpoint::{Authority, EndpointError};
use std::fmt;

/// etcd's port for clients.
const DEFAULT_PORT: u16 = 2379;

const OPTION: &str = "--etcd-endpoint (ETCD_ENDPOINT)";

/// One address of etcd: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdEndpoint {
    tls: bool,
    authority: Authority,
}

/// Reads a list separated by commas, such as `http://10.0.0.1:2379,10.0.0.2`. At least one endpoint is in the answer.
///
/// # Errors
/// The first item that is none.
pub fn parse_endpoints(list: &str) -> Result<Vec<EtcdEndpoint>, EndpointError> {
    let items = list.split(',').map(str::trim);
    items
        .map(|item| match item {
            "" => Err(EndpointError::new(
                OPTION,
                list,
                "an endpoint is empty: write http://HOST:PORT, several separated by commas",
            )),
            text => EtcdEndpoint::parse(text),
        })
        .collect()
}

impl EtcdEndpoint {
    /// Reads `http://host:port`, `https://host:port`, `host:port` (which is http), each also without the port (which is 2379).
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<EtcdEndpoint, EndpointError> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => {
                let problem = "the scheme must be http or https";
                return Err(EndpointError::new(OPTION, text, problem));
            }
        };
        match Authority::parse(rest, DEFAULT_PORT) {
            Ok(authority) => Ok(EtcdEndpoint { tls, authority }),
            Err(problem) => Err(EndpointError::new(OPTION, text, explained(rest, problem))),
        }
    }

    /// Whether TLS is to be spoken.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host name or address, an IPv6 address without brackets: the name that a certificate must bear.
    pub fn host(&self) -> &str {
        &self.authority.host
    }
}

fn explained(rest: &str, problem: &str) -> String {
    if rest.contains('@') {
        format!("{problem}: give them by their own options")
    } else {
        format!("{problem}, write http://HOST:PORT")
    }
}

impl fmt::Display for EtcdEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, expected: &str) {
        let found = match parse_endpoints(list) {
            Ok(list) => list
                .iter()
                .map(EtcdEndpoint::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "for {list:?}");
    }

    #[test]
    fn endpoints_are_read() {
        check("http://127.0.0.1:2379", "http://127.0.0.1:2379");
        check("127.0.0.1:4001", "http://127.0.0.1:4001");
        check("etcd", "http://etcd:2379");
        check("https://etcd.local/", "https://etcd.local:2379");
        check(
            "https://[::1]:1, [fe80::1]",
            "https://[::1]:1 http://[fe80::1]:2379",
        );
        assert_eq!(
            EtcdEndpoint::parse("https://[::1]:1").unwrap().host(),
            "::1"
        );
    }

    #[test]
    fn faults_are_named() {
        let says = |list: &str, shown: &str, problem: &str| {
            check(
                list,
                &format!("--etcd-endpoint (ETCD_ENDPOINT) {shown:?}: {problem}"),
            );
        };
        for list in ["", "a,,b"] {
            says(
                list,
                list,
                "an endpoint is empty: write http://HOST:PORT, several separated by commas",
            );
        }
        says(
            "a,ftp://b:1",
            "ftp://b:1",
            "the scheme must be http or https",
        );
        says(
            "http://u:secret@a",
            "…@a",
            "user names and passwords have no place here: give them by their own options",
        );
        let wrong = [
            ("http://a:1/v3", "nothing may follow the port"),
            ("http://:1", "there is no host name"),
            (
                "::1",
                "an IPv6 address needs brackets around it, as in [2001:db8::1]",
            ),
            ("a:x", "the port must be a number from 1 to 65535"),
        ];
        for (text, problem) in wrong {
            says(text, text, &format!("{problem}, write http://HOST:PORT"));
        }
    }
}
