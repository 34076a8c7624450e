//! The gRPC server: etcd's services around one store.
//!
//! It listens where the caller says, without TLS or passwords: give it a loopback address. Everything is lost at its
//! end. Streams of clients are ended at once on shutdown; an idle server sleeps until the next lease ends.

mod accept;
mod answers;
mod authority;
mod clock;
mod connection;
mod convert;
mod explained;
mod in_process;
mod kv;
mod lease;
mod limits;
mod maintenance;
mod member;
mod rationed;
mod rights;
mod status;
mod turns;
mod watch;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcd_api::auth_server::AuthServer;
use etcd_api::cluster_server::ClusterServer;
use etcd_api::kv_server::KvServer;
use etcd_api::lease_server::LeaseServer;
use etcd_api::maintenance_server::MaintenanceServer;
use etcd_api::watch_server::WatchServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::service::Routes;

pub use clock::{Clock, ManualClock};
pub use in_process::{InProcess, InProcessListener, in_process};
pub use limits::{Limits, Trouble};
pub use maintenance::VERSION;

use crate::store::{HistoryLimit, Revision, Store};
use accept::{Report, accept};
use explained::Explained;
use kv::KvService;
use lease::LeaseService;
use maintenance::MaintenanceService;
use member::Member;
use rationed::Rationed;
use rights::Rights;
use watch::{Places, WatchService};

/// How long clients may take for their last answers after a shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// How often a client that says nothing is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The biggest message that a client sends in a stream: it has the names of two keys.
const STREAM_MESSAGE_BYTES: usize = 64 << 10;

/// How much of a request may come before it is looked at, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;

/// The same for all requests of a connection.
const CONNECTION_WINDOW: u32 = 128 << 10;

/// The most bytes that keys and leases take unless told otherwise.
pub const DEFAULT_QUOTA: usize = 64 << 20;

