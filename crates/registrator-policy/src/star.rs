//! Policies in Starlark: loaded and frozen once, evaluated each time on a fresh heap.

mod answer;
mod attributes;
mod container;
mod facts;
mod fault;
mod guarded;
mod guards;
mod json;
mod library;
mod lint;
mod loader;
mod log;
mod nesting;
mod network;
mod object;
mod source;
mod swarm;
mod types;
mod words;

pub(crate) use attributes::undeclared;
pub(crate) use lint::lint;

use crate::Policy;
use crate::canceller::Canceller;
use crate::deep_stack;
use crate::diagnostic::Diagnostic;
use crate::settings::{Limits, Settings};
use answer::Prefixes;
use container::Container as ContainerValue;
use guarded::Originals;
use guards::{Evaluating, Room, is_oversize};
use loader::Loaded;
use log::PrintLog;
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use registrator_core::observe::document::Document;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use starlark::ErrorKind;
use starlark::environment::{FrozenModule, Module};
use starlark::eval::Evaluator;
use starlark::values::structs::AllocStruct;
use starlark::values::{OwnedFrozenValue, Value};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The function that a policy must define.
const ENTRY: &str = "docker_container";

/// The keys that a policy may write, or the function that tells them.
const PREFIXES: &str = "prefixes";

/// The function that looks at configurations before they count.
const VALIDATE: &str = "validate";

/// How many converted configurations are kept.
const MAX_CONFIGS: usize = 256;

/// A loaded policy.
struct StarPolicy {
    spec: PolicySpec,
    file: String,
    entry: OwnedFrozenValue,
    takes_config: bool,
    prefixes: PrefixRule,
    validate: Option<OwnedFrozenValue>,
    limits: Limits,
    canceller: Canceller,
    originals: Originals,
    /// By the text of the configuration.
    configs: BTreeMap<String, Prepared>,
    /// The container of the last evaluation: those of the policy's instances follow each other, and share its document.
    last: Option<(Container, Arc<Document>)>,
}

/// What a policy says about the keys that it may write.
enum PrefixRule {
    /// Nothing: any key.
    Any,
    /// The same for all configurations.
    Fixed(Prefixes),
    /// Depends on the configuration.
    Function(OwnedFrozenValue),
}

/// A configuration as the policy gets it.
#[derive(Clone)]
struct Prepared {
    config: Option<OwnedFrozenValue>,
    prefixes: Option<Prefixes>,
}

/// Loads a policy file; needs a deep stack.
pub(crate) fn load(
    path: &Path,
    name: PolicyName,
    settings: &Settings,
) -> Result<Box<dyn Policy>, Diagnostic> {
    let loaded = loader::load(path, settings)?;
    let (entry, takes_config) = entry_of(&loaded)?;
    let (prefixes, validate) = (prefixes_of(&loaded)?, validate_of(&loaded)?);
    Ok(Box::new(StarPolicy {
        file: loaded.source.shown.clone(),
        entry,
        takes_config,
        spec: PolicySpec {
            name,
            fingerprint: loaded.fingerprint,
            validates: loaded.schema.is_some()
                && (validate.is_some() || matches!(prefixes, PrefixRule::Function(_))),
            schema: loaded.schema,
        },
        prefixes,
        validate,
        limits: settings.limits.clone(),
        canceller: Canceller::default(),
        originals: loaded.originals,
        configs: BTreeMap::new(),
        last: None,
    }))
}

/// The entry function, and whether it takes the configuration.
fn entry_of(loaded: &Loaded) -> Result<(OwnedFrozenValue, bool), Diagnostic> {
    let source = &loaded.source;
    let Some(entry) = variable(&loaded.module, ENTRY) else {
        let message = format!(
            "the policy defines no {ENTRY}: add\ndef {ENTRY}(container, config):\n    return {{\"/key\": \"value\"}}"
        );
        return Err(fault::about_file(&source.shown, message));
    };
    let spec = entry.value().parameters_spec();
    let takes = |count| spec.is_some_and(|spec| spec.can_fill_with_args(count, &[]));
    if takes(2) || takes(1) {
        let takes_config = takes(2);
        return Ok((entry, takes_config));
    }
    let message = format!("{ENTRY} must be a function of (container, config) or (container)");
    let start = match entry.value().parameters_spec() {
        Some(_) => "def docker_container",
        None => ENTRY,
    };
    Err(fault::about_line(
        &source.shown,
        &source.text,
        start,
        message,
    ))
}

