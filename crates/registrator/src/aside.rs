//! Work with files aside from the runtime's only thread: their disk may hang, and one of them may be a pipe that nobody writes to.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};

/// How long files are waited for. They are small, and their disk is hardly ever remote.
const WITHIN: Duration = Duration::from_secs(3);

/// Does one piece of work after the other. While one hangs no other begins, so there is never more than one thread that does.
#[derive(Debug, Clone, Default)]
pub struct Aside(Arc<Mutex<()>>);

impl Aside {
    /// Does `work` on a thread of its own.
    ///
    /// # Errors
    /// It is not done within three seconds, and may go on alone; or there is no thread.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.run_within(WITHIN, work).await
    }

    async fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.0);
        let done = async {
            let turn = turn.lock_owned().await;
            let (sender, result) = oneshot::channel();
            spawn(move || {
                // Nobody waits any more if it took too long.
                let _ = sender.send(work());
                drop(turn);
            })?;
            result.await.map_err(io::Error::other)
        };
        let done = tokio::time::timeout(limit, done).await;
        done.unwrap_or_else(|_| Err(hangs(limit)))
    }
}

/// As [`Aside::run`], but the caller's thread waits: at the start, when nothing depends on it yet.
///
/// # Errors
/// As there.
pub fn wait_for<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, result) = std::sync::mpsc::channel();
    spawn(move || {
        let _ = sender.send(work());
    })?;
    result.recv_timeout(WITHIN).map_err(|_| hangs(WITHIN))
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("files aside".into());
    thread.spawn(work).map(|_| ())
}

fn hangs(limit: Duration) -> io::Error {
    let message = format!(
        "nothing came within {limit:?}: does its disk hang, or is it a pipe that nobody writes to?"
    );
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_given_up_and_nothing_else_begins_meanwhile() {
        let aside = Aside::default();
        assert_eq!(aside.run(|| 1).await.unwrap(), 1);
        let (end, hanging) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let hung = aside.run_within(limit, move || hanging.recv()).await;
        let hung = hung.unwrap_err();
        assert_eq!(hung.kind(), io::ErrorKind::TimedOut);
        let next = aside.run_within(limit, || panic!("it began")).await;
        let next: io::Error = next.unwrap_err();
        assert_eq!(next.kind(), io::ErrorKind::TimedOut);
        drop(end);
        // As soon as the first one has come back.
        let _turn = aside.0.lock().await;
    }
}
