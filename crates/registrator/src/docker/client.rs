//! The five calls to Docker's API that this program makes, all of them `GET`: ping, info, events, list, inspect.
//!
//! The API is documented at <https://docs.docker.com/reference/api/engine/>. Documents of containers stay raw JSON: policies
//! may use any member that any version of Docker gives.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use registrator_core::observe::container::{Container, ContainerId};
use serde::Deserialize;

use super::answer::{Answer, Call, within};
use super::api_version::{ApiVersion, MAX_API, MIN_API};
use super::connector::{ConnectError, Connector};
use super::endpoint::DockerEndpoint;
use super::error::Error;
use super::event_stream::EventStream;
use super::id::parse_id;
use crate::error_chain::{causes, error_chain};

const SMALL_BODY: usize = 1 << 20;
const INSPECT_BODY: usize = 4 << 20;
const LIST_BODY: usize = 128 << 20;
/// What a connection reads ahead, at most; left alone it is six times as much, and there may be more than a hundred of them.
const READ_AHEAD: usize = 1 << 16;

/// How long each step of a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Opening a connection, with TLS handshake and name resolution.
    pub connect: Duration,
    /// A whole request and its answer; of the event stream the head alone.
    pub request: Duration,
    /// The list of containers, which takes long on a busy daemon with thousands of them.
    pub list: Duration,
    /// `/_ping`, which a sound daemon answers in under a millisecond.
    pub ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(10),
            list: Duration::from_secs(30),
            ping: Duration::from_secs(5),
        }
    }
}

/// A client of one Docker daemon. Keeps connections open for reuse; cheap to clone.
///
/// The API version is negotiated once per client, before the first call that needs it. A daemon that comes back after a
/// restart may be another version: ask it through [`DockerClient::fresh`].
#[derive(Clone)]
pub struct DockerClient {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: DockerEndpoint,
    timeouts: Timeouts,
    base: String,
    connector: Connector,
    http: legacy::Client<Connector, Empty<Bytes>>,
    version: OnceLock<ApiVersion>,
}

/// What `GET /info` says about the engine.
#[derive(Clone, Debug, Deserialize)]
pub struct EngineInfo {
    /// The engine's own ID, made when it was installed; empty where an engine has none.
    #[serde(rename = "ID", default)]
    pub id: String,
}

impl DockerClient {
    /// A client for `endpoint`. Reads certificate files, connects to nothing yet.
    pub fn new(endpoint: DockerEndpoint, timeouts: Timeouts) -> Result<Self, Error> {
        let connector = Connector::new(&endpoint, timeouts.connect)?;
        let base = connector.base();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_AHEAD)
            .build(connector.clone());
        let shared = Shared {
            endpoint,
            timeouts,
            base,
            connector,
            http,
            version: OnceLock::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// A client for the same endpoint that shares nothing with this one: it reads the certificate files again, opens
    /// connections of its own and negotiates anew.
    pub fn fresh(&self) -> Result<Self, Error> {
        Self::new(self.shared.endpoint.clone(), self.shared.timeouts)
    }

    /// Where the daemon is.
    pub fn endpoint(&self) -> &DockerEndpoint {
        &self.shared.endpoint
    }

    /// The API version in use: the newest that both sides speak. Asks the daemon the first time.
    pub async fn api_version(&self) -> Result<ApiVersion, Error> {
        if let Some(version) = self.shared.version.get() {
            return Ok(*version);
        }
        let daemon = self.ping().await?;
        if daemon < MIN_API {
            let endpoint = &self.shared.endpoint;
            return Err(Error::Other(format!(
                "the Docker daemon at {endpoint} speaks API {daemon}, at least {MIN_API} (Docker 20.10) is needed: upgrade Docker"
            )));
        }
        Ok(*self.shared.version.get_or_init(|| daemon.min(MAX_API)))
    }

    /// `GET /_ping`: the newest API version that the daemon speaks.
    pub async fn ping(&self) -> Result<ApiVersion, Error> {
        let call = Call {
            name: "ping",
            limit: SMALL_BODY,
            timeout: self.shared.timeouts.ping,
        };
        let answer = self.get(call, "/_ping").await?;
        answer.ok(call)?;
        newest_version(&answer).ok_or_else(|| {
            let endpoint = &self.shared.endpoint;
            Error::Other(format!(
                "what listens at {endpoint} does not answer as a Docker daemon does (no Api-Version header)"
            ))
        })
    }

    /// `GET /info`.
    pub async fn info(&self) -> Result<EngineInfo, Error> {
        let call = Call {
            name: "info",
            limit: SMALL_BODY,
            timeout: self.shared.timeouts.request,
        };
        self.get_versioned(call, "/info").await?.json(call)
    }

    /// `GET /containers/json?all=1`: the ids of all containers, running or not, each once.
    pub async fn list(&self) -> Result<Vec<ContainerId>, Error> {
        let call = Call {
            name: "list of containers",
            limit: LIST_BODY,
            timeout: self.shared.timeouts.list,
        };
        let answer = self.get_versioned(call, "/containers/json?all=1").await?;
        listed(&answer, call)
    }

    /// `GET /containers/{id}/json`: the container, not packed yet; `None` if there is none with this id.
    pub async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, Error> {
        let call = Call {
            name: "inspect",
            limit: INSPECT_BODY,
            timeout: self.shared.timeouts.request,
        };
        let answer = self
            .get_versioned(call, &format!("/containers/{id}/json"))
            .await?;
        inspected(&answer, call, id)
    }

    /// `GET /events`: what happens from now on. Once this returns, nothing that happens goes unreported.
    pub async fn events(&self) -> Result<EventStream, Error> {
        let call = Call {
            name: "events",
            limit: SMALL_BODY,
            timeout: self.shared.timeouts.request,
        };
        let path = self.versioned(&EventStream::path()).await?;
        let response = within(call, self.send(call, &path)).await?;
        if response.status() == StatusCode::OK {
            return Ok(EventStream::new(response.into_body()));
        }
        within(call, Answer::read(call, response)).await?.ok(call)?;
        Err(Error::EventsEnded)
    }

    async fn get_versioned(&self, call: Call, path: &str) -> Result<Answer, Error> {
        self.get(call, &self.versioned(path).await?).await
    }

    async fn versioned(&self, path: &str) -> Result<String, Error> {
        Ok(format!("/v{}{path}", self.api_version().await?))
    }

    async fn get(&self, call: Call, path: &str) -> Result<Answer, Error> {
        within(call, async {
            Answer::read(call, self.send(call, path).await?).await
        })
        .await
    }

    async fn send(&self, call: Call, path: &str) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        let uri = format!("{}{path}", self.shared.base);
        *request.uri_mut() = uri.parse().map_err(|_| {
            Error::Other(format!(
                "the {} request has no valid address: {path}",
                call.name
            ))
        })?;
        self.shared
            .http
            .request(request)
            .await
            .map_err(|error| self.not_sent(call, error))
    }

