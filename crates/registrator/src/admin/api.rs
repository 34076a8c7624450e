//! Paths and answers. Everything is read-only but the release of the brake.

mod events;

use super::guard::{self, Came, Class, Heads};
use super::{Asking, Question, Status, metrics, page};
use crate::error_chain::error_chain;
use crate::peers::wall_time;
use events::Events;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use registrator_core::reconciler::{Asked, fill_in};
use registrator_core::tell::explanation::{About, Explanation};
use registrator_core::tell::printable::json as printable;
use registrator_core::tell::snapshot::{ContainerLine, NodeFilter};
use registrator_core::tell::state::KeyState;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::time::timeout;

/// How long the event loop may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many lines of a list are given, unless it is said, and at most.
const LIMIT: usize = 100;
const MOST: usize = 500;

/// What every answer carries. The page asks for nothing but its own files.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What all connections share.
pub(super) struct Api {
    asking: Asking,
    /// Further names in `Host`.
    names: Vec<String>,
    /// How many follow the events.
    streams: std::sync::Arc<AtomicUsize>,
}

impl Api {
    pub(super) fn new(asking: Asking, names: Vec<String>) -> Api {
        Api {
            asking,
            names,
            streams: std::sync::Arc::default(),
        }
    }
}

/// An answer before it has headers.
struct Reply {
    status: u16,
    kind: &'static str,
    body: Body,
}

impl Reply {
    fn new(status: u16, kind: &'static str, text: impl Into<Bytes>) -> Reply {
        let body = Full::new(text.into()).boxed_unsync();
        Reply { status, kind, body }
    }

    fn text(status: u16, text: impl Into<String>) -> Reply {
        let mut text = text.into();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Reply::new(status, "text/plain; charset=utf-8", text)
    }

    fn json(json: &Json) -> Reply {
        let text = printable(&format!("{json:#}\n")).into_owned();
        Reply::new(200, "application/json", text)
    }

    /// The event loop does not answer.
    fn gone() -> Reply {
        Reply::text(503, "the event loop does not answer")
    }
}

/// What a path is.
fn class(path: &str) -> Option<Class> {
    Some(match path {
        "/livez" | "/readyz" | "/metrics" => Class::Numbers,
        "/" | "/app.js" | "/style.css" => Class::Page,
        "/api/v1/brake/release" => Class::Change,
        path if path.starts_with("/api/v1/") => Class::Api,
        _ => return None,
    })
}

/// Answers one request.
pub(super) async fn answer(
    api: &Api,
    request: Request<Incoming>,
    came: Came,
    uid: Option<u32>,
) -> Response<Body> {
    let answer = match guarded(api, &request, came) {
        Ok(()) => respond(api, &request, uid).await,
        Err((status, why)) => Reply::text(status, why),
    };
    let mut response = Response::new(answer.body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn guarded(api: &Api, request: &Request<Incoming>, came: Came) -> Result<(), guard::Refused> {
    let class = class(request.uri().path()).ok_or((404, "there is no such path"))?;
    let header = |name: HeaderName| request.headers().get(name)?.to_str().ok();
    let asked = Heads {
        method: request.method().as_str(),
        host: header(header::HOST),
        origin: header(header::ORIGIN),
        site: header(HeaderName::from_static("sec-fetch-site")),
    };
    guard::check(came, class, asked, &api.names)
}

async fn respond(api: &Api, request: &Request<Incoming>, uid: Option<u32>) -> Reply {
    let query = Query::of(request.uri().query().unwrap_or_default());
    let wants_text = wants(request, "text/plain");
    match request.uri().path() {
        "/livez" => live(api).await,
        "/readyz" => ready(api).await,
        "/metrics" => metrics(api).await,
        "/" => Reply::new(200, "text/html; charset=utf-8", page::HTML),
        "/app.js" => Reply::new(200, "text/javascript; charset=utf-8", page::SCRIPT),
        "/style.css" => Reply::new(200, "text/css; charset=utf-8", page::STYLE),
        "/api/v1/status" => status(api, wants_text).await,
        "/api/v1/explain" => explain(api, &query, wants_text).await,
        "/api/v1/nodes" => nodes(api, &query).await,
        "/api/v1/containers" => containers(api, &query).await,
        "/api/v1/brake" => brake(api, wants_text).await,
        "/api/v1/brake/release" => release(api, uid).await,
        "/api/v1/events" => {
            let last = request.headers().get("last-event-id");
            let last = last.and_then(|it| it.to_str().ok()?.parse().ok());
            let after = last.or_else(|| query.get("after")?.parse().ok());
            events(api, after)
        }
        _ => Reply::text(404, "there is no such path"),
    }
}

fn wants(request: &Request<Incoming>, kind: &str) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    accept.is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.starts_with(kind)))
}

