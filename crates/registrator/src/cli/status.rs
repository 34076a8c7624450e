//! `status`: how a running registrator is.

use super::ask;
use crate::exit::Exit;
use crate::settings::{Environment, StatusSettings};
use anyhow::bail;
use serde_json::Value as Json;

pub(super) fn status(settings: &StatusSettings, environment: &Environment) -> anyhow::Result<Exit> {
    let place = ask::place(&settings.socket, environment);
    let accept = if settings.json || settings.ready {
        "application/json"
    } else {
        "text/plain"
    };
    let answer = ask::ask_running(&place, "GET", "/api/v1/status", accept)?;
    if answer.status != 200 {
        bail!("the registrator is there, but {}", answer.text.trim_end());
    }
    if !settings.ready {
        super::print(&answer.text)?;
        return Ok(Exit::Ok);
    }
    let status: Json = serde_json::from_str(&answer.text)?;
    if settings.json {
        super::print(&answer.text)?;
    } else {
        super::print(&missing(&status))?;
    }
    Ok(if status["ready"] == true {
        Exit::Ok
    } else {
        Exit::Failure
    })
}

/// What is not ready, line by line.
fn missing(status: &Json) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let missing = conditions.filter_map(|condition| {
        let why = condition["missing"].as_str()?;
        Some(format!("no {}: {why}\n", condition["name"].as_str()?))
    });
    missing.collect()
}
