//! Where the Docker daemon listens, from what `DOCKER_HOST` and its companions say.

use std::fmt;
use std::path::{Path, PathBuf};

/// The socket that Docker listens on when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The longest path that fits a Unix socket address (`sun_path` with its closing zero byte).
const MAX_SOCKET_PATH: usize = 107;
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Says how to reach Docker, as flags or the environment give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// `DOCKER_HOST`: `unix://`, `tcp://`, `http://` or `https://`. `None` or empty: [`DEFAULT_SOCKET`].
    pub host: Option<String>,
    /// `DOCKER_TLS_VERIFY`: speak TLS over `tcp://`.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`: the folder of `ca.pem`, `cert.pem` and `key.pem`.
    pub cert_path: Option<PathBuf>,
    /// The folder used without `cert_path`: Docker's own, `$DOCKER_CONFIG` or `~/.docker`.
    pub config_path: Option<PathBuf>,
}

impl EndpointSettings {
    /// Reads Docker's variables through `var`, which answers `None` for what is not set.
    ///
    /// `DOCKER_TLS_VERIFY` means what it means to Docker: any non-empty value, `0` too, switches TLS on.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        Self {
            host: set("DOCKER_HOST"),
            tls_verify: set("DOCKER_TLS_VERIFY").is_some(),
            cert_path: set("DOCKER_CERT_PATH").map(PathBuf::from),
            config_path: set("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker"))),
        }
    }
}

/// Where the daemon listens; valid by construction, nothing has been opened or read yet.
///
/// Displays as a `DOCKER_HOST` that means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
    /// Plain HTTP over TCP.
    Tcp(Authority),
    /// HTTPS over TCP.
    Tls {
        /// Where.
        authority: Authority,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
        cert_path: PathBuf,
    },
}

/// A host, without the brackets of an IPv6 address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A DNS name or an IP address.
    pub host: String,
    /// A TCP port, never 0.
    pub port: u16,
}

/// Why a `DOCKER_HOST` cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// A scheme of Docker's that this program does not speak.
    #[error("DOCKER_HOST {host:?}: {scheme}:// is not supported, {advice}")]
    Unsupported {
        /// The whole value.
        host: String,
        /// Its scheme.
        scheme: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// No scheme at all.
    #[error("DOCKER_HOST {host:?} has no scheme, write {suggestion:?}")]
    NoScheme {
        /// The whole value.
        host: String,
        /// What was probably meant.
        suggestion: String,
    },
    /// Something is wrong behind the scheme.
    #[error("DOCKER_HOST {host:?}: {problem}")]
    Malformed {
        /// The whole value.
        host: String,
        /// What, and what to write instead.
        problem: &'static str,
    },
    /// TLS is asked for and refused at once.
    #[error(
        "DOCKER_HOST {host:?} asks for plain HTTP, but DOCKER_TLS_VERIFY is set: write tcp:// or https://, or unset DOCKER_TLS_VERIFY"
    )]
    PlainAndTls {
        /// The whole value.
        host: String,
    },
    /// TLS without a place to look for certificates.
    #[error(
        "DOCKER_HOST {host:?} needs TLS, but there is no folder of certificates: set DOCKER_CERT_PATH"
    )]
    NoCertPath {
        /// The whole value.
        host: String,
    },
}

impl Endpoint {
    /// Reads Docker's variables through `var`; see [`EndpointSettings::from_env`].
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        Self::from_settings(&EndpointSettings::from_env(var))
    }

    /// Makes sense of the settings, without opening anything.
    pub fn from_settings(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        let host = match settings.host.as_deref() {
            None | Some("") => return Ok(Self::Unix(PathBuf::from(DEFAULT_SOCKET))),
            Some(host) => host,
        };
        let Some((scheme, rest)) = host.split_once("://") else {
            return Err(no_scheme(host));
        };
        match scheme {
            "unix" => unix(host, rest),
            "tcp" => tcp(host, rest, settings.tls_verify, settings),
            "https" => tcp(host, rest, true, settings),
            "http" if settings.tls_verify => Err(EndpointError::PlainAndTls {
                host: host.to_owned(),
            }),
            "http" => tcp(host, rest, false, settings),
            _ => Err(unsupported(host, scheme)),
        }
    }
}

fn no_scheme(host: &str) -> EndpointError {
    let scheme = if host.starts_with(['/', '.']) {
        "unix"
    } else {
        "tcp"
    };
    EndpointError::NoScheme {
        host: host.to_owned(),
        suggestion: format!("{scheme}://{host}"),
    }
}

fn unsupported(host: &str, scheme: &str) -> EndpointError {
    let advice = match scheme {
        "ssh" => {
            "forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and use unix:///tmp/docker.sock"
        }
        "fd" => "it is for the daemon alone: use unix:// with the path of the daemon's socket",
        "npipe" => "it is for Windows alone: use unix:// or tcp://",
        _ => "use unix://, tcp://, http:// or https://",
    };
    EndpointError::Unsupported {
        host: host.to_owned(),
        scheme: scheme.to_owned(),
        advice,
    }
}

fn unix(host: &str, path: &str) -> Result<Endpoint, EndpointError> {
    let malformed = |problem| EndpointError::Malformed {
        host: host.to_owned(),
        problem,
    };
    match path {
        "" => Ok(Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET))),
        _ if !path.starts_with('/') => Err(malformed(
            "the path of the socket must be absolute, as in unix:///var/run/docker.sock",
        )),
        _ if path.contains('\0') => Err(malformed("the path holds a zero byte")),
        _ if path.len() > MAX_SOCKET_PATH => Err(malformed(
            "the path is longer than the 107 bytes of a Unix socket address",
        )),
        _ => Ok(Endpoint::Unix(PathBuf::from(path))),
    }
}

fn tcp(
    host: &str,
    rest: &str,
    tls: bool,
    settings: &EndpointSettings,
) -> Result<Endpoint, EndpointError> {
    let authority =
        authority(rest, if tls { TLS_PORT } else { PLAIN_PORT }).map_err(|problem| {
            EndpointError::Malformed {
                host: host.to_owned(),
                problem,
            }
        })?;
    if !tls {
        return Ok(Endpoint::Tcp(authority));
    }
    let cert_path = settings
        .cert_path
        .as_ref()
        .or(settings.config_path.as_ref());
    let cert_path = cert_path.ok_or_else(|| EndpointError::NoCertPath {
        host: host.to_owned(),
    })?;
    Ok(Endpoint::Tls {
        authority,
        cert_path: cert_path.clone(),
    })
}

/// Parses `host[:port][/]`; an empty host is this machine, as for Docker's own client.
fn authority(text: &str, default_port: u16) -> Result<Authority, &'static str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains(['/', '?', '#']) {
        return Err("a path behind the port is not supported");
    }
    if text.contains('@') {
        return Err("user names are not supported");
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or("the port must be a number from 1 to 65535")?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Authority {
        host: host.to_owned(),
        port,
    })
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or("the IPv6 address has no closing bracket")?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| "not an IPv6 address between the brackets")?;
        return match rest {
            "" => Ok((host, None)),
            _ => rest
                .strip_prefix(':')
                .map(|port| (host, Some(port)))
                .ok_or("expected :PORT after the bracket"),
        };
    }
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    match port {
        Some(port) if port.contains(':') => {
            Err("an IPv6 address needs brackets, as in tcp://[::1]:2375")
        }
        _ if !host.bytes().all(is_host_byte) => {
            Err("the host name holds a character that no host name has")
        }
        _ => Ok((host, port)),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Tls { authority, .. } => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests;
