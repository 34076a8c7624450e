//! Random conversations with etcd-mem and with a real etcd, which must be the same word for word.
//!
//! `PROPTEST_CASES` sets how many, `PROPTEST_RNG_SEED` which ones; without it they are always the same.

use std::cmp::Ordering;

use etcd_api::range_request::{SortOrder, SortTarget};
use etcd_api::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tonic::{Code, Status};

use crate::script::{LEASES, Op, Step, Translator, lease_id, script};
use crate::session::Session;
use crate::target::{Kind, Target};
use crate::watcher::Watcher;

/// The key whose write and deletion every watch hears, whatever its filters.
const MARK: &str = "mark";

fn compare_with(kind: Kind) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let Some(real) = runtime.block_on(Target::find(kind)) else {
        return;
    };
    let memory = runtime.block_on(Target::memory());
    let mut config = Config {
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 50;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(20_251_122);
    }
    let cases = config.cases;
    let result = TestRunner::new(config).run(&script(), |steps| {
        let (expected, actual) =
            runtime.block_on(async { (talk(&real, &steps).await, talk(&memory, &steps).await) });
        if expected == actual {
            Ok(())
        } else {
            Err(TestCaseError::fail(difference(&expected, &actual)))
        }
    });
    if let Err(error) = result {
        panic!("etcd-mem differs from etcd {}: {error}", real.version);
    }
    eprintln!(
        "{kind:?}: {cases} conversations with etcd {} and with etcd-mem were the same",
        real.version
    );
}

#[test]
fn like_installed_etcd() {
    compare_with(Kind::Installed);
}

#[test]
fn like_etcd_3_5() {
    compare_with(Kind::V3_5);
}

#[test]
fn like_etcd_3_6() {
    compare_with(Kind::V3_6);
}

fn difference(expected: &str, actual: &str) -> String {
    let lines = expected.lines().zip(actual.lines());
    let first = lines
        .enumerate()
        .find(|(_, (expected, actual))| expected != actual);
    let place = first.map_or_else(String::new, |(line, (expected, actual))| {
        format!("first in line {line}\n etcd:     {expected}\n etcd-mem: {actual}\n")
    });
    format!("{place}--- etcd\n{expected}--- etcd-mem\n{actual}")
}

/// One conversation under way.
struct Talk {
    session: Session,
    revisions: Vec<i64>,
    watches: Vec<Heard>,
    compacted: i64,
}

/// A watch, and what it was told.
struct Heard {
    watcher: Watcher,
    lines: Vec<String>,
    ended: bool,
}

async fn talk(target: &Target, steps: &[Step]) -> String {
    let session = Session::new(target, "differential").await;
    let mut talk = Talk {
        revisions: vec![session.revision],
        session,
        watches: Vec::new(),
        compacted: 0,
    };
    for (number, step) in steps.iter().enumerate() {
        talk.step(&format!("{number}"), step).await;
    }
    talk.end().await;
    talk.session.finish().await
}

impl Talk {
    async fn step(&mut self, label: &str, step: &Step) {
        let revision = match step {
            Step::Op(op) => self.op(label, op).await,
            Step::Grant(lease) => self
                .session
                .grant(label, 600, lease_id(*lease))
                .await
                .map(|_| 0),
            Step::Revoke(lease) => self
                .session
                .revoke(label, lease_id(*lease))
                .await
                .and_then(|r| revision(r.header)),
            Step::TimeToLive(lease) => self
                .session
                .time_to_live(label, lease_id(*lease))
                .await
                .map(|_| 0),
            Step::Compact(age) => self.compact(label, *age).await,
            Step::Watch {
                start,
                keys,
                prev_kv,
                filters,
            } => {
                let translator = self.translator();
                let (key, range_end) = translator.keys(keys);
                let start = start.map_or(0, |age| translator.revision(age));
                // Before 3.4.37 and 3.5.20 a deletion at the compacted revision itself is lost.
                let start_revision = if start == self.compacted {
                    start + 1
                } else {
                    start
                };
                let request = WatchCreateRequest {
                    key,
                    range_end,
                    start_revision,
                    prev_kv: *prev_kv,
                    filters: filters.clone(),
                    ..WatchCreateRequest::default()
                };
                self.watch(label, request).await;
                None
            }
        };
        self.revisions
            .extend(revision.filter(|revision| *revision > 0));
    }

