//! Who may have a big message now: a few of all network clients, and one of each connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Extensions;

/// What a message may have without a turn, in bytes.
pub(super) const SMALL: usize = 16 << 10;

/// What all calls of one connection share.
#[derive(Clone, Debug)]
pub(super) struct OfConnection(Arc<Semaphore>);

impl OfConnection {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// One call's turn, which it takes when a message of it turns out to be big. Clones are the same turn.
#[derive(Clone, Debug)]
pub(super) struct Turn(Arc<State>);

#[derive(Debug)]
struct State {
    of_connection: OfConnection,
    of_all: Arc<Semaphore>,
    held: Mutex<Option<Held>>,
}

/// A turn that was taken; dropping it lets the next one have it.
#[derive(Debug)]
pub(super) struct Held {
    _of_connection: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turn {
    /// A turn among those of `of_all`.
    pub(super) fn new(of_connection: OfConnection, of_all: Arc<Semaphore>) -> Self {
        Self(Arc::new(State {
            of_connection,
            of_all,
            held: Mutex::new(None),
        }))
    }

    /// Waits for the turn, unless it was taken before.
    pub(super) async fn take(&self) {
        if self.held().is_some() {
            return;
        }
        let of_connection = self.0.of_connection.0.clone().acquire_owned().await;
        let of_all = self.0.of_all.clone().acquire_owned().await;
        // Neither is ever closed.
        if let (Ok(of_connection), Ok(of_all)) = (of_connection, of_all) {
            *self.held() = Some(Held {
                _of_connection: of_connection,
                _of_all: of_all,
            });
        }
    }

    /// Hands on the turn, if it was taken.
    pub(super) fn hand_on(&self) -> Option<Held> {
        self.held().take()
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the turn of the call with these extensions if its answer is not small. Calls within the process need none.
pub(super) async fn for_answer(extensions: &Extensions, is_small: impl FnOnce() -> bool) {
    if let Some(turn) = extensions.get::<Turn>()
        && !is_small()
    {
        turn.take().await;
    }
}
