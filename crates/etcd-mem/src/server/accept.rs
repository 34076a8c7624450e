//! Takes connections from the network, as many as may be.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::connection::Connection;
use super::limits::{Limits, Trouble};

/// How long to wait when the system has no connection to give: out of descriptors, out of memory.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a trouble that was told is not told again.
const QUIET: Duration = Duration::from_secs(60);

/// Where troubles are told, if anywhere.
pub(super) type Report = Option<mpsc::UnboundedSender<Trouble>>;

/// Hands the connections that `next` gives to `accepted`, until nobody takes them any more.
pub(super) async fn accept(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<TcpStream>>,
    limits: Limits,
    report: Report,
    accepted: mpsc::Sender<Connection>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut full = Occasional::new(report.clone());
    let mut failed = Occasional::new(report);
    loop {
        let stream = match poll_fn(&mut next).await {
            Ok(stream) => stream,
            Err(error) if is_of_the_client(&error) => continue,
            Err(error) => {
                failed.tell(|| Trouble::Accept(error));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            full.tell(|| Trouble::Full {
                connections: limits.connections,
            });
            continue;
        };
        // Without it answers are only slower.
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream, place, limits.patience);
        if accepted.send(connection).await.is_err() {
            return;
        }
    }
}

/// The client went away between its call and our answer; the next one has nothing to do with it.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Tells the same thing only now and then.
struct Occasional {
    report: Report,
    last: Option<Instant>,
}

impl Occasional {
    fn new(report: Report) -> Self {
        Self { report, last: None }
    }

    fn tell(&mut self, trouble: impl FnOnce() -> Trouble) {
        if self.last.is_some_and(|last| last.elapsed() < QUIET) {
            return;
        }
        self.last = Some(Instant::now());
        if let Some(report) = &self.report {
            // If the owner does not listen any more, there is nobody to tell.
            let _ = report.send(trouble());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is tried in a tenth of a second, and what is told.
    async fn failing_with(error: fn() -> io::Error) -> (usize, usize) {
        let mut tries = 0;
        let next = |context: &mut Context<'_>| {
            tries += 1;
            // It comes late at every other time, so that others have their turn.
            if tries % 2 == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Err(error()))
        };
        let (report, mut troubles) = mpsc::unbounded_channel();
        let (accepted, _connections) = mpsc::channel(1);
        let accepting = accept(next, Limits::default(), Some(report), accepted);
        let end = tokio::time::timeout(PAUSE / 10, accepting).await;
        end.expect_err("it goes on");
        let mut told = 0;
        while let Ok(Trouble::Accept(_)) = troubles.try_recv() {
            told += 1;
        }
        (tries, told)
    }

    #[tokio::test]
    async fn without_descriptors_it_waits() {
        let (tries, told) = failing_with(|| io::Error::from_raw_os_error(24)).await;
        assert_eq!((tries, told), (1, 1));
    }

    #[tokio::test]
    async fn a_client_that_went_away_costs_no_time() {
        let (tries, told) = failing_with(|| io::ErrorKind::ConnectionAborted.into()).await;
        assert!(tries > 10 && told == 0, "{tries}, {told}");
    }
}
