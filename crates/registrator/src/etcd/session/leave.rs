//! Ending: the identity is left to a successor, or given up together with the lease.

use super::claim::{changed_at, equal, operation, write};
use super::commit::delete;
use super::{Context, End, Stop, Task};
use crate::etcd::error::Error;
use crate::etcd::identity::Holder;
use crate::etcd::reading::KeyRange;
use etcd_api::{KeyValue, TxnRequest};
use registrator_core::ownership::LeaseId;
use std::time::Duration;

/// How long the process waits for etcd at its end.
const WITHIN: Duration = Duration::from_secs(5);

impl Task {
    /// Ends as `stop` says.
    pub(super) async fn end(mut self, stop: Stop) -> End {
        let (lease, release) = match (stop, &self.memory.lease) {
            (Stop::Superseded, _) => return End::Superseded,
            (Stop::Abandon, _) => return End::Abandoned,
            (Stop::Keep, None) => return End::Kept,
            (Stop::Release, None) => return End::Released,
            (Stop::Keep, Some((lease, ..))) => (*lease, false),
            (Stop::Release, Some((lease, ..))) => (*lease, true),
        };
        self.keeper = None;
        let mut last = None;
        let leaving = async {
            loop {
                match attempt(&self.context, lease, release).await {
                    Ok(Some(end)) => return end,
                    Ok(None) => {}
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(WITHIN, leaving).await {
            Ok(end) => end,
            Err(_) => End::Unfinished(last.unwrap_or_else(|| Error::TimedOut {
                endpoint: self.context.client.endpoint(),
                after: WITHIN,
            })),
        }
    }
}

/// One attempt; `None` if somebody changed the identity key meanwhile. As in a claim, the key is read first: what became of
/// earlier requests does not matter then.
async fn attempt(context: &Context, lease: LeaseId, release: bool) -> Result<Option<End>, Error> {
    let identity = context.client.get(&context.layout.identity()).await?;
    let Some(kv) = identity else {
        return match release {
            true => revoke(context, lease).await.map(Some),
            false => Ok(Some(End::Kept)),
        };
    };
    let mine =
        Holder::parse(&kv.value).is_some_and(|holder| holder.instance == context.holder.instance);
    match (mine, release) {
        // Whoever has the identity may have adopted the lease: it must live.
        (false, _) => Ok(Some(End::Superseded)),
        (true, false) => mark_released(context, lease, &kv).await,
        (true, true) => give_up(context, lease, &kv).await,
    }
}

async fn mark_released(
    context: &Context,
    lease: LeaseId,
    kv: &KeyValue,
) -> Result<Option<End>, Error> {
    match write(context, lease, true, changed_at(kv.mod_revision)).await {
        Ok(answer) => Ok(answer.succeeded.then_some(End::Kept)),
        Err(Error::LeaseNotFound { .. }) => Ok(Some(End::Kept)),
        Err(error) => Err(error),
    }
}

/// T3 of the protocol.
async fn give_up(context: &Context, lease: LeaseId, kv: &KeyValue) -> Result<Option<End>, Error> {
    let identity = context.layout.identity();
    let request = TxnRequest {
        compare: vec![equal(
            KeyRange::exact(&identity),
            changed_at(kv.mod_revision),
        )],
        success: vec![operation(delete(&identity))],
        failure: Vec::new(),
    };
    match context.client.txn(request).await?.succeeded {
        true => revoke(context, lease).await.map(Some),
        false => Ok(None),
    }
}

async fn revoke(context: &Context, lease: LeaseId) -> Result<End, Error> {
    match context.client.lease_revoke(lease).await {
        Ok(_) | Err(Error::LeaseNotFound { .. }) => Ok(End::Released),
        Err(error) => Err(error),
    }
}
