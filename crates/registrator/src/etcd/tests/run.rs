//! A session under test: what was asked of it, and what it reported.

use super::server::{Etcd, PATIENCE};
use crate::etcd::{EtcdClient, SessionEnd, SessionRequest, SessionUpdate, Settings, hold_session};
use etcd_api::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, request_op};
use registrator_core::node::{Key, Value};
use registrator_core::own::session::{
    Commit, Forgotten, KeyResult, MAX_TXNS, Outcome, Seen, Session, SessionEvent, Wanted,
};
use registrator_core::own::{Guard, Held, KeyTxn, LeaseId, Op, Revision, View};
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// A session of its own task.
pub struct Run {
    pub requests: UnboundedSender<SessionRequest>,
    updates: UnboundedReceiver<SessionUpdate>,
    /// All that was reported, for the message of a failure and for counting.
    pub seen: Vec<String>,
    task: JoinHandle<SessionEnd>,
    next_id: u64,
}

impl Run {
    pub fn start(settings: Settings) -> Run {
        let (requests, inbox) = unbounded_channel();
        let (outbox, updates) = unbounded_channel();
        let client = EtcdClient::new(&settings).unwrap();
        let task = tokio::spawn(async move {
            hold_session(client, &settings, inbox, outbox)
                .await
                .unwrap()
        });
        Run {
            requests,
            updates,
            seen: Vec::new(),
            task,
            next_id: 0,
        }
    }

    /// Starts and waits for the first session.
    pub async fn established(settings: Settings) -> (Run, Session) {
        let mut run = Run::start(settings);
        let session = run.session().await;
        (run, session)
    }

    /// Waits for the next update that `pick` takes.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(SessionUpdate) -> Option<T>,
    ) -> T {
        let waiting = async {
            while let Some(update) = self.updates.recv().await {
                self.seen.push(format!("{update:?}"));
                if let Some(picked) = pick(update) {
                    return Some(picked);
                }
            }
            None
        };
        let picked = tokio::time::timeout(PATIENCE, waiting).await.ok().flatten();
        picked.unwrap_or_else(|| panic!("no {what} in:\n{}", self.seen.join("\n")))
    }

    pub async fn session(&mut self) -> Session {
        self.until("session", |update| match update {
            SessionUpdate::Session(SessionEvent::Established(session)) => Some(session),
            _ => None,
        })
        .await
    }

    pub async fn suspended(&mut self) {
        self.until("suspension", |update| {
            matches!(update, SessionUpdate::Session(SessionEvent::Suspended)).then_some(())
        })
        .await;
    }

    pub async fn next_seen(&mut self) -> Seen {
        self.until("event", |update| match update {
            SessionUpdate::Session(SessionEvent::Seen(seen)) => Some(seen),
            _ => None,
        })
        .await
    }

    /// Changes a key as a stranger would, and waits until that was seen.
    pub async fn saw_change(&mut self, etcd: &Etcd, name: &str) {
        let revision = put(etcd, name, "changed", 0).await;
        self.saw(name, |view_at, held| {
            view_at >= revision && held.is_some_and(|held| held.mod_revision == revision)
        })
        .await;
    }

    /// Waits until something was seen of a node.
    pub async fn saw(&mut self, name: &str, wanted: impl Fn(Revision, Option<&Held>) -> bool) {
        let wanted_key = key(name);
        self.until(name, |update| match update {
            SessionUpdate::Session(SessionEvent::Seen(seen)) => match seen {
                Seen::Node {
                    key,
                    node,
                    revision,
                } => (key == wanted_key && wanted(revision, node.as_ref())).then_some(()),
                Seen::Read { views, revision } => {
                    let view = views.get(&wanted_key)?;
                    wanted(revision, view.node.as_ref()).then_some(())
                }
                _ => None,
            },
            _ => None,
        })
        .await;
    }

    /// Waits for the text of an update that begins with `name`.
    pub async fn fact(&mut self, name: &str) -> String {
        self.until(name, |update| {
            Some(format!("{update:?}")).filter(|text| text.starts_with(name))
        })
        .await
    }

    /// Counts the facts so far that begin with `name`, without waiting.
    pub fn count(&mut self, name: &str) -> usize {
        while let Ok(update) = self.updates.try_recv() {
            self.seen.push(format!("{update:?}"));
        }
        self.seen
            .iter()
            .filter(|text| text.starts_with(name))
            .count()
    }

    pub fn send(&mut self, session: u64, txns: Vec<KeyTxn>) -> u64 {
        self.next_id += 1;
        let commit = Commit {
            id: self.next_id,
            session,
            txns,
        };
        self.requests.send(SessionRequest::Commit(commit)).unwrap();
        self.next_id
    }

    pub async fn outcome(&mut self, wanted: u64) -> Outcome {
        self.until("outcome", |update| match update {
            SessionUpdate::Session(SessionEvent::Committed { id, outcome }) if id == wanted => {
                Some(outcome)
            }
            _ => None,
        })
        .await
    }

    pub async fn commit(&mut self, session: &Session, txns: Vec<KeyTxn>) -> Outcome {
        let id = self.send(session.number, txns);
        self.outcome(id).await
    }

    /// Writes nodes that do not exist yet.
    pub async fn create(&mut self, session: &Session, nodes: &[(&str, &str)]) {
        let txns = nodes
            .iter()
            .map(|(key, value)| create(key, value, session.who.me));
        let outcome = self.commit(session, txns.collect()).await;
        let Outcome::Done { results, .. } = outcome else {
            panic!("{outcome:?} after {:#?}", self.seen);
        };
        assert!(
            results.iter().all(|result| *result == KeyResult::Applied),
            "{results:?}"
        );
    }

    /// Has keys watched as the core does: with transactions that are refused, and answered with what is there.
    pub async fn watch(&mut self, session: &Session, keys: &[&str]) {
        let txns = keys.iter().map(|text| KeyTxn {
            key: key(text),
            guards: vec![Guard::Unchanged(1)],
            ops: vec![Op::Delete],
        });
        for some in txns.collect::<Vec<_>>().chunks(MAX_TXNS) {
            let outcome = self.commit(session, some.to_vec()).await;
            assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        }
    }

    /// Has keys watched no longer.
    pub fn forget(&self, session: &Session, keys: &[&str]) {
        let forgotten = Forgotten {
            session: session.number,
            keys: keys.iter().map(|text| key(text)).collect(),
        };
        self.requests
            .send(SessionRequest::Forget(forgotten))
            .unwrap();
    }

    /// Has keys read and watched.
    pub fn want(&self, session: &Session, keys: &[Key]) {
        let wanted = Wanted {
            session: session.number,
            keys: keys.iter().cloned().collect(),
        };
        self.requests.send(SessionRequest::Want(wanted)).unwrap();
    }

    /// Asks for the end and waits for it.
    pub async fn end(self, request: SessionRequest) -> SessionEnd {
        self.requests.send(request).unwrap();
        self.ended().await
    }

    /// Waits for the end.
    pub async fn ended(self) -> SessionEnd {
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
    }

    /// Ends it as kill -9 would: nothing is said to etcd.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

