//! When the lease was renewed last: kept for whoever asks, so that nobody is woken for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The time of the last renewal of the process's lease. Cheap to clone; all clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Renewals(Arc<Mutex<Option<Instant>>>);

impl Renewals {
    /// The lease was renewed by a request that was sent then.
    pub(super) fn note(&self, sent: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    /// When that was last.
    pub fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
