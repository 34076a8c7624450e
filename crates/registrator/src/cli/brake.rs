//! `brake`: what the brake on mass deletion holds back, and its release.

use super::ask;
use crate::exit::Exit;
use crate::settings::{BrakeCommandSettings, Environment};
use anyhow::bail;

pub(super) fn brake(
    settings: &BrakeCommandSettings,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let place = ask::place(&settings.socket, environment);
    let (method, path) = match settings.action.as_deref() {
        Some(_) => ("POST", "/api/v1/brake/release"),
        None => ("GET", "/api/v1/brake"),
    };
    let accept = if settings.json {
        "application/json"
    } else {
        "text/plain"
    };
    let answer = ask::ask_running(&place, method, path, accept)?;
    if answer.status != 200 {
        bail!("the registrator says: {}", answer.text.trim_end());
    }
    super::print(&answer.text)?;
    Ok(Exit::Ok)
}
