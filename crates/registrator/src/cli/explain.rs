//! `explain`: why a container, a key or an instance has what it has in etcd, or has not. Writes nothing.

use super::{ask, plan};
use crate::admin::SocketPlace;
use crate::exit::Exit;
use crate::peers::wall_time;
use crate::settings::{Environment, ExplainSettings, SubjectSettings};
use anyhow::bail;
use registrator_core::reconciler::{Asked, EtcdSight};
use registrator_core::tell::printable::json;
use serde_json::Value as Json;
use std::time::Instant;

pub(super) fn explain(
    settings: &ExplainSettings,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let place = ask::place(&settings.socket, environment);
    // Who names containers or leaves etcd out wants to know what would be, not what is.
    let is_what_if = settings.plan.containers.is_some() || settings.plan.no_etcd;
    if is_what_if {
        return evaluate(settings, environment);
    }
    match of_running(settings, &place)? {
        Some(exit) => Ok(exit),
        None => evaluate(settings, environment),
    }
}

/// The answer of a running registrator; `None` if there is none.
fn of_running(settings: &ExplainSettings, place: &SocketPlace) -> anyhow::Result<Option<Exit>> {
    let path = format!("/api/v1/explain?{}", query(&settings.about));
    let wants_json = settings.plan.json;
    let Some(answer) = ask::ask(place, "GET", &path, "application/json")? else {
        return Ok(None);
    };
    if answer.status != 200 {
        bail!("{}", answer.text.trim_end());
    }
    let found: Json = serde_json::from_str(&answer.text)?;
    let text = if wants_json {
        answer.text
    } else {
        match ask::ask(place, "GET", &path, "text/plain")? {
            Some(answer) => answer.text,
            None => return Ok(None),
        }
    };
    super::print(&text)?;
    Ok(Some(exit(settings, found["fulfilled"] == true)))
}

fn exit(settings: &ExplainSettings, is_fulfilled: bool) -> Exit {
    if settings.plan.exit_code && !is_fulfilled {
        Exit::ChangesPending
    } else {
        Exit::Ok
    }
}

fn query(about: &SubjectSettings) -> String {
    let (name, text) = match subject(about) {
        Asked::Anything(text) => ("of", text),
        Asked::Container(text) => ("container", text),
        Asked::Key(text) => ("key", text),
        Asked::Instance(text) => ("instance", text),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(name, &text);
    query.finish()
}

fn subject(about: &SubjectSettings) -> Asked {
    let container = about.container.clone().map(Asked::Container);
    let key = about.key.clone().map(Asked::Key);
    let instance = about.instance.clone().map(Asked::Instance);
    let anything = Asked::Anything(about.subject.clone().unwrap_or_default());
    container.or(key).or(instance).unwrap_or(anything)
}

/// No registrator runs, or it is not to be asked: what one would do.
fn evaluate(settings: &ExplainSettings, environment: &Environment) -> anyhow::Result<Exit> {
    let asked = subject(&settings.about);
    super::with_stack_for_policies("explain", || {
        let evaluated = plan::evaluate(&settings.plan, environment, &asked)?;
        let sight = EtcdSight::Read {
            who: &evaluated.who,
            views: &evaluated.views,
        };
        let found = evaluated.reconciler.explain(&asked, sight, Instant::now());
        let explanation = match found {
            Ok(explanation) => explanation,
            Err(unfound) => bail!("{unfound}"),
        };
        let now = wall_time();
        let text = if settings.plan.json {
            let mut found = explanation.to_json(now);
            found["fulfilled"] = explanation.is_fulfilled().into();
            json(&format!("{found:#}\n")).into_owned()
        } else {
            explanation.text(now)
        };
        super::print(&text)?;
        Ok(exit(settings, explanation.is_fulfilled()))
    })
}
