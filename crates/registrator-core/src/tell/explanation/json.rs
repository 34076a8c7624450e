//! Explanations as programs read them. Members are only ever added.

use super::{
    About, AboutContainer, AboutInstance, AboutKey, AboutOrigin, Explanation, LastOutcome, Recent,
};
use crate::tell::objects::{name, with_object};
use crate::tell::printable::one_line;
use crate::tell::state::KeyState;
use crate::tell::walltime::WallTime;
use serde_json::{Value as Json, json};
use std::time::Duration;

pub(super) fn of(explanation: &Explanation, now: WallTime) -> Json {
    let mut json = match &explanation.about {
        About::Container(container) => of_container(container, now),
        About::Key(key) => json!({
            "subject": {"kind": "key", "key": name(&key.key)},
            "text": super::text::of_key_state(key),
            "key": of_key(key, now),
        }),
        About::Instance(instance) => of_instance(instance),
    };
    json["schema"] = 1.into();
    json["source"] = if explanation.evaluated_now {
        "evaluated"
    } else {
        "running"
    }
    .into();
    json["circumstances"] = explanation.circumstances.clone().into();
    json["recent"] = explanation.recent.iter().map(Recent::to_json).collect();
    json
}

fn of_container(container: &AboutContainer, now: WallTime) -> Json {
    let networks = container.networks.iter();
    let networks: serde_json::Map<String, Json> = networks
        .map(|(name, ips)| (name.clone(), ips.clone().into()))
        .collect();
    let instances = container.instances.iter();
    json!({
        "subject": {"kind": "container", "id": container.id, "name": container.name},
        "container": {
            "running": container.running,
            "status": container.status,
            "health": container.health,
            "network_mode": container.network_mode,
            "networks": networks,
            "remarks": container.remarks,
        },
        "verdict": container.verdict(),
        "text": super::text::of_verdict(container, now),
        "instances": instances.map(|it| of_origin(it, now)).collect::<Vec<_>>(),
        "unwished": container.unwished.iter().map(|node| of_key(node, now)).collect::<Vec<_>>(),
        "problems": container.problems,
    })
}

fn of_origin(origin: &AboutOrigin, now: WallTime) -> Json {
    let (outcome, error) = match &origin.outcome {
        LastOutcome::Done if origin.nodes.is_empty() => ("none", Json::Null),
        LastOutcome::Done => ("nodes", Json::Null),
        LastOutcome::Evaluating => ("evaluating", Json::Null),
        LastOutcome::Failed {
            error,
            since,
            times,
            retry_in,
        } => {
            let error = json!({
                "kind": error.kind.to_string(),
                "message": error.message,
                "at": error.at,
                "since": now.before(*since).stamp(),
                "times": times,
                "retry_in_seconds": retry_in.as_ref().map(Duration::as_secs),
            });
            ("failed", error)
        }
    };
    let nodes = origin.nodes.iter();
    json!({
        "instance": origin.instance,
        "outcome": outcome,
        "reasons": origin.reasons,
        "error": error,
        "nodes": nodes.map(|node| of_key(node, now)).collect::<Vec<_>>(),
    })
}

pub(super) fn of_key(about: &AboutKey, now: WallTime) -> Json {
    let held = about.held.as_ref();
    let holder = held.and_then(|held| {
        let host = held.host.as_ref()?;
        Some(json!({
            "host": &**host,
            "me": held.me,
            "lease": held.lease,
            "revision": held.revision,
        }))
    });
    let found =
        held.filter(|held| held.host.is_none() || Some(&held.value) != about.value.as_ref());
    let candidates = about.candidates.iter().map(|candidate| {
        let origins = candidate
            .askers
            .iter()
            .map(|asker| json!({"instance": asker.instance.to_string(), "container": asker.name}));
        let json = json!({
            "value": candidate.value.as_str(),
            "origins": origins.collect::<Vec<_>>(),
            "more": candidate.more,
            "hosts": candidate.hosts.iter().map(|host| &**host).collect::<Vec<_>>(),
        });
        with_object(&about.key, Some(&candidate.value), json)
    });
    let json = json!({
        "key": name(&about.key),
        "state": about.state.map_or("not asked for", KeyState::name),
        "value": about.value.as_ref().map(|value| value.as_str()),
        "since": about.since.map(|age| now.before(age).stamp()),
        "holder": holder,
        "found": found.map(|held| held.value.as_str()),
        "candidates": candidates.collect::<Vec<_>>(),
        "member_of": about.member_of.as_ref().map(name),
        "why": about.why,
        "hint": about.hint(),
        "help": about.help(),
    });
    with_object(&about.key, about.value.as_ref(), json)
}

fn of_instance(instance: &AboutInstance) -> Json {
    let pairs = |(named, count): &(Vec<(String, String)>, usize), what: &str| {
        let named = named.iter();
        let named = named.map(|(name, why)| json!({"container": name, what: why}));
        json!({"first": named.collect::<Vec<_>>(), "count": count})
    };
    let states = instance.states.iter();
    let states: serde_json::Map<String, Json> = states
        .map(|(state, count)| (state.name().into(), (*count).into()))
        .collect();
    json!({
        "subject": {"kind": "instance", "instance": instance.name},
        "text": super::text::of_instance_state(instance),
        "runs": instance.runs,
        "problems": instance.problems,
        "containers": instance.containers,
        "containers_with_nodes": instance.served,
        "nodes": states,
        "failing": pairs(&instance.failing, "error"),
        "without_nodes": pairs(&instance.empty, "reason"),
        "instances": instance.siblings,
    })
}

impl Recent {
    /// As programs read it.
    pub fn to_json(&self) -> Json {
        json!({
            "seq": self.seq,
            "at": self.at.stamp(),
            "level": self.level,
            "text": one_line(&self.text),
            // The name of an object, of which it is the marker.
            "key": self.key.as_deref().map(|key| key.strip_suffix('/').unwrap_or(key)),
        })
    }
}
