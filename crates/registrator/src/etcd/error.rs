//! What can go wrong between this process and etcd, and what that says about the request.

use crate::error_chain::causes;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;
use tonic::{Code, ConnectError, Status};

/// A request that etcd did not answer as hoped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to etcd at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        cause: Cause,
    },
    /// The connection broke while the answer was awaited, or none came in time.
    #[error("lost the connection to etcd at {endpoint}")]
    Broken {
        endpoint: String,
        #[source]
        cause: Cause,
    },
    /// This member cannot serve now: no leader, overloaded, starting, out of space.
    #[error("etcd at {endpoint} cannot serve: {message}")]
    Unavailable {
        endpoint: String,
        /// In etcd's words.
        message: String,
        /// Whether the request certainly had no effect.
        not_executed: bool,
    },
    /// etcd refused the request, and would again.
    #[error("etcd at {endpoint} refused: {message}")]
    Refused {
        endpoint: String,
        /// In etcd's words.
        message: String,
        /// Whether it was for want of a right.
        forbidden: bool,
    },
    /// The user name or the password is wrong, or missing.
    #[error("etcd at {endpoint} refused the login: {message}")]
    Login {
        endpoint: String,
        /// In etcd's words.
        message: String,
    },
    /// The token is not valid any more; a new login helps.
    #[error("etcd at {endpoint} does not accept the token any more: {message}")]
    StaleToken {
        endpoint: String,
        /// In etcd's words.
        message: String,
    },
    /// A lease in the request does not exist. The whole request had no effect.
    #[error("etcd at {endpoint}: the lease does not exist")]
    LeaseNotFound { endpoint: String },
    /// The revision to read or to watch from is not kept any more, or belongs to another history.
    #[error("etcd at {endpoint} has not kept the changes since revision {revision}")]
    Compacted {
        endpoint: String,
        /// The revision that was asked for; 0 if not known.
        revision: i64,
    },
    /// The answer is bigger than this client takes.
    #[error("the answer of etcd at {endpoint} is too big: {message}")]
    TooLarge {
        endpoint: String,
        /// In gRPC's words.
        message: String,
    },
    /// The answer is not what the request asks for.
    #[error("etcd at {endpoint} gave an answer that does not fit: {message}")]
    Unexpected {
        endpoint: String,
        /// What does not fit.
        message: String,
    },
}

