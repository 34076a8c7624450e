//! Takes connections from the network, as many as may be.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::connection::Connection;
use super::limits::{Limits, Trouble};

/// How long to wait when the system has no connection to give: out of descriptors, out of memory.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a trouble that was told is not told again.
const QUIET: Duration = Duration::from_secs(60);

/// Whom to tell of troubles; nobody if there is none.
pub(super) type Report = Option<mpsc::UnboundedSender<Trouble>>;

/// Hands connections of `listener` to `accepted` until nobody takes them any more.
pub(super) async fn accept(
    listener: TcpListener,
    limits: Limits,
    report: Report,
    accepted: mpsc::Sender<Connection>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut full = Occasional::new(report.clone());
    let mut failed = Occasional::new(report);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
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
            // Nobody may listen any more.
            let _ = report.send(trouble());
        }
    }
}
