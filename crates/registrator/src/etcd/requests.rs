//! How long requests to etcd take: measured by the client, read by who asks.

use super::error::Error;
use crate::histogram::Histogram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const BOUNDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// What is asked of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// A transaction.
    Txn,
    /// Reading keys.
    Range,
    /// Granting, looking at and ending leases, and the opening of a stream that keeps one.
    Lease,
    /// The opening of a stream of watches.
    Watch,
}

/// What was measured of one kind of request.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Its name.
    pub operation: &'static str,
    /// How long these took, whatever came of them. One that is sent again elsewhere is one.
    pub durations: Histogram,
    /// Those that came to nothing.
    pub failures: u64,
}

/// All that was measured. Cheap to clone; all clones tell the same.
#[derive(Debug, Clone)]
pub struct Requests(Arc<Mutex<[Measured; 4]>>);

impl Default for Requests {
    fn default() -> Requests {
        let all = ["txn", "range", "lease", "watch"].map(|operation| Measured {
            operation,
            durations: Histogram::new(BOUNDS),
            failures: 0,
        });
        Requests(Arc::new(Mutex::new(all)))
    }
}

impl Requests {
    /// Performs a request and measures it. One that is given up is not counted.
    pub(super) async fn measure<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let sent = Instant::now();
        let result = request.await;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match operation {
            Operation::Txn => 0,
            Operation::Range => 1,
            Operation::Lease => 2,
            Operation::Watch => 3,
        };
        if let Some(measured) = all.get_mut(at) {
            measured.durations.observe(sent.elapsed());
            measured.failures += u64::from(result.is_err());
        }
        result
    }

    /// What was measured up to now.
    pub fn all(&self) -> [Measured; 4] {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }
}
