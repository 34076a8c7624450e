//! What the program is told: flags, each also an environment variable.
//!
//! A flag wins over its variable, and an empty variable counts as not set.

mod admin;
mod command_line;
mod environment;
mod generated;
mod groups;
mod values;

pub use admin::{AdminDetails, AdminSettings, AdminSocket, SocketSettings, SubjectSettings};
pub use environment::Environment;
pub use generated::Generated;
pub use groups::{
    BrakeSettings, CommonSettings, DockerSettings, EmbeddedSettings, EtcdSettings,
    EvaluationSettings, HostFactSettings, HostSettings,
};
pub use values::{EmbeddedAccess, OnExit, OnNameConflict, OrNever};

use crate::exit::Exit;
use clap::{Args, Subcommand};
use registrator_core::tell::printable;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

/// All that the program is told. Its `Debug` form hides secrets.
#[derive(Debug, Clone, Subcommand)]
pub enum CommandSettings {
    /// Register the containers of this host in etcd, until it is stopped (the default)
    Run(RunSettings),
    /// Load and check policies and configurations, without Docker and without etcd
    Check(CheckSettings),
    /// Show what `run` would write now, and write nothing
    Plan(PlanSettings),
    /// Tell why a container, a key or an instance has what it has in etcd, or has not
    Explain(Box<ExplainSettings>),
    /// Show how a running registrator is
    Status(StatusSettings),
    /// Show what the brake on mass deletion holds back, or let it go
    Brake(BrakeCommandSettings),
}

/// What `run` is told.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// Files and log.
    #[command(flatten)]
    pub common: CommonSettings,
    /// Docker, etcd, and who this process is.
    #[command(flatten)]
    pub host: HostSettings,
    /// Who may do what in the embedded etcd.
    #[command(flatten)]
    pub embedded: EmbeddedSettings,
    /// Who may ask what.
    #[command(flatten)]
    pub admin: AdminSettings,
    /// What becomes of the nodes when the program is asked to end: keep them until the lease expires, for a restart to
    /// adopt, or release them at once
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_ON_EXIT",
        value_name = "ACTION",
        default_value = "keep",
        ignore_case = true,
        hide_possible_values = true,
        help_heading = "etcd"
    )]
    pub on_exit: OnExit,
    /// What to do if another live process has the same host id: refuse to run, or wait until it ends
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_ON_CONFLICT",
        value_name = "ACTION",
        default_value = "refuse",
        ignore_case = true,
        hide_possible_values = true,
        help_heading = "etcd"
    )]
    pub on_conflict: OnNameConflict,
    /// How long the nodes stay at most while etcd refuses this process, because of its password, its user or its rights, so
    /// that it cannot change them: from 10s to 24h, or never for no limit. Then its lease is no longer renewed
    #[arg(
        long,
        env = "KONTENA_REGISTRATOR_STALE_AFTER",
        value_name = "TIME",
        default_value = "5m",
        value_parser = values::stale_after,
        help_heading = "etcd"
    )]
    pub stale_after: OrNever,
}

/// What `check` is told.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    /// Files and log.
    #[command(flatten)]
    pub common: CommonSettings,
    /// What policies are told of this host.
    #[command(flatten)]
    pub facts: HostFactSettings,
    /// Print the result as JSON
    #[arg(long, env = "KONTENA_REGISTRATOR_JSON")]
    pub json: bool,
}

/// What `plan` is told.
#[derive(Debug, Clone, Args)]
pub struct PlanSettings {
    /// Files and log.
    #[command(flatten)]
    pub common: CommonSettings,
    /// Take the containers from this file instead of from Docker: a JSON array of inspect documents, as `docker inspect`
    /// prints it [default: none, Docker is asked]
    #[arg(long, env = "KONTENA_REGISTRATOR_CONTAINERS", value_name = "FILE")]
    pub containers: Option<PathBuf>,
    /// Compare with nothing instead of with what etcd holds
    #[arg(long, env = "KONTENA_REGISTRATOR_NO_ETCD")]
    pub no_etcd: bool,
    /// Print the plan as JSON
    #[arg(long, env = "KONTENA_REGISTRATOR_JSON")]
    pub json: bool,
    /// End with exit code 3 if there are changes to make
    #[arg(long, env = "KONTENA_REGISTRATOR_EXIT_CODE")]
    pub exit_code: bool,
    /// Docker, etcd, and who this process is.
    #[command(flatten)]
    pub host: HostSettings,
}

