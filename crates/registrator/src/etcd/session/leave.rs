//! Ending: the identity is left to a successor, or given up together with the lease.

use super::claim::{HolderState, changed_at, equal, write};
use super::commit::delete;
use super::{Context, SessionEnd, Stop, Task};
use crate::etcd::error::Error;
use crate::etcd::identity::Holder;
use crate::etcd::layout::Purpose;
use crate::etcd::reading::{KeyRange, operation};
use etcd_api::{KeyValue, TxnRequest};
use registrator_core::own::LeaseId;
use std::time::Duration;

/// How long the process waits for etcd at its end, after the nodes had their time: Docker kills what has not ended after ten seconds.
const WITHIN: Duration = Duration::from_secs(3);

impl Task {
    /// Ends as `stop` says.
    pub(super) async fn end(mut self, stop: Stop) -> SessionEnd {
        let (lease, release) = match (stop, &self.memory.lease) {
            (Stop::Superseded, _) => return SessionEnd::Superseded,
            (Stop::Refused, _) => return SessionEnd::Refused,
            (Stop::Abandon, _) => return SessionEnd::Abandoned,
            (Stop::Keep, None) => return SessionEnd::Kept,
            (Stop::Release, None) => return SessionEnd::Released,
            (Stop::Keep, Some((lease, ..))) => (*lease, false),
            (Stop::Release, Some((lease, ..))) => (*lease, true),
        };
        self.keepers = None;
        let beacon = self.memory.beacon.map(|(beacon, _)| beacon);
        let mut last = None;
        let leaving = async {
            loop {
                match attempt(&self.context, (lease, beacon), release).await {
                    Ok(Some(end)) => return end,
                    Ok(None) => {}
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(WITHIN, leaving).await {
            Ok(end) => end,
            Err(_) => {
                let endpoint = self.context.client.endpoint();
                SessionEnd::Unfinished(last.unwrap_or_else(|| Error::no_answer(&endpoint, WITHIN)))
            }
        }
    }
}

/// One attempt; `None` if somebody changed the identity key meanwhile. As in a claim, the key is read first: what became of
/// earlier requests does not matter then.
async fn attempt(
    context: &Context,
    leases: (LeaseId, Option<LeaseId>),
    release: bool,
) -> Result<Option<SessionEnd>, Error> {
    let identity = context.client.get(&context.layout.identity()).await?;
    let Some(kv) = identity else {
        return if release {
            revoke(context, leases).await.map(Some)
        } else {
            Ok(Some(SessionEnd::Kept))
        };
    };
    let mine =
        Holder::parse(&kv.value).is_some_and(|holder| holder.process == context.holder.process);
    match (mine, release) {
        // Whoever has the identity may have adopted the lease: it must live.
        (false, _) => Ok(Some(SessionEnd::Superseded)),
        (true, false) => mark_released(context, leases.0, &kv).await,
        (true, true) => give_up(context, leases, &kv).await,
    }
}

async fn mark_released(
    context: &Context,
    lease: LeaseId,
    kv: &KeyValue,
) -> Result<Option<SessionEnd>, Error> {
    match write(
        context,
        lease,
        HolderState::Released,
        changed_at(kv.mod_revision),
    )
    .await
    {
        Ok(answer) => Ok(answer.succeeded.then_some(SessionEnd::Kept)),
        Err(Error::LeaseNotFound { .. }) => Ok(Some(SessionEnd::Kept)),
        Err(error) => Err(error),
    }
}

/// T3 of the protocol.
async fn give_up(
    context: &Context,
    leases: (LeaseId, Option<LeaseId>),
    kv: &KeyValue,
) -> Result<Option<SessionEnd>, Error> {
    let identity = context.layout.identity();
    let beacon = context.layout.beacon(leases.0);
    let request = TxnRequest {
        compare: vec![equal(
            KeyRange::exact(&identity),
            changed_at(kv.mod_revision),
        )],
        success: vec![operation(delete(&identity)), operation(delete(&beacon))],
        failure: Vec::new(),
    };
    if context.client.txn(request).await?.succeeded {
        revoke(context, leases).await.map(Some)
    } else {
        Ok(None)
    }
}

async fn revoke(
    context: &Context,
    (lease, beacon): (LeaseId, Option<LeaseId>),
) -> Result<SessionEnd, Error> {
    let handed = was_handed_a_node(context, lease).await?;
    let leases = [Some(lease).filter(|_| !handed), beacon];
    for lease in leases.into_iter().flatten() {
        match context.client.lease_revoke(lease).await {
            Ok(_) | Err(Error::LeaseNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(SessionEnd::Released)
}

/// Another registrator may have handed a node over just before the identity was given up, and this process was not told any more.
/// The lease must not take it along: without an identity it is nobody's, so whoever waits takes the node at once.
async fn was_handed_a_node(context: &Context, lease: LeaseId) -> Result<bool, Error> {
    let keys = context.client.lease_time_to_live(lease, true).await?.keys;
    let mut places = keys.iter().map(|key| context.layout.place(key));
    Ok(places.any(|place| matches!(place, Purpose::Node(_))))
}