fn prefixes_of(loaded: &Loaded) -> Result<PrefixRule, Diagnostic> {
    let source = &loaded.source;
    let Some(declared) = variable(&loaded.module, PREFIXES) else {
        return Ok(PrefixRule::Any);
    };
    let found = match declared.value().parameters_spec() {
        Some(spec) if spec.can_fill_with_args(1, &[]) => Ok(PrefixRule::Function(declared)),
        Some(_) => Err("prefixes must be a list or a function of (config)".to_owned()),
        None => Prefixes::of(declared.value()).map(PrefixRule::Fixed),
    };
    found.map_err(|message| {
        let is_function = declared_as_function(&source.text);
        let start = if is_function {
            "def prefixes"
        } else {
            "prefixes"
        };
        fault::about_line(&source.shown, &source.text, start, message)
    })
}

/// The function `validate`, if there is one.
fn validate_of(loaded: &Loaded) -> Result<Option<OwnedFrozenValue>, Diagnostic> {
    let Some(validate) = variable(&loaded.module, VALIDATE) else {
        return Ok(None);
    };
    let spec = validate.value().parameters_spec();
    if spec.is_some_and(|spec| spec.can_fill_with_args(1, &[])) {
        return Ok(Some(validate));
    }
    let message = format!(
        "{VALIDATE} must be a function of (config), which calls fail() if something is wrong with it"
    );
    let source = &loaded.source;
    let starts = ["def validate", VALIDATE];
    let is_there = |start: &&&str| source.text.lines().any(|line| line.starts_with(**start));
    let start = starts.iter().find(is_there).unwrap_or(&VALIDATE);
    Err(fault::about_line(
        &source.shown,
        &source.text,
        start,
        message,
    ))
}

fn declared_as_function(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("def prefixes"))
}

fn variable(module: &FrozenModule, name: &str) -> Option<OwnedFrozenValue> {
    module.get_option(name).ok().flatten()
}

impl Policy for StarPolicy {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn evaluate(
        &mut self,
        config: Option<&Config>,
        container: &Container,
    ) -> Result<Evaluation, EvalError> {
        let run = self.canceller.run();
        let result = deep_stack::caught(|| self.evaluate_prepared(config, container));
        drop(run);
        result.unwrap_or_else(|panic| Err(self.panicked(Some(container), &panic)))
    }

    fn check(&mut self, config: &Config) -> Result<Evaluation, EvalError> {
        let run = self.canceller.run();
        let result = deep_stack::caught(|| self.check_prepared(config));
        drop(run);
        let mut result = result.unwrap_or_else(|panic| Err(self.panicked(None, &panic)));
        if let Err(error) = &mut result
            && error.kind == EvalErrorKind::Type
        {
            // It is about what the configuration made of the policy.
            error.at = None;
        }
        result
    }

    fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl StarPolicy {
    fn evaluate_prepared(
        &mut self,
        config: Option<&Config>,
        container: &Container,
    ) -> Result<Evaluation, EvalError> {
        let prepared = self.prepare(config, Some(container))?;
        let document = self.document(container);
        let log = Rc::new(PrintLog::new(&self.limits));
        let result = self.call(
            &self.entry,
            Some(container),
            &log,
            |module| {
                let heap = module.heap();
                let config = prepared.config.as_ref();
                let config = config.map(|config| heap.access_owned_frozen_value(config));
                let container = heap.alloc(ContainerValue::new(container, &document));
                if self.takes_config {
                    vec![container, config.unwrap_or_else(Value::new_none)]
                } else {
                    vec![container]
                }
            },
            |value| {
                let nodes =
                    answer::nodes(value, prepared.prefixes.as_ref(), self.limits.answer_items);
                nodes.map_err(|error| error.to_string())
            },
        );
        match result {
            Ok(nodes) => Ok(Evaluation {
                nodes,
                log: log.take_lines(),
                reasons: log.take_reasons(),
            }),
            Err(mut error) => {
                error.message += &log.shown();
                Err(error)
            }
        }
    }

    /// Has `validate` look at a configuration, and sees whether there are prefixes for it.
    fn check_prepared(&mut self, config: &Config) -> Result<Evaluation, EvalError> {
        let log = Rc::new(PrintLog::new(&self.limits));
        if let Some(validate) = &self.validate {
            let frozen = self.freeze(config)?;
            self.call(
                validate,
                None,
                &log,
                |module| vec![module.heap().access_owned_frozen_value(&frozen)],
                |value| match value.is_none() {
                    true => Ok(()),
                    false => Err(format!(
                        "{VALIDATE} must call fail() if something is wrong, and return None, not a {}",
                        value.get_type()
                    )),
                },
            )?;
        }
        self.prepare(Some(config), None)?;
        Ok(Evaluation {
            log: log.take_lines(),
            ..Evaluation::default()
        })
    }

    fn document(&mut self, container: &Container) -> Arc<Document> {
        match &self.last {
            Some((last, document)) if last.is(container) => Arc::clone(document),
            _ => {
                let document = container.document();
                self.last = Some((container.clone(), Arc::clone(&document)));
                document
            }
        }
    }

    /// The configuration as a frozen struct, with the prefixes that the policy gives for it. Made once for each configuration.
    fn prepare(
        &mut self,
        config: Option<&Config>,
        container: Option<&Container>,
    ) -> Result<Prepared, EvalError> {
        let text = config.map(Config::text).unwrap_or_default();
        if let Some(prepared) = self.configs.get(text) {
            return Ok(prepared.clone());
        }
        let config = config.map(|config| self.freeze(config)).transpose()?;
        let prefixes = match &self.prefixes {
            PrefixRule::Any => None,
            PrefixRule::Fixed(prefixes) => Some(prefixes.clone()),
            PrefixRule::Function(function) => {
                Some(self.prefixes_for(function, config.as_ref(), container)?)
            }
        };
        let prepared = Prepared { config, prefixes };
        if self.configs.len() >= MAX_CONFIGS {
            self.configs.clear();
        }
        self.configs.insert(text.to_owned(), prepared.clone());
        Ok(prepared)
    }

    fn freeze(&self, config: &Config) -> Result<OwnedFrozenValue, EvalError> {
        let failed = |message: String| self.type_error(format!("the configuration: {message}"));
        Module::with_temp_heap(|module| {
            let fields = json::fields(config.members(), module.heap());
            let fields = fields.map_err(|error| failed(error.to_string()))?;
            module.set("config", module.heap().alloc(AllocStruct(fields)));
            let frozen = module
                .freeze()
                .map_err(|error| failed(format!("{error:?}")))?;
            variable(&frozen, "config").ok_or_else(|| failed("it is lost".into()))
        })
    }

    fn prefixes_for(
        &self,
        function: &OwnedFrozenValue,
        config: Option<&OwnedFrozenValue>,
        container: Option<&Container>,
    ) -> Result<Prefixes, EvalError> {
        self.call(
            function,
            container,
            &Rc::new(PrintLog::new(&self.limits)),
            |module| {
                let config = config.map(|config| module.heap().access_owned_frozen_value(config));
                vec![config.unwrap_or_else(Value::new_none)]
            },
            Prefixes::of,
        )
    }

    /// Calls a function of the policy within the limits, for a container or to look at a configuration alone, and reads what it returns
    /// while the heap lives.
    fn call<T>(
        &self,
        function: &OwnedFrozenValue,
        container: Option<&Container>,
        log: &Rc<PrintLog>,
        arguments: impl for<'v> FnOnce(&Module<'v>) -> Vec<Value<'v>>,
        read: impl FnOnce(Value<'_>) -> Result<T, String>,
    ) -> Result<T, EvalError> {
        let deadline = Instant::now() + self.limits.time;
        let stopped = Cell::new(None);
        let check = || {
            let reason = if self.canceller.is_cancelled() {
                Some("was cancelled")
            } else if Instant::now() > deadline {
                Some("took too long")
            } else {
                None
            };
            stopped.set(reason.or(stopped.get()));
            reason.is_some()
        };
        let evaluating = Evaluating {
            room: Room::of(self.limits.heap_bytes),
            log: Rc::clone(log),
        };
        Module::with_temp_heap(|module| {
            let mut eval = Evaluator::new(&module);
            eval.extra = Some(&evaluating);
            self.limit(&mut eval, &check)
                .map_err(|error| self.host_error(&error))?;
            eval.set_print_handler(&**log);
            let function = module.heap().access_owned_frozen_value(function);
            match eval.eval_function(function, &arguments(&module), &[]) {
                Ok(value) => read(value).map_err(|message| self.type_error(message)),
                Err(error) => {
                    let limit = stopped
                        .get()
                        .map(str::to_owned)
                        .or_else(|| self.exceeded(&eval));
                    Err(self.failure(&error, limit, container))
                }
            }
        })
    }

    fn limit<'a>(
        &self,
        eval: &mut Evaluator<'_, 'a, '_>,
        check: &'a dyn Fn() -> bool,
    ) -> anyhow::Result<()> {
        eval.set_max_tick_count(self.limits.ticks)?;
        eval.set_max_heap_size(self.limits.heap_bytes)?;
        eval.set_max_callstack_size(self.limits.call_depth)?;
        eval.set_check_cancelled(Box::new(check));
        Ok(())
    }

