//! From a command line and an environment to [`CommandSettings`].
//!
//! clap would read the process's environment by itself, and take an empty variable for a value. So the variables that
//! the options declare are taken away from clap here: their values become defaults, and their names part of the help.

use super::groups::{CommonSettings, EtcdSettings, Given, HostFactSettings};
use super::{CommandSettings, Environment, RunSettings};
use clap::builder::{BoolishValueParser, Resettable, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use registrator_core::evaluate::fence::covers;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Watches the containers of this Docker host, runs policies over them, and keeps exactly the nodes that the policies
/// ask for in etcd, under one lease
#[derive(Debug, Parser)]
#[command(
    name = "kontena-registrator",
    version,
    max_term_width = 80,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Without a command it runs: the options are those of `run`. Every option can be given by its environment variable; an empty one counts as not set.\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 changes pending (`plan --exit-code`) or nodes missing (`explain --exit-code`)."
)]
struct CommandLine {
    #[command(flatten)]
    run: RunSettings,
    #[command(subcommand)]
    command: Option<CommandSettings>,
}

/// Reads and checks everything.
pub(super) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<CommandSettings, clap::Error> {
    let mut command = command(environment);
    let matches = command.try_get_matches_from_mut(arguments);
    let given = given(matches.as_ref().ok(), environment);
    let line = matches.and_then(|matches| CommandLine::from_arg_matches(&matches));
    let line = line.map_err(|error| with_variable(error).format(&mut command))?;
    let mut settings = line.command.unwrap_or(CommandSettings::Run(line.run));
    settings.common_mut().given = given;
    match contradiction(&settings) {
        Some(text) => Err(command.error(ErrorKind::ArgumentConflict, text)),
        None => Ok(settings),
    }
}

/// Whether somebody gave the places of policies and configurations.
fn given(matches: Option<&ArgMatches>, environment: &Environment) -> Given {
    let Some(matches) = matches else {
        return Given::default();
    };
    let matches = matches.subcommand().map_or(matches, |(_, of_it)| of_it);
    let is_given = |option, variable| {
        matches.value_source(option) == Some(ValueSource::CommandLine)
            || environment.get(variable).is_some()
    };
    Given {
        policies: is_given("policies", "KONTENA_REGISTRATOR_POLICIES"),
        services: is_given("services", "KONTENA_REGISTRATOR_SERVICES"),
    }
}

/// The command line's definition with the environment in it.
pub(super) fn command(environment: &Environment) -> Command {
    CommandLine::command()
        .mut_args(|arg| with_environment(arg, environment))
        .mut_subcommands(|sub| sub.mut_args(|arg| with_environment(arg, environment)))
}

/// The variables of all options, with the option that each belongs to.
pub(super) fn variables() -> BTreeSet<(String, String)> {
    let command = CommandLine::command();
    let subcommands = command.get_subcommands();
    subcommands
        .chain([&command])
        .flat_map(Command::get_arguments)
        .filter_map(|arg| Some((variable(arg)?, arg.get_long()?.to_owned())))
        .collect()
}

/// An option with a variable.
pub(super) struct Documented {
    pub(super) variable: String,
    pub(super) about: String,
    /// Empty where nothing counts as given.
    pub(super) default: String,
}

/// The options of `run`, in the order of its help.
pub(super) fn variables_of_run() -> Vec<Documented> {
    let command = CommandLine::command();
    let option = |arg: &Arg| {
        let about = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
        let default = arg.get_default_values().first();
        let default = default.map(|value| value.to_string_lossy().into_owned());
        Some(Documented {
            variable: variable(arg)?,
            about,
            default: default.unwrap_or_default(),
        })
    };
    command.get_arguments().filter_map(option).collect()
}

pub(super) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known = variables();
    let is_known = |name: &str| {
        known.iter().any(|(variable, _)| variable == name) || Environment::is_alias(name)
    };
    environment
        .names()
        .filter(|name| name.starts_with("KONTENA_REGISTRATOR_") && !is_known(name))
        .map(str::to_owned)
        .collect()
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env()?.to_str().map(str::to_owned)
}

fn with_environment(arg: Arg, environment: &Environment) -> Arg {
    let Some(name) = variable(&arg) else {
        return arg;
    };
    let help = help(&arg, &name);
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.env(Resettable::Reset).help(help);
    let arg = if is_switch {
        arg.value_parser(BoolishValueParser::new())
    } else {
        arg.hide_default_value(true)
    };
    match environment.get(&name) {
        Some(value) => arg.default_value(value.to_owned()),
        None => arg,
    }
}

/// The option's text, then its variable, then its default where that is a value and not explained in the text.
fn help(arg: &Arg, variable: &str) -> StyledStr {
    let text = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    let default = match arg.get_default_values() {
        _ if matches!(arg.get_action(), ArgAction::SetTrue) => " [default: off]".to_owned(),
        [] => String::new(),
        [value] if value.is_empty() => " [default: off]".to_owned(),
        [value, ..] => format!(" [default: {}]", value.to_string_lossy()),
    };
    match text.split_once(" [default:") {
        Some((before, after)) => format!("{before}\n[env: {variable}] [default:{after}"),
        None => format!("{text}\n[env: {variable}]{default}"),
    }
    .into()
}

/// Whoever set the variable does not know the flag, and the other way round: the error names both.
fn with_variable(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let long = shown.trim_start_matches("--");
    let end = long.find([' ', '=', '[']).unwrap_or(long.len());
    let long = long.get(..end).unwrap_or(long);
    let known = variables();
    if let Some((variable, _)) = known.iter().find(|(_, option)| option == long) {
        let both = format!("{shown}' or '{variable}");
        error.insert(ContextKind::InvalidArg, ContextValue::String(both));
    }
    error
}

