//! The policies that are loaded: what the core is told of them, and their place on the evaluators' threads.
//!
//! Loading runs policy code, so it happens on a thread of its own, one change of files after the other.

use crate::evaluators::{self, Evaluators, LOAD_TIMEOUT};
use crate::files::{PolicyChanges, PolicyFile};
use registrator_core::observe::config::RawConfig;
use registrator_core::observe::instance::Problem;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use registrator_core::observe::watch;
use registrator_core::reconciler::Event;
use registrator_policy::{LoadError, Policy, Settings};
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What came of loading one file.
type LoadResult = Result<Box<dyn Policy>, LoadError>;

/// What came of loading changed files.
pub struct Loaded {
    results: Vec<(PolicyFile, LoadResult)>,
    gone: Vec<PolicyFile>,
}

/// Loads what is sent, in order, and answers each message with one [`Loaded`].
pub fn loader(settings: Settings) -> (UnboundedSender<PolicyChanges>, UnboundedReceiver<Loaded>) {
    let (changes, mut inbox) = unbounded_channel::<PolicyChanges>();
    let (outbox, loaded) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(changes) = inbox.recv().await {
            let mut results = Vec::new();
            for file in changes.changed {
                let policy =
                    evaluators::load(file.path.clone(), settings.clone(), LOAD_TIMEOUT).await;
                results.push((file, policy));
            }
            if outbox
                .send(Loaded {
                    results,
                    gone: changes.gone,
                })
                .is_err()
            {
                return;
            }
        }
    });
    (changes, loaded)
}

/// Loads policies for one use, on this thread: what the core is told, and the policies by name.
pub fn load_now(
    files: Vec<PolicyFile>,
    settings: &Settings,
) -> (Event, BTreeMap<PolicyName, Box<dyn Policy>>) {
    let mut catalog = Catalog::default();
    let mut policies = BTreeMap::new();
    for file in files {
        let result = registrator_policy::load(&file.path, settings);
        if let Some(policy) = catalog.note(file, result) {
            policies.insert(policy.spec().name.clone(), policy);
        }
    }
    (catalog.event(), policies)
}

/// A complete list of configurations.
pub fn listed(configs: Vec<RawConfig>) -> Vec<watch::SourceEvent<RawConfig>> {
    let items = configs.into_iter().map(watch::SourceEvent::InitApply);
    std::iter::once(watch::SourceEvent::Init)
        .chain(items)
        .chain([watch::SourceEvent::InitDone])
        .collect()
}

/// The policies as they are now, by name. One whose new files cannot be loaded stays as it was.
#[derive(Debug, Default)]
pub struct Catalog {
    specs: BTreeMap<String, PolicySpec>,
    failed: BTreeMap<String, String>,
}

impl Catalog {
    /// Takes in what was loaded: puts new policies on their threads, ends those that are gone, and tells the core.
    pub fn update(&mut self, loaded: Loaded, evaluators: &mut Evaluators) -> Event {
        for file in loaded.gone {
            self.failed.remove(&file.name);
            if let Some(spec) = self.specs.remove(&file.name) {
                evaluators.remove(&spec.name);
            }
        }
        for (file, result) in loaded.results {
            if let Some(policy) = self.note(file, result) {
                evaluators.replace(policy);
            }
        }
        self.event()
    }

    /// Remembers what came of loading a file. The policy is the caller's.
    fn note(&mut self, file: PolicyFile, result: LoadResult) -> Option<Box<dyn Policy>> {
        match result {
            Ok(policy) => {
                self.failed.remove(&file.name);
                self.specs.insert(file.name, policy.spec().clone());
                Some(policy)
            }
            Err(error) => {
                self.failed.insert(file.name, error.to_string());
                None
            }
        }
    }

    fn event(&self) -> Event {
        let failed = self.failed.iter().map(|(name, message)| Problem::Policy {
            name: name.clone(),
            message: message.clone(),
            kept: self.specs.contains_key(name),
        });
        Event::Policies {
            loaded: self.specs.values().cloned().collect(),
            failed: failed.collect(),
        }
    }
}
