//! `check`: loads and checks policies and configurations, for people before a change and for CI.

use super::connect;
use crate::catalog;
use crate::exit::Exit;
use crate::files::{self, PolicyFile};
use crate::settings::{CheckSettings, Environment};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::observe::instance::{Instances, Problem};
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use registrator_core::observe::watch::SourceEvent;
use registrator_core::reconciler::verdict;
use registrator_core::tell::printable;
use registrator_policy::{Diagnostic, Policy, Severity};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    policies: Vec<PolicyFile>,
    instances: Vec<String>,
    /// Why policies have nothing to do. Configurations in etcd are not looked at.
    idle: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

pub(super) fn check(settings: &CheckSettings, environment: &Environment) -> anyhow::Result<Exit> {
    let findings = super::with_stack_for_policies("check", || look(settings, environment))?;
    let text = if settings.json {
        printable::json(&format!("{:#}\n", findings.json())).into_owned()
    } else {
        printable::lines(&findings.text()).into_owned()
    };
    super::print(&text)?;
    Ok(if findings.errors() == 0 {
        Exit::Ok
    } else {
        Exit::Failure
    })
}

fn look(settings: &CheckSettings, environment: &Environment) -> anyhow::Result<Findings> {
    let policy_settings = connect::policies(&settings.common, None, &settings.facts, environment)?;
    let mut findings = Findings {
        policies: files::scan_policies(&settings.common.policies)?,
        ..Findings::default()
    };
    let mut policies = BTreeMap::new();
    for file in &findings.policies {
        findings
            .diagnostics
            .extend(registrator_policy::lint(&file.path, &policy_settings));
        let loaded = registrator_policy::load(&file.path, &policy_settings).ok();
        policies.extend(loaded.map(|policy| (policy.spec().name.clone(), policy)));
    }
    let specs: Vec<PolicySpec> = policies
        .values()
        .map(|policy| policy.spec().clone())
        .collect();
    let configs = files::scan_configs(&settings.common.services)?;
    let unreadable = configs.problems.into_iter().map(|problem| {
        finding(
            Severity::Error,
            problem.path.display().to_string(),
            problem.message,
        )
    });
    findings.diagnostics.extend(unreadable);
    let mut instances = Instances::default();
    instances.set_policies(specs.clone(), failed(&findings.policies, &specs));
    for event in catalog::listed(configs.configs) {
        instances.handle_file(event);
    }
    let remarks = prove(&mut instances, &mut policies);
    findings.diagnostics.extend(remarks);
    findings.instances = running(&mut instances);
    findings.idle = Problem::idle(instances.problems());
    findings
        .diagnostics
        .extend(instances.problems().filter_map(diagnostic));
    Ok(findings)
}

/// Has the policies look at the configurations that fit their schemas. What they print is a warning.
fn prove(
    instances: &mut Instances,
    policies: &mut BTreeMap<PolicyName, Box<dyn Policy>>,
) -> Vec<Diagnostic> {
    let mut remarks = Vec::new();
    while let Some(proof) = instances.next_proof() {
        let policy = policies.get_mut(&proof.instance.id.policy);
        let checked = policy.zip(proof.instance.config.as_ref());
        let result = checked.map_or(Ok(Evaluation::default()), |(policy, config)| {
            policy.check(config)
        });
        for line in result.iter().flat_map(|evaluation| &evaluation.log) {
            let source = proof.source().to_string();
            remarks.push(finding(Severity::Warning, source, line.text.clone()));
        }
        instances.prove(proof, verdict(result));
    }
    remarks
}

/// Policies that cannot be loaded have their own diagnostics; here they only keep their configurations from being called unused.
fn failed(files: &[PolicyFile], specs: &[PolicySpec]) -> Vec<Problem> {
    let failed = files
        .iter()
        .filter(|file| !specs.iter().any(|spec| spec.name.as_str() == file.name));
    failed
        .map(|file| Problem::Policy {
            name: file.name.clone(),
            message: String::new(),
            kept: false,
        })
        .collect()
}

/// Configurations in etcd are not there to be checked, so they count as read.
fn running(instances: &mut Instances) -> Vec<String> {
    let policies: Vec<_> = instances
        .etcd_paths()
        .map(|(policy, _)| policy.clone())
        .collect();
    for policy in policies {
        instances.handle_etcd(&policy, SourceEvent::Init);
        instances.handle_etcd(&policy, SourceEvent::InitDone);
    }
    instances
        .iter()
        .map(|instance| instance.id.to_string())
        .collect()
}

fn finding(severity: Severity, file: String, message: String) -> Diagnostic {
    Diagnostic {
        severity,
        file,
        line: None,
        column: None,
        message,
        snippet: None,
    }
}

fn diagnostic(problem: &Problem) -> Option<Diagnostic> {
    Some(match problem {
        // How many run is a question for `run`: nothing is wrong with any one file.
        Problem::Policy { .. } | Problem::NoConfig { .. } | Problem::TooMany { .. } => return None,
        Problem::Config { fault, .. } => Diagnostic {
            line: fault.line,
            ..finding(
                Severity::Error,
                fault.source_name.clone(),
                fault.message.clone(),
            )
        },
        Problem::Stray { found, .. } => {
            finding(Severity::Error, found.to_string(), problem.to_string())
        }
        Problem::Unchecked { used, .. } => {
            finding(Severity::Error, used.to_string(), problem.to_string())
        }
        Problem::Ignored { fault, .. } => Diagnostic {
            line: fault.line,
            ..finding(
                Severity::Warning,
                fault.source_name.clone(),
                format!("{}; the member is ignored", fault.message),
            )
        },
        Problem::Twice { refused, .. } => {
            finding(Severity::Error, refused.to_string(), problem.to_string())
        }
        Problem::NoSchema(source, _) | Problem::NoPolicy(source, _) => {
            finding(Severity::Error, source.to_string(), problem.to_string())
        }
    })
}

impl Findings {
    fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{diagnostic}\n");
        }
        for idle in &self.idle {
            let _ = writeln!(text, "{idle}");
        }
        let warnings = self.diagnostics.len() - self.errors();
        let _ = writeln!(
            text,
            "{} policies, {} instances from files: {} errors, {warnings} warnings",
            self.policies.len(),
            self.instances.len(),
            self.errors()
        );
        text
    }

    fn json(&self) -> Json {
        let shown = |severity| {
            let found = self
                .diagnostics
                .iter()
                .filter(move |found| found.severity == severity);
            found.map(|found| json!({"file": found.file, "line": found.line, "column": found.column, "message": found.message})).collect::<Vec<_>>()
        };
        json!({
            "policies": self.policies.iter().map(|file| json!({"name": file.name, "path": file.path.display().to_string()})).collect::<Vec<_>>(),
            "instances": self.instances,
            "idle": self.idle,
            "errors": shown(Severity::Error),
            "warnings": shown(Severity::Warning),
        })
    }
}
