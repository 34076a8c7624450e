//! Options that several commands share.

use super::values::{self, EmbeddedAccess, OrNever, Secret};
use crate::aside;
use crate::logging::{Format, Level};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};
use registrator_core::merge::brake::MaxDelete;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the files are, and how to log.
#[derive(Debug, Clone, Args)]
pub struct CommonSettings {
    /// The policies: a folder (every *.star and *.rb file in it), a pattern such as 'etc/policies/*.star', or one file
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_POLICIES",
        value_name = "FOLDER|PATTERN|FILE",
        default_value = "etc/policies/",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub policies: String,
    /// The policies' configurations: a folder with POLICY/NAME.json and POLICY.json
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_SERVICES",
        value_name = "FOLDER",
        default_value = "etc/services/"
    )]
    pub services: PathBuf,
    /// Which of these two somebody gave.
    #[arg(skip)]
    pub given: Given,
    /// The environment variables that policies may read, separated by commas; a * at the end stands for any rest
    /// [default: all but those with this program's secrets]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_POLICY_ENV",
        value_name = "NAME,…",
        value_delimiter = ',',
        value_parser = values::listed
    )]
    pub policy_env: Vec<String>,
    /// The Ruby interpreter that runs policies in Ruby: a path, or a name to be looked for in PATH
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_RUBY",
        value_name = "PROGRAM",
        default_value = "ruby"
    )]
    pub ruby: PathBuf,
    /// What to log, in capitals or not: debug, info, warn, error, or fatal, which is only what ends the program
    #[arg(
        long,
        env = "LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info",
        ignore_case = true,
        hide_possible_values = true
    )]
    pub log_level: Level,
    /// How to log: text for people, or json, one object per line
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        ignore_case = true,
        hide_possible_values = true
    )]
    pub log_format: Format,
}

/// What must be there, because somebody gave it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// The place of the policies.
    pub policies: bool,
    /// The folder of the configurations.
    pub services: bool,
}

/// Docker, etcd, and who this process is between them.
#[derive(Debug, Clone, Args)]
pub struct HostSettings {
    /// How policies run.
    #[command(flatten)]
    pub evaluation: EvaluationSettings,
    /// What policies are told of this host.
    #[command(flatten)]
    pub facts: HostFactSettings,
    /// What may be deleted at once.
    #[command(flatten)]
    pub brake: BrakeSettings,
    /// Where Docker is.
    #[command(flatten)]
    pub docker: DockerSettings,
    /// Where etcd is, and what to write there.
    #[command(flatten)]
    pub etcd: EtcdSettings,
    /// Which host this registrator speaks for in etcd: the same after a restart, and
    /// different from that of every other registrator [default: the Docker Engine's ID]
    #[arg(
        long,
        alias = "node-name",
        env = "KONTENA_REGISTRATOR_HOST_ID",
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "etcd"
    )]
    pub host_id: Option<String>,
}

/// What may be deleted at once though nothing says that the containers have ended.
#[derive(Debug, Clone, Args)]
pub struct BrakeSettings {
    /// How many nodes a mistake may delete within a minute: a share of those that are there, a number, or off. More stay
    /// at first; fewer than 10 always go
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_MAX_DELETE",
        value_name = "SHARE|NUMBER",
        default_value = "50%"
    )]
    pub max_delete: MaxDelete,
    /// How long such nodes stay at most, as in 15m; never keeps them until SIGUSR1 or until the cause is mended
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_MAX_DELETE_HOLD",
        value_name = "TIME",
        default_value = "15m",
        value_parser = values::max_delete_hold
    )]
    pub max_delete_hold: OrNever,
}

/// How policies run.
#[derive(Debug, Clone, Args)]
pub struct EvaluationSettings {
    /// The most time that a policy may take for one container, as in 500ms or 2s
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_EVALUATION_TIMEOUT",
        value_name = "TIME",
        default_value = "1s",
        value_parser = values::evaluation_timeout
    )]
    pub evaluation_timeout: Duration,
    /// The most instances, policies with their configurations, that may run: at least 1
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_MAX_INSTANCES",
        value_name = "NUMBER",
        default_value = "1000",
        value_parser = values::limit
    )]
    pub max_instances: usize,
    /// The most nodes that this process may ask for: at least 1
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_MAX_NODES",
        value_name = "NUMBER",
        default_value = "100000",
        value_parser = values::limit
    )]
    pub max_nodes: usize,
}

/// What policies are told of this host, which they cannot find out by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct HostFactSettings {
    /// The address of this host for policies that register ports published on it: one IPv4 and one IPv6 address at most.
    /// Repeatable, or separated by commas [default: none]
    #[arg(
        long = "host-ip",
        env = "KONTENA_REGISTRATOR_HOST_IP",
        value_name = "ADDRESS",
        value_delimiter = ',',
        value_parser = values::host_ip
    )]
    pub host_ips: Vec<IpAddr>,
    /// The network interface whose first global IPv4 and IPv6 address count as --host-ip where that is not given
    /// [default: none]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_HOST_INTERFACE",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub host_interface: Option<String>,
    /// The name of this host for policies [default: the machine's host name]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_HOST_NAME",
        value_name = "NAME",
        value_parser = values::host_name
    )]
    pub host_name: Option<String>,
}

/// Where Docker is, in Docker's own words.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Docker")]
pub struct DockerSettings {
    /// Where the Docker Engine listens: unix:///PATH or tcp://HOST:PORT
    #[arg(
        long,
        env = "DOCKER_HOST",
        value_name = "URL",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// Speak TLS with Docker, and verify it. As with Docker, any value switches it on, even 0
    #[arg(
        long,
        env = "DOCKER_TLS_VERIFY",
        value_name = "ANY",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "",
        default_missing_value = "1",
        value_parser = values::docker_flag
    )]
    pub docker_tls_verify: bool,
    /// The folder of ca.pem, cert.pem and key.pem [default: $DOCKER_CONFIG or ~/.docker]
    #[arg(long, env = "DOCKER_CERT_PATH", value_name = "FOLDER")]
    pub docker_cert_path: Option<PathBuf>,
}

