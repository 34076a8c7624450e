//! Loads and runs the policies of Kontena Registrator.
//!
//! A policy is a pure function *(configuration, container) → nodes*. It sees nothing else, so equal inputs give equal nodes.
//! This crate is synchronous: it reads policy files, and runs the interpreters of those in Ruby. Threads, timers and reloading are
//! the caller's.

mod canceller;
mod deep_stack;
mod define;
mod diagnostic;
mod inspect;
mod log;
pub mod names;
mod ruby;
mod settings;
mod star;

pub use canceller::Canceller;
pub use deep_stack::STACK_BYTES;
pub use diagnostic::{Diagnostic, LoadError, Severity};
pub use settings::{Limits, Settings};

use registrator_core::evaluate::evaluation::{EvalError, Evaluation};
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use std::path::Path;

/// A loaded policy, in whatever language.
pub trait Policy: Send {
    /// What the policy declares about itself.
    fn spec(&self) -> &PolicySpec;

    /// Asks the policy for the nodes of one container, under a configuration if it declares one.
    ///
    /// Takes microseconds, and at most [`Limits::time`] and a little more. Call it on a thread with a stack of [`STACK_BYTES`]: on
    /// a smaller one, a policy that nests values thousands deep and prints them ends the process.
    ///
    /// # Errors
    /// The policy's code failed, used too much, or returned something that is not nodes. A panic of the interpreter is one too.
    fn evaluate(
        &mut self,
        config: Option<&Config>,
        container: &Container,
    ) -> Result<Evaluation, EvalError>;

    /// Looks for what is wrong with a configuration that fits the schema, within the limits of an evaluation: a policy may have code
    /// that does, or that converts it. There are no nodes in the answer, only what was printed.
    ///
    /// # Errors
    /// That code failed.
    fn check(&mut self, _config: &Config) -> Result<Evaluation, EvalError> {
        Ok(Evaluation::default())
    }

    /// Ends a running evaluation from another thread.
    fn canceller(&self) -> Canceller;
}

/// Whether a file is a policy, by its name: `*.star` or `*.rb`, not hidden.
pub fn is_policy_file(path: &Path) -> bool {
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    extension(path).is_some() && path.file_name().is_some_and(|name| !hidden(name))
}

/// Loads the policy in a file, on a thread of its own with [`STACK_BYTES`].
///
/// # Errors
/// The file cannot be read, is in no known language, or its code is wrong: with file, line and column where they are known.
pub fn load(path: &Path, settings: &Settings) -> Result<Box<dyn Policy>, LoadError> {
    let failed = |diagnostic| LoadError {
        path: path.into(),
        diagnostics: vec![diagnostic],
    };
    let (language, name) = recognise(path).map_err(|message| failed(about(path, message)))?;
    let loaded = match language {
        Language::Starlark => deep_stack::run(|| star::load(path, name, settings)),
        Language::Ruby => Ok(ruby::load(path, name, settings)),
    };
    let loaded = loaded.map_err(|panic| {
        failed(about(
            path,
            format!("the interpreter failed while loading it: {panic}"),
        ))
    })?;
    loaded.map_err(failed)
}

/// Everything that can be found wrong with a policy: type errors and suspicious code in it and its helper files, and, if there
/// is no error among them, the error of loading it; else the attributes of the configuration that it uses and does not declare.
pub fn lint(path: &Path, settings: &Settings) -> Vec<Diagnostic> {
    let findings = match recognise(path) {
        Ok((Language::Starlark, _)) => deep_stack::run(|| star::lint(path)),
        Ok((Language::Ruby, _)) => Ok(Vec::new()),
        Err(message) => return vec![about(path, message)],
    };
    let mut findings = findings.unwrap_or_default();
    let mut severities = findings.iter().map(|finding| finding.severity);
    let is_clean = severities.all(|severity| severity != Severity::Error);
    match load(path, settings) {
        Ok(policy) if extension(path) == Some(Language::Starlark) => {
            let schema = policy.spec().schema.as_ref();
            let found = deep_stack::run(|| star::undeclared(path, schema));
            findings.extend(found.unwrap_or_default());
        }
        Err(error) if is_clean => findings.extend(error.diagnostics),
        Ok(_) | Err(_) => {}
    }
    findings
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Starlark,
    Ruby,
}

fn extension(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        "star" => Some(Language::Starlark),
        "rb" => Some(Language::Ruby),
        _ => None,
    }
}

/// The policy's language and name, if it has both.
fn recognise(path: &Path) -> Result<(Language, PolicyName), String> {
    let language = extension(path).ok_or("a policy is a *.star or *.rb file")?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = PolicyName::parse(&stem).map_err(|error| error.to_string())?;
    Ok((language, name))
}

fn about(path: &Path, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: None,
        column: None,
        message,
        snippet: None,
    }
}
