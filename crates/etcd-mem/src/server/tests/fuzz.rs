//! Mutated requests, from the bytes of their messages on, and whether the store is in order after them.
//!
//! An input is a row of calls with [`NEXT_CALL`] between them: a letter of [`CALLS`], then the message, or several with
//! [`NEXT_MESSAGE`] between them. `+` lets a second pass for each byte after it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;

use ::fuzz::Target;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::codegen::{Body as _, Bytes, Service};

use super::super::*;
use super::PATIENCE;
use crate::store::{Event, EventKind, KeyRange, KeyValue, Range, WatchRequest};

const NEXT_CALL: &[u8] = b"\n--\n";
const NEXT_MESSAGE: &[u8] = b"\n==\n";

const CALLS: [(u8, &str); 16] = [
    (b'r', "KV/Range"),
    (b'p', "KV/Put"),
    (b'd', "KV/DeleteRange"),
    (b't', "KV/Txn"),
    (b'c', "KV/Compact"),
    (b'w', "Watch/Watch"),
    (b'g', "Lease/LeaseGrant"),
    (b'v', "Lease/LeaseRevoke"),
    (b'k', "Lease/LeaseKeepAlive"),
    (b'l', "Lease/LeaseTimeToLive"),
    (b'i', "Lease/LeaseLeases"),
    (b'm', "Cluster/MemberList"),
    (b'a', "Maintenance/Alarm"),
    (b's', "Maintenance/Status"),
    (b'u', "Auth/AuthStatus"),
    (b'n', "Auth/Authenticate"),
];

/// What keys and leases may take.
const QUOTA: usize = 16 << 10;

const HISTORY: HistoryLimit = HistoryLimit {
    revisions: 30,
    bytes: 32 << 10,
};