/// The cause of a failure in words, made from a chain of causes of which the outer ones say nothing ("transport error").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    text: String,
    /// What is to be done about it, where that is known.
    advice: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advice {
            Some(advice) => write!(f, "{} ({advice})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl StdError for Cause {}

impl Cause {
    /// A cause in words.
    pub(super) fn text(text: &str) -> Cause {
        Cause {
            text: text.to_owned(),
            advice: None,
        }
    }

    /// The same with what is to be done about it.
    pub(super) fn with_advice(self, advice: Option<String>) -> Cause {
        Cause { advice, ..self }
    }

    /// The innermost causes of `error`: those that name a fact.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Cause {
        let mut texts: Vec<String> = Vec::new();
        for link in causes(error) {
            let text = link.to_string();
            let empty = link.is::<tonic::transport::Error>()
                || matches!(
                    text.as_str(),
                    "transport error" | "tcp connect error" | "http2 error"
                );
            // An outer message that ends with the inner one says the same twice.
            texts.retain(|outer| !outer.ends_with(&text));
            if !empty && !texts.iter().any(|outer| outer.contains(&text)) {
                texts.push(text);
            }
        }
        if texts.is_empty() {
            Cause::text(&error.to_string())
        } else {
            Cause::text(&texts.join(": "))
        }
    }
}

impl Error {
    /// Whether it is certain that a write did not happen and never will. Otherwise it may have happened, or may still happen.
    pub fn outcome_known(&self) -> bool {
        match self {
            Error::Unreachable { .. }
            | Error::Refused { .. }
            | Error::Login { .. }
            | Error::StaleToken { .. }
            | Error::Compacted { .. }
            | Error::LeaseNotFound { .. } => true,
            Error::Unavailable { not_executed, .. } => *not_executed,
            Error::Broken { .. } | Error::TooLarge { .. } | Error::Unexpected { .. } => false,
        }
    }

    /// Whether etcd answers and refuses this process: its password, its user or its rights.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Error::Refused { .. } | Error::Login { .. } | Error::StaleToken { .. }
        )
    }

    /// Whether etcd has no room for what would be written. It goes on deleting.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Error::Unavailable { message, .. } if message.contains("database space exceeded"))
    }

    /// What is to be done about it, where that is known.
    pub(super) fn advice(&self) -> Option<&String> {
        match self {
            Error::Unreachable { cause, .. } | Error::Broken { cause, .. } => cause.advice.as_ref(),
            _ => None,
        }
    }

    /// Whether another endpoint may do better.
    pub(super) fn blames_endpoint(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. } | Error::Broken { .. } | Error::Unavailable { .. }
        )
    }

    /// `endpoint` did not answer `within` this time.
    pub(super) fn no_answer(endpoint: &str, within: Duration) -> Error {
        Error::Broken {
            endpoint: endpoint.to_owned(),
            cause: Cause::text(&format!("no answer within {within:?}")),
        }
    }

    /// What `status`, got from `endpoint`, says.
    pub(super) fn of_status(endpoint: &str, status: &Status) -> Error {
        match status.source() {
            Some(source) => Error::of_transport(endpoint, source),
            None => Error::of_answer(endpoint, status.code(), status.message()),
        }
    }

    /// Statuses with a source were made on this side: they tell of the connection.
    fn of_transport(endpoint: &str, source: &(dyn StdError + 'static)) -> Error {
        let (endpoint, cause) = (endpoint.to_owned(), Cause::of(source));
        if causes(source).any(|link| link.is::<ConnectError>()) {
            Error::Unreachable { endpoint, cause }
        } else {
            Error::Broken { endpoint, cause }
        }
    }

    /// What etcd says in words, by code. The messages are those of etcd's `rpctypes/error.go`.
    pub(super) fn of_answer(endpoint: &str, code: Code, text: &str) -> Error {
        let endpoint = endpoint.to_owned();
        let message = text.strip_prefix("etcdserver: ").unwrap_or(text).to_owned();
        match code {
            _ if text.contains("lease not found") => Error::LeaseNotFound { endpoint },
            _ if text.contains("required revision has been compacted") => Error::Compacted {
                endpoint,
                revision: 0,
            },
            _ if is_stale_token(text) || code == Code::Unauthenticated => {
                Error::StaleToken { endpoint, message }
            }
            _ if text.contains("authentication failed") => Error::Login { endpoint, message },
            Code::OutOfRange if text.contains("message length too large") => {
                Error::TooLarge { endpoint, message }
            }
            Code::ResourceExhausted if !text.contains("larger than max") => Error::Unavailable {
                endpoint,
                message,
                not_executed: true,
            },
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::ResourceExhausted => Error::Refused {
                endpoint,
                message,
                forbidden: code == Code::PermissionDenied,
            },
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Error::Unavailable {
                endpoint,
                not_executed: message == "no leader",
                message,
            },
        }
    }
}

/// Texts with which the versions of etcd say that a login is needed, again or at all.
fn is_stale_token(text: &str) -> bool {
    [
        "invalid auth token",
        "user name is empty",
        "revision of auth store is old",
        "revision in header is old",
    ]
    .iter()
    .any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, text: &str, message: &str, known: bool) {
        let error = Error::of_answer("http://a:1", code, text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.outcome_known(), known, "{error:?}");
    }

    #[test]
    fn answers_are_understood() {
        check(
            Code::NotFound,
            "etcdserver: requested lease not found",
            "etcd at http://a:1: the lease does not exist",
            true,
        );
        check(
            Code::InvalidArgument,
            "etcdserver: request is too large",
            "etcd at http://a:1 refused: request is too large",
            true,
        );
        check(
            Code::Unavailable,
            "etcdserver: request timed out",
            "etcd at http://a:1 cannot serve: request timed out",
            false,
        );
        check(
            Code::Unavailable,
            "etcdserver: no leader",
            "etcd at http://a:1 cannot serve: no leader",
            true,
        );
        check(
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
            "etcd at http://a:1 cannot serve: mvcc: database space exceeded",
            true,
        );
        check(
            Code::InvalidArgument,
            "etcdserver: user name is empty",
            "etcd at http://a:1 does not accept the token any more: user name is empty",
            true,
        );
        check(
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
            "etcd at http://a:1 has not kept the changes since revision 0",
            true,
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn a_cause_is_told_once_and_from_where_it_means_something() {
        let inner = Link("connection refused (os error 111)", None);
        let outer = Link("transport error", Some(Box::new(inner)));
        assert_eq!(
            Cause::of(&outer).to_string(),
            "connection refused (os error 111)"
        );
        let inner = Link("b", None);
        let outer = Link("a: b", Some(Box::new(inner)));
        assert_eq!(Cause::of(&outer).to_string(), "b");
    }
}
