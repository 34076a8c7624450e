//! Which keys this process may write at all, whatever a policy says.

use crate::evaluate::evaluation::{EvalError, EvalErrorKind};
use crate::node::{Key, Nodes};

/// The keys that may be written. Anybody who may start a container chooses container names, host names and labels; the fence
/// keeps them from other applications' keys and from our own bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Prefixes that may be written; all if there is none.
    pub allowed: Vec<String>,
    /// The prefix of our own bookkeeping, closed to policies.
    pub reserved: String,
}

/// Whether `key` begins with `prefix` and a component ends there: `/skydns` covers `/skydns` and `/skydns/x`, but not `/skydns2`;
/// `/skydns/` covers `/skydns/x` alone.
pub fn covers(prefix: &str, key: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty() || prefix.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
    })
}

impl Fence {
    /// Whether `key` may be written.
    pub fn permits(&self, key: &Key) -> bool {
        let allowed = self.allowed.is_empty()
            || self
                .allowed
                .iter()
                .any(|prefix| covers(prefix, key.as_str()));
        allowed && !self.reserves(key)
    }

    /// Whether `key` belongs to our own bookkeeping. The folder's own name does too.
    pub fn reserves(&self, key: &Key) -> bool {
        covers(self.reserved.trim_end_matches('/'), key.as_str())
    }

    /// Checks the result of an evaluation.
    ///
    /// # Errors
    /// A key is outside of the fence: none of the nodes counts.
    pub fn check(&self, nodes: &Nodes) -> Result<(), EvalError> {
        let Some(key) = nodes.written().find(|key| !self.permits(key)) else {
            return Ok(());
        };
        let message = if self.reserves(key) {
            format!(
                "key {key} is in {}, which belongs to the registrator itself",
                self.reserved
            )
        } else {
            format!(
                "key {key} is outside the prefixes that --allow-prefix permits: {}",
                self.allowed.join(", ")
            )
        };
        Err(EvalError {
            kind: EvalErrorKind::Type,
            message,
            at: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_what_is_allowed_and_not_reserved() {
        let fence = |allowed: &[&str]| Fence {
            allowed: allowed.iter().map(ToString::to_string).collect(),
            reserved: "/registrator/".into(),
        };
        let check = |allowed: &[&str], key: &str, expected: bool| {
            assert_eq!(
                fence(allowed).permits(&Key::parse(key).unwrap()),
                expected,
                "{key} under {allowed:?}"
            );
        };
        check(&[], "/skydns/web", true);
        check(&[], "traefik/http", true);
        check(&[], "/registrator/nodes/x", false);
        check(&[], "/registrator", false);
        check(&[], "/registrators/x", true);
        check(&["/skydns"], "/skydns/web", true);
        check(&["/skydns"], "/skydns2/web", false);
        check(&["/skydns"], "/skydns", true);
        check(&["/skydns/"], "/skydns", false);
        check(&["/skydns/", "traefik"], "traefik/http", true);
        check(&["/registrator/"], "/registrator/x", false);
    }
}
