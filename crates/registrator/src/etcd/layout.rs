//! The names of the registrators' own keys, as `docs/protocol.md` §1 lays them out below a common prefix.

use registrator_core::node::{Key, KeyError};
use registrator_core::own::LeaseId;

/// Where registrators keep their own keys, and which of them are this process's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    meta: String,
    node: String,
}

/// Why a prefix or a host id cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The prefix does not end with a slash, or has nothing before it.
    #[error(
        "the prefix for the registrators' own keys must be a name that ends with a slash, as in \"/registrator/\", not {0:?}"
    )]
    Meta(String),
    /// The host id is empty.
    #[error("the host id must not be empty")]
    EmptyNode,
    /// The host id is too long or not printable.
    #[error("the host id must have at most 256 bytes and no control characters: {0:?}")]
    Node(String),
}

/// What a key of etcd is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A registrator's identity: the host id.
    Identity(String),
    /// A claim of a lease on a key.
    Claim(Key, LeaseId),
    /// The beacon of a lease.
    Beacon(LeaseId),
    /// Below the registrators' prefix, but none of these.
    Unknown(String),
    /// A node, ours or not; that of an object.
    Node(Key),
    /// A key that no registrator can have written.
    Foreign(String, KeyError),
}

impl Layout {
    /// The prefix if nothing else is said.
    pub const DEFAULT_META: &str = "/registrator/";

    /// The layout below `meta_prefix` for the node `host_id`.
    ///
    /// # Errors
    /// The first of [`LayoutError`] that applies.
    pub fn new(meta_prefix: &str, host_id: &str) -> Result<Layout, LayoutError> {
        let name = meta_prefix.strip_suffix('/').unwrap_or_default();
        if Key::parse(name).is_err() {
            return Err(LayoutError::Meta(meta_prefix.to_owned()));
        }
        if host_id.is_empty() {
            return Err(LayoutError::EmptyNode);
        }
        if host_id.len() > 256 || host_id.chars().any(char::is_control) {
            return Err(LayoutError::Node(host_id.chars().take(60).collect()));
        }
        Ok(Layout {
            meta: meta_prefix.to_owned(),
            node: host_id.to_owned(),
        })
    }

    /// This process's host id.
    pub fn host_id(&self) -> &str {
        &self.node
    }

    /// The key of this process's identity, N in the protocol.
    pub fn identity(&self) -> String {
        format!("{}{}", self.identities(), escape(&self.node))
    }

    /// The prefix of all identities.
    pub fn identities(&self) -> String {
        format!("{}nodes/", self.meta)
    }

    /// The key of a node. That of an object, which stands for its marker, is among the registrators' own.
    pub fn node(&self, key: &Key) -> String {
        match key.object() {
            Some(name) => format!("{}{}", self.objects_below(""), escape(name)),
            None => key.to_string(),
        }
    }

    /// The prefix of all objects whose names begin with `prefix`.
    pub fn objects_below(&self, prefix: &str) -> String {
        format!("{}objects/{}", self.meta, escape(prefix))
    }

    /// The prefix of all claims on `key`. It is no prefix of the claims on any other key, not even on one below `key`.
    pub fn claims(&self, key: &Key) -> String {
        format!("{}claims/{}/", self.meta, escape(key.as_str()))
    }

    /// The prefix of all claims on keys that begin with `prefix`.
    pub fn claims_below(&self, prefix: &str) -> String {
        format!("{}claims/{}", self.meta, escape(prefix))
    }

    /// The claim of `lease` on `key`.
    pub fn claim(&self, key: &Key, lease: LeaseId) -> String {
        format!("{}{lease}", self.claims(key))
    }

    /// The prefix of all beacons.
    pub fn beacons(&self) -> String {
        format!("{}beacons/", self.meta)
    }

    /// The beacon of `lease`, B in the protocol: there as long as the process of that lease is alive.
    pub fn beacon(&self, lease: LeaseId) -> String {
        format!("{}{lease}", self.beacons())
    }

    /// What `etcd_key` is for.
    pub(super) fn place(&self, etcd_key: &[u8]) -> Purpose {
        let Ok(text) = std::str::from_utf8(etcd_key) else {
            let text = String::from_utf8_lossy(etcd_key).into_owned();
            return Purpose::Foreign(text.clone(), KeyError::Control(text));
        };
        match text.strip_prefix(&self.meta) {
            Some(rest) => own_place(rest).unwrap_or_else(|| Purpose::Unknown(text.to_owned())),
            None => match Key::parse(text) {
                Ok(key) => Purpose::Node(key),
                Err(error) => Purpose::Foreign(text.to_owned(), error),
            },
        }
    }
}