#[test]
fn fuzz_requests() {
    let target = Target {
        corpus: "corpus/requests",
        words: WORDS,
        inputs: 1_500,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (clock, hand) = Clock::manual();
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let address = ([127, 0, 0, 1], 2379).into();
    let member = Arc::new(Member::new(Store::default(), clock, stopping, 1, address));
    let limits = Limits::default();
    let served = {
        let _context = runtime.enter();
        let rights = Rights::default().with(&limits);
        let routes = routes(&member, PROGRESS_INTERVAL, rights, Places::new(4));
        Rationed::new(Explained::new(routes), limits.big_messages, limits.patience)
    };
    target.run(|input| {
        member.apply(|store, _| *store = Store::new(1, 7, HISTORY).with_quota(QUOTA));
        let mut told = String::new();
        for call in split(input, NEXT_CALL) {
            let before = member.read(Store::revision);
            told += &match call.split_first() {
                Some((b'+', seconds)) => {
                    hand.advance(Duration::from_secs(seconds.len() as u64));
                    String::new()
                }
                Some((letter, messages)) => perform(&runtime, &served, *letter, messages),
                None => String::new(),
            };
            let after = member.read(Store::revision);
            assert!(before <= after, "from {before} to {after}");
        }
        member.apply(check_store);
        told
    });
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        parts.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    parts.push(rest);
    parts
}

/// Makes a call and takes its whole answer. Tells the gRPC status.
fn perform(runtime: &Runtime, served: &Rationed, letter: u8, messages: &[u8]) -> String {
    let Some((_, path)) = CALLS.iter().find(|(known, _)| *known == letter) else {
        return String::new();
    };
    let mut bytes = Vec::new();
    for message in split(messages, NEXT_MESSAGE) {
        let length = u32::try_from(message.len()).expect("short");
        bytes.extend_from_slice(&[&[0], &length.to_be_bytes()[..], message].concat());
    }
    let request = Request::post(format!("/etcdserverpb.{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Whole(Some(bytes.into()))))
        .expect("a request");
    let mut served = served.clone();
    let answered = async {
        let answer = served.call(request).await.expect("an answer");
        let status = |headers: &tonic::codegen::http::HeaderMap| {
            let status = headers.get("grpc-status")?.to_str().ok()?;
            let message = headers
                .get("grpc-message")
                .map(|it| it.to_str().unwrap_or_default());
            Some(format!(
                "{path} {} {}",
                letters(status),
                message.unwrap_or_default()
            ))
        };
        let mut told = status(answer.headers());
        let mut body = pin!(answer.into_body());
        while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            let Ok(frame) = frame else { break };
            told = frame.trailers_ref().and_then(status).or(told);
        }
        told.unwrap_or_default()
    };
    let answered = async { tokio::time::timeout(PATIENCE, answered).await };
    runtime.block_on(answered).expect("an answer in time")
}

/// Numbers make no difference between outcomes, but that of the status does.
fn letters(status: &str) -> String {
    status
        .bytes()
        .map(|digit| char::from(digit.saturating_add(49)))
        .collect()
}

/// A body of one piece.
struct Whole(Option<Bytes>);

impl tonic::codegen::Body for Whole {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

fn check_store(store: &mut Store, now: Duration) {
    assert!(store.used() <= QUOTA, "{} bytes", store.used());
    let kvs = all_at(store, 0).expect("the present can be read");
    for kv in kvs.values() {
        assert!(
            0 < kv.create_revision
                && kv.create_revision <= kv.mod_revision
                && kv.mod_revision <= store.revision()
                && kv.version > 0,
            "{kv:?}"
        );
        let lease = store.time_to_live(now, kv.lease);
        assert_eq!(
            lease.is_some_and(|it| it.keys.contains(&kv.key)),
            kv.lease != 0,
            "{kv:?}"
        );
    }
    for id in store.leases() {
        let lease = store.time_to_live(now, id).expect("a lease that is listed");
        assert!(
            lease
                .keys
                .iter()
                .all(|key| kvs.get(key).is_some_and(|kv| kv.lease == id))
        );
    }
    replay(store);
}

/// What a watch tells from the beginning on makes each state that can be read.
fn replay(store: &Store) {
    let request = WatchRequest {
        start: 1,
        keys: KeyRange::prefix(""),
        ..WatchRequest::default()
    };
    let Ok(mut watch) = store.watch(request) else {
        return;
    };
    let mut state = BTreeMap::new();
    while let Some(batch) = store.poll(&mut watch).expect("nothing is lost") {
        for Event { kind, kv, .. } in batch.events {
            assert!(1 < kv.mod_revision && kv.mod_revision <= batch.revision);
            match kind {
                EventKind::Put => drop(state.insert(kv.key.clone(), kv)),
                EventKind::Delete => assert!(state.remove(&kv.key).is_some(), "{kv:?}"),
            }
        }
        if let Some(read) = all_at(store, batch.revision) {
            assert!(read == state, "at revision {}", batch.revision);
        }
    }
}

fn all_at(store: &Store, revision: Revision) -> Option<BTreeMap<Vec<u8>, KeyValue>> {
    let all = Range {
        keys: KeyRange::prefix(""),
        revision,
        ..Range::default()
    };
    let kvs = store.range(&all).ok()?.kvs;
    Some(kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect())
}

/// Fields as they stand in messages.
const WORDS: &[&[u8]] = &[
    NEXT_CALL,
    NEXT_MESSAGE,
    b"\n--\np",
    b"\n--\nt",
    b"\n--\nr",
    b"\n--\nd",
    b"\n--\nc\x08",
    b"\n--\n+..",
    b"\n\x01a",
    b"\n\x01b",
    b"\n\x01\x00",
    b"\n\x00",
    b"\x12\x01c",
    b"\x12\x01\x00",
    b"\x12\x00",
    b"\x18\x07",
    b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x20\x01",
    b"\x28\x01",
    b"\x30\x01",
    b"\x38\x01",
    b"\x40\x01",
    b"\x48\x01",
    b"\x12\x05\x12\x03\n\x01a",
    b"\x12\x05\x1a\x03\n\x01a",
    b"\x1a\x05\x12\x03\n\x01b",
    b"\x12\x07\x22\x05\x12\x03\x12\x01\n",
    b"\n\x04\x1a\x01a\x20\x00",
];
