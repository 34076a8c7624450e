//! Explanations as people read them. Everything that comes from outside is escaped.

use super::{
    About, AboutContainer, AboutInstance, AboutKey, AboutOrigin, AskedValue, Explanation, InEtcd,
    LastOutcome,
};
use crate::node::{Definition, Value};
use crate::tell::notice::Asker;
use crate::tell::objects::{difference, differences, named, shown, shown_with};
use crate::tell::printable::{lines, one_line};
use crate::tell::state::KeyState;
use crate::tell::walltime::{WallTime, span};
use std::fmt::Write as _;

/// How wide the words for states are.
const WORD: usize = 12;

/// How many other hosts or containers a line names.
const NAMED: usize = 5;

pub(super) fn of(explanation: &Explanation, now: WallTime) -> String {
    let mut text = String::new();
    if explanation.evaluated_now {
        text += "No registrator was asked: this is what one would do now.\n\n";
    }
    let (head, body) = match &explanation.about {
        About::Container(container) => container_parts(container, now),
        About::Key(key) => key_parts(key, now),
        About::Instance(instance) => instance_parts(instance),
    };
    text += &head;
    if !explanation.circumstances.is_empty() || !body.is_empty() {
        text.push('\n');
    }
    for line in &explanation.circumstances {
        push(&mut text, "", line);
    }
    text += &body;
    if !explanation.recent.is_empty() {
        text += "\nrecently\n";
        for recent in &explanation.recent {
            push(
                &mut text,
                "  ",
                &format!(
                    "{}  {}",
                    recent.at.clock(),
                    one_line(first_line(&recent.text))
                ),
            );
        }
    }
    text
}

