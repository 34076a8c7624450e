//! etcd's v3 API: the messages, a client stub and a server trait for each service.
//!
//! One schema serves the program's client and the embedded server, so they cannot disagree. The source is
//! `proto/etcd.proto`, which follows etcd's published names and numbers and leaves out what nobody here calls.
//! All names are at the root: `etcd_api::PutRequest`, `etcd_api::kv_client::KvClient`,
//! `etcd_api::kv_server::{Kv, KvServer}`, `etcd_api::event::EventType`.

pub use etcdserverpb::*;
pub use mvccpb::*;

/// The generated code of package `etcdserverpb`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]
mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// The generated code of package `mvccpb`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]
mod mvccpb {
    tonic::include_proto!("mvccpb");
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// Bytes written by hand from etcd's published field numbers: a renumbered field cannot pass.
    #[test]
    fn messages_have_etcds_wire_format() {
        fn check(message: &(impl Message + std::fmt::Debug), wire: &[u8]) {
            assert_eq!(message.encode_to_vec(), wire, "{message:?}");
        }
        let kv = KeyValue {
            key: b"k".into(),
            create_revision: 2,
            mod_revision: 3,
            version: 4,
            value: b"v".into(),
            lease: 6,
        };
        check(&kv, b"\x0a\x01k\x10\x02\x18\x03\x20\x04\x2a\x01v\x30\x06");
        let compare = Compare {
            result: compare::CompareResult::Less.into(),
            target: compare::CompareTarget::Lease.into(),
            key: b"k".into(),
            target_union: Some(compare::TargetUnion::Lease(1)),
            range_end: b"l".into(),
        };
        check(&compare, b"\x08\x02\x10\x04\x1a\x01k\x40\x01\x82\x04\x01l");
        let watch = WatchResponse {
            watch_id: 2,
            compact_revision: 5,
            events: vec![Event {
                r#type: event::EventType::Delete.into(),
                ..Event::default()
            }],
            ..WatchResponse::default()
        };
        check(&watch, b"\x10\x02\x28\x05\x5a\x02\x08\x01");
        let ttl = LeaseTimeToLiveResponse {
            id: 1,
            ttl: 2,
            granted_ttl: 3,
            keys: vec![b"k".into()],
            ..LeaseTimeToLiveResponse::default()
        };
        check(&ttl, b"\x10\x01\x18\x02\x20\x03\x2a\x01k");
    }

    #[test]
    fn services_have_etcds_names() {
        let names = [
            kv_server::SERVICE_NAME,
            watch_server::SERVICE_NAME,
            lease_server::SERVICE_NAME,
            cluster_server::SERVICE_NAME,
            maintenance_server::SERVICE_NAME,
            auth_server::SERVICE_NAME,
        ];
        assert_eq!(
            names,
            ["KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"]
                .map(|name| format!("etcdserverpb.{name}"))
        );
    }
}
