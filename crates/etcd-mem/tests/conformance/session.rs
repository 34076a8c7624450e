//! One conversation with a server, written down as text that is the same for every server: keys without the
//! conversation's prefix, revisions as `r0`, `r1`, … in their order, leases as `L1`, `L2`, … in order of appearance.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_api::event::EventType;
use etcd_api::kv_client::KvClient;
use etcd_api::lease_client::LeaseClient;
use etcd_api::response_op::Response as Answer;
use etcd_api::*;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::target::Target;
use crate::watcher::Watcher;

/// How long to wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Session {
    pub channel: Channel,
    prefix: Vec<u8>,
    lines: Vec<String>,
    leases: Vec<i64>,
    /// The last revision that an answer's header told.
    pub revision: i64,
}

impl Session {
    /// Begins a conversation that touches only `/kontena/<name>/`.
    pub async fn new(target: &Target, name: &str) -> Self {
        let mut session = Self {
            channel: target.channel.clone(),
            prefix: format!("/kontena/{name}/").into_bytes(),
            lines: Vec::new(),
            leases: Vec::new(),
            revision: 0,
        };
        // So that there is a state before the conversation that can be compacted: an etcd-mem that has just begun
        // counts its first revision as compacted already.
        let first = session.set("first", "");
        session.kv().put(first).await.expect("a first revision");
        session.delete_all().await;
        // So that r0 is the revision before the conversation.
        session.note(&session.text_of_revision(session.revision));
        session
    }

    /// Ends the conversation and holds it against `expected`.
    pub async fn expect(self, expected: expect_test::Expect) {
        expected.assert_eq(&self.finish().await);
    }

    /// Leaves nothing behind and returns what was written down.
    pub async fn finish(mut self) -> String {
        for id in std::mem::take(&mut self.leases) {
            let _ = LeaseClient::new(self.channel.clone())
                .lease_revoke(LeaseRevokeRequest { id })
                .await;
        }
        self.delete_all().await;
        normalize(&self.lines)
    }

    async fn delete_all(&mut self) {
        let all = DeleteRangeRequest {
            key: self.key(""),
            range_end: self.end(),
            prev_kv: false,
        };
        let response = self
            .kv()
            .delete_range(all)
            .await
            .expect("delete the conversation's keys");
        self.revision = response.into_inner().header.expect("a header").revision;
    }

    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// The key with the conversation's prefix.
    pub fn key(&self, key: &str) -> Vec<u8> {
        [self.prefix.as_slice(), key.as_bytes()].concat()
    }

    /// The end of all keys of the conversation.
    pub fn end(&self) -> Vec<u8> {
        let mut end = self.prefix.clone();
        end.pop();
        end.push(b'0');
        end
    }