    async fn op(&mut self, label: &str, op: &Op) -> Option<i64> {
        let translator = self.translator();
        let (put, delete, range, txn) = (
            translator.put(op),
            translator.delete(op),
            translator.range(op),
            translator.txn(op),
        );
        if let Some(request) = put {
            return self
                .session
                .put(label, request)
                .await
                .and_then(|r| revision(r.header));
        }
        if let Some(request) = delete {
            return self
                .session
                .delete(label, request)
                .await
                .and_then(|r| revision(r.header));
        }
        if let Some(request) = range {
            return self.range(label, request).await;
        }
        self.txn(label, txn?).await
    }

    /// Which of two reasons for a refusal is given depends on the version.
    async fn txn(&mut self, label: &str, request: TxnRequest) -> Option<i64> {
        let result = self
            .session
            .kv()
            .txn(request)
            .await
            .map_err(|status| match status.code() {
                Code::NotFound | Code::OutOfRange => {
                    Status::invalid_argument("etcdserver: key not found")
                }
                _ => status,
            });
        self.session
            .record_txn(label, result)
            .and_then(|r| revision(r.header))
    }

    /// Keys that sort alike may come in any order.
    async fn range(&mut self, label: &str, request: RangeRequest) -> Option<i64> {
        let result = self
            .session
            .kv()
            .range(request.clone())
            .await
            .map(|response| {
                let mut response = response.into_inner();
                assert!(
                    request.keys_only
                        || response
                            .kvs
                            .is_sorted_by(|a, b| order(&request, a, b).is_le()),
                    "{response:?}"
                );
                response
                    .kvs
                    .sort_by(|a, b| order(&request, a, b).then_with(|| a.key.cmp(&b.key)));
                tonic::Response::new(response)
            });
        self.session
            .record_range(label, result)
            .and_then(|r| revision(r.header))
    }

    /// All watches are brought up to date before: etcd ends those that are late, mem does not.
    async fn compact(&mut self, label: &str, age: usize) -> Option<i64> {
        let oldest = self.translator().revision(age);
        self.mark().await;
        let response = self.session.compact(label, oldest).await?;
        self.compacted = oldest;
        revision(response.header)
    }

    async fn watch(&mut self, label: &str, request: WatchCreateRequest) {
        // To the end of all keys, so that it hears the mark. Narrow and empty ranges are in the literal cases.
        let request = WatchCreateRequest {
            range_end: self.session.end(),
            ..request
        };
        let watcher = self.session.watch(label, request).await;
        self.watches.push(Heard {
            watcher,
            lines: Vec::new(),
            ended: false,
        });
    }

    /// Lets every watch hear all until now.
    async fn mark(&mut self) {
        self.session.put("mark", self.session.set(MARK, "")).await;
        self.session.delete("unmark", self.session.del(MARK)).await;
        let mark = self.session.key(MARK);
        let last = self
            .session
            .kv()
            .range(self.session.get(MARK))
            .await
            .expect("the present revision");
        let last = revision(last.into_inner().header).expect("a header") - 1;
        for heard in &mut self.watches {
            heard.until(&self.session, &mark, last).await;
        }
    }

    async fn end(&mut self) {
        self.mark().await;
        for (number, heard) in self.watches.iter().enumerate() {
            self.session
                .note(&format!("watch {number}:\n{}", heard.lines.join("\n")));
        }
        self.session.show("left").await;
        for lease in 0..LEASES {
            self.session.time_to_live("lease", lease_id(lease)).await;
        }
    }

    fn translator(&self) -> Translator<'_> {
        Translator {
            session: &self.session,
            revisions: &self.revisions,
        }
    }
}

impl Heard {
    /// Listens until the mark of revision `last` or its deletion.
    async fn until(&mut self, session: &Session, mark: &[u8], last: i64) {
        while !self.ended {
            let message = self.watcher.message().await;
            if message.canceled {
                self.lines.push(session.text_of_watch(&message));
                self.ended = true;
            }
            let mut marked = false;
            for event in message.events {
                let kv = event.kv.as_ref().expect("a key");
                marked |= kv.key == mark && kv.mod_revision >= last;
                // Whether the deletion of the mark comes before a compaction depends on the speed.
                if kv.key != mark {
                    self.lines.push(session.text_of_event(&event));
                }
            }
            if marked {
                return;
            }
        }
    }
}

fn revision(header: Option<ResponseHeader>) -> Option<i64> {
    header.map(|header| header.revision)
}

fn order(request: &RangeRequest, a: &KeyValue, b: &KeyValue) -> Ordering {
    let ascending = match request.sort_target() {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    if request.sort_order() == SortOrder::Descend {
        ascending.reverse()
    } else {
        ascending
    }
}
