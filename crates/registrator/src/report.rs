//! What people are told: each notice of the core, and each change of an adapter, as one line of the log.

use crate::error_chain::error_chain;
use crate::{docker, etcd, files};
use registrator_core::tell::notice::{Level, Notice};
use tracing::{debug, error, info, warn};

/// Logs a fact of the core.
pub fn notice(notice: &Notice) {
    match notice.level() {
        Level::Debug => debug!("{notice}"),
        Level::Info => info!("{notice}"),
        Level::Warn => warn!("{notice}"),
        Level::Error => error!("{notice}"),
    }
}

/// A line that was logged.
pub type Told = Option<(Level, String)>;

/// Logs a line.
fn told(level: Level, text: String) -> Told {
    match level {
        Level::Debug => debug!("{text}"),
        Level::Info => info!("{text}"),
        Level::Warn => warn!("{text}"),
        Level::Error => error!("{text}"),
    }
    Some((level, text))
}

/// Logs what changed on Docker's side.
pub fn docker(update: &docker::DockerUpdate) -> Told {
    match update {
        docker::DockerUpdate::Connected {
            after_cut: true, ..
        } => told(Level::Debug, "Docker's events are open again".to_owned()),
        docker::DockerUpdate::Connected { api_version, .. } => told(
            Level::Info,
            format!("connected to Docker, API {api_version}"),
        ),
        docker::DockerUpdate::Cut { error, lasted } => told(
            Level::Info,
            format!(
                "the stream of Docker's events ended after {} s and is open again; nothing is missed. A quick restart of Docker does this, or a proxy that ends idle streams. Told once: {}",
                lasted.as_secs(),
                error_chain(error)
            ),
        ),
        docker::DockerUpdate::Waiting { error } => told(
            Level::Warn,
            format!("waiting for Docker: {}", error_chain(error)),
        ),
        docker::DockerUpdate::Lost { error } => told(
            Level::Warn,
            format!(
                "lost Docker, all nodes stay until it is back: {}",
                error_chain(error)
            ),
        ),
        docker::DockerUpdate::InspectFailed { id, error } => told(
            Level::Warn,
            format!(
                "cannot inspect container {}, what was known of it stays: {}",
                id.short(),
                error_chain(error)
            ),
        ),
        docker::DockerUpdate::InspectRecovered { id } => told(
            Level::Info,
            format!("container {} can be inspected again", id.short()),
        ),
        docker::DockerUpdate::Container(_)
        | docker::DockerUpdate::Coming(_)
        | docker::DockerUpdate::Vanished(_) => None,
    }
}

/// Logs what changed on etcd's side.
pub fn etcd(update: &etcd::SessionUpdate) -> Told {
    use etcd::SessionUpdate;
    match update {
        SessionUpdate::Session(_) => None,
        SessionUpdate::LeaseGranted { .. }
        | SessionUpdate::LeaseAdopted { .. }
        | SessionUpdate::LeaseLost { .. }
        | SessionUpdate::IdentityInUse { .. }
        | SessionUpdate::Refused { .. }
        | SessionUpdate::Superseded { .. } => identity(update),
        SessionUpdate::Unreachable { error } => told(
            Level::Warn,
            format!(
                "waiting for etcd, nothing is forgotten: {}",
                error_chain(error)
            ),
        ),
        SessionUpdate::Unwritten { since, error } => told(
            Level::Warn,
            format!(
                "nothing could be written to etcd for {} s, so nodes may be wrong: {}",
                since.as_secs(),
                error_chain(error)
            ),
        ),
        SessionUpdate::Stale { since, error } => told(
            Level::Error,
            format!(
                "nothing could be written to etcd for {} s: the leases are no longer renewed, and the nodes end with them, until etcd takes writes again: {}",
                since.as_secs(),
                error_chain(error)
            ),
        ),
        SessionUpdate::Reachable { endpoint } => {
            told(Level::Info, format!("connected to etcd at {endpoint}"))
        }
        SessionUpdate::Stray { key } => told(
            Level::Warn,
            format!(
                "key {key:?} is attached to our lease, but no registrator can have written it: left alone"
            ),
        ),
        SessionUpdate::WatchRefused { root, error } => told(
            Level::Warn,
            format!(
                "changes below {root} cannot be watched, so nodes that others change there are not repaired: {}",
                error_chain(error)
            ),
        ),
    }
}

/// Logs what became of the lease and of the identity.
fn identity(update: &etcd::SessionUpdate) -> Told {
    use etcd::SessionUpdate;
    let someone = |holder: &Option<etcd::Holder>| {
        holder
            .as_ref()
            .map_or("an unknown process".to_owned(), ToString::to_string)
    };
    match update {
        SessionUpdate::LeaseGranted { lease, ttl } => told(
            Level::Info,
            format!(
                "registering under a new lease {lease} of {} s",
                ttl.as_secs()
            ),
        ),
        SessionUpdate::LeaseAdopted {
            lease,
            ttl,
            predecessor,
        } => told(
            Level::Info,
            format!(
                "took over lease {lease} of {} s with its nodes from {}",
                ttl.as_secs(),
                someone(predecessor)
            ),
        ),
        SessionUpdate::LeaseLost { lease } => told(
            Level::Warn,
            format!("lease {lease} is gone and its nodes with it: registering everything again"),
        ),
        SessionUpdate::IdentityInUse { holder } => told(
            Level::Warn,
            format!(
                "waiting: this host id is in use by {}, which is alive or has just ended",
                someone(holder)
            ),
        ),
        SessionUpdate::Refused { holder } => told(
            Level::Error,
            format!(
                "this host id is in use by {}, which is alive. Stop that process, or give this one another --host-id (KONTENA_REGISTRATOR_HOST_ID), or let it wait with --on-conflict wait",
                someone(holder)
            ),
        ),
        SessionUpdate::Superseded { by } => told(
            Level::Error,
            format!("another process took over this host id: {}", someone(by)),
        ),
        _ => None,
    }
}

/// Logs whether configurations in etcd can be read.
pub fn configs(update: &etcd::ConfigUpdate) -> Told {
    match update {
        etcd::ConfigUpdate::Event(..) => None,
        etcd::ConfigUpdate::Interrupted(policy, error) => told(
            Level::Warn,
            format!(
                "cannot read the configurations of policy {policy} in etcd, they stay as they are: {}",
                error_chain(error)
            ),
        ),
        etcd::ConfigUpdate::Restored(policy) => told(
            Level::Info,
            format!("reading the configurations of policy {policy} in etcd again"),
        ),
    }
}

/// Logs a file that cannot be read.
pub fn file_problem(problem: &files::Problem) -> Told {
    told(
        Level::Error,
        format!(
            "{}: {}; what was made from it before stays",
            problem.path.display(),
            problem.message
        ),
    )
}