/// Asks the event loop, and waits for as long as anybody may wait.
async fn ask<T>(
    api: &Api,
    question: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Question,
) -> Option<T> {
    timeout(PATIENCE, api.asking.ask(question)).await.ok()?
}

async fn live(api: &Api) -> Reply {
    match ask(api, Question::Ping).await {
        Some(()) => Reply::text(200, "ok"),
        None => Reply::gone(),
    }
}

/// No name of a container, a key or a host is in it.
async fn ready(api: &Api) -> Reply {
    let Some(status) = ask(api, Question::Status).await else {
        return Reply::gone();
    };
    let conditions = status.conditions();
    let is_ready = conditions.iter().all(|it| it.missing.is_none());
    let lines: Vec<String> = conditions
        .iter()
        .map(|it| match it.missing {
            None => format!("ok {}", it.name),
            Some(_) => format!("no {}: see kontena-registrator status", it.name),
        })
        .collect();
    Reply::text(if is_ready { 200 } else { 503 }, lines.join("\n"))
}

async fn metrics(api: &Api) -> Reply {
    match ask(api, Question::Metrics).await {
        None => Reply::gone(),
        Some((status, meters)) => Reply::new(
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::text(&status, &meters),
        ),
    }
}

async fn status(api: &Api, wants_text: bool) -> Reply {
    let seq = api.asking.feed.last();
    match ask(api, Question::Status).await {
        None => Reply::gone(),
        Some(status) if wants_text => Reply::text(200, status.text()),
        Some(status) => Reply::json(&status_json(&status, seq)),
    }
}

fn status_json(status: &Status, seq: u64) -> Json {
    status.to_json(seq)
}

async fn explain(api: &Api, query: &Query, wants_text: bool) -> Reply {
    let text = |name: &str| query.get(name).map(str::to_owned);
    let asked = text("container")
        .map(Asked::Container)
        .or_else(|| text("key").map(Asked::Key))
        .or_else(|| text("instance").map(Asked::Instance))
        .or_else(|| text("of").map(Asked::Anything));
    let Some(asked) = asked else {
        return Reply::text(
            400,
            "what is to be explained? Give container=, key= or instance=",
        );
    };
    let found = ask(api, |answer| Question::Explain(asked, answer)).await;
    let mut explanation = match found {
        None => return Reply::gone(),
        Some(Err(unfound)) => return Reply::text(404, unfound.to_string()),
        Some(Ok(explanation)) => explanation,
    };
    look_up(api, &mut explanation).await;
    add_recent(api, &mut explanation);
    if wants_text {
        Reply::text(200, explanation.text(wall_time()))
    } else {
        let mut json = explanation.to_json(wall_time());
        json["fulfilled"] = explanation.is_fulfilled().into();
        Reply::json(&json)
    }
}

/// Reads what is at a key that this host has nothing to do with.
async fn look_up(api: &Api, explanation: &mut Explanation) {
    let About::Key(key) = &mut explanation.about else {
        return;
    };
    // A member that waits for its object is not followed.
    let followed = key.state.is_some() && key.member_of.is_none();
    if followed || key.held.is_some() || !key.connected {
        return;
    }
    let mut read = api.asking.reader.read(&key.key).await;
    // Nobody on this host could say that it is the name of an object.
    let is_empty = matches!(&read, Some(Ok((_, view))) if view.node.is_none());
    if is_empty && key.state.is_none() && key.key.object().is_none() {
        let marker = key.key.marker();
        let object = api.asking.reader.read(&marker).await;
        if matches!(&object, Some(Ok((_, view))) if view.node.is_some()) {
            (key.key, read) = (marker, object);
        }
    }
    match read {
        Some(Ok((who, view))) => fill_in(key, &who, &view),
        Some(Err(error)) => {
            key.why = Some(format!("etcd cannot be asked: {}", error_chain(&error)))
        }
        None => key.why = Some("etcd does not answer in time".to_owned()),
    }
}