/// Where etcd is, and what to write there.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "etcd")]
pub struct EtcdSettings {
    /// The endpoints of one etcd cluster, separated by commas: http://HOST:PORT or https://HOST:PORT. The variable
    /// ETCD_ENDPOINTS does as well [default: none, an etcd of its own is embedded]
    #[arg(
        long = "etcd-endpoint",
        env = "ETCD_ENDPOINT",
        value_name = "URL,…",
        value_delimiter = ',',
        value_parser = values::listed
    )]
    pub etcd_endpoints: Vec<String>,
    /// Where the embedded etcd listens when no --etcd-endpoint is given
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_EMBEDDED_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:2379"
    )]
    pub embedded_listen: SocketAddr,
    /// The authorities that may have signed etcd's certificate, in PEM form [default: the system's]
    #[arg(long, env = "ETCD_CA_FILE", value_name = "FILE")]
    pub etcd_ca_file: Option<PathBuf>,
    /// The client certificate for etcd, in PEM form; needs --etcd-key-file [default: none]
    #[arg(long, env = "ETCD_CERT_FILE", value_name = "FILE")]
    pub etcd_cert_file: Option<PathBuf>,
    /// The client certificate's private key, in PEM form; needs --etcd-cert-file [default: none]
    #[arg(long, env = "ETCD_KEY_FILE", value_name = "FILE")]
    pub etcd_key_file: Option<PathBuf>,
    /// The user in etcd; needs a password [default: none, no login]
    #[arg(
        long,
        env = "ETCD_USERNAME",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub etcd_username: Option<String>,
    /// The user's password. Other users of this machine can read a command line: prefer the variable or the file
    /// [default: none]
    #[arg(
        long,
        env = "ETCD_PASSWORD",
        value_name = "PASSWORD",
        value_parser = values::secret
    )]
    pub etcd_password: Option<Secret>,
    /// A file with the user's password in its first line [default: none]
    #[arg(long, env = "ETCD_PASSWORD_FILE", value_name = "FILE")]
    pub etcd_password_file: Option<PathBuf>,
    /// Where registrators keep their own keys: the same for all that share an etcd
    #[arg(
        long = "etcd-meta-prefix",
        env = "KONTENA_REGISTRATOR_META_PREFIX",
        value_name = "PREFIX",
        default_value = "/registrator/",
        value_parser = values::meta_prefix
    )]
    pub meta_prefix: String,
    /// How long the nodes stay when this process ends or loses etcd: whole seconds from 5s to 1h
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_LEASE_TTL",
        value_name = "TIME",
        default_value = "30s",
        value_parser = values::lease_ttl
    )]
    pub lease_ttl: Duration,
    /// The only keys that this process may ever write: those below these prefixes. Repeatable, or separated by commas
    /// [default: none, every key that the policies name but those below --etcd-meta-prefix]
    #[arg(
        long = "allow-prefix",
        env = "KONTENA_REGISTRATOR_ALLOW_PREFIX",
        value_name = "PREFIX",
        value_delimiter = ',',
        value_parser = values::prefix
    )]
    pub allow_prefixes: Vec<String>,
}

/// What the embedded etcd lets others do.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "etcd")]
pub struct EmbeddedSettings {
    /// What everybody else who reaches the embedded etcd may do there: read, or also write. It has no passwords
    #[arg(
        long = "embedded-access",
        env = "KONTENA_REGISTRATOR_EMBEDDED_ACCESS",
        value_name = "ACCESS",
        default_value = "read",
        ignore_case = true,
        hide_possible_values = true
    )]
    pub access: EmbeddedAccess,
    /// The most memory that the keys in the embedded etcd may take, as in 64MiB: from 1MiB to 4GiB
    #[arg(
        long = "embedded-quota",
        env = "KONTENA_REGISTRATOR_EMBEDDED_QUOTA",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = values::quota
    )]
    pub quota: usize,
}

/// Why there is no password for etcd.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("cannot read --etcd-password-file (ETCD_PASSWORD_FILE) {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is nothing in the file's first line.
    #[error("--etcd-password-file (ETCD_PASSWORD_FILE) {}: its first line is empty, and should be the password", .0.display())]
    Empty(PathBuf),
}

impl EtcdSettings {
    /// Whether a real etcd is given. If not, one is embedded.
    pub fn is_external(&self) -> bool {
        !self.etcd_endpoints.is_empty()
    }

    /// User and password, if etcd wants them; a password file is read now.
    ///
    /// # Errors
    /// The password file cannot be read, or is empty.
    pub fn credentials(&self) -> Result<Option<(String, Secret)>, PasswordError> {
        let Some(user) = &self.etcd_username else {
            return Ok(None);
        };
        let password = match (&self.etcd_password, &self.etcd_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(path)) => read_password(path)?,
            (None, None) => return Ok(None),
        };
        Ok(Some((user.clone(), password)))
    }
}

fn read_password(path: &Path) -> Result<Secret, PasswordError> {
    let file = path.to_owned();
    let read = aside::wait_for(move || std::fs::read_to_string(file));
    let text = read.flatten().map_err(|source| PasswordError::Read {
        path: path.into(),
        source,
    })?;
    match text.lines().next() {
        None | Some("") => Err(PasswordError::Empty(path.into())),
        Some(password) => Ok(Secret::new(password)),
    }
}
