//! What a caller may do: everything, or only read, and how much at once.

use std::sync::Arc;

use etcd_api::request_op::Request;
use etcd_api::{RequestOp, TxnRequest};
use tonic::Status;

use super::limits::Limits;
use crate::store::{Store, Txn};

/// The rights of all who come the same way.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights {
    /// Why nothing may be changed; `None` if it may.
    read_only: Option<Arc<str>>,
    /// The most that a transaction may read, in bytes; `None` for all there is.
    txn_reads: Option<usize>,
}

impl Rights {
    /// The right to read alone. `reason` follows etcd's own "permission denied".
    pub(super) fn to_read(reason: Arc<str>) -> Self {
        Self {
            read_only: Some(reason),
            ..Self::default()
        }
    }

    /// The same rights within limits.
    pub(super) fn with(self, limits: &Limits) -> Self {
        Self {
            txn_reads: Some(limits.txn_reads),
            ..self
        }
    }

    /// Refuses a transaction that may read too much. One request can ask for everything a hundred thousand times over.
    pub(super) fn check_reads(&self, store: &Store, txn: &Txn) -> Result<(), Status> {
        match self.txn_reads {
            Some(limit) if !store.reads_at_most(txn, limit) => {
                Err(Status::resource_exhausted(format!(
                    "etcd-mem: the transaction may read more than {limit} bytes; ask for less at once"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a request that changes something, as far as that needs a right.
    pub(super) fn check_change(&self) -> Result<(), Status> {
        match &self.read_only {
            None => Ok(()),
            Some(reason) => Err(Status::permission_denied(format!(
                "etcdserver: permission denied: {reason}"
            ))),
        }
    }

    /// Refuses a transaction that may change something, whichever way its conditions go.
    pub(super) fn check_txn(&self, txn: &TxnRequest) -> Result<(), Status> {
        if may_change(txn) {
            self.check_change()
        } else {
            Ok(())
        }
    }
}

/// The depth is that of the message, which prost limits to 100.
fn may_change(txn: &TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.any(|RequestOp { request }| match request {
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => true,
        Some(Request::RequestTxn(within)) => may_change(within),
        Some(Request::RequestRange(_)) | None => false,
    })
}