    /// Which limit of the interpreter is exceeded: its own errors do not say so by type.
    fn exceeded(&self, eval: &Evaluator<'_, '_, '_>) -> Option<String> {
        if eval.get_total_tick_count() > self.limits.ticks {
            return Some(format!(
                "made more than {} calls and turns of loops",
                self.limits.ticks
            ));
        }
        let full = eval.heap().peak_allocated_bytes() > self.limits.heap_bytes;
        full.then(|| self.too_much())
    }

    fn too_much(&self) -> String {
        format!("used more than {} bytes", self.limits.heap_bytes)
    }

    /// An error of the interpreter. Those of limits know neither place nor policy.
    fn failure(
        &self,
        error: &starlark::Error,
        limit: Option<String>,
        container: Option<&Container>,
    ) -> EvalError {
        let diagnostic = fault::diagnostic(error, &self.file, &self.originals);
        let (kind, limit) = match (error.kind(), limit) {
            _ if is_oversize(error) => (EvalErrorKind::Limit, Some(self.too_much())),
            (ErrorKind::Other(_), Some(limit)) => (EvalErrorKind::Limit, Some(limit)),
            (ErrorKind::StackOverflow(_), _) => (EvalErrorKind::Limit, None),
            (ErrorKind::Internal(_), _) => (EvalErrorKind::Host, None),
            _ => (EvalErrorKind::Raised, None),
        };
        // Who wrote the configuration reads the policy's words, not its code.
        let is_refusal = container.is_none()
            && matches!(
                error.kind(),
                ErrorKind::Fail(_) | ErrorKind::Native(_) | ErrorKind::Other(_)
            );
        let message = match (limit, container) {
            (Some(limit), Some(container)) => format!(
                "policy {} {limit} for container {}: look for a loop over too many items, or give the policy less to do; the container keeps the nodes it had",
                self.spec.name,
                container.name()
            ),
            (Some(limit), None) => format!(
                "policy {} {limit} for a configuration: look for a loop over too many items in {VALIDATE} or {PREFIXES}",
                self.spec.name
            ),
            (None, _) if is_refusal => diagnostic.headline().to_owned(),
            (None, _) => diagnostic.text(),
        };
        EvalError {
            kind,
            message,
            at: (!is_refusal).then(|| diagnostic.at()),
        }
    }

    fn panicked(&self, container: Option<&Container>, panic: &str) -> EvalError {
        let of = container.map_or("a configuration".to_owned(), |container| {
            format!("container {}", container.name())
        });
        EvalError {
            kind: EvalErrorKind::Host,
            message: format!("the interpreter failed for {of}: {panic}"),
            at: Some(self.file.clone()),
        }
    }

    fn type_error(&self, message: String) -> EvalError {
        EvalError {
            kind: EvalErrorKind::Type,
            message,
            at: Some(self.file.clone()),
        }
    }

    fn host_error(&self, error: &anyhow::Error) -> EvalError {
        EvalError {
            kind: EvalErrorKind::Host,
            message: format!("the interpreter cannot be set up: {error}"),
            at: Some(self.file.clone()),
        }
    }
}
