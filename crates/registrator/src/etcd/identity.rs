//! The identity key: which process speaks for a host id.

use super::layout::{Layout, Purpose, parse_lease};
use super::reading;
use crate::attempts::random;
use etcd_api::KeyValue;
use registrator_core::host::HostId;
use registrator_core::own::LeaseId;
use serde_json::{Value as Json, json};
use std::fmt;

/// Who holds an identity: the content of the key N of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The lease under which it holds its keys.
    pub lease: LeaseId,
    /// Names the process among all that ever held this identity.
    pub process: String,
    /// Whether the process ended in order and left its lease to a successor.
    pub released: bool,
    /// The machine's name.
    pub host: String,
    /// The process id there.
    pub pid: u32,
    /// The program's version.
    pub version: String,
}

impl Holder {
    /// The content of the key.
    pub(super) fn to_json(&self) -> String {
        json!({
            "lease": self.lease.to_string(),
            // The name that versions before this one read.
            "instance": self.process,
            "released": self.released,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
        })
        .to_string()
    }

    /// Reads the key's content; `None` if it is not one, as after a change by hand.
    pub(super) fn parse(bytes: &[u8]) -> Option<Holder> {
        let json: Json = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        Some(Holder {
            lease: parse_lease(&text("lease")?)?,
            process: text("instance")?,
            released: json.get("released")?.as_bool()?,
            host: text("host").unwrap_or_default(),
            pid: json
                .get("pid")
                .and_then(Json::as_u64)
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or_default(),
            version: text("version").unwrap_or_default(),
        })
    }
}

/// For a log line: `process 1f… (pid 7 on host web1, version 0.1.0)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} (pid {} on host {:?}, version {})",
            self.process, self.pid, self.host, self.version
        )
    }
}

/// Of an identity key, the host id and the lease of the registrator.
pub(super) fn registrator(layout: &Layout, kv: &KeyValue) -> Option<(HostId, LeaseId)> {
    match layout.place(&kv.key) {
        Purpose::Identity(name) => Some((name.into(), lease_of(kv)?)),
        _ => None,
    }
}

/// The lease that an identity key names: the one that it is attached to, unless somebody detached it by hand.
pub(super) fn lease_of(kv: &KeyValue) -> Option<LeaseId> {
    reading::lease(kv).or_else(|| Holder::parse(&kv.value).map(|holder| holder.lease))
}

/// Of a beacon, the lease whose registrator lives.
pub(super) fn lit(layout: &Layout, kv: &KeyValue) -> Option<LeaseId> {
    match layout.place(&kv.key) {
        Purpose::Beacon(lease) => Some(lease),
        _ => None,
    }
}

/// A name for this process that no other has.
pub(super) fn new_process() -> String {
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_read_back() {
        let holder = Holder {
            lease: LeaseId(0x70),
            process: new_process(),
            released: true,
            host: "web \"1\"".into(),
            pid: 7,
            version: "0.1.0".into(),
        };
        assert_eq!(Holder::parse(holder.to_json().as_bytes()), Some(holder));
    }

    #[test]
    fn anything_else_is_not_content() {
        for text in [
            "",
            "x",
            "{}",
            "[]",
            r#"{"lease":1,"instance":"a","released":true}"#,
        ] {
            assert_eq!(Holder::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn processes_differ() {
        assert_ne!(new_process(), new_process());
        assert_eq!(new_process().len(), 32);
    }
}