/// How often a quiet watch that asked for it is told its progress, as in etcd.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// Why a server ended before its shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener has no address.
    #[error("cannot tell the address of the listening socket of the embedded etcd")]
    Address(#[source] std::io::Error),
    /// The connections cannot be served.
    #[error("cannot serve the embedded etcd on {address}")]
    Transport {
        /// Where it listened.
        address: SocketAddr,
        /// What failed.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Serves an empty etcd with the settings of [`Server::new`] until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Server::new().serve(listener, shutdown).await
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Server {
    clock: Clock,
    revision: Revision,
    history: HistoryLimit,
    progress_interval: Duration,
    rights_outside: Rights,
    quota: usize,
    limits: Limits,
    report: Report,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// The system's clock, and a first revision that is the milliseconds since 1970.
    ///
    /// So a server that is started anew after another is ahead of it, unless that one has made more than a thousand
    /// revisions a second on average or the system's clock was set back, and a client that resumes a watch of the
    /// lost one is told "compacted" and lists anew, instead of waiting in silence for a revision that is far away.
    pub fn new() -> Self {
        Self {
            clock: Clock::system(),
            revision: milliseconds_since_1970(),
            history: HistoryLimit::default(),
            progress_interval: PROGRESS_INTERVAL,
            rights_outside: Rights::default(),
            quota: DEFAULT_QUOTA,
            limits: Limits::default(),
            report: None,
        }
    }

    /// Leases end by this clock.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The first revision, 1 in a fresh etcd.
    #[must_use]
    pub fn revision(self, revision: Revision) -> Self {
        Self { revision, ..self }
    }

    /// How much history is kept.
    #[must_use]
    pub fn history(self, history: HistoryLimit) -> Self {
        Self { history, ..self }
    }

    /// How often a quiet watch that asked for it is told its progress.
    #[must_use]
    pub fn progress_interval(self, progress_interval: Duration) -> Self {
        Self {
            progress_interval,
            ..self
        }
    }

    /// How many bytes keys and leases may take, [`DEFAULT_QUOTA`] unless told otherwise; see [`Store::with_quota`].
    #[must_use]
    pub fn quota(self, quota: usize) -> Self {
        Self { quota, ..self }
    }

    /// How much of the server others may take.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Tells `report` what keeps others from being served.
    #[must_use]
    pub fn report(self, report: mpsc::UnboundedSender<Trouble>) -> Self {
        let report = Some(report);
        Self { report, ..self }
    }

    /// Network clients may only read. Other requests are refused with etcd's "permission denied" and this
    /// reason.
    #[must_use]
    pub fn read_only_outside(self, reason: &str) -> Self {
        Self {
            rights_outside: Rights::to_read(reason.into()),
            ..self
        }
    }

    /// Serves an empty etcd until `shutdown`, then ends all streams and, when clients have taken their answers or two
    /// seconds later, returns. Dropping the future ends the streams too.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        self.serve_with(listener, in_process().1, shutdown).await
    }

    /// As [`Server::serve`], and serves connections of this process besides, which may do everything.
    pub async fn serve_with(
        self,
        listener: TcpListener,
        inside: InProcessListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Address)?;
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let seed = RandomState::new().hash_one(address);
        let store = Store::new(self.revision, seed, self.history).with_quota(self.quota);
        let member = Arc::new(Member::new(store, self.clock, stopping, seed, address));
        let routes = |rights, watches| {
            let watches = Places::new(watches);
            Explained::new(routes(&member, self.progress_interval, rights, watches))
        };
        let (accepted, connections) = mpsc::channel(1);
        let next = move |context: &mut Context<'_>| {
            let accepted = listener.poll_accept(context);
            accepted.map_ok(|(stream, _)| stream)
        };
        let accepting = accept(next, self.limits, self.report, accepted);
        let outside = tonic::transport::Server::builder()
            .max_concurrent_streams(self.limits.streams)
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_with_incoming_shutdown(
                Rationed::new(
                    routes(self.rights_outside.with(&self.limits), self.limits.watches),
                    self.limits.big_messages,
                    self.limits.patience,
                ),
                ReceiverStream::new(connections).map(Ok::<_, std::io::Error>),
                member.stopped(),
            );
        let inside = tonic::transport::Server::builder().serve_with_incoming_shutdown(
            routes(Rights::default(), Places::UNLIMITED),
            UnboundedReceiverStream::new(inside.connections).map(Ok::<_, std::io::Error>),
            member.stopped(),
        );
        let serving = async { tokio::try_join!(outside, inside) };
        let accepting = async {
            tokio::select! {
                () = accepting => {}
                // The port is free for a successor from here on.
                () = member.stopped() => {}
            }
            std::future::pending().await
        };
        let end = async {
            shutdown.await;
            stop.send_replace(true);
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            result = serving => match result {
                Ok(_) => Ok(()),
                Err(source) => Err(ServeError::Transport { address, source }),
            },
            () = accepting => Ok(()),
            () = member.expire_leases() => Ok(()),
            () = end => Ok(()),
        }
    }
}

fn routes(
    member: &Arc<Member>,
    progress_interval: Duration,
    rights: Rights,
    watches: Places,
) -> Routes {
    let maintenance = || MaintenanceService::new(member.clone(), rights.clone());
    Routes::new(KvServer::new(KvService::new(
        member.clone(),
        rights.clone(),
    )))
    .add_service(
        WatchServer::new(WatchService::new(
            member.clone(),
            progress_interval,
            watches,
        ))
        .max_decoding_message_size(STREAM_MESSAGE_BYTES),
    )
    .add_service(
        LeaseServer::new(LeaseService::new(member.clone(), rights.clone()))
            .max_decoding_message_size(STREAM_MESSAGE_BYTES),
    )
    .add_service(MaintenanceServer::new(maintenance()))
    .add_service(ClusterServer::new(maintenance()))
    .add_service(AuthServer::new(maintenance()))
}

fn milliseconds_since_1970() -> Revision {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Revision::try_from(now.as_millis()).unwrap_or(1)
}
