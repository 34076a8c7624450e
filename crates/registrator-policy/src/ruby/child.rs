//! One interpreter: what goes to it, what comes from it, and its end.
//!
//! Nothing blocks for longer than it is told to, whatever the other side does: all three pipes are polled together.

use crate::settings::Settings;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

/// How often a child is looked at that does not answer.
const SLICE: Duration = Duration::from_millis(20);

/// The most bytes of one answer.
const MAX_LINE: usize = 16 << 20;

/// The most bytes kept of what was printed and not yet taken.
const MAX_PRINTED: usize = 64 << 10;

/// What ended the wait for an answer.
#[derive(Debug)]
pub(super) enum Waited {
    /// A line, without its end.
    Line(Vec<u8>),
    /// The time was up, or the caller wants no more.
    Overdue,
    /// No answer can come any more, for this reason.
    Broken(String),
}

/// A running interpreter in a process group of its own. When it is dropped, the whole group ends.
pub(super) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    errors_open: bool,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// How many bytes of these have no end of a line.
    searched: usize,
    printed: Vec<u8>,
}

impl Child {
    /// Starts one.
    ///
    /// # Errors
    /// Why it cannot be started, and what to do.
    pub(super) fn start(settings: &Settings) -> Result<Child, String> {
        let mut process = super::spawner::spawn(settings)?;
        let pipes = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err("the interpreter has no pipes".into());
        };
        let child = Child {
            process,
            input,
            output,
            errors,
            errors_open: true,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            searched: 0,
            printed: Vec::new(),
        };
        let fds = [
            child.input.as_fd(),
            child.output.as_fd(),
            child.errors.as_fd(),
        ];
        for fd in fds {
            ioctl_fionbio(fd, true).map_err(|error| format!("the interpreter's pipes: {error}"))?;
        }
        Ok(child)
    }

    /// Sends bytes as far as there is room; the rest goes while an answer is waited for.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        // A failure shows when the answer is waited for.
        let _ = self.write();
    }

    /// The next line, if it comes before `until`, and before `stop` says so.
    pub(super) fn line(&mut self, until: Instant, stop: &dyn Fn() -> bool) -> Waited {
        loop {
            if let Some(line) = self.take_line() {
                return Waited::Line(line);
            }
            if self.incoming.len() > MAX_LINE {
                return Waited::Broken(format!("it answered with more than {MAX_LINE} bytes"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop() {
                return Waited::Overdue;
            }
            match self.exchange(left.min(SLICE)) {
                Ok(true) => {}
                Ok(false) => match self.process.try_wait() {
                    Ok(None) => {}
                    // What it sent before its end is read first.
                    Ok(Some(_)) if self.read().is_ok_and(|read| read > 0) => {}
                    Ok(Some(status)) => return Waited::Broken(ended(status)),
                    Err(error) => return Waited::Broken(error.to_string()),
                },
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Waited::Broken(self.how_it_ended());
                }
                Err(error) => return Waited::Broken(error.to_string()),
            }
        }
    }

    /// Whether the process is gone.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// What was printed since the last time.
    pub(super) fn take_printed(&mut self) -> Vec<u8> {
        self.read_printed();
        std::mem::take(&mut self.printed)
    }

    /// Asks it to end what it is at.
    pub(super) fn interrupt(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::USR1);
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.process.id()).ok()?)
    }

    /// Moves bytes in all directions. False if nothing happened for so long.
    fn exchange(&mut self, wait: Duration) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.output, PollFlags::IN)];
        if !self.outgoing.is_empty() {
            fds.push(PollFd::new(&self.input, PollFlags::OUT));
        }
        if self.errors_open {
            fds.push(PollFd::new(&self.errors, PollFlags::IN));
        }
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        self.read_printed();
        // A child that reads no more may have answered before.
        let wrote = self.write();
        let read = self.read()?;
        match wrote {
            Err(error) if read == 0 => Err(error),
            _ => Ok(true),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.input.write(&self.outgoing) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    /// How many bytes there were.
    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        match self.output.read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.incoming
                    .extend_from_slice(buffer.get(..read).unwrap_or_default());
                Ok(read)
            }
            Err(error) if is_nothing_yet(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn read_printed(&mut self) {
        let mut buffer = [0; 8 << 10];
        // A policy that never stops printing must not keep this from looking at the time.
        for _ in 0..64 {
            match self.errors.read(&mut buffer) {
                Ok(0) => {
                    self.errors_open = false;
                    return;
                }
                Ok(read) if self.printed.len() < MAX_PRINTED => {
                    self.printed
                        .extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let unseen = self.incoming.get(self.searched..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.incoming.len();
            return None;
        };
        let end = self.searched + found;
        self.searched = 0;
        let rest = self.incoming.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.incoming, rest);
        line.pop();
        Some(line)
    }

    /// The pipe is closed; the process ends now, or has closed it.
    fn how_it_ended(&mut self) -> String {
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            match self.process.try_wait() {
                Ok(Some(status)) => return ended(status),
                Ok(None) => std::thread::yield_now(),
                Err(error) => return error.to_string(),
            }
        }
        "it does not listen any more".into()
    }

    fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // It may have left its group.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn ended(status: ExitStatus) -> String {
    format!("it ended with {status}")
}