/// What `explain` is told.
#[derive(Debug, Clone, Args)]
pub struct ExplainSettings {
    /// What is asked about.
    #[command(flatten)]
    pub about: SubjectSettings,
    /// Where the running registrator is asked.
    #[command(flatten)]
    pub socket: SocketSettings,
    /// What is planned with if none runs.
    #[command(flatten)]
    pub plan: PlanSettings,
}

/// What `status` is told.
#[derive(Debug, Clone, Args)]
pub struct StatusSettings {
    /// Files and log.
    #[command(flatten)]
    pub common: CommonSettings,
    /// Where the running registrator is asked.
    #[command(flatten)]
    pub socket: SocketSettings,
    /// Print the status as JSON
    #[arg(long, env = "KONTENA_REGISTRATOR_JSON")]
    pub json: bool,
    /// Print only what is not ready, and end with exit code 1 if there is something
    #[arg(long, env = "KONTENA_REGISTRATOR_READY")]
    pub ready: bool,
}

/// What `brake` is told.
#[derive(Debug, Clone, Args)]
pub struct BrakeCommandSettings {
    /// Files and log.
    #[command(flatten)]
    pub common: CommonSettings,
    /// Where the running registrator is asked.
    #[command(flatten)]
    pub socket: SocketSettings,
    /// Print the answer as JSON
    #[arg(long, env = "KONTENA_REGISTRATOR_JSON")]
    pub json: bool,
    /// release: delete the nodes that are held back now. Without it they are shown
    #[arg(value_name = "ACTION", value_parser = ["release"], hide_possible_values = true)]
    pub action: Option<String>,
}

/// Why there are no settings: a wrong command line or environment, or a question such as `--help`.
#[derive(Debug)]
pub struct UsageError(clap::Error);

impl UsageError {
    /// Prints the answer on standard output, or the error on standard error. It repeats what was given, which a terminal must not obey.
    pub fn print(&self) {
        // A closed output leaves nobody to tell.
        let _ = match self.exit() {
            Exit::Ok => self.0.print(),
            _ => std::io::stderr().write_all(printable::lines(&self.to_string()).as_bytes()),
        };
    }

    /// How the program ends then.
    pub fn exit(&self) -> Exit {
        if self.0.use_stderr() {
            Exit::Usage
        } else {
            Exit::Ok
        }
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for UsageError {}

impl CommandSettings {
    /// Reads the command line, whose first argument is the program's name, and the environment.
    ///
    /// # Errors
    /// One of them is wrong, and the error names flag and variable; or help or the version is asked for.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &Environment,
    ) -> Result<CommandSettings, UsageError> {
        command_line::read(arguments, environment).map_err(UsageError)
    }

    /// What every command is told.
    pub fn common(&self) -> &CommonSettings {
        match self {
            CommandSettings::Run(run) => &run.common,
            CommandSettings::Check(check) => &check.common,
            CommandSettings::Plan(plan) => &plan.common,
            CommandSettings::Explain(explain) => &explain.plan.common,
            CommandSettings::Status(status) => &status.common,
            CommandSettings::Brake(brake) => &brake.common,
        }
    }

    fn common_mut(&mut self) -> &mut CommonSettings {
        match self {
            CommandSettings::Run(run) => &mut run.common,
            CommandSettings::Check(check) => &mut check.common,
            CommandSettings::Plan(plan) => &mut plan.common,
            CommandSettings::Explain(explain) => &mut explain.plan.common,
            CommandSettings::Status(status) => &mut status.common,
            CommandSettings::Brake(brake) => &mut brake.common,
        }
    }

    /// Variables that look like ours and are none, such as one with a typing error: worth a warning.
    pub fn unknown_variables(environment: &Environment) -> Vec<String> {
        command_line::unknown_variables(environment)
    }
}

#[cfg(test)]
mod tests;
