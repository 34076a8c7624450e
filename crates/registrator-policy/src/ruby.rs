//! Policies in Ruby: each in an interpreter of its own, which starts once and answers one request after the other.
//!
//! An interpreter that hangs, dies or writes nonsense is ended, and the next evaluation starts another one.

mod child;
mod fault;
mod printed;
mod protocol;
mod restart;
mod schema;
mod spawner;

use crate::Policy;
use crate::canceller::Canceller;
use crate::define::{self, DefineError};
use crate::diagnostic::Diagnostic;
use crate::log::Log;
use crate::settings::Settings;
use child::{Child, Waited};
use fault::PolicySource;
use protocol::{Fault, Hello, Reply, Request, SentObject};
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::node::{Key, Nodes, Object, Value};
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use restart::Restarts;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long starting the interpreter and evaluating the file may take.
const LOAD_TIME: Duration = Duration::from_secs(20);

/// How long an evaluation may take to end when it is told to.
const FAREWELL: Duration = Duration::from_millis(250);

/// A loaded policy.
struct RubyPolicy {
    spec: PolicySpec,
    path: PathBuf,
    source: PolicySource,
    settings: Settings,
    canceller: Canceller,
    /// `None` after its end, until the next evaluation.
    running: Option<Box<Running>>,
    restarts: Restarts,
}

/// An interpreter that has loaded the policy.
struct Running {
    child: Child,
    /// The number of the last request.
    last: u64,
}

/// Why the interpreter was ended.
struct Broken(EvalError);

/// Loads a policy file.
pub(crate) fn load(
    path: &Path,
    name: PolicyName,
    settings: &Settings,
) -> Result<Box<dyn Policy>, Diagnostic> {
    let mut source = PolicySource {
        shown: path.display().to_string(),
        text: Vec::new(),
    };
    let text = std::fs::read(path);
    source.text = text.map_err(|error| source.about(None, format!("cannot be read: {error}")))?;
    let (running, hello) = start(path, &name, &source, settings)?;
    let schema =
        schema::schema(&hello.schema).map_err(|error| source.about(error.line, error.message))?;
    let spec = PolicySpec {
        name,
        fingerprint: fingerprint(&source, &hello),
        validates: schema.is_some() && hello.validates,
        schema,
    };
    Ok(Box::new(RubyPolicy {
        spec,
        path: path.to_owned(),
        source,
        settings: settings.clone(),
        canceller: Canceller::default(),
        running: Some(Box::new(running)),
        restarts: Restarts::default(),
    }))
}

/// Starts an interpreter and has it load the policy.
fn start(
    path: &Path,
    name: &PolicyName,
    source: &PolicySource,
    settings: &Settings,
) -> Result<(Running, Hello), Diagnostic> {
    let failed = |message: String| source.about(None, message);
    let mut child = Child::start(settings).map_err(failed)?;
    child.send(&protocol::hello(
        path,
        name.as_str(),
        &source.text,
        settings,
    ));
    let answer = match child.line(Instant::now() + LOAD_TIME, &|| false) {
        Waited::Line(line) => Reply::parse(&line),
        Waited::Overdue => {
            return Err(failed(format!(
                "the policy was not loaded after {LOAD_TIME:?}: make its top level do less"
            )));
        }
        Waited::Broken(how) => {
            let mut log = Log::new(&settings.limits);
            printed::add(&child.take_printed(), &mut log);
            let message = format!("the Ruby interpreter failed while loading it: {how}");
            return Err(failed(message + &log.shown()));
        }
    };
    let garbled = || failed("the policy disturbed the interpreter's answer".into());
    let result = answer.ok_or_else(garbled)?.result;
    let hello = result.map_err(|fault| source.diagnostic(&fault))?;
    let hello = Hello::parse(hello).ok_or_else(garbled)?;
    Ok((Running { child, last: 0 }, hello))
}

