//! The clock that leases end by: the system's, or one that a test sets by hand.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells the time since its own beginning.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    Manual { now: watch::Receiver<Duration> },
}

/// A clock that moves only when told to. After it is dropped its time stands still.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Duration>,
}

impl Clock {
    /// The monotonic clock of tokio, so paused time in a test holds for it too.
    pub fn system() -> Self {
        Self(Source::System {
            start: Instant::now(),
        })
    }

    /// A clock at zero, and the hand that moves it.
    pub fn manual() -> (Self, ManualClock) {
        let (sender, receiver) = watch::channel(Duration::ZERO);
        (
            Self(Source::Manual { now: receiver }),
            ManualClock { now: sender },
        )
    }

    pub(super) fn now(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::Manual { now } => *now.borrow(),
        }
    }

    pub(super) async fn sleep_until(&self, deadline: Duration) {
        match &self.0 {
            Source::System { start } => match start.checked_add(deadline) {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            },
            Source::Manual { now } => {
                if now.clone().wait_for(|now| *now >= deadline).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}

impl ManualClock {
    /// Moves the time forward. Every request after this sees the leases that have ended as gone.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(by));
    }
}
