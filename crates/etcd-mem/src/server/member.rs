//! What all services share: the store, the clock, and the signals between them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_api::ResponseHeader;
use tokio::sync::{Notify, mpsc, watch};
use tonic::Status;

use super::Clock;
use super::status;
use crate::store::{Revision, Store};

/// The one member of the cluster.
pub(super) struct Member {
    store: Mutex<Store>,
    clock: Clock,
    /// The present revision, to wake watches.
    revision: watch::Sender<Revision>,
    /// The earliest end of a lease has changed.
    deadline_moved: Notify,
    /// Becomes true, or loses its sender, when the server ends.
    stopping: watch::Receiver<bool>,
    /// New in each start: the content does not outlive it, so it is another cluster.
    cluster_id: u64,
    address: SocketAddr,
}

/// etcd's term of a cluster that has elected once.
pub(super) const RAFT_TERM: u64 = 2;

/// This member's id, as arbitrary as any.
pub(super) const MEMBER_ID: u64 = 0x0e7c_d3e3;

impl Member {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        stopping: watch::Receiver<bool>,
        cluster_id: u64,
        address: SocketAddr,
    ) -> Self {
        let revision = watch::Sender::new(store.revision());
        Self {
            store: Mutex::new(store),
            clock,
            revision,
            deadline_moved: Notify::new(),
            stopping,
            cluster_id,
            address,
        }
    }

    /// Runs `f` on the store with the time, after leases that are over have ended. Returns the present revision too.
    pub(super) fn apply<T>(&self, f: impl FnOnce(&mut Store, Duration) -> T) -> (T, Revision) {
        let now = self.clock.now();
        let mut store = self.lock();
        let deadline = store.next_deadline();
        store.expire(now);
        let result = f(&mut store, now);
        let revision = store.revision();
        // Later deadlines need no signal: whoever sleeps until the old one finds nothing to do and looks again.
        if store
            .next_deadline()
            .is_some_and(|new| deadline.is_none_or(|old| new < old))
        {
            self.deadline_moved.notify_one();
        }
        self.revision
            .send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
        (result, revision)
    }

    /// Runs `f` on the store as it is.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Store) -> T) -> T {
        f(&self.lock())
    }

    pub(super) fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: MEMBER_ID,
            revision,
            raft_term: RAFT_TERM,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Wakes its holder at each new revision.
    pub(super) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Ends leases when their time is over, again and again; sleeps until then.
    pub(super) async fn expire_leases(&self) {
        loop {
            let ((), _) = self.apply(|_, _| ());
            let deadline = self.read(Store::next_deadline);
            let over = async {
                match deadline {
                    Some(deadline) => self.clock.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = self.deadline_moved.notified() => {}
            }
        }
    }

    /// Waits for the server's end.
    pub(super) async fn stopped(&self) {
        // An error means that the sender is gone, and the server with it.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    /// Runs `stream`, which answers through `answers`, until the server ends, and then tells the client so.
    pub(super) async fn until_stopped<T>(
        &self,
        answers: mpsc::Sender<Result<T, Status>>,
        stream: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = stream => {}
            // A client that does not read is not waited for: it sees the end of the stream without the reason.
            () = self.stopped() => { let _ = answers.try_send(Err(status::stopped())); }
        }
    }

    /// A panic elsewhere cannot leave the store half changed in a way that matters more than going on.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
