//! Everything that the event loop listens to, as one stream.

use crate::catalog::Loaded;
use crate::evaluators::Evaluated;
use crate::{docker, etcd, files};
use std::future::pending;
use std::time::Instant;
use tokio::signal::unix;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};

/// Something happened.
pub enum Input {
    /// A signal came.
    Signal(Signal),
    /// An evaluation ended.
    Evaluated(Evaluated),
    /// News from etcd.
    Etcd(etcd::session::Update),
    /// News from Docker.
    Docker(docker::Update),
    /// News of files.
    Files(files::Update),
    /// Policies were loaded.
    Policies(Loaded),
    /// News of configurations in etcd.
    Config(etcd::ConfigUpdate),
    /// The time is up.
    Timeout,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: the end.
    Terminate,
    /// SIGHUP: read policies and configurations again.
    Reload,
}

/// All sources.
pub struct Sources {
    /// SIGTERM.
    pub terminate: unix::Signal,
    /// SIGINT.
    pub interrupt: unix::Signal,
    /// SIGHUP.
    pub hangup: unix::Signal,
    /// Ended evaluations.
    pub evaluated: UnboundedReceiver<Evaluated>,
    /// The session.
    pub etcd: UnboundedReceiver<etcd::session::Update>,
    /// The engine.
    pub docker: Receiver<docker::Update>,
    /// Policy files and configurations.
    pub files: Receiver<files::Update>,
    /// Policies, loaded.
    pub policies: UnboundedReceiver<Loaded>,
    /// Configurations in etcd.
    pub configs: UnboundedReceiver<etcd::ConfigUpdate>,
}

impl Sources {
    /// Waits for the next input, or until `timeout`. What finishes work comes before what makes more of it; a closed source is silent.
    pub async fn next(&mut self, timeout: Option<Instant>) -> Input {
        tokio::select! {
            biased;
            // 1. Somebody asks for something.
            Some(()) = self.terminate.recv() => Input::Signal(Signal::Terminate),
            Some(()) = self.interrupt.recv() => Input::Signal(Signal::Terminate),
            Some(()) = self.hangup.recv() => Input::Signal(Signal::Reload),
            // 2. Results.
            Some(evaluated) = self.evaluated.recv() => Input::Evaluated(evaluated),
            Some(update) = self.etcd.recv() => Input::Etcd(update),
            // 3. News.
            Some(update) = self.docker.recv() => Input::Docker(update),
            Some(update) = self.configs.recv() => Input::Config(update),
            Some(loaded) = self.policies.recv() => Input::Policies(loaded),
            Some(update) = self.files.recv() => Input::Files(update),
            // 4. Nothing else.
            () = until(timeout) => Input::Timeout,
        }
    }
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
