//! Follows the files, on a thread of its own: slow disks must not delay the event loop.

use super::folders::Folders;
use super::known::KnownFiles;
use super::snapshot::Snapshot;
use super::{FileUpdate, FilesError, Problem, Sources, scan_policies};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How quickly changes are followed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long nothing must happen before the files are read: programs change files in several steps.
    pub quiet: Duration,
    /// When they are read although something happens all the time.
    pub patience: Duration,
    /// How often to look without any report of the kernel, which may be lost or never come, as from network disks.
    pub look: Duration,
    /// Whether to ask the kernel for reports at all.
    pub reports: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            quiet: Duration::from_millis(100),
            patience: Duration::from_secs(1),
            look: Duration::from_secs(30),
            reports: true,
        }
    }
}

/// Follows the files until it is dropped.
#[derive(Debug)]
pub struct FileWatch(Sender<Wake>);

impl FileWatch {
    /// Reads everything again, as SIGHUP asks for.
    pub fn reload(&self) {
        // The thread ends before this only if nobody receives its updates any more.
        let _ = self.0.send(Wake::Reload);
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let _ = self.0.send(Wake::Stop);
    }
}

/// Reports all files to `updates`, and then every difference, each once. At rest it takes next to no processor time.
///
/// # Errors
/// The policies are not there now, or there is no thread. Later errors are [`FileUpdate::Problem`]s.
pub fn watch(
    sources: Sources,
    pace: Pace,
    updates: mpsc::Sender<FileUpdate>,
) -> Result<FileWatch, FilesError> {
    scan_policies(&sources.policies)?;
    let (sender, inbox) = channel();
    let reports = sender.clone();
    let follow = move || {
        let folders = if pace.reports {
            // The thread of the reports ends after this one.
            Folders::new(move || {
                let _ = reports.send(Wake::Changed);
            })
        } else {
            Folders::none()
        };
        let follower = Follower {
            sources,
            pace,
            folders,
            known: KnownFiles::default(),
            updates,
        };
        follower.run(&inbox);
    };
    let thread = std::thread::Builder::new().name("files".into());
    thread.spawn(follow).map_err(FilesError::Thread)?;
    Ok(FileWatch(sender))
}

/// How often folders are looked at in a row while there are new ones. Later the next report comes, or the next look.
const MAX_LOOKS: u32 = 8;

enum Wake {
    Changed,
    Reload,
    Stop,
}

/// What a wait ended with.
enum Due {
    /// Something may have changed.
    Changed,
    /// Something may have changed, and somebody asked.
    Reload,
    /// It is time for a look.
    Look,
    Stop,
}

struct Follower {
    sources: Sources,
    pace: Pace,
    folders: Folders,
    known: KnownFiles,
    updates: mpsc::Sender<FileUpdate>,
}

impl Follower {
    fn run(mut self, inbox: &Receiver<Wake>) {
        let mut wanted = self.rescan();
        while wanted {
            wanted = match self.wait(inbox) {
                Due::Changed => self.rescan(),
                Due::Reload => self.reload(),
                Due::Look => self.look(),
                Due::Stop => false,
            };
        }
    }

    fn wait(&self, inbox: &Receiver<Wake>) -> Due {
        match inbox.recv_timeout(self.pace.look) {
            Ok(Wake::Changed) => self.settle(inbox),
            Ok(Wake::Reload) => Due::Reload,
            Err(RecvTimeoutError::Timeout) => Due::Look,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => Due::Stop,
        }
    }

    /// Waits until nothing changes any more.
    fn settle(&self, inbox: &Receiver<Wake>) -> Due {
        let end = Instant::now() + self.pace.patience;
        while Instant::now() < end {
            match inbox.recv_timeout(self.pace.quiet) {
                Ok(Wake::Changed) => {}
                Ok(Wake::Reload) => return Due::Reload,
                Err(RecvTimeoutError::Timeout) => return Due::Changed,
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Due::Stop,
            }
        }
        Due::Changed
    }

    fn reload(&mut self) -> bool {
        self.known.reload();
        self.folders.renew();
        self.send(vec![FileUpdate::ReloadRequested]) && self.rescan()
    }

    /// Renews the kernel's reports, and reads what differs.
    fn look(&mut self) -> bool {
        self.folders.renew();
        self.rescan()
    }

    fn rescan(&mut self) -> bool {
        let (snapshot, problems) = self.snapshot();
        let updates = self.known.compare(&self.sources, snapshot, problems);
        self.send(updates)
    }

    /// Looks at all folders once they are watched: what changes afterwards is reported. Also returns what cannot be watched.
    fn snapshot(&mut self) -> (Snapshot, Vec<Problem>) {
        let mut tries = MAX_LOOKS;
        loop {
            let snapshot = Snapshot::take(&self.sources);
            let armed = self.folders.arm(&self.sources, &snapshot);
            tries -= 1;
            if !armed.new || tries == 0 {
                return (snapshot, armed.problems);
            }
        }
    }

    /// Whether anybody listens.
    fn send(&self, updates: Vec<FileUpdate>) -> bool {
        for update in updates {
            if self.updates.blocking_send(update).is_err() {
                return false;
            }
        }
        !self.updates.is_closed()
    }
}
