//! Keeping the lease alive.

use crate::attempts::Attempts;
use crate::etcd::BACKOFF;
use crate::etcd::client::{EtcdClient, KeepAliveStream};
use crate::etcd::error::Error;
use crate::etcd::renewals::Renewals;
use registrator_core::backoff::Backoff;
use registrator_core::own::LeaseId;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What is known about the lease.
#[derive(Debug, Clone)]
pub(super) enum Health {
    /// Nothing yet.
    Unknown,
    /// It was renewed.
    Alive,
    /// It cannot be renewed now.
    Failing {
        error: Error,
        /// Whether it has most likely ended: its TTL has passed since the last renewal was sent.
        overdue: bool,
    },
    /// It has ended.
    Lost,
}

/// A task that keeps one lease alive until it is dropped or the lease has ended.
pub(super) struct Keeper {
    health: watch::Receiver<Health>,
    task: JoinHandle<()>,
}

/// The pause between two renewals of a beacon, whose process has a lease of `ttl`: the same, as long as it leaves time for three.
pub(super) fn beacon_interval(ttl: Duration, beacon_ttl: Duration) -> Duration {
    renewal_interval(ttl).min(beacon_ttl / 3)
}

/// The pause between two renewals of a lease: a tenth of its TTL, but 1 s at least, unless that is more than a third of it.
pub(super) fn renewal_interval(ttl: Duration) -> Duration {
    (ttl / 10).max((ttl / 3).min(Duration::from_secs(1)))
}

impl Keeper {
    /// Begins at once, and renews after each `interval`.
    pub(super) fn start(
        client: EtcdClient,
        lease: LeaseId,
        ttl: Duration,
        interval: Duration,
        renewals: Option<Renewals>,
    ) -> Keeper {
        let (sender, health) = watch::channel(Health::Unknown);
        let renewal = Renewal {
            client,
            lease,
            interval,
            patience: (ttl / 6).clamp(Duration::from_secs(1), Duration::from_secs(5)),
            until: Instant::now() + ttl,
            health: sender,
            renewals,
        };
        Keeper {
            health,
            task: tokio::spawn(renewal.run()),
        }
    }

    /// Whether the latest renewal succeeded.
    pub(super) fn is_renewed(&self) -> bool {
        matches!(*self.health.borrow(), Health::Alive)
    }

    /// Waits for news.
    pub(super) async fn changed(&mut self) -> Health {
        match self.health.changed().await {
            Ok(()) => self.health.borrow_and_update().clone(),
            // The task ends when the lease has ended, and that was said already.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Renewal {
    client: EtcdClient,
    lease: LeaseId,
    interval: Duration,
    patience: Duration,
    /// How long the lease lives at least: the TTL, counted from when the request was sent.
    until: Instant,
    health: watch::Sender<Health>,
    renewals: Option<Renewals>,
}

impl Renewal {
    async fn run(mut self) {
        let mut attempts = Attempts::new(Backoff {
            longest: self.interval,
            ..BACKOFF
        });
        loop {
            match self.renew_while_possible(&mut attempts).await {
                Error::LeaseNotFound { .. } => {
                    self.health.send_replace(Health::Lost);
                    return;
                }
                error => {
                    self.health.send_replace(Health::Failing {
                        error,
                        overdue: self.until < Instant::now(),
                    });
                    tokio::time::sleep(attempts.failed()).await;
                }
            }
        }
    }

    /// A stream that breaks is opened again at once, but not one that breaks at once time and again.
    async fn renew_while_possible(&mut self, attempts: &mut Attempts) -> Error {
        let mut broke_early = false;
        loop {
            let sent = Instant::now();
            let opening = self.client.keep_alive_within(self.lease, self.patience);
            let (mut stream, first) = match opening.await {
                Ok(opened) => opened,
                Err(error) => return error,
            };
            if let Err(error) = self.note(sent, first.ttl) {
                return error;
            }
            if !broke_early {
                attempts.succeeded();
            }
            let error = self.renew_over(&mut stream, sent).await;
            let early = sent.elapsed() < self.interval;
            if (early && broke_early) || matches!(error, Error::LeaseNotFound { .. }) {
                return error;
            }
            broke_early = early;
        }
    }

    async fn renew_over(&mut self, stream: &mut KeepAliveStream, mut sent: Instant) -> Error {
        loop {
            tokio::select! {
                error = stream.broken() => return error,
                () = tokio::time::sleep_until(sent + self.interval) => {}
            }
            sent = Instant::now();
            let renewed = match stream.renew(self.lease, self.patience).await {
                Ok(answer) => self.note(sent, answer.ttl),
                Err(error) => Err(error),
            };
            if let Err(error) = renewed {
                return error;
            }
        }
    }

    /// On a living stream the answer for a lease that has ended is a TTL of 0.
    fn note(&mut self, sent: Instant, ttl: i64) -> Result<(), Error> {
        match u64::try_from(ttl) {
            Ok(ttl) if ttl > 0 => {
                self.until = sent + Duration::from_secs(ttl);
                self.health.send_replace(Health::Alive);
                if let Some(renewals) = &self.renewals {
                    renewals.note(sent.into_std());
                }
                Ok(())
            }
            _ => Err(Error::LeaseNotFound {
                endpoint: self.client.endpoint(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_leave_time_for_three_attempts() {
        for (ttl, expected) in [
            (2, 666),
            (3, 1000),
            (5, 1000),
            (10, 1000),
            (30, 3000),
            (60, 6000),
        ] {
            let interval = renewal_interval(Duration::from_secs(ttl));
            assert_eq!(interval.as_millis(), expected, "for a TTL of {ttl} s");
        }
        for (ttl, beacon, expected) in [(30, 15, 3000), (5, 2, 666), (4, 4, 1000)] {
            let [ttl, beacon] = [ttl, beacon].map(Duration::from_secs);
            let interval = beacon_interval(ttl, beacon);
            assert_eq!(interval.as_millis(), expected, "for a TTL of {ttl:?}");
        }
    }
}