/// What is wrong with settings that are right one by one.
fn contradiction(settings: &CommandSettings) -> Option<String> {
    let (common, facts) = match settings {
        CommandSettings::Run(run) => (&run.common, &run.host.facts),
        CommandSettings::Plan(plan) => (&plan.common, &plan.host.facts),
        CommandSettings::Explain(it) => (&it.plan.common, &it.plan.host.facts),
        CommandSettings::Check(check) => (&check.common, &check.facts),
        CommandSettings::Status(_) | CommandSettings::Brake(_) => return None,
    };
    let etcd = || match settings {
        CommandSettings::Run(run) => etcd_contradiction(&run.host.etcd, false),
        CommandSettings::Plan(plan) => etcd_contradiction(&plan.host.etcd, plan.no_etcd),
        CommandSettings::Explain(it) => etcd_contradiction(&it.plan.host.etcd, it.plan.no_etcd),
        CommandSettings::Check(_) | CommandSettings::Status(_) | CommandSettings::Brake(_) => None,
    };
    nothing_asked(settings)
        .or_else(|| common_contradiction(common))
        .or_else(|| fact_contradiction(facts))
        .or_else(etcd)
}

fn nothing_asked(settings: &CommandSettings) -> Option<String> {
    let CommandSettings::Explain(explain) = settings else {
        return None;
    };
    let about = &explain.about;
    let asked = [
        &about.subject,
        &about.container,
        &about.key,
        &about.instance,
    ];
    let is_asked = asked.iter().any(|asked| asked.is_some());
    (!is_asked).then(|| {
        "name what is to be explained: a container, a key, or an instance such as skydns:bridge"
            .to_owned()
    })
}

fn fact_contradiction(facts: &HostFactSettings) -> Option<String> {
    let of_one_family = |is_v4| {
        let mut addresses = facts
            .host_ips
            .iter()
            .filter(move |ip| ip.is_ipv4() == is_v4);
        Some((addresses.next()?, addresses.next()?))
    };
    let (first, second) = of_one_family(true).or_else(|| of_one_family(false))?;
    let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
    Some(format!(
        "--host-ip (KONTENA_REGISTRATOR_HOST_IP) has two {family} addresses, {first} and {second}: give at most one IPv4 and one IPv6 address"
    ))
}

fn common_contradiction(common: &CommonSettings) -> Option<String> {
    let empty = common.services.as_os_str().is_empty();
    empty.then(|| "--services (KONTENA_REGISTRATOR_SERVICES) must not be empty".to_owned())
}

fn etcd_contradiction(etcd: &EtcdSettings, without_etcd: bool) -> Option<String> {
    let text = match (&etcd.etcd_cert_file, &etcd.etcd_key_file) {
        (Some(_), None) => {
            "--etcd-cert-file (ETCD_CERT_FILE) needs --etcd-key-file (ETCD_KEY_FILE)"
        }
        (None, Some(_)) => {
            "--etcd-key-file (ETCD_KEY_FILE) needs --etcd-cert-file (ETCD_CERT_FILE)"
        }
        _ => password_contradiction(etcd).unwrap_or_default(),
    };
    if !text.is_empty() {
        return Some(text.into());
    }
    if let Some(prefix) = own_prefix(etcd) {
        return Some(format!(
            "--allow-prefix (KONTENA_REGISTRATOR_ALLOW_PREFIX) {prefix} is inside --etcd-meta-prefix (KONTENA_REGISTRATOR_META_PREFIX) {}, where policies may not write",
            etcd.meta_prefix
        ));
    }
    let option = idle_option(etcd).filter(|_| !without_etcd && !etcd.is_external())?;
    Some(format!(
        "{option} says how to reach etcd, but not where it is: give --etcd-endpoint (ETCD_ENDPOINT) too"
    ))
}

fn password_contradiction(etcd: &EtcdSettings) -> Option<&'static str> {
    let password = etcd.etcd_password.is_some();
    let file = etcd.etcd_password_file.is_some();
    match (etcd.etcd_username.is_some(), password, file) {
        (_, true, true) => Some(
            "--etcd-password (ETCD_PASSWORD) and --etcd-password-file (ETCD_PASSWORD_FILE) say the same: give one of them",
        ),
        (true, false, false) => Some(
            "--etcd-username (ETCD_USERNAME) needs --etcd-password-file (ETCD_PASSWORD_FILE) or --etcd-password (ETCD_PASSWORD)",
        ),
        (false, true, _) => {
            Some("--etcd-password (ETCD_PASSWORD) needs --etcd-username (ETCD_USERNAME)")
        }
        (false, _, true) => {
            Some("--etcd-password-file (ETCD_PASSWORD_FILE) needs --etcd-username (ETCD_USERNAME)")
        }
        (true, ..) | (false, false, false) => None,
    }
}

fn own_prefix(etcd: &EtcdSettings) -> Option<&String> {
    let prefixes = etcd.allow_prefixes.iter();
    let mut own = prefixes.filter(|prefix| covers(&etcd.meta_prefix, prefix));
    own.next()
}

/// An option that means nothing to the embedded etcd: the endpoint was forgotten, or its variable is misspelt.
fn idle_option(etcd: &EtcdSettings) -> Option<&'static str> {
    let given = [
        (etcd.etcd_ca_file.is_some(), "--etcd-ca-file (ETCD_CA_FILE)"),
        (
            etcd.etcd_cert_file.is_some(),
            "--etcd-cert-file (ETCD_CERT_FILE)",
        ),
        (
            etcd.etcd_username.is_some(),
            "--etcd-username (ETCD_USERNAME)",
        ),
    ];
    given
        .iter()
        .find(|(given, _)| *given)
        .map(|(_, option)| *option)
}
