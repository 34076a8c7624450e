//! Starts interpreters.
//!
//! Linux ends a child with the *thread* that started it, if the child asks for that (`PR_SET_PDEATHSIG`). So one thread, which
//! lives as long as the process, starts all of them.

use crate::settings::Settings;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

/// Reads the host script of the given length, and begins it. What the policy reads and prints must not be the protocol's, so
/// the two ends of it are taken from the standard streams first. Policies see the local variables here, so their names are long.
const BOOT: &str = "__registrator_in__=$stdin.dup;__registrator_out__=$stdout.dup;eval(__registrator_in__.read(__registrator_in__.gets.to_i),nil,'(registrator)');Kontena::Registrator::Host.new(__registrator_in__,__registrator_out__).run";

/// Where programs are that no `PATH` leads to.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

type Job = (Command, Sender<io::Result<Child>>);

/// Starts an interpreter that waits for the host script.
///
/// # Errors
/// There is no interpreter, or it cannot be started; in words for people.
pub(super) fn spawn(settings: &Settings) -> Result<Child, String> {
    let program = find(settings)?;
    let mut command = Command::new(&program);
    command
        .args(["-EUTF-8", "-e", BOOT])
        .env_clear()
        .envs(settings.env.iter())
        // Two arenas: threads must not each reserve a part of the address space, which is limited.
        // Whoever watches over the registrator hears of it from the registrator alone.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .env("MALLOC_ARENA_MAX", "2")
        // The environment is text in this locale's encoding, before Ruby 3.0.
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    start(command).map_err(|error| format!("{} cannot be started: {error}", program.display()))
}

fn start(command: Command) -> io::Result<Child> {
    static JOBS: OnceLock<Option<Sender<Job>>> = OnceLock::new();
    let gone = || io::Error::other("there is no thread to start it on");
    let jobs = JOBS.get_or_init(thread).as_ref().ok_or_else(gone)?;
    let (sender, started) = channel();
    jobs.send((command, sender)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}

fn thread() -> Option<Sender<Job>> {
    let (jobs, inbox) = channel::<Job>();
    let thread = std::thread::Builder::new().name("ruby spawner".into());
    let started = thread.spawn(move || {
        for (mut command, answer) in inbox {
            // Whoever asked waits for it.
            let _ = answer.send(command.spawn());
        }
    });
    started.ok().map(|_| jobs)
}

/// Looks for the interpreter where the policies' environment says, where this process's does, and in the usual places.
fn find(settings: &Settings) -> Result<PathBuf, String> {
    let ruby = &settings.ruby;
    if ruby.components().count() > 1 {
        return if ruby.exists() {
            Ok(ruby.clone())
        } else {
            Err(missing(ruby))
        };
    }
    let own = std::env::var_os("PATH").unwrap_or_default();
    let given = settings.env.get("PATH").map(String::as_str);
    let folders = std::env::split_paths(given.unwrap_or_default())
        .chain(std::env::split_paths(&own))
        .chain(std::env::split_paths(USUAL))
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut found = folders
        .map(|folder| folder.join(ruby))
        .filter(|path| path.is_file());
    found.next().ok_or_else(|| missing(ruby))
}

fn missing(ruby: &Path) -> String {
    format!(
        "Ruby policies need a Ruby interpreter, and there is no {}: install it (Debian and Ubuntu: apt-get install ruby; Alpine: apk add ruby ruby-json; Fedora: dnf install ruby), or name it with --ruby (KONTENA_REGISTRATOR_RUBY)",
        ruby.display()
    )
}
