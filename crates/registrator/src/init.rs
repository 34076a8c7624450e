//! As the first process of a container: the program runs in a child, and this process takes the place of an init.
//!
//! Processes that lose their parents are left to the first process of their namespace, and stay as zombies until it waits for
//! them. Policies in Ruby may leave such. The kernel also keeps signals from a first process that has no handler for them.

use crate::exit::Exit;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What is passed on: all that the program listens to, and what asks any program to end.
const PASSED_ON: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
];

/// Runs the program again as a child, if this is the first process of its namespace, until that child ends; its exit code then.
/// `None` if this process is the program itself.
pub fn run_in_child(arguments: &[OsString]) -> Option<u8> {
    if std::process::id() != 1 {
        // The first process waits for these signals, and its child begins with the same mask.
        let _ = awaited().thread_unblock();
        return None;
    }
    // Without a child, as where there is no /proc, everything works but the waiting for strangers.
    start(arguments).ok().map(attend)
}

fn awaited() -> SigSet {
    let mut signals: SigSet = PASSED_ON.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    signals
}

/// The child has a process group of its own: `^C` on a terminal must reach it once, through this process.
fn start(arguments: &[OsString]) -> io::Result<Pid> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    awaited().thread_block()?;
    let child = command.process_group(0).spawn();
    let child = child.inspect_err(|_| _ = awaited().thread_unblock())?;
    let id = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(id))
}

fn attend(child: Pid) -> u8 {
    while let Ok(signal) = awaited().wait() {
        if signal != Signal::SIGCHLD {
            // One that has just ended needs it no longer.
            _ = kill(child, signal);
        } else if let Some(code) = reap(child) {
            return code;
        }
    }
    Exit::Failure.code()
}

/// Waits for all that have ended; the exit code of the child if it is among them.
fn reap(child: Pid) -> Option<u8> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, exit)) if pid == child => code = u8::try_from(exit).ok(),
            // As shells tell it.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                code = u8::try_from(128 + signal as i32).ok();
            }
            Ok(WaitStatus::StillAlive) => return code,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return code,
        }
    }
}
