//! How a running registrator can be asked.

use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a running registrator is asked, on this host.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Asking")]
pub struct SocketSettings {
    /// The unix socket at which a running registrator is asked, or off. Who may ask is who may write to it
    /// [default: /run/kontena-registrator/admin.sock, or the same below XDG_RUNTIME_DIR]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_ADMIN_SOCKET",
        value_name = "PATH|off",
        value_parser = socket
    )]
    pub admin_socket: Option<AdminSocket>,
}

/// Where a running registrator serves those who ask.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Asking")]
pub struct AdminSettings {
    /// The unix socket.
    #[command(flatten)]
    pub socket: SocketSettings,
    /// Also serve the page, the API, /metrics, /livez and /readyz over HTTP at this address, as in 127.0.0.1:9790
    /// [default: none]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: Option<SocketAddr>,
    /// Who may see more than numbers at --admin-listen: loopback, only where that is an address of the loopback; or always
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_ADMIN_DETAILS",
        value_name = "WHERE",
        default_value = "loopback",
        ignore_case = true,
        hide_possible_values = true
    )]
    pub admin_details: AdminDetails,
    /// Further names by which browsers may call --admin-listen, besides localhost and addresses. Repeatable, or separated
    /// by commas [default: none]
    #[arg(
        long = "admin-host",
        env = "KONTENA_REGISTRATOR_ADMIN_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub admin_hosts: Vec<String>,
}

/// A unix socket, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminSocket {
    /// None.
    Off,
    /// This one.
    At(PathBuf),
}

/// What is asked about.
#[derive(Debug, Clone, Args)]
pub struct SubjectSettings {
    /// A container's name or the beginning of its id, a key, or an instance such as skydns:bridge
    #[arg(value_name = "CONTAINER|KEY|INSTANCE")]
    pub subject: Option<String>,
    /// Explain the container of this name or id [default: none]
    #[arg(long, env = "KONTENA_REGISTRATOR_CONTAINER", value_name = "CONTAINER", conflicts_with_all = ["subject", "key", "instance"])]
    pub container: Option<String>,
    /// Explain this key [default: none]
    #[arg(long, env = "KONTENA_REGISTRATOR_KEY", value_name = "KEY", conflicts_with_all = ["subject", "instance"])]
    pub key: Option<String>,
    /// Explain this instance [default: none]
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_INSTANCE",
        value_name = "INSTANCE",
        conflicts_with = "subject"
    )]
    pub instance: Option<String>,
}

/// Who may see details at `--admin-listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdminDetails {
    /// Whoever asks an address of the loopback.
    Loopback,
    /// Whoever asks.
    Always,
}

/// A unix socket, or `off`.
fn socket(text: &str) -> Result<AdminSocket, String> {
    match text {
        "off" => Ok(AdminSocket::Off),
        path => Ok(AdminSocket::At(path.into())),
    }
}
