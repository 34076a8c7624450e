//! Loads policies without holding up the event loop.

use registrator_policy::{Diagnostic, LoadError, Policy, Settings, Severity};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the loading of a policy may take.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Loads the policy in a file, on a thread of its own.
///
/// # Errors
/// It cannot be loaded, or not within `timeout`; then its thread is left alone with it.
pub async fn load(
    path: PathBuf,
    settings: Settings,
    timeout: Duration,
) -> Result<Box<dyn Policy>, LoadError> {
    let (sender, loaded) = oneshot::channel();
    let own = path.clone();
    let thread = std::thread::Builder::new().name("policy load".into());
    let started = thread.spawn(move || {
        // Nobody waits for it any more if it took too long.
        let _ = sender.send(registrator_policy::load(&own, &settings));
    });
    if let Err(error) = started {
        return Err(failed(
            &path,
            format!("there is no thread to load it on: {error}"),
        ));
    }
    match tokio::time::timeout(timeout, loaded).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(failed(
            &path,
            "the interpreter panicked, see standard error".into(),
        )),
        Err(_) => Err(failed(
            &path,
            format!("loading takes longer than {timeout:?}: make its top level do less"),
        )),
    }
}

fn failed(path: &Path, message: String) -> LoadError {
    LoadError {
        path: path.into(),
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            file: path.display().to_string(),
            line: None,
            column: None,
            message,
            snippet: None,
        }],
    }
}
