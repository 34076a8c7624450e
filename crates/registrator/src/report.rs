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

/// Logs what changed on Docker's side.
pub fn docker(update: &docker::DockerUpdate) {
    match update {
        docker::DockerUpdate::Connected {
            after_cut: true, ..
        } => debug!("Docker's events are open again"),
        docker::DockerUpdate::Connected { api_version, .. } => {
            info!("connected to Docker, API {api_version}")
        }
        docker::DockerUpdate::Cut { error, lasted } => info!(
            "the stream of Docker's events was cut after {} s, as a proxy does with idle ones. It is open again, and nothing is missed; further cuts are not told: {}",
            lasted.as_secs(),
            error_chain(error)
        ),
        docker::DockerUpdate::Waiting { error } => {
            warn!("waiting for Docker: {}", error_chain(error))
        }
        docker::DockerUpdate::Lost { error } => {
            warn!(
                "lost Docker, all nodes stay until it is back: {}",
                error_chain(error)
            );
        }
        docker::DockerUpdate::InspectFailed { id, error } => {
            warn!(
                "cannot inspect container {}, what was known of it stays: {}",
                id.short(),
                error_chain(error)
            );
        }
        docker::DockerUpdate::InspectRecovered { id } => {
            info!("container {} can be inspected again", id.short())
        }
        docker::DockerUpdate::Container(_)
        | docker::DockerUpdate::Coming(_)
        | docker::DockerUpdate::Vanished(_) => {}
    }
}

/// Logs what changed on etcd's side.
pub fn etcd(update: &etcd::SessionUpdate) {
    use etcd::SessionUpdate;
    let someone = |holder: &Option<etcd::Holder>| {
        holder
            .as_ref()
            .map_or("an unknown process".to_owned(), ToString::to_string)
    };
    match update {
        SessionUpdate::Session(_) => {}
        SessionUpdate::Unreachable { error } => warn!(
            "waiting for etcd, nothing is forgotten: {}",
            error_chain(error)
        ),
        SessionUpdate::Unwritten { since, error } => warn!(
            "nothing could be written to etcd for {} s, so nodes may be wrong: {}",
            since.as_secs(),
            error_chain(error)
        ),
        SessionUpdate::Stale { since, error } => error!(
            "nothing could be written to etcd for {} s: the leases are no longer renewed, and the nodes end with them, until etcd takes writes again: {}",
            since.as_secs(),
            error_chain(error)
        ),
        SessionUpdate::Reachable { endpoint } => info!("connected to etcd at {endpoint}"),
        SessionUpdate::LeaseGranted { lease, ttl } => info!(
            "registering under a new lease {lease} of {} s",
            ttl.as_secs()
        ),
        SessionUpdate::LeaseAdopted {
            lease,
            ttl,
            predecessor,
        } => {
            info!(
                "took over lease {lease} of {} s with its nodes from {}",
                ttl.as_secs(),
                someone(predecessor)
            );
        }
        SessionUpdate::LeaseLost { lease } => {
            warn!("lease {lease} is gone and its nodes with it: registering everything again")
        }
        SessionUpdate::IdentityInUse { holder } => warn!(
            "waiting: this host id is in use by {}, which is alive or has just ended",
            someone(holder)
        ),
        SessionUpdate::Refused { holder } => error!(
            "this host id is in use by {}, which is alive. Stop that process, or give this one another --host-id (KONTENA_REGISTRATOR_HOST_ID), or let it wait with --on-conflict wait",
            someone(holder)
        ),
        SessionUpdate::Superseded { by } => {
            error!("another process took over this host id: {}", someone(by))
        }
        SessionUpdate::Stray { key } => warn!(
            "key {key:?} is attached to our lease, but no registrator can have written it: left alone"
        ),
        SessionUpdate::WatchRefused { root, error } => warn!(
            "changes below {root} cannot be watched, so nodes that others change there are not repaired: {}",
            error_chain(error)
        ),
    }
}

/// Logs whether configurations in etcd can be read.
pub fn configs(update: &etcd::ConfigUpdate) {
    match update {
        etcd::ConfigUpdate::Event(..) => {}
        etcd::ConfigUpdate::Interrupted(policy, error) => warn!(
            "cannot read the configurations of policy {policy} in etcd, they stay as they are: {}",
            error_chain(error)
        ),
        etcd::ConfigUpdate::Restored(policy) => {
            info!("reading the configurations of policy {policy} in etcd again");
        }
    }
}

/// Logs a file that cannot be read.
pub fn file_problem(problem: &files::Problem) {
    error!(
        "{}: {}; what was made from it before stays",
        problem.path.display(),
        problem.message
    );
}
