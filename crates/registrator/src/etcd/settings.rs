//! What the etcd side must be told.

use super::endpoint::EtcdEndpoint;
use super::renewals::Renewals;
use etcd_mem::server::InProcess;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How etcd is reached, and who this process is there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The addresses of one etcd cluster; at least one.
    pub endpoints: Vec<EtcdEndpoint>,
    /// How the one endpoint is reached if it is served by this process; `None` for those in the network.
    pub in_process: Option<InProcess>,
    pub tls: TlsFiles,
    /// User and password, if etcd wants them.
    pub credentials: Option<Credentials>,
    /// The time after which etcd removes the nodes of a process that does not report any more; [`Settings::MIN_LEASE_TTL`] to
    /// [`Settings::MAX_LEASE_TTL`], whole seconds. A lease that is adopted from a predecessor keeps its own TTL.
    pub lease_ttl: Duration,
    /// Where registrators keep their own keys; the same for all that share keys.
    pub meta_prefix: String,
    /// The identity: the same after a restart, and of no other process.
    pub host_id: String,
    /// What to do if a live process holds the identity.
    pub on_conflict: OnConflict,
    /// How often everything under the lease is read again: etcd's events were lost by bugs before.
    pub read_again_every: Duration,
    /// After how long the leases are no longer renewed while etcd refuses this process, which then cannot change its nodes; `None`:
    /// they are always renewed.
    pub stale_after: Option<Duration>,
    /// What this process may write, as prefixes of keys; empty for everything but `meta_prefix`.
    pub allow_prefixes: Vec<String>,
    /// The machine's name, shown to whoever wonders who holds an identity.
    pub host: String,
    /// The program's version, shown likewise.
    pub version: String,
    /// Where it is kept when the lease was renewed.
    pub renewals: Renewals,
}

/// What a process does that finds its identity in use by another one that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// It ends.
    Refuse,
    /// It waits until the other one ends.
    Wait,
}

/// The files for TLS, in PEM form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that may have signed etcd's certificate; without it those of the system, or of the file that the
    /// environment variable `SSL_CERT_FILE` names.
    pub ca: Option<PathBuf>,
    /// The client's certificate, with `key`.
    pub cert: Option<PathBuf>,
    /// The client's private key, with `cert`.
    pub key: Option<PathBuf>,
}

/// A user of etcd. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The user's password; that of `file` as it was at the start.
    pub password: String,
    /// Where the password is read again at each login, from the first line.
    pub file: Option<PathBuf>,
}

/// Why [`Settings`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("no etcd endpoint is given")]
    NoEndpoint,
    /// The TTL is out of bounds.
    #[error("the lease TTL must be 2 to 86400 s, not {0:?}")]
    LeaseTtl(Duration),
    /// A file cannot be read.
    #[error("cannot read the {what} {path:?}")]
    File {
        /// What the file is for.
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The files for TLS do not come.
    #[error("cannot read the files for TLS with etcd")]
    Hangs(#[source] std::io::Error),
    /// A certificate without its key, or the other way round.
    #[error("a client certificate for etcd needs both its certificate file and its key file")]
    HalfIdentity,
    /// A key of another certificate.
    #[error("the client key for etcd {key:?} does not belong to the certificate {cert:?}")]
    Mismatch { cert: PathBuf, key: PathBuf },
    /// TLS without any authority.
    #[error(
        "https needs certificate authorities, and the system has none (nor SSL_CERT_FILE): name a file of them with --etcd-ca-file (ETCD_CA_FILE)"
    )]
    NoAuthorities,
    /// The files are there, but cannot be used.
    #[error("the TLS files for etcd endpoint {endpoint} cannot be used")]
    Tls {
        endpoint: String,
        #[source]
        source: super::error::Cause,
    },
    /// The layout of our own keys cannot be made.
    #[error(transparent)]
    Layout(#[from] super::layout::LayoutError),
}

impl Settings {
    /// The shortest lease TTL: etcd's own lower limit with its default settings.
    pub const MIN_LEASE_TTL: Duration = Duration::from_secs(2);

    /// The longest lease TTL: a day.
    pub const MAX_LEASE_TTL: Duration = Duration::from_secs(86_400);

    /// Settings with defaults: TTL 30 s, [`Layout::DEFAULT_META`](super::Layout::DEFAULT_META), no TLS files, no user, no fence;
    /// refuses an identity in use; reads again every 10 min; gives up after 5 min.
    pub fn new(endpoints: Vec<EtcdEndpoint>, host_id: &str) -> Settings {
        Settings {
            endpoints,
            in_process: None,
            tls: TlsFiles::default(),
            credentials: None,
            lease_ttl: Duration::from_secs(30),
            meta_prefix: super::Layout::DEFAULT_META.to_owned(),
            host_id: host_id.to_owned(),
            on_conflict: OnConflict::Refuse,
            read_again_every: Duration::from_secs(600),
            stale_after: Some(Duration::from_secs(300)),
            allow_prefixes: Vec::new(),
            host: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            renewals: Renewals::default(),
        }
    }

    /// Checks what can be checked without reading files.
    ///
    /// # Errors
    /// The first of [`SettingsError`] that applies.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.endpoints.is_empty() {
            return Err(SettingsError::NoEndpoint);
        }
        if !(Settings::MIN_LEASE_TTL..=Settings::MAX_LEASE_TTL).contains(&self.lease_ttl) {
            return Err(SettingsError::LeaseTtl(self.lease_ttl));
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return Err(SettingsError::HalfIdentity);
        }
        super::Layout::new(&self.meta_prefix, &self.host_id)?;
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("password", &"(hidden)")
            .field("file", &self.file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(vec![EtcdEndpoint::parse("a").unwrap()], "node")
    }

    #[test]
    fn a_password_is_never_shown() {
        let mut settings = settings();
        settings.credentials = Some(Credentials {
            username: "root".into(),
            password: "secret".into(),
            file: None,
        });
        let shown = format!("{settings:?}");
        assert!(
            shown.contains("root") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn faults_are_named() {
        fn check(change: impl FnOnce(&mut Settings), expected: &str) {
            let mut settings = settings();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().to_string(), expected);
        }
        settings().check().unwrap();
        check(|it| it.endpoints.clear(), "no etcd endpoint is given");
        check(
            |it| it.lease_ttl = Duration::from_secs(1),
            "the lease TTL must be 2 to 86400 s, not 1s",
        );
        check(
            |it| it.tls.cert = Some("a.pem".into()),
            "a client certificate for etcd needs both its certificate file and its key file",
        );
        check(|it| it.host_id.clear(), "the host id must not be empty");
    }
}