/// Covers all that the loaded policy depends on, but what it reads by itself. The environment stays the same.
fn fingerprint(source: &PolicySource, hello: &Hello) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&source.text, &hello.ruby).hash(&mut hasher);
    for file in &hello.files {
        (file, std::fs::read(file).unwrap_or_default()).hash(&mut hasher);
    }
    hasher.finish()
}

impl Policy for RubyPolicy {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn evaluate(
        &mut self,
        config: Option<&Config>,
        container: &Container,
    ) -> Result<Evaluation, EvalError> {
        let run = self.canceller.run();
        let result = self.ask(config, container, false);
        drop(run);
        result.and_then(|(answer, log)| self.evaluation(&answer, log))
    }

    fn check(&mut self, config: &Config) -> Result<Evaluation, EvalError> {
        let nobody = serde_json::json!({"Id": "0".repeat(64), "Name": "/(a configuration)"});
        let nobody = Container::from_inspect(nobody);
        let nobody = nobody.map_err(|error| self.error(EvalErrorKind::Host, error.to_string()))?;
        let run = self.canceller.run();
        let result = self.ask(Some(config), &nobody, true);
        drop(run);
        result.map(|(_, mut log)| Evaluation {
            log: log.take_lines(),
            ..Evaluation::default()
        })
    }

    fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl RubyPolicy {
    /// Has the child answer. An interpreter that cannot go on is gone afterwards.
    fn ask(
        &mut self,
        config: Option<&Config>,
        container: &Container,
        only_check: bool,
    ) -> Result<(Json, Log), EvalError> {
        // One that ended while it had nothing to do is no fault of this evaluation.
        if self.running.as_mut().is_some_and(|it| it.child.has_ended()) {
            self.running = None;
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.restart(container)?,
        };
        running.last += 1;
        let request = Request {
            id: running.last,
            only_check,
            config,
            container,
        };
        running.child.send(&request.line());
        let waited = self.wait(&mut running, request.id, container);
        let mut log = Log::new(&self.settings.limits);
        printed::add(&running.child.take_printed(), &mut log);
        let result = match waited {
            Ok(result) => {
                self.running = Some(running);
                self.restarts.worked();
                result
            }
            Err(Broken(error)) => {
                self.restarts.failed(Instant::now());
                Err(error)
            }
        };
        match result {
            Ok(answer) => Ok((answer, log)),
            Err(mut error) => {
                error.message += &log.shown();
                Err(error)
            }
        }
    }

    /// Starts the interpreter again, not too often.
    fn restart(&mut self, container: &Container) -> Result<Box<Running>, EvalError> {
        let patience = self.settings.limits.time / 2;
        if let Err(wait) = self.restarts.wait(Instant::now(), patience) {
            return Err(self.error(
                EvalErrorKind::Host,
                format!(
                    "the Ruby interpreter of policy {} fails again and again: it is not started again for {wait:?}, and container {} keeps the nodes it had",
                    self.spec.name,
                    container.name()
                ),
            ));
        }
        let started = start(&self.path, &self.spec.name, &self.source, &self.settings);
        match started {
            Ok((running, _)) => Ok(Box::new(running)),
            Err(diagnostic) => {
                self.restarts.failed(Instant::now());
                Err(EvalError {
                    kind: EvalErrorKind::Host,
                    message: format!("it cannot be loaded again: {}", diagnostic.text()),
                    at: Some(diagnostic.at()),
                })
            }
        }
    }

    /// Waits for the answer to a request, and ends what takes too long. After some exceptions the interpreter is not what it was.
    fn wait(
        &self,
        running: &mut Running,
        id: u64,
        container: &Container,
    ) -> Result<Result<Json, EvalError>, Broken> {
        let deadline = Instant::now() + self.settings.limits.time;
        let cancelled = || self.canceller.is_cancelled();
        let mut waited = next_answer(&mut running.child, id, deadline, &cancelled);
        if matches!(waited, Ok(None)) {
            running.child.interrupt();
            let farewell = Instant::now() + FAREWELL;
            waited = next_answer(&mut running.child, id, farewell, &|| false);
        }
        match waited {
            Ok(Some(Ok(answer))) => Ok(Ok(answer)),
            Ok(Some(Err(fault))) if fault.spoilt => Err(Broken(self.source.eval_error(&fault))),
            Ok(Some(Err(fault))) => Ok(Err(self.source.eval_error(&fault))),
            Ok(None) => Err(Broken(self.error(
                EvalErrorKind::Limit,
                format!(
                    "policy {} took longer than {:?} for container {} and could not be interrupted, so its interpreter was ended: make it do less, or raise --evaluation-timeout (KONTENA_REGISTRATOR_EVALUATION_TIMEOUT)",
                    self.spec.name,
                    self.settings.limits.time,
                    container.name()
                ),
            ))),
            Err(how) => Err(Broken(self.error(
                EvalErrorKind::Host,
                format!(
                    "the Ruby interpreter of policy {} is lost in the evaluation of container {}, and is started again: {how}",
                    self.spec.name,
                    container.name()
                ),
            ))),
        }
    }

    fn evaluation(&self, answer: &Json, mut log: Log) -> Result<Evaluation, EvalError> {
        let nodes = self.nodes(answer);
        nodes
            .map(|nodes| Evaluation {
                nodes,
                log: log.take_lines(),
                reasons: log.take_reasons(),
            })
            .map_err(|message| self.error(EvalErrorKind::Type, message))
    }

    fn nodes(&self, answer: &Json) -> Result<Nodes, String> {
        let disturbed = "the policy disturbed the answer";
        let pairs = protocol::pairs(answer, "nodes").ok_or(disturbed)?;
        let objects = protocol::objects(answer).ok_or(disturbed)?;
        let most = self.settings.limits.answer_items;
        let of_objects = objects.iter().map(|it| it.nodes.len() + it.members.len());
        if pairs.len() + of_objects.sum::<usize>() > most {
            return Err(format!("docker_container gave more than {most} nodes"));
        }
        let mut nodes = Nodes::default();
        for (key, value) in pairs {
            let key = Key::parse(key).map_err(|error| error.to_string())?;
            let value =
                Value::parse(value).map_err(|error| format!("the value of {key}: {error}"))?;
            nodes.insert(key, value);
        }
        for sent in objects {
            nodes.insert_object(object(sent).map_err(|error| error.to_string())?);
        }
        Ok(nodes)
    }

    fn error(&self, kind: EvalErrorKind, message: String) -> EvalError {
        EvalError {
            kind,
            message,
            at: Some(self.source.shown.clone()),
        }
    }
}

fn object(sent: SentObject<'_>) -> Result<Object, DefineError> {
    let name = define::name(sent.name)?;
    let read = |pairs: Vec<(&str, &str)>| {
        let nodes = pairs.into_iter();
        let nodes = nodes.map(|(key, value)| define::node(&name, key, value));
        nodes.collect::<Result<BTreeMap<_, _>, _>>()
    };
    let (nodes, members) = (read(sent.nodes)?, read(sent.members)?);
    define::object(&name, sent.conflict, nodes, members, sent.uses)
}

/// The answer to a request; `None` if the time is up.
fn next_answer(
    child: &mut Child,
    id: u64,
    until: Instant,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Result<Json, Fault>>, String> {
    loop {
        match child.line(until, stop) {
            Waited::Line(line) if line.is_empty() => {}
            Waited::Line(line) => match Reply::parse(&line) {
                Some(answer) if answer.id == id => return Ok(Some(answer.result)),
                _ => return Err("something else than answers came from it".into()),
            },
            Waited::Overdue => return Ok(None),
            Waited::Broken(how) => return Err(how),
        }
    }
}

#[cfg(test)]
mod tests;