    pub fn note(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    // Requests, made short.

    pub fn get(&self, key: &str) -> RangeRequest {
        RangeRequest {
            key: self.key(key),
            ..RangeRequest::default()
        }
    }

    pub fn get_range(&self, from: &str, to: &str) -> RangeRequest {
        RangeRequest {
            range_end: self.key(to),
            ..self.get(from)
        }
    }

    pub fn get_all(&self) -> RangeRequest {
        RangeRequest {
            range_end: self.end(),
            ..self.get("")
        }
    }

    pub fn set(&self, key: &str, value: &str) -> PutRequest {
        PutRequest {
            key: self.key(key),
            value: value.into(),
            ..PutRequest::default()
        }
    }

    pub fn del(&self, key: &str) -> DeleteRangeRequest {
        DeleteRangeRequest {
            key: self.key(key),
            ..DeleteRangeRequest::default()
        }
    }

    pub fn del_range(&self, from: &str, to: &str) -> DeleteRangeRequest {
        DeleteRangeRequest {
            range_end: self.key(to),
            ..self.del(from)
        }
    }

    pub fn watch_all(&self) -> WatchCreateRequest {
        WatchCreateRequest {
            key: self.key(""),
            range_end: self.end(),
            ..WatchCreateRequest::default()
        }
    }

    // Calls; each writes down its answer and returns it.

    /// Writes down all keys as they are.
    pub async fn show(&mut self, label: &str) {
        self.range(label, self.get_all()).await;
    }

    pub async fn range(&mut self, label: &str, request: RangeRequest) -> Option<RangeResponse> {
        let result = self.kv().range(request).await;
        self.record_range(label, result)
    }

    pub fn record_range(
        &mut self,
        label: &str,
        result: Result<Response<RangeResponse>, Status>,
    ) -> Option<RangeResponse> {
        self.record(label, result, Self::text_of_range)
    }

    pub async fn put(&mut self, label: &str, request: PutRequest) -> Option<PutResponse> {
        let result = self.kv().put(request).await;
        self.record(label, result, Self::text_of_put)
    }

    pub async fn delete(
        &mut self,
        label: &str,
        request: DeleteRangeRequest,
    ) -> Option<DeleteRangeResponse> {
        let result = self.kv().delete_range(request).await;
        self.record(label, result, Self::text_of_delete)
    }

    pub async fn txn(&mut self, label: &str, request: TxnRequest) -> Option<TxnResponse> {
        let result = self.kv().txn(request).await;
        self.record_txn(label, result)
    }

    pub fn record_txn(
        &mut self,
        label: &str,
        result: Result<Response<TxnResponse>, Status>,
    ) -> Option<TxnResponse> {
        self.record(label, result, Self::text_of_txn)
    }

    pub async fn compact(&mut self, label: &str, revision: i64) -> Option<CompactionResponse> {
        let result = self
            .kv()
            .compact(CompactionRequest {
                revision,
                physical: true,
            })
            .await;
        self.record(label, result, |s, r| s.text_of_header(r.header))
    }

    pub async fn grant(&mut self, label: &str, ttl: i64, id: i64) -> Option<i64> {
        let result = self
            .lease()
            .lease_grant(LeaseGrantRequest { ttl, id })
            .await;
        if let Ok(granted) = &result {
            self.leases.push(granted.get_ref().id);
        }
        let granted = self.record(label, result, |s, r| {
            format!(
                "{} ttl={} {}",
                text_of_lease(r.id),
                r.ttl,
                s.text_of_header(r.header)
            )
        });
        granted.map(|granted| granted.id)
    }

    pub async fn revoke(&mut self, label: &str, id: i64) -> Option<LeaseRevokeResponse> {
        let result = self.lease().lease_revoke(LeaseRevokeRequest { id }).await;
        self.record(label, result, |s, r| s.text_of_header(r.header))
    }

    /// With the keys, sorted: etcd gives them in any order.
    pub async fn time_to_live(&mut self, label: &str, id: i64) -> Option<LeaseTimeToLiveResponse> {
        let result = self
            .lease()
            .lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true })
            .await;
        self.record(label, result, |s, r| {
            let mut keys: Vec<String> = r.keys.iter().map(|key| s.text_of_key(key)).collect();
            keys.sort();
            // The remaining seconds of a live lease depend on the time.
            let alive = r.ttl >= 0;
            let ttl = if alive {
                "ok".to_owned()
            } else {
                r.ttl.to_string()
            };
            format!(
                "{} ttl={ttl} of {} keys=[{}]",
                text_of_lease(r.id),
                r.granted_ttl,
                keys.join(" ")
            )
        })
    }

    pub async fn watch(&mut self, label: &str, request: WatchCreateRequest) -> Watcher {
        let mut watcher = Watcher::open(self.channel.clone(), request).await;
        let created = watcher.message().await;
        self.revision = created.header.map_or(0, |header| header.revision);
        self.note(&format!("{label}: {}", self.text_of_watch(&created)));
        watcher
    }

    /// Writes down the next `count` events, by revision, however the server spreads them over messages.
    pub async fn events(&mut self, label: &str, watcher: &mut Watcher, count: usize) {
        self.note(&format!("{label}:"));
        for event in watcher.events(count).await {
            let line = format!("  {}", self.text_of_event(&event));
            self.note(&line);
        }
    }

    fn record<T>(
        &mut self,
        label: &str,
        result: Result<Response<T>, Status>,
        text: impl Fn(&Self, &T) -> String,
    ) -> Option<T> {
        let line = match &result {
            Ok(response) => text(self, response.get_ref()),
            Err(status) => text_of_status(status),
        };
        self.note(&format!("{label}: {line}"));
        result.ok().map(Response::into_inner)
    }

    // Answers, as text.

    pub fn text_of_revision(&self, revision: i64) -> String {
        if revision == 0 {
            "0".to_owned()
        } else {
            format!("<revision {revision}>")
        }
    }

    fn text_of_header(&self, header: Option<ResponseHeader>) -> String {
        header.map_or_else(
            || "no header".to_owned(),
            |header| self.text_of_revision(header.revision),
        )
    }

    pub fn text_of_key(&self, key: &[u8]) -> String {
        String::from_utf8_lossy(key.strip_prefix(self.prefix.as_slice()).unwrap_or(key))
            .into_owned()
    }

    fn text_of_kv(&self, kv: &KeyValue) -> String {
        let key = self.text_of_key(&kv.key);
        let value = String::from_utf8_lossy(&kv.value).into_owned();
        let value = if value.len() > 20 {
            format!("{} bytes", value.len())
        } else {
            value
        };
        let (created, changed) = (
            self.text_of_revision(kv.create_revision),
            self.text_of_revision(kv.mod_revision),
        );
        let lease = if kv.lease == 0 {
            String::new()
        } else {
            format!(" {}", text_of_lease(kv.lease))
        };
        format!("({key}={value} {created}/{changed}/{}{lease})", kv.version)
    }

    fn text_of_kvs(&self, kvs: &[KeyValue]) -> String {
        kvs.iter().map(|kv| self.text_of_kv(kv)).collect()
    }

    fn text_of_range(&self, r: &RangeResponse) -> String {
        let more = if r.more { " more" } else { "" };
        format!(
            "{} [{}] of {}{more}",
            self.text_of_header(r.header),
            self.text_of_kvs(&r.kvs),
            r.count
        )
    }

    fn text_of_put(&self, r: &PutResponse) -> String {
        let prev = r
            .prev_kv
            .as_ref()
            .map(|kv| format!(" was {}", self.text_of_kv(kv)))
            .unwrap_or_default();
        format!("{}{prev}", self.text_of_header(r.header))
    }

    fn text_of_delete(&self, r: &DeleteRangeResponse) -> String {
        format!(
            "{} {} deleted [{}]",
            self.text_of_header(r.header),
            r.deleted,
            self.text_of_kvs(&r.prev_kvs)
        )
    }

    fn text_of_txn(&self, r: &TxnResponse) -> String {
        let responses: Vec<String> = r
            .responses
            .iter()
            .map(|response| self.text_of_op(response))
            .collect();
        format!(
            "{} {} {{{}}}",
            self.text_of_header(r.header),
            r.succeeded,
            responses.join("; ")
        )
    }

    fn text_of_op(&self, response: &ResponseOp) -> String {
        match &response.response {
            None => "nothing".to_owned(),
            Some(Answer::ResponseRange(r)) => format!("range {}", self.text_of_range(r)),
            Some(Answer::ResponsePut(r)) => format!("put {}", self.text_of_put(r)),
            Some(Answer::ResponseDeleteRange(r)) => format!("delete {}", self.text_of_delete(r)),
            Some(Answer::ResponseTxn(r)) => format!("txn {}", self.text_of_txn(r)),
        }
    }

    pub fn text_of_event(&self, event: &Event) -> String {
        let kind = if event.r#type() == EventType::Put {
            "PUT"
        } else {
            "DELETE"
        };
        let kv = event
            .kv
            .as_ref()
            .map(|kv| self.text_of_kv(kv))
            .unwrap_or_default();
        let prev = event
            .prev_kv
            .as_ref()
            .map(|kv| format!(" was {}", self.text_of_kv(kv)))
            .unwrap_or_default();
        format!("{kind} {kv}{prev}")
    }

    pub fn text_of_watch(&self, r: &WatchResponse) -> String {
        let mut text = format!("watch {}", r.watch_id);
        if r.created {
            text.push_str(" created");
        }
        if r.canceled {
            text.push_str(" canceled");
        }
        if r.compact_revision != 0 {
            text.push_str(&format!(
                " compacted at {}",
                self.text_of_revision(r.compact_revision)
            ));
        }
        if !r.cancel_reason.is_empty() {
            text.push_str(&format!(" because {}", r.cancel_reason));
        }
        text
    }
}

pub fn text_of_lease(id: i64) -> String {
    format!("<lease {id}>")
}

pub fn text_of_status(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Gives the numbers their names.
pub fn normalize(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    let revisions: BTreeSet<i64> = marked(&text, "<revision ").into_iter().collect();
    for (rank, revision) in revisions.iter().enumerate() {
        text = text.replace(&format!("<revision {revision}>"), &format!("r{rank}"));
    }
    let mut known = Vec::new();
    for lease in marked(&text, "<lease ") {
        if !known.contains(&lease) {
            known.push(lease);
            text = text.replace(&format!("<lease {lease}>"), &format!("L{}", known.len()));
        }
    }
    text + "\n"
}

fn marked(text: &str, mark: &str) -> Vec<i64> {
    text.split(mark)
        .skip(1)
        .filter_map(|rest| rest.split_once('>')?.0.parse().ok())
        .collect()
}