fn own_place(rest: &str) -> Option<Purpose> {
    if let Some(name) = rest.strip_prefix("nodes/") {
        return Some(Purpose::Identity(unescape(name)?));
    }
    if let Some(lease) = rest.strip_prefix("beacons/") {
        return Some(Purpose::Beacon(parse_lease(lease)?));
    }
    if let Some(name) = rest.strip_prefix("objects/") {
        return Some(Purpose::Node(Key::parse(&unescape(name)?).ok()?.marker()));
    }
    let (key, lease) = rest.strip_prefix("claims/")?.split_once('/')?;
    let key = unescape(key)?;
    let key = match key.strip_suffix('/') {
        Some(name) => Key::parse(name).ok()?.marker(),
        None => Key::parse(&key).ok()?,
    };
    Some(Purpose::Claim(key, parse_lease(lease)?))
}

/// The opposite of the lease's `Display`: exactly 16 lower-case hexadecimal digits.
pub(super) fn parse_lease(text: &str) -> Option<LeaseId> {
    let digits = text.len() == 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let bits = u64::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some(LeaseId(bits.cast_signed()))
}

/// In one go, since each transaction has many names.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for part in text.split_inclusive(['%', '/']) {
        let escape = [('%', "%25"), ('/', "%2F")]
            .into_iter()
            .find_map(|(special, escape)| Some((part.strip_suffix(special)?, escape)));
        let (plain, escape) = escape.unwrap_or((part, ""));
        escaped.push_str(plain);
        escaped.push_str(escape);
    }
    escaped
}

/// `None` if `text` is not what [`escape`] gives.
fn unescape(text: &str) -> Option<String> {
    let plain = text.replace("%2F", "/").replace("%25", "%");
    (escape(&plain) == text).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new("/registrator/", "ABCD:EFGH/1").unwrap()
    }

    #[test]
    fn names_are_those_of_the_protocol() {
        let key = Key::parse("/a/b%2F").unwrap();
        assert_eq!(layout().identity(), "/registrator/nodes/ABCD:EFGH%2F1");
        assert_eq!(
            layout().claim(&key, LeaseId(0x0123_4567_89ab_cdef)),
            "/registrator/claims/%2Fa%2Fb%252F/0123456789abcdef"
        );
        assert!(
            layout()
                .claims(&key)
                .starts_with(&layout().claims_below("/a/"))
        );
        assert_eq!(
            layout().beacon(LeaseId(0x70)),
            "/registrator/beacons/0000000000000070"
        );
    }

    #[test]
    fn names_are_read_back() {
        fn check(key: &str, expected: Purpose) {
            assert_eq!(layout().place(key.as_bytes()), expected, "for {key:?}");
        }
        let key = |text| Key::parse(text).unwrap();
        let unknown = |text: &str| Purpose::Unknown(text.to_owned());
        check(
            "/registrator/nodes/ABCD:EFGH%2F1",
            Purpose::Identity("ABCD:EFGH/1".into()),
        );
        let claim = layout().claim(&key("/a/b%2F"), LeaseId(-1));
        check(&claim, Purpose::Claim(key("/a/b%2F"), LeaseId(-1)));
        check(&layout().beacon(LeaseId(-1)), Purpose::Beacon(LeaseId(-1)));
        let object = key("/a/b%2F").marker();
        let name = layout().node(&object);
        assert_eq!(name, "/registrator/objects/%2Fa%2Fb%252F");
        assert!(name.starts_with(&layout().objects_below("/a/")));
        check(&name, Purpose::Node(object.clone()));
        let claim = layout().claim(&object, LeaseId(-1));
        assert!(claim.starts_with("/registrator/claims/%2Fa%2Fb%252F%2F/"));
        check(&claim, Purpose::Claim(object, LeaseId(-1)));
        for text in [
            "/registrator/beacons/70",
            "/registrator/nodes/a/b",
            "/registrator/claims/%2Fa/12",
            "/registrator/claims/%2Fa/0123456789ABCDEF",
            "/registrator/claims/%2Fa/+123456789abcdef",
            "/registrator/claims/%2/0123456789abcdef",
            "/registrator/objects/%2Fa%2F",
            "/registrator/objects/",
            "/registrator/other",
        ] {
            check(text, unknown(text));
        }
        check("/skydns/a", Purpose::Node(key("/skydns/a")));
        check(
            "/skydns/",
            Purpose::Foreign(
                "/skydns/".into(),
                KeyError::TrailingSlash("/skydns/".into()),
            ),
        );
        assert!(matches!(layout().place(b"/\xff"), Purpose::Foreign(..)));
    }

    #[test]
    fn bad_names_are_refused() {
        for meta in ["", "/", "registrator", "//", "/a//"] {
            assert!(Layout::new(meta, "node").is_err(), "{meta:?}");
        }
        assert!(Layout::new("registrator/", "node").is_ok());
        assert!(Layout::new("/registrator/", "a\nb").is_err());
    }
}
