//! What the tests of Ruby policies share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use super::{Folder, config, inspect, lines};
use registrator_core::evaluate::evaluation::{EvalError, Evaluation};
use registrator_core::observe::container::Container;
use registrator_policy::{Policy, Settings, load};

/// Whether there is an interpreter; says so if not, and fails if nothing may be missing.
pub fn is_there() -> bool {
    let found = std::process::Command::new("ruby").arg("--version").output();
    if found.is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "there is no ruby"
    );
    SAID.call_once(say_skipped);
    false
}

static SAID: std::sync::Once = std::sync::Once::new();

#[allow(clippy::print_stderr)]
fn say_skipped() {
    eprintln!(
        "SKIPPED: the tests of Ruby policies because there is no ruby in PATH: apt-get install ruby"
    );
}

/// Whether the interpreter is of this version, written `3.4`, or newer: some messages are Ruby's own.
pub fn at_least(version: &str) -> bool {
    let numbers = |text: &str| format!("{text}.split('.').map(&:to_i)");
    let wanted = numbers(&format!("'{version}'"));
    let code = format!("({} <=> {wanted}) >= 0", numbers("RUBY_VERSION"));
    expression(&code, &inspect("web")) == "[true]"
}

/// Loads `p.rb` with this text.
pub fn policy_with(text: &str, settings: &Settings) -> Result<(Folder, Box<dyn Policy>), String> {
    let folder = Folder::with(&[("p.rb", text)]);
    let loaded = load(&folder.path("p.rb"), settings);
    match loaded {
        Ok(policy) => Ok((folder, policy)),
        Err(error) => Err(folder.plain(&error.to_string())),
    }
}

/// Loads `p.rb` with this text, and evaluates it for the container `web` with a configuration of these members.
pub fn outcome(text: &str, members: &str) -> Result<Evaluation, String> {
    outcome_for(text, members, &inspect("web"))
}

/// The same for another container.
pub fn outcome_for(text: &str, members: &str, container: &Container) -> Result<Evaluation, String> {
    let (folder, mut policy) = policy_with(text, &patient())?;
    let config = config(policy.as_ref(), members);
    let result = policy.evaluate(config.as_ref(), container);
    result.map_err(|error| told(&folder, &error))
}

/// The nodes as lines, or the error.
pub fn shown(text: &str, members: &str) -> String {
    match outcome(text, members) {
        Ok(evaluation) => lines(&evaluation),
        Err(error) => error,
    }
}

/// The error's kind and text, without the folder's random name.
pub fn told(folder: &Folder, error: &EvalError) -> String {
    format!("{}: {}", error.kind, folder.plain(&error.to_string()))
}

/// A policy whose `docker_container` has this body, with `container` and `config`.
pub fn body(text: &str) -> String {
    format!("def docker_container(container)\n{text}\nend\n")
}

/// Time enough for a busy machine.
pub fn patient() -> Settings {
    let mut settings = super::settings(&[]);
    settings.limits.time = std::time::Duration::from_secs(20);
    settings
}

/// An expression's value as Ruby's JSON.
pub fn expression(text: &str, container: &Container) -> String {
    let policy = body(&format!("{{ '/k' => [{text}] }}"));
    match outcome_for(&policy, "{}", container) {
        Ok(done) => lines(&done).trim().trim_start_matches("/k = ").to_owned(),
        Err(error) => error,
    }
}
