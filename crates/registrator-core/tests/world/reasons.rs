//! Nobody has to ask why: every container has a verdict, and how a key stands follows from what is told of it.

use registrator_core::observe::container::ContainerId;
use registrator_core::reconciler::{Asked, EtcdSight, Reconciler};
use registrator_core::tell::explanation::{About, AboutContainer, AboutKey};
use registrator_core::tell::snapshot::NodeFilter;
use registrator_core::tell::state::KeyState;
use registrator_core::tell::walltime::WallTime;
use std::time::Instant;

/// More than any of these worlds has.
const ALL: usize = 1_000;

/// What has no reason, or a wrong one, on a host with these containers.
pub fn missing(
    reconciler: &Reconciler,
    containers: impl Iterator<Item = ContainerId>,
    now: Instant,
) -> Vec<String> {
    let mut missing = Vec::new();
    let ending = reconciler.ending();
    for node in reconciler
        .node_page(&NodeFilter::default(), "", ALL, now)
        .nodes
    {
        missing.extend(of_key(&node));
    }
    for id in containers {
        let asked = Asked::Container(id.as_str().to_owned());
        // One that is gone has nothing to be explained.
        let Ok(explanation) = reconciler.explain(&asked, EtcdSight::Followed, now) else {
            continue;
        };
        let json = explanation.to_json(WallTime(0));
        let is_empty = |it: &serde_json::Value| it.as_str().is_none_or(str::is_empty);
        if is_empty(&json["verdict"]) || is_empty(&json["text"]) {
            missing.push(format!("{id:?} has no verdict"));
        }
        // A policy of these worlds that gives nothing says nothing, so the text has to say that.
        let text = explanation.text(WallTime(0));
        if json["verdict"] == "not_asked" && !text.contains("no reason") && !ending {
            missing.push(format!("nothing is said of {text}"));
        }
        if let About::Container(container) = &explanation.about {
            missing.extend(of_container(container, ending));
        }
    }
    missing
}

/// What is told of keys that are not settled, as nothing is in the way of any.
pub fn unsettled(reconciler: &Reconciler, now: Instant) -> Vec<String> {
    let page = reconciler.node_page(&NodeFilter::default(), "", ALL, now);
    let is_settled = |about: &AboutKey| {
        !matches!(
            about.state,
            Some(KeyState::Pending | KeyState::Blocked | KeyState::Rejected)
        )
    };
    let unsettled = page.nodes.iter().filter(|about| !is_settled(about));
    unsettled.map(|about| format!("{about:?}")).collect()
}

fn of_container(container: &AboutContainer, ending: bool) -> Vec<String> {
    let mut missing = Vec::new();
    for origin in &container.instances {
        for node in &origin.nodes {
            if node.state.is_none() && !ending {
                missing.push(format!("{} is asked for, and is in no state", node.key));
            }
            missing.extend(of_key(node));
        }
    }
    missing.extend(container.unwished.iter().filter_map(of_key));
    missing
}

/// What is wrong with what is told of a key.
fn of_key(about: &AboutKey) -> Option<String> {
    let held = about.held.as_ref();
    let as_wished = held.is_some_and(|held| Some(&held.value) == about.value.as_ref());
    let other_host = held.is_some_and(|held| held.host.is_some() && !held.me);
    let told = match about.state? {
        KeyState::Registered => as_wished && held.is_some_and(|held| held.me),
        _ if about.member_of.is_some() => about.why.is_some(),
        KeyState::Pending => about.hint().is_none(),
        KeyState::Shared => as_wished && other_host,
        KeyState::Outvoted => about.why.is_some() || (other_host && !as_wished),
        // Who else defines it may be told a little later than that somebody does.
        KeyState::Disputed => about.hint().is_some(),
        KeyState::Blocked => about.why.is_some() || held.is_some_and(|held| held.host.is_none()),
        KeyState::Rejected | KeyState::Kept | KeyState::HeldBack => about.why.is_some(),
    };
    (!told).then(|| format!("{about:?}"))
}
