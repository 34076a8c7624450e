//! The client: calls of etcd's API that stay with one endpoint and move to the next when it fails.
//!
//! All calls and streams of a process go to one endpoint, so one that is dead costs nothing until it is chosen, and then
//! one attempt. A call moves on by itself where that cannot make it happen twice; everything else is the caller's choice.

mod connect;
mod login;
mod streams;
mod whole;

pub(super) use streams::{KeepAliveStream, WatchStream};

use super::error::Error;
use super::requests::{Operation, Requests};
use super::settings::{Settings, SettingsError};
use connect::Remote;
use etcd_api::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, RangeRequest, RangeResponse, StatusRequest,
    StatusResponse, TxnRequest, TxnResponse, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient,
};
use login::{EtcdChannel, Login};
use registrator_core::own::LeaseId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::{Response, Status};

/// How long an answer is awaited.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The biggest message taken. etcd may send all changes of one revision in one message: ten thousand keys of one lease.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A client of one etcd cluster. Clones share their connections.
#[derive(Debug, Clone)]
pub struct EtcdClient(Arc<Cluster>);

#[derive(Debug)]
struct Cluster {
    remotes: Vec<Remote>,
    /// Counts the moves; the remainder is the endpoint in use.
    current: AtomicUsize,
    login: Option<Login>,
    requests: Requests,
}

/// Whether a call may safely happen twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes,
}

impl EtcdClient {
    /// A client for `settings`. Reads the TLS files; connects at the first call. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The settings do not [check](Settings::check), or a file for TLS cannot be read or used.
    pub fn new(settings: &Settings) -> Result<EtcdClient, SettingsError> {
        settings.check()?;
        Ok(EtcdClient(Arc::new(Cluster {
            remotes: connect::remotes(settings)?,
            current: AtomicUsize::new(0),
            login: settings.credentials.clone().map(Login::new),
            requests: Requests::default(),
        })))
    }

    /// The endpoint in use.
    pub fn endpoint(&self) -> String {
        self.remote(self.turn()).name.clone()
    }

    /// How long its requests take.
    pub fn requests(&self) -> Requests {
        self.0.requests.clone()
    }

    /// Whether calls carry the token of a login, which may expire.
    pub(super) fn logs_in(&self) -> bool {
        self.0.login.is_some()
    }

