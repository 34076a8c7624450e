//! Logging in: one token for all calls, renewed once by whoever first finds it stale.

use super::connect::Remote;
use super::whole::Whole;
use crate::aside::Aside;
use crate::etcd::client::ANSWER_WITHIN;
use crate::etcd::error::Error;
use crate::etcd::settings::Credentials;
use etcd_api::{AuthenticateRequest, auth_client::AuthClient};
use std::fmt;
use std::io;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// A channel that adds the metadata that etcd wants.
pub(super) type EtcdChannel = InterceptedService<Whole<Channel>, Metadata>;

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
    InterceptedService::new(Whole(remote.channel()), Metadata { token })
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
    aside: Aside,
    state: Mutex<LoginState>,
}

#[derive(Debug)]
struct LoginState {
    /// The user, with the password that was read last.
    credentials: Credentials,
    logins: u64,
    token: Option<Token>,
}

impl Login {
    /// Not logged in yet.
    pub(super) fn new(credentials: Credentials) -> Login {
        Login {
            aside: Aside::default(),
            state: Mutex::new(LoginState {
                credentials,
                logins: 0,
                token: None,
            }),
        }
    }

    /// The token; logs in at `remote` if there is none. Others wait meanwhile, so there is one login at a time.
    pub(super) async fn token(&self, remote: &Remote) -> Result<Token, Error> {
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token {
            return Ok(token.clone());
        }
        let problem = self.renew(&mut state.credentials).await.err();
        let value = authenticate(remote, &state.credentials, problem).await?;
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

    /// Takes the password as its file has it now, if there is a file.
    async fn renew(&self, credentials: &mut Credentials) -> io::Result<()> {
        let Some(path) = credentials.file.clone() else {
            return Ok(());
        };
        let read = self.aside.run(move || std::fs::read_to_string(path));
        let text = read.await.flatten()?;
        match text.lines().next() {
            None | Some("") => Err(io::Error::other("its first line is empty")),
            Some(password) => {
                credentials.password = password.to_owned();
                Ok(())
            }
        }
    }
}

/// `problem` is why the password is a former one.
async fn authenticate(
    remote: &Remote,
    credentials: &Credentials,
    problem: Option<io::Error>,
) -> Result<Option<MetadataValue<Ascii>>, Error> {
    let request = AuthenticateRequest {
        name: credentials.username.clone(),
        password: credentials.password.clone(),
    };
    let mut stub = AuthClient::new(wire(remote, None));
    let answer = tokio::time::timeout(ANSWER_WITHIN, stub.authenticate(request)).await;
    match answer {
        Err(_) => Err(remote.timed_out()),
        Ok(Ok(answer)) => token_value(remote, &answer.into_inner().token).map(Some),
        Ok(Err(status)) if is_not_enabled(&status) => Ok(None),
        Ok(Err(status)) => Err(explain(remote, credentials, &status, problem)),
    }
}

fn token_value(remote: &Remote, token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let value = MetadataValue::try_from(token).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    value.map_err(|_| Error::Login {
        endpoint: remote.name.clone(),
        message: "its token cannot be sent in a header".to_owned(),
    })
}

fn explain(
    remote: &Remote,
    credentials: &Credentials,
    status: &Status,
    problem: Option<io::Error>,
) -> Error {
    let file = credentials.file.as_ref().zip(problem);
    let hint = file.map_or(String::new(), |(path, problem)| {
        format!(
            " (with a former password, for {} cannot be read: {problem})",
            path.display()
        )
    });
    match remote.error(status) {
        Error::Login { endpoint, message }
        | Error::Refused {
            endpoint, message, ..
        } => {
            let user = &credentials.username;
            Error::Login {
                endpoint,
                message: format!("user {user:?}: {message}{hint}"),
            }
        }
        other => other,
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