fn add_recent(api: &Api, explanation: &mut Explanation) {
    let keys = explanation.keys();
    let keys: Vec<&str> = keys.into_iter().map(|key| key.as_str()).collect();
    let container = match &explanation.about {
        About::Container(it) => Some((it.id.as_str(), it.name.as_str())),
        About::Key(_) | About::Instance(_) => None,
    };
    explanation.recent = api.asking.feed.about(&keys, container);
}

async fn nodes(api: &Api, query: &Query) -> Reply {
    let state = match query.get("state").filter(|state| !state.is_empty()) {
        None => None,
        Some(name) => match KeyState::named(name) {
            Some(state) => Some(state),
            None => return Reply::text(400, "there is no such state"),
        },
    };
    let filter = NodeFilter {
        state,
        prefix: query.text("prefix"),
        text: query.text("q"),
    };
    let (after, limit) = (query.text("after"), query.limit());
    let seq = api.asking.feed.last();
    let page = ask(api, |answer| Question::Nodes(filter, after, limit, answer)).await;
    let Some(page) = page else {
        return Reply::gone();
    };
    let now = wall_time();
    let last = page.nodes.last().map(|node| node.key.as_str().to_owned());
    let nodes = page.nodes.iter().map(|node| node.to_json(now));
    Reply::json(&json!({
        "schema": 1,
        "seq": seq,
        "nodes": nodes.collect::<Vec<_>>(),
        "after": last.filter(|_| page.more),
    }))
}

async fn containers(api: &Api, query: &Query) -> Reply {
    let (text, after, limit) = (query.text("q"), query.text("after"), query.limit());
    let page = ask(api, |answer| {
        Question::Containers(text, after, limit, answer)
    });
    let Some((lines, more)) = page.await else {
        return Reply::gone();
    };
    let last = lines.last().map(|line| line.name.clone());
    Reply::json(&json!({
        "schema": 1,
        "containers": lines.iter().map(ContainerLine::to_json).collect::<Vec<_>>(),
        "after": last.filter(|_| more),
    }))
}

async fn brake(api: &Api, wants_text: bool) -> Reply {
    let Some((state, keys)) = ask(api, Question::Brake).await else {
        return Reply::gone();
    };
    let now = wall_time();
    if wants_text {
        let Some(state) = state else {
            return Reply::text(200, "off: nothing is held back");
        };
        let mut text = state.text(now);
        keys.iter().for_each(|key| {
            text += "\n  ";
            text += key;
        });
        if state.nodes > keys.len() {
            text += &format!("\n  and {} more", state.nodes - keys.len());
        }
        return Reply::text(200, text);
    }
    Reply::json(&json!({
        "schema": 1,
        "engaged": state.is_some(),
        "brake": state.map(|state| state.to_json(now)),
        "keys": keys,
    }))
}

async fn release(api: &Api, uid: Option<u32>) -> Reply {
    let who = uid.map_or("somebody".to_owned(), |uid| {
        format!("the user with the id {uid}")
    });
    match ask(api, |answer| Question::ReleaseBrake(who, answer)).await {
        None => Reply::gone(),
        Some(0) => Reply::text(200, "nothing was held back"),
        Some(count) => Reply::text(200, format!("{count} nodes are let go")),
    }
}

fn events(api: &Api, after: Option<u64>) -> Reply {
    match Events::begin(&api.asking.feed, after, &api.streams) {
        None => Reply::text(503, "too many follow the events already"),
        Some(events) => Reply {
            status: 200,
            kind: "text/event-stream",
            body: events.into_body(),
        },
    }
}

/// What stands behind the question mark.
struct Query(BTreeMap<String, String>);

impl Query {
    fn of(text: &str) -> Query {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Query(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    fn limit(&self) -> usize {
        let limit = self.get("limit").and_then(|limit| limit.parse().ok());
        limit.unwrap_or(LIMIT).clamp(1, MOST)
    }
}