    fn not_sent(&self, call: Call, source: legacy::Error) -> Error {
        let connect = causes(&source).find_map(|cause| cause.downcast_ref());
        match connect.map(|ConnectError(io)| Arc::clone(io)) {
            Some(io) => Error::Connect {
                endpoint: self.shared.endpoint.to_string(),
                source: io,
            },
            None => {
                let answered = self.shared.version.get().is_some();
                let connector = &self.shared.connector;
                let advice = connector.advice_if_broken(&error_chain(&source), answered);
                Error::Broken {
                    message: format!("the {} request to Docker failed{advice}", call.name),
                    source: source.into(),
                }
            }
        }
    }
}

impl fmt::Debug for DockerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerClient")
            .field("endpoint", &self.shared.endpoint)
            .finish_non_exhaustive()
    }
}

/// What a ping says of the daemon.
fn newest_version(answer: &Answer) -> Option<ApiVersion> {
    let version = answer.headers.get("api-version")?;
    version.to_str().ok()?.parse().ok()
}

/// The ids in a list of containers, each once.
fn listed(answer: &Answer, call: Call) -> Result<Vec<ContainerId>, Error> {
    let summaries = answer.json::<Vec<Summary>>(call)?.into_iter();
    let mut ids: Vec<_> = summaries.map(|summary| summary.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The container that was asked for; `None` if there is none.
fn inspected(answer: &Answer, call: Call, id: &ContainerId) -> Result<Option<Container>, Error> {
    if answer.is_no_such_container() {
        return Ok(None);
    }
    let container = Container::unpacked(answer.text(call)?).map_err(|source| {
        // Where a text is no JSON, and why, shows when all of it is read.
        let unreadable = answer.json::<serde_json::Value>(call).err();
        unreadable.unwrap_or_else(|| Error::Unreadable {
            message: format!(
                "cannot read the inspect document of container {}",
                id.short()
            ),
            source: source.into(),
        })
    })?;
    if container.id() != id {
        return Err(Error::Other(format!(
            "asked for container {}, Docker answered with {}",
            id.short(),
            container.id().short()
        )));
    }
    Ok(Some(container))
}

/// What is used of one item of the list.
#[derive(Deserialize)]
struct Summary {
    #[serde(rename = "Id")]
    id: ListedId,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ListedId(ContainerId);

impl TryFrom<String> for ListedId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_id(&text)
            .map(Self)
            .ok_or("the Id of a container must be hexadecimal")
    }
}

#[cfg(test)]
mod tests;
