//! Where the Docker daemon listens, from what `DOCKER_HOST` and its companions say.

use crate::endpoint::{Authority, EndpointError};
use std::fmt;
use std::path::PathBuf;

/// The socket that Docker listens on when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The longest path that fits a Unix socket address (`sun_path` with its closing zero byte).
const MAX_SOCKET_PATH: usize = 107;
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Says how to reach Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// `unix://`, `tcp://`, `http://` or `https://`. `None` or empty: `/var/run/docker.sock`.
    pub host: Option<String>,
    /// Speak TLS over `tcp://`.
    pub tls_verify: bool,
    /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
    pub cert_path: Option<PathBuf>,
}

/// Where the daemon listens; valid by construction, nothing has been opened or read yet.
///
/// Displays as a `DOCKER_HOST` that means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerEndpoint {
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
    /// Plain HTTP over TCP.
    Tcp(Authority),
    /// HTTPS over TCP.
    Tls {
        authority: Authority,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
        cert_path: PathBuf,
    },
}

impl DockerEndpoint {
    /// Makes sense of the settings, without opening anything.
    ///
    /// # Errors
    /// The host is none, or TLS is asked for without a folder of certificates.
    pub fn from_settings(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        let host = settings.host.as_deref().unwrap_or_default();
        endpoint(host, settings)
            .map_err(|problem| EndpointError::new("--docker-host (DOCKER_HOST)", host, problem))
    }
}

/// The endpoint, or what is wrong with it.
fn endpoint(host: &str, settings: &EndpointSettings) -> Result<DockerEndpoint, String> {
    if host.is_empty() {
        return Ok(DockerEndpoint::Unix(DEFAULT_SOCKET.into()));
    }
    let (scheme, rest) = host.split_once("://").ok_or_else(|| no_scheme(host))?;
    match scheme {
        "unix" => Ok(unix(rest)?),
        "tcp" => tcp(rest, settings.tls_verify, settings),
        "https" => tcp(rest, true, settings),
        "http" if settings.tls_verify => Err(
            "it asks for plain HTTP, but DOCKER_TLS_VERIFY is set: write tcp:// or https://, or unset DOCKER_TLS_VERIFY"
                .to_owned(),
        ),
        "http" => tcp(rest, false, settings),
        _ => Err(format!("{scheme}:// is not supported, {}", advice(scheme))),
    }
}

fn no_scheme(host: &str) -> String {
    let scheme = if host.starts_with(['/', '.']) {
        "unix"
    } else {
        "tcp"
    };
    format!("it has no scheme, write {scheme}:// before it")
}

fn advice(scheme: &str) -> &'static str {
    match scheme {
        "ssh" => {
            "forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and use unix:///tmp/docker.sock"
        }
        "fd" => "it is for the daemon alone: use unix:// with the path of the daemon's socket",
        "npipe" => "it is for Windows alone: use unix:// or tcp://",
        _ => "use unix://, tcp://, http:// or https://",
    }
}

fn unix(path: &str) -> Result<DockerEndpoint, &'static str> {
    match path {
        "" => Ok(DockerEndpoint::Unix(DEFAULT_SOCKET.into())),
        _ if !path.starts_with('/') => {
            Err("the path of the socket must be absolute, as in unix:///var/run/docker.sock")
        }
        _ if path.contains('\0') => Err("the path holds a zero byte"),
        _ if path.len() > MAX_SOCKET_PATH => {
            Err("the path is longer than the 107 bytes of a Unix socket address")
        }
        _ => Ok(DockerEndpoint::Unix(path.into())),
    }
}

/// An empty host is this machine, as for Docker's own client.
fn tcp(rest: &str, tls: bool, settings: &EndpointSettings) -> Result<DockerEndpoint, String> {
    let nowhere = rest.is_empty() || rest.starts_with([':', '/']);
    let host = if nowhere { "localhost" } else { "" };
    let port = if tls { TLS_PORT } else { PLAIN_PORT };
    let authority = Authority::parse(&format!("{host}{rest}"), port)?;
    if !tls {
        return Ok(DockerEndpoint::Tcp(authority));
    }
    match &settings.cert_path {
        Some(folder) => Ok(DockerEndpoint::Tls {
            authority,
            cert_path: folder.clone(),
        }),
        None => Err(
            "it needs TLS, but there is no folder of certificates: set --docker-cert-path (DOCKER_CERT_PATH)"
                .to_owned(),
        ),
    }
}

