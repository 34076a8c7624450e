//! The command line: which command runs, and how the program ends.

mod ask;
mod brake;
mod certificates;
mod check;
mod connect;
mod explain;
mod generate;
mod plan;
mod run;
mod secrets;
mod status;

use crate::error_chain::error_chain;
use crate::exit::Exit;
use crate::logging;
use crate::open_files;
use crate::settings::{CommandSettings, Environment, Generated, UsageError};
use anyhow::anyhow;
use registrator_policy::STACK_BYTES;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use tracing::{debug, warn};

/// Runs the program. `arguments` begin with the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Exit {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(wanted) = Generated::asked_for(&arguments) {
        return wanted.map_or_else(print_answer, |wanted| generate::generate(&wanted));
    }
    let settings = match CommandSettings::read(arguments, environment) {
        Ok(settings) => settings,
        Err(answer) => return print_answer(answer),
    };
    let common = settings.common();
    let colour = std::io::stderr().is_terminal() && environment.wants_colour();
    // Dropped at the end of the program, for then it flushes.
    let _log = match logging::init(common.log_level, common.log_format, colour) {
        Ok(log) => log,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", error_chain(&error));
            return Exit::Failure;
        }
    };
    for name in CommandSettings::unknown_variables(environment) {
        warn!("environment variable {name} is not one of this program's: is it misspelt?");
    }
    debug!("{settings:?}");
    open_files::raise_limit();
    let needs_files = !matches!(
        settings,
        CommandSettings::Status(_) | CommandSettings::Brake(_)
    );
    let places = if needs_files {
        connect::given_places(settings.common())
    } else {
        Ok(())
    };
    let done = places.and_then(|()| match settings {
        CommandSettings::Run(settings) => run::run(settings, environment),
        CommandSettings::Check(settings) => check::check(&settings, environment),
        CommandSettings::Plan(settings) => plan::plan(&settings, environment),
        CommandSettings::Explain(settings) => explain::explain(&settings, environment),
        CommandSettings::Status(settings) => status::status(&settings, environment),
        CommandSettings::Brake(settings) => brake::brake(&settings, environment),
    });
    done.unwrap_or_else(|error| {
        logging::fatal(error.as_ref());
        Exit::Failure
    })
}

/// Prints what clap answers. A standard error that nobody reads does not keep the program.
fn print_answer(answer: UsageError) -> Exit {
    let exit = answer.exit();
    if exit == Exit::Ok {
        answer.print();
        return exit;
    }
    let (sender, printed) = std::sync::mpsc::channel();
    let print = move || {
        answer.print();
        let _ = sender.send(());
    };
    if std::thread::Builder::new().spawn(print).is_ok() {
        let _ = printed.recv_timeout(logging::FLUSH_WITHIN);
    }
    exit
}

/// Prints a result on standard output, which may be a terminal. A reader that has seen enough, as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Does what runs policies on a thread with the stack that they may need.
fn with_stack_for_policies<T: Send>(
    name: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.into())
            .stack_size(STACK_BYTES);
        let working = thread.spawn_scoped(scope, work)?;
        working
            .join()
            .unwrap_or_else(|_| Err(anyhow!("{name} failed, see standard error")))
    })
}

/// The runtime of the adapters: one thread is plenty, and policies have their own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
