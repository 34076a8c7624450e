//! Logging in: one token for all calls, renewed once by whoever first finds it stale.

use super::connect::Remote;
use crate::etcd::client::ANSWER_WITHIN;
use crate::etcd::error::Error;
use crate::etcd::settings::Credentials;
use etcd_api::{AuthenticateRequest, auth_client::AuthClient};
use std::fmt;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// A channel that adds the metadata that etcd wants.
pub(super) type EtcdChannel = InterceptedService<Channel, Metadata>;

/// What goes with each call.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    token: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Metadata {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        // A member without a leader refuses, and ends its streams, instead of staying silent.
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        if let Some(token) = &self.token {
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A channel to `remote` for calls with `token`.
pub(super) fn wire(remote: &Remote, token: Option<Token>) -> EtcdChannel {
    let token = token.and_then(|token| token.value);
    InterceptedService::new(remote.channel.clone(), Metadata { token })
}

/// The proof of a login; without a value if etcd wants no login.
#[derive(Clone)]
pub(super) struct Token {
    number: u64,
    value: Option<MetadataValue<Ascii>>,
}

/// The user and the token in use.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    state: Mutex<LoginState>,
}

#[derive(Debug, Default)]
struct LoginState {
    logins: u64,
    token: Option<Token>,
}

impl Login {
    /// Not logged in yet.
    pub(super) fn new(credentials: Credentials) -> Login {
        Login {
            credentials,
            state: Mutex::default(),
        }
    }

    /// The token; logs in at `remote` if there is none. Others wait meanwhile, so there is one login at a time.
    pub(super) async fn token(&self, remote: &Remote) -> Result<Token, Error> {
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token {
            return Ok(token.clone());
        }
        let value = self.authenticate(remote).await?;
        state.logins += 1;
        let token = Token {
            number: state.logins,
            value,
        };
        state.token = Some(token.clone());
        Ok(token)
    }

    /// Forgets `token`, unless there is a newer one already.
    pub(super) async fn discard(&self, token: &Token) {
        let mut state = self.state.lock().await;
        if state
            .token
            .as_ref()
            .is_some_and(|known| known.number == token.number)
        {
            state.token = None;
        }
    }

    async fn authenticate(&self, remote: &Remote) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let request = AuthenticateRequest {
            name: self.credentials.username.clone(),
            password: self.credentials.password.clone(),
        };
        let mut stub = AuthClient::new(wire(remote, None));
        let answer = tokio::time::timeout(ANSWER_WITHIN, stub.authenticate(request)).await;
        match answer {
            Err(_) => Err(remote.timed_out()),
            Ok(Ok(answer)) => self.value(remote, &answer.into_inner().token).map(Some),
            Ok(Err(status)) if is_not_enabled(&status) => Ok(None),
            Ok(Err(status)) => Err(self.explain(remote, &status)),
        }
    }

    fn value(&self, remote: &Remote, token: &str) -> Result<MetadataValue<Ascii>, Error> {
        let value = MetadataValue::try_from(token).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        value.map_err(|_| Error::Login {
            endpoint: remote.name.clone(),
            message: "its token cannot be sent in a header".to_owned(),
        })
    }

    fn explain(&self, remote: &Remote, status: &Status) -> Error {
        match remote.error(status) {
            Error::Login { endpoint, message }
            | Error::Refused {
                endpoint, message, ..
            } => {
                let user = &self.credentials.username;
                Error::Login {
                    endpoint,
                    message: format!("user {user:?}: {message}"),
                }
            }
            other => other,
        }
    }
}

/// User and password are given, but etcd does not ask for them.
fn is_not_enabled(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().contains("not enabled")
}

/// Never shows the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token #{}", self.number)
    }
}