pub fn create(text: &str, to: &str, lease: LeaseId) -> KeyTxn {
    KeyTxn {
        key: key(text),
        guards: vec![Guard::Absent, Guard::NoClaims],
        ops: vec![Op::Put(value(to), lease)],
    }
}

/// Writes a key as a stranger would.
pub async fn put(etcd: &Etcd, key: &str, value: &str, lease: i64) -> i64 {
    let put = PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    };
    write(etcd, request_op::Request::RequestPut(put)).await
}

/// Deletes a key as a stranger would.
pub async fn delete(etcd: &Etcd, key: &str) -> i64 {
    let delete = DeleteRangeRequest {
        key: key.into(),
        ..DeleteRangeRequest::default()
    };
    write(etcd, request_op::Request::RequestDeleteRange(delete)).await
}

async fn write(etcd: &Etcd, request: request_op::Request) -> i64 {
    let request = TxnRequest {
        success: vec![RequestOp {
            request: Some(request),
        }],
        ..TxnRequest::default()
    };
    let answer = etcd.client().txn(request).await.unwrap();
    answer.header.unwrap().revision
}

/// The value of a key and whether it has a lease.
pub async fn held(etcd: &Etcd, key: &str) -> Option<(String, i64)> {
    let kv = etcd.client().get(key).await.unwrap()?;
    Some((String::from_utf8(kv.value).unwrap(), kv.lease))
}

/// etcd's revision now.
pub async fn revision(etcd: &Etcd) -> i64 {
    etcd.client().range_prefix("none").await.unwrap().revision
}

/// Forgets the history up to now.
pub async fn compact(etcd: &Etcd) {
    let revision = revision(etcd).await;
    let mut stub = etcd_api::kv_client::KvClient::connect(etcd.url())
        .await
        .unwrap();
    let request = etcd_api::CompactionRequest {
        revision,
        physical: true,
    };
    stub.compact(request).await.unwrap();
}

/// A refusal whose guards name no beacon.
pub fn refused(view: View) -> KeyResult {
    KeyResult::Refused {
        view,
        fields: BTreeMap::new(),
        beacons: BTreeMap::new(),
    }
}