impl fmt::Display for DockerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Tls { authority, .. } => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tables of `DOCKER_HOST` values: what they mean, and what is said about the rest.

    use super::*;

    #[track_caller]
    fn check_with(tls_verify: bool, cert_path: Option<&str>, host: &str, expected: &str) {
        let settings = EndpointSettings {
            host: Some(host.to_owned()),
            tls_verify,
            cert_path: cert_path.map(PathBuf::from),
        };
        let found = match DockerEndpoint::from_settings(&settings) {
            Ok(ref endpoint @ DockerEndpoint::Tls { ref cert_path, .. }) => {
                format!("{endpoint} with {}", cert_path.display())
            }
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{settings:?}");
    }

    #[track_caller]
    fn check(host: &str, expected: &str) {
        check_with(false, None, host, expected);
    }

    #[test]
    fn sockets() {
        assert_eq!(
            DockerEndpoint::from_settings(&EndpointSettings::default()),
            Ok(DockerEndpoint::Unix(DEFAULT_SOCKET.into()))
        );
        check("", "unix:///var/run/docker.sock");
        check("unix://", "unix:///var/run/docker.sock");
        check(
            "unix:///run/user/1000/docker.sock",
            "unix:///run/user/1000/docker.sock",
        );
        // TLS is for TCP; Docker's own client ignores it on a socket too.
        check_with(true, None, "unix:///d.sock", "unix:///d.sock");
    }

    #[test]
    fn tcp() {
        check("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375");
        check("tcp://docker.example.com", "tcp://docker.example.com:2375");
        check("tcp://docker:4000/", "tcp://docker:4000");
        for nowhere in ["tcp://", "tcp:///", "tcp://:2375"] {
            check(nowhere, "tcp://localhost:2375");
        }
        check("tcp://:4000", "tcp://localhost:4000");
        check("http://[::1]:2375", "tcp://[::1]:2375");
        check("tcp://[fe80::1]", "tcp://[fe80::1]:2375");
    }

    #[test]
    fn tls() {
        let certs = Some("/certs");
        check_with(false, certs, "tcp://docker", "tcp://docker:2375");
        check_with(
            true,
            certs,
            "tcp://docker",
            "https://docker:2376 with /certs",
        );
        check_with(
            false,
            certs,
            "https://docker:8443",
            "https://docker:8443 with /certs",
        );
        check_with(
            true,
            None,
            "tcp://docker",
            "--docker-host (DOCKER_HOST) \"tcp://docker\": it needs TLS, but there is no folder of certificates: \
             set --docker-cert-path (DOCKER_CERT_PATH)",
        );
        check_with(
            true,
            certs,
            "http://docker",
            "--docker-host (DOCKER_HOST) \"http://docker\": it asks for plain HTTP, but DOCKER_TLS_VERIFY is set: \
             write tcp:// or https://, or unset DOCKER_TLS_VERIFY",
        );
    }

    #[test]
    fn what_cannot_be_used() {
        let says = |host: &str, problem: &str| {
            check(
                host,
                &format!("--docker-host (DOCKER_HOST) {host:?}: {problem}"),
            )
        };
        says(
            "ssh://host",
            "ssh:// is not supported, forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) \
             and use unix:///tmp/docker.sock",
        );
        says(
            "fd://",
            "fd:// is not supported, it is for the daemon alone: use unix:// with the path of the daemon's socket",
        );
        says(
            "npipe:////./pipe/docker_engine",
            "npipe:// is not supported, it is for Windows alone: use unix:// or tcp://",
        );
        says(
            "ftp://x",
            "ftp:// is not supported, use unix://, tcp://, http:// or https://",
        );
        says(
            "://",
            ":// is not supported, use unix://, tcp://, http:// or https://",
        );
        says(
            "/var/run/docker.sock",
            "it has no scheme, write unix:// before it",
        );
        says("10.0.0.1:2375", "it has no scheme, write tcp:// before it");
        says(
            "unix://docker.sock",
            "the path of the socket must be absolute, as in unix:///var/run/docker.sock",
        );
        says(
            &format!("unix:///{}", "x".repeat(107)),
            "the path is longer than the 107 bytes of a Unix socket address",
        );
        says("unix:///\0", "the path holds a zero byte");
        says("tcp://h:0", "the port must be a number from 1 to 65535");
        says("tcp://h:1/prefix", "nothing may follow the port");
        check(
            "tcp://u:p@h:1",
            "--docker-host (DOCKER_HOST) \"…@h:1\": user names and passwords have no place here",
        );
        says(
            "tcp://::1:2375",
            "an IPv6 address needs brackets around it, as in [2001:db8::1]",
        );
    }
}