/// Adds one line, or several if the text has them.
fn push(text: &mut String, indent: &str, more: &str) {
    for line in lines(more).lines() {
        text.push_str(indent);
        text.push_str(line);
        text.push('\n');
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn container_parts(container: &AboutContainer, now: WallTime) -> (String, String) {
    let mut head = format!(
        "container {} ({}): {}\n{}\n",
        one_line(&container.name),
        container.short(),
        one_line(&condition(container)),
        one_line(&of_verdict(container, now))
    );
    if container.unread {
        head += "Docker cannot inspect it now, so this is what was known of it before\n";
    }
    for remark in &container.remarks {
        push(&mut head, "", remark);
    }
    let mut body = String::new();
    for origin in &container.instances {
        origin_part(&mut body, container, origin, now);
    }
    if !container.unwished.is_empty() {
        let count = nodes(container.unwished.len());
        push(&mut body, "", &format!("asked for no more: {count}"));
    }
    for node in &container.unwished {
        node_part(&mut body, container, node, false, now);
    }
    for problem in &container.problems {
        push(&mut body, "", problem);
    }
    (head, body)
}

/// So many nodes.
fn nodes(count: usize) -> String {
    match count {
        0 => "no node".to_owned(),
        1 => "1 node".to_owned(),
        some => format!("{some} nodes"),
    }
}

fn condition(container: &AboutContainer) -> String {
    let reachable = container.networks.iter().filter(|(_, ips)| !ips.is_empty());
    let mut networks: Vec<String> = reachable
        .map(|(name, ips)| format!("{name} {}", ips.join(" ")))
        .collect();
    if networks.is_empty() {
        let mode = container.network_mode.as_deref().unwrap_or("unknown");
        networks.push(format!("network mode {mode}"));
    }
    let status = [Some(container.status.clone()), container.health.clone()];
    let words: Vec<String> = status.into_iter().flatten().chain(networks).collect();
    words.join(", ")
}

/// What is true of a container, in a sentence.
pub(super) fn of_verdict(container: &AboutContainer, now: WallTime) -> String {
    let asked = || container.instances.iter().flat_map(|it| &it.nodes);
    let count = asked().count();
    match container.verdict() {
        "not_running" => ended(container, now),
        "failing" => {
            let failed = |it: &&AboutOrigin| matches!(it.outcome, LastOutcome::Failed { .. });
            let failed = container.instances.iter().filter(failed);
            let (names, kept): (Vec<&str>, Vec<usize>) = failed
                .map(|it| (it.instance.as_str(), it.nodes.len()))
                .unzip();
            let fail = if names.len() == 1 { "fails" } else { "fail" };
            let rest = match kept.iter().sum() {
                0 => "it never gave a node".to_owned(),
                1 => "its last good node stays".to_owned(),
                some => format!("its {some} last good nodes stay"),
            };
            format!("{} {fail} for it; {rest}", names.join(", "))
        }
        "waiting" if !container.started => {
            "waiting: nothing is written before everything was read and evaluated once".to_owned()
        }
        "waiting" if !container.connected && count > 0 => {
            let are = if count == 1 { "is" } else { "are" };
            format!(
                "waiting for etcd: {} {are} ready and will be written when it is back",
                nodes(count)
            )
        }
        "waiting" => "it is being evaluated".to_owned(),
        "not_asked" if !container.unwished.is_empty() => {
            "no policy asks for a node any more, but not all of it is gone from etcd".to_owned()
        }
        "not_asked" if container.kept == 1 => {
            "no policy asks for a node; the one that the process before this one left, and that a fault keeps, may be its".to_owned()
        }
        "not_asked" if container.kept > 1 => format!(
            "no policy asks for a node; some of the {} that the process before this one left, and that a fault keeps, may be its",
            nodes(container.kept)
        ),
        "not_asked" => "nothing of it is in etcd: no policy asks for a node".to_owned(),
        "registered" if count == 1 => "its node is in etcd".to_owned(),
        "registered" => format!("all of its {count} nodes are in etcd"),
        _ if count == 1 => "its node is not in etcd as it is asked for".to_owned(),
        _ => {
            let there = asked().filter(|node| node.state.is_some_and(KeyState::is_fulfilled));
            match there.count() {
                0 => format!("none of its {count} nodes is in etcd as it is asked for"),
                1 => format!("1 of its {count} nodes is in etcd"),
                some => format!("{some} of its {count} nodes are in etcd"),
            }
        }
    }
}

fn ended(container: &AboutContainer, now: WallTime) -> String {
    let when = container.finished_at.as_deref();
    let ago = when.and_then(|when| now.ago(when)).filter(|_| {
        !matches!(
            container.status.as_str(),
            "created" | "running" | "restarting"
        )
    });
    let ago = ago.map(|ago| format!(" {} ago", span(ago)));
    format!(
        "{}{}: only running containers are evaluated",
        container.status,
        ago.unwrap_or_default()
    )
}

fn origin_part(text: &mut String, of: &AboutContainer, origin: &AboutOrigin, now: WallTime) {
    let count = nodes(origin.nodes.len());
    let says = if origin.reasons.is_empty() || origin.nodes.is_empty() {
        ""
    } else {
        ", and it says:"
    };
    let instance = one_line(&origin.instance);
    let is_failed = matches!(origin.outcome, LastOutcome::Failed { .. });
    match &origin.outcome {
        LastOutcome::Failed {
            error,
            since,
            times,
            retry_in,
        } => {
            let often = match times {
                0 | 1 => format!("failed at {}", now.since(*since)),
                some => format!("failed {some} times since {}", now.since(*since)),
            };
            let again = match retry_in {
                Some(wait) => format!("tried again in {}", span(*wait)),
                None => "tried again when policy, configuration or container change".to_owned(),
            };
            push(
                text,
                "",
                &format!("{instance}: {often}, kind {}; {again}", error.kind),
            );
            push(text, "  ", &for_operators(&error.to_string()));
        }
        LastOutcome::Evaluating => push(
            text,
            "",
            &format!("{instance}: {count}, and it is looking at it now"),
        ),
        LastOutcome::Done => push(text, "", &format!("{instance}: {count}{says}")),
    }
    if !is_failed {
        for reason in &origin.reasons {
            push(text, "  ", &one_line(reason));
        }
    }
    if origin.outcome == LastOutcome::Done && origin.nodes.is_empty() && origin.reasons.is_empty() {
        push(
            text,
            "  ",
            "the policy gives no node and no reason; a policy says why with explain()",
        );
    }
    for node in &origin.nodes {
        node_part(text, of, node, is_failed, now);
    }
}

/// An error without the way that led to it, which the log has for those who write policies.
fn for_operators(error: &str) -> String {
    let lines = error
        .lines()
        .filter(|line| !line.starts_with("called from "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A node below the container that asks for it.
fn node_part(
    text: &mut String,
    of: &AboutContainer,
    about: &AboutKey,
    from_before: bool,
    now: WallTime,
) {
    let state = about.state.map_or("not asked", KeyState::name);
    let value = about.value.as_ref().map(|value| shown(&about.key, value));
    let mut line = format!("  {state:<WORD$}{}", named(&about.key));
    if let Some(value) = value {
        let _ = write!(line, " = {value}");
    }
    if from_before {
        line += "   (from before)";
    }
    push(text, "", &one_line(&line));
    let indent = " ".repeat(WORD + 2);
    let detail = detail(about, now);
    let others = others(of, about);
    if !detail.is_empty() || !others.is_empty() {
        push(text, &indent, &one_line(&(detail + &others)));
    }
    if let Some(differences) = of_definitions(about) {
        push(text, &indent, &one_line(&differences));
    } else if let Some(why) = &about.why {
        push(text, &indent, why);
    }
    if let Some(hint) = about.hint() {
        push(text, &indent, &hint);
    }
}

/// In what the definitions differ of an object that is not there as it is asked for.
fn of_definitions(about: &AboutKey) -> Option<String> {
    about.key.object()?;
    let differ = matches!(about.state?, KeyState::Disputed | KeyState::Outvoted);
    differ.then(|| differences(&about.key, &sides(&about.candidates)))
}

/// Each value that is asked for, and by whom.
pub(crate) fn sides(asked: &[AskedValue]) -> Vec<(Value, String)> {
    let asked = asked.iter();
    let whose = |it: &AskedValue| wishers(&it.askers, it.more, &it.hosts);
    asked.map(|it| (it.value.clone(), whose(it))).collect()
}

/// What else is to be said of a node, on one line.
fn detail(about: &AboutKey, now: WallTime) -> String {
    let since = about.since.map(|age| format!("since {}, ", now.since(age)));
    let since = since.unwrap_or_default();
    match (about.state, &about.held) {
        _ if about.member_of.is_some() => String::new(),
        (Some(KeyState::Registered), Some(held)) => {
            format!("{since}by this host, revision {}", held.revision)
        }
        (Some(KeyState::Shared), Some(held)) => {
            format!("{since}by {}, revision {}", host(held), held.revision)
        }
        (Some(KeyState::Outvoted), Some(held)) => {
            let since = about.since.map(|age| format!(" since {}", now.since(age)));
            let what = match about.key.object() {
                Some(_) => "another definition".into(),
                None => shown(&about.key, &held.value),
            };
            format!(
                "{what} is there, by {}{}, revision {}: {}",
                host(held),
                since.unwrap_or_default(),
                held.revision,
                outvoted(about)
            )
        }
        (Some(KeyState::Blocked), Some(held)) if about.key.object().is_none() => format!(
            "{} is there, which no registrator wrote: {}, revision {}",
            held.value,
            lease(held),
            held.revision
        ),
        _ => String::new(),
    }
}

fn host(held: &InEtcd) -> String {
    match (&held.host, held.me) {
        (_, true) => "this host".to_owned(),
        (Some(host), false) => format!("host {host}"),
        (None, false) => "no registrator".to_owned(),
    }
}

fn lease(held: &InEtcd) -> String {
    match &held.lease {
        Some(lease) => format!("lease {lease}"),
        None => "no lease".to_owned(),
    }
}

/// For whom else a node is.
fn others(of: &AboutContainer, about: &AboutKey) -> String {
    let own = about.candidates.iter();
    let own = own.filter(|candidate| Some(&candidate.value) == about.value.as_ref());
    let (mut named, mut more) = (Vec::new(), 0);
    for candidate in own {
        let others = candidate.askers.iter();
        named.extend(others.filter(|asker| asker.container.as_str() != of.id));
        more += candidate.more;
    }
    // Several instances may ask for it, of one container.
    named.dedup_by(|one, other| one.container == other.container);
    match (named.as_slice(), more) {
        ([], 0) => String::new(),
        ([one], 0) => format!(", also for {}", one.name),
        (some, more) => format!(", also for {} other containers", some.len() + more),
    }
}

/// How a key stands, in a sentence.
pub(super) fn of_key_state(about: &AboutKey) -> String {
    let Some(state) = about.state else {
        return "not asked for: no container on this host asks for it".to_owned();
    };
    let words = match state {
        _ if about.member_of.is_some() => "it depends on an object",
        KeyState::Registered => "this host holds it, as it is asked for",
        KeyState::Pending if about.unwished => "nobody asks for it any more: it is deleted next",
        KeyState::Pending if !about.connected => "it is written when etcd is back",
        KeyState::Pending => "it is written next",
        KeyState::Shared if about.key.object().is_some() => {
            "another registrator holds it, as it is asked for here too"
        }
        KeyState::Shared => {
            "another registrator holds it, with the value that is asked for here too"
        }
        KeyState::Disputed => "there are different definitions, and none counts until they agree",
        KeyState::Outvoted => return format!("{state}: {}, so this host waits", outvoted(about)),
        KeyState::Blocked if about.key.object().is_some() => {
            "one of its nodes is somebody else's, so none of them is written"
        }
        KeyState::Blocked => "etcd holds a value that no registrator wrote, so it is left alone",
        KeyState::Rejected => "etcd refuses it",
        KeyState::Kept => {
            "the process before left it, and a fault may hide that somebody asks for it"
        }
        KeyState::HeldBack => {
            "nobody asks for it any more, and too many would go at once, so the brake keeps it"
        }
    };
    format!("{state}: {words}")
}

fn outvoted(about: &AboutKey) -> &'static str {
    match about.key.object() {
        Some(_) => "of different definitions the smallest is registered everywhere",
        None => "of different values the smallest is registered everywhere",
    }
}

fn key_parts(about: &AboutKey, now: WallTime) -> (String, String) {
    let mut head = match about.key.object() {
        Some(name) => format!("object {}\n", one_line(name)),
        None => format!("key {}\n", one_line(about.key.as_str())),
    };
    push(&mut head, "", &of_key_state(about));
    let mut body = String::new();
    if let Some(why) = &about.why {
        push(&mut body, "", why);
    }
    let held = about.held.as_ref().filter(|_| !is_marker_alone(about));
    if let Some(held) = held {
        let word = if held.host.is_some() {
            "registered"
        } else {
            "there"
        };
        let by = match (&held.host, about.since) {
            (None, _) => lease(held),
            (Some(_), Some(age)) => format!("by {} since {}", host(held), now.since(age)),
            (Some(_), None) => format!("by {}", host(held)),
        };
        row(
            &mut body,
            word,
            &format!(
                "{}  {by}, revision {}",
                shown(&about.key, &held.value),
                held.revision
            ),
        );
        for node in nodes_of(about, held) {
            row(&mut body, "", &node);
        }
    } else if about.connected && !is_marker_alone(about) {
        row(&mut body, "there", "nothing");
    }
    let texts = about.candidates.iter().map(|it| &it.value);
    let differs = difference(&about.key, texts);
    for candidate in &about.candidates {
        let holder = held.filter(|held| held.host.is_some());
        let is_held = holder.is_some_and(|held| held.value == candidate.value);
        // The holder was named already.
        if is_held && candidate.askers.is_empty() {
            continue;
        }
        let word = match holder {
            Some(_) if !is_held => "waits",
            _ => "wished",
        };
        let whom = wishers(&candidate.askers, candidate.more, &candidate.hosts);
        row(
            &mut body,
            word,
            &format!(
                "{}  {whom}",
                shown_with(&about.key, &candidate.value, differs.as_ref())
            ),
        );
    }
    if let Some(hint) = about.hint() {
        push(&mut body, "", &hint);
    }
    (head, body)
}

/// Whether there is nothing of an object but its marker.
fn is_marker_alone(about: &AboutKey) -> bool {
    let alone = match about.state {
        Some(state) => matches!(state, KeyState::Blocked | KeyState::Disputed),
        // Others do not agree on it.
        None => about.held.as_ref().is_some_and(|held| {
            let mut asked = about.candidates.iter();
            Definition::is_strict(&about.key, &held.value) && asked.any(|it| it.value != held.value)
        }),
    };
    alone && about.key.object().is_some()
}

/// What there is of an object, node by node.
fn nodes_of(about: &AboutKey, held: &InEtcd) -> Vec<String> {
    let definition = Definition::parse(&about.key, &held.value);
    let nodes = definition.iter().flat_map(|it| &it.fields);
    nodes
        .map(|(key, value)| format!("{key} = {value}"))
        .collect()
}

fn row(text: &mut String, word: &str, rest: &str) {
    push(text, "", &one_line(&format!("  {word:<WORD$}{rest}")));
}

fn wishers(askers: &[Asker], more: usize, hosts: &[crate::host::HostId]) -> String {
    let mut here: Vec<String> = askers.iter().map(Asker::to_string).collect();
    if more > 0 {
        here.push(format!("{more} more"));
    }
    let mut parts = Vec::new();
    if !here.is_empty() {
        parts.push(format!("for {} on this host", here.join(", ")));
    }
    let named: Vec<&str> = hosts.iter().take(NAMED).map(|host| &**host).collect();
    if !named.is_empty() {
        parts.push(format!("by host {}", named.join(", host ")));
    }
    parts.join(", and ")
}

/// How an instance stands, in a sentence.
pub(super) fn of_instance_state(about: &AboutInstance) -> String {
    if !about.runs {
        return match about.siblings.as_slice() {
            [] => "it does not run".to_owned(),
            siblings => format!("a policy with the instances {}", siblings.join(", ")),
        };
    }
    let count: usize = about.states.iter().map(|(_, count)| count).sum();
    let states = about.states.iter();
    let states: Vec<String> = states
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let states = if states.is_empty() {
        String::new()
    } else {
        format!(" ({})", states.join(", "))
    };
    let nodes = match count {
        0 => "0 nodes".to_owned(),
        some => nodes(some),
    };
    format!(
        "it runs: {nodes}{states} for {} of {} running containers",
        about.served, about.containers
    )
}

fn instance_parts(about: &AboutInstance) -> (String, String) {
    let mut head = format!("instance {}\n", one_line(&about.name));
    push(&mut head, "", &of_instance_state(about));
    let mut body = String::new();
    for problem in &about.problems {
        push(&mut body, "", problem);
    }
    for (title, (named, count)) in [
        ("fails for", &about.failing),
        ("gives nothing to", &about.empty),
    ] {
        if *count > 0 {
            push(&mut body, "", &format!("{title} {count}"));
            for (name, why) in named {
                let why = first_line(why);
                push(&mut body, "  ", &format!("{}: {why}", one_line(name)));
            }
            if *count > named.len() {
                push(
                    &mut body,
                    "  ",
                    &format!("and {} more", count - named.len()),
                );
            }
        }
    }
    (head, body)
}