    /// Reads one key or a range.
    ///
    /// # Errors
    /// Any; reading is tried once at each endpoint.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let call = self.call(Effect::Reads, |wire| {
            let request = request.clone();
            async move { kv(wire).range(request).await }
        });
        self.0.requests.measure(Operation::Range, call).await
    }

    /// Performs a transaction. It must contain a write in one of its branches: etcd 3.5.0 to 3.5.4 can die of a
    /// transaction that only reads if its client goes away (etcd issue 14110).
    ///
    /// # Errors
    /// Any; [`Error::outcome_known`] tells whether it may have happened.
    pub async fn txn(&self, mut request: TxnRequest) -> Result<TxnResponse, Error> {
        // It may have a megabyte: copied only where it may have to be sent again.
        let may_repeat = self.0.login.is_some() || self.0.remotes.len() > 1;
        let call = self.call(Effect::Writes, |wire| {
            let request = if may_repeat {
                request.clone()
            } else {
                std::mem::take(&mut request)
            };
            async move { kv(wire).txn(request).await }
        });
        self.0.requests.measure(Operation::Txn, call).await
    }

    /// Begins a lease. etcd may raise a short TTL.
    ///
    /// # Errors
    /// Any. If the outcome is unknown a lease may be left behind, which ends by itself.
    pub async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrantResponse, Error> {
        let request = LeaseGrantRequest {
            ttl: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
            id: 0,
        };
        let call = self.call(Effect::Writes, |wire| async move {
            lease(wire).lease_grant(request).await
        });
        self.0.requests.measure(Operation::Lease, call).await
    }

    /// Ends a lease: etcd deletes all its keys in one revision.
    ///
    /// # Errors
    /// Any; [`Error::LeaseNotFound`] if it has ended already.
    pub async fn lease_revoke(&self, id: LeaseId) -> Result<LeaseRevokeResponse, Error> {
        let request = LeaseRevokeRequest { id: id.0 };
        let call = self.call(Effect::Writes, |wire| async move {
            lease(wire).lease_revoke(request).await
        });
        self.0.requests.measure(Operation::Lease, call).await
    }

    /// The remaining time of a lease, and its keys if `keys` is set. The TTL of a lease that does not exist is -1.
    ///
    /// # Errors
    /// Any but a lease that does not exist.
    pub async fn lease_time_to_live(
        &self,
        id: LeaseId,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, Error> {
        let request = LeaseTimeToLiveRequest { id: id.0, keys };
        let call = self.call(Effect::Reads, |wire| async move {
            lease(wire).lease_time_to_live(request).await
        });
        self.0.requests.measure(Operation::Lease, call).await
    }

    /// The state of the member in use: its version among others.
    ///
    /// # Errors
    /// Any.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        self.call(Effect::Reads, |wire| async move {
            let mut stub =
                MaintenanceClient::new(wire).max_decoding_message_size(MAX_MESSAGE_BYTES);
            stub.status(StatusRequest {}).await
        })
        .await
    }

    async fn call<T, F, Answer>(&self, effect: Effect, mut send: F) -> Result<T, Error>
    where
        F: FnMut(EtcdChannel) -> Answer,
        Answer: Future<Output = Result<Response<T>, Status>>,
    {
        let mut endpoints_left = self.0.remotes.len();
        let mut logged_in_anew = false;
        loop {
            let turn = self.turn();
            let error = match self.attempt(turn, &mut logged_in_anew, &mut send).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(error) => error,
            };
            if !error.blames_endpoint() {
                return Err(error);
            }
            self.leave(turn);
            endpoints_left -= 1;
            let harmless = effect == Effect::Reads || error.outcome_known();
            if endpoints_left == 0 || !harmless {
                return Err(error);
            }
        }
    }

    /// One attempt at one endpoint, with a second one after a new login if the token was stale.
    async fn attempt<T, F, Answer>(
        &self,
        turn: usize,
        logged_in_anew: &mut bool,
        mut send: F,
    ) -> Result<Response<T>, Error>
    where
        F: FnMut(EtcdChannel) -> Answer,
        Answer: Future<Output = Result<Response<T>, Status>>,
    {
        let remote = self.remote(turn);
        remote.renew().await;
        loop {
            let token = match &self.0.login {
                Some(login) => Some(login.token(remote).await?),
                None => None,
            };
            let wire = login::wire(remote, token.clone());
            let error = match tokio::time::timeout(ANSWER_WITHIN, send(wire)).await {
                Ok(Ok(answer)) => {
                    remote.note_answer();
                    return Ok(answer);
                }
                Ok(Err(status)) => remote.error(&status),
                Err(_) => remote.timed_out(),
            };
            match (&self.0.login, &error, token) {
                (Some(login), Error::StaleToken { .. }, Some(token)) if !*logged_in_anew => {
                    *logged_in_anew = true;
                    login.discard(&token).await;
                }
                (None, Error::StaleToken { endpoint, message }, _) => {
                    return Err(Error::Login {
                        endpoint: endpoint.clone(),
                        message: format!("{message}; give a user name and a password"),
                    });
                }
                _ => return Err(error),
            }
        }
    }

    fn turn(&self) -> usize {
        self.0.current.load(Ordering::Relaxed)
    }

    fn remote(&self, turn: usize) -> &Remote {
        let at = turn % self.0.remotes.len().max(1);
        // There is at least one: `Settings::check`.
        #[allow(clippy::indexing_slicing)]
        &self.0.remotes[at]
    }

    /// Moves on from the endpoint of `turn`, unless somebody else already did.
    fn leave(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        let left =
            self.0
                .current
                .compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
        if left.is_ok() {
            self.remote(turn).note_failure();
        }
    }
}

fn kv(wire: EtcdChannel) -> KvClient<EtcdChannel> {
    KvClient::new(wire).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

fn lease(wire: EtcdChannel) -> LeaseClient<EtcdChannel> {
    LeaseClient::new(wire).max_decoding_message_size(MAX_MESSAGE_BYTES)
}
