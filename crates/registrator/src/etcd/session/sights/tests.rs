//! Mutated identities, claims, beacons and nodes, up to what the core makes of them.

use super::*;
use crate::etcd::identity::Holder;
use crate::etcd::views;
use ::fuzz::Target;
use etcd_api::response_op::Response;
use etcd_api::{KeyValue, RangeResponse, ResponseOp};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::evaluate::fence::Fence;
use registrator_core::node::{Key, Nodes, Value};
use registrator_core::observe::container::Container;
use registrator_core::observe::spec::{PolicyName, PolicySpec};
use registrator_core::observe::watch::SourceEvent;
use registrator_core::own::session::{
    Commit, KeyResult, MAX_TXNS, Outcome, Rejection, Session, SessionEvent,
};
use registrator_core::own::{Op, Who};
use registrator_core::reconciler::{self, Command, Reconciler, Settings};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const META: &str = "/registrator/";
const ME: LeaseId = LeaseId(0x70);
/// The revision of our identity in the seeds.
const FENCE: Revision = 5;
/// What is wished all the time, the first two of them shared with whoever claims them.
const WISHED: [(&str, &str); 3] = [("/a", "v1"), ("/b", "v1"), ("/c/d", "v1")];

/// An input has in each line up to `--` a key that is read when the session begins: `put KEY LEASE REVISION VALUE`. Then in each line
/// something happens.
#[test]
fn fuzz_session() {
    let target = Target {
        corpus: "corpus/session",
        words: &[
            b"put ",
            b"delete ",
            b"answer applied\n",
            b"answer refused\n",
            b"answer rejected\n",
            b"answer void\n",
            b"suspend\n",
            b"begin\n",
            b"wait\n",
            b"--\n",
            b"/registrator/",
            b"/registrator/nodes/",
            b"/registrator/beacons/",
            b"/registrator/claims/%2Fa/",
            b"/registrator/claims/%2Fb/",
            b"/registrator/claims/%2Fc%2Fd/",
            b"0000000000000070",
            b"0000000000000080",
            b"ffffffffffffffff",
            b"%2F",
            b"%25",
            b"%",
            b"/",
            b"/a",
            b"/b",
            b" 112 ",
            b" 128 ",
            b" 0 ",
            b" 9223372036854775807 ",
            b"\"lease\":",
            b"v1",
            b"v0",
        ],
        inputs: 1_500,
    };
    target.run(|input| {
        let mut lines = input.split(|byte| *byte == b'\n');
        let found: Vec<KeyValue> = lines
            .by_ref()
            .take_while(|line| *line != b"--")
            .map(|line| key_value(line).1)
            .collect();
        let mut world = World::begun(found);
        lines.for_each(|line| world.happens(line));
        world.told()
    });
}

/// The word that begins a line, and what it is about.
fn key_value(line: &[u8]) -> (&[u8], KeyValue) {
    let mut words = line.splitn(5, |byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
    let begins = word();
    let kv = KeyValue {
        key: word().to_vec(),
        lease: number(word()).unwrap_or_default(),
        mod_revision: number(word()).unwrap_or_default(),
        value: word().to_vec(),
        ..KeyValue::default()
    };
    (begins, kv)
}

struct World {
    layout: Layout,
    found: Vec<KeyValue>,
    sights: Sights,
    reconciler: Reconciler,
    now: Instant,
    sessions: u64,
    commits: Vec<Commit>,
    /// The leases that identities and claims name.
    named: BTreeSet<LeaseId>,
    told: String,
}

impl World {
    fn begun(found: Vec<KeyValue>) -> World {
        let fence = Fence {
            allowed: Vec::new(),
            reserved: META.into(),
        };
        let mut world = World {
            layout: Layout::new(META, "HOST/1").unwrap(),
            found,
            sights: Sights {
                beacons: BTreeMap::new(),
                lease: ME,
                fence: FENCE,
                identities: BTreeMap::new(),
            },
            reconciler: Reconciler::new(Settings::with_fence(fence)),
            now: Instant::now(),
            sessions: 0,
            commits: Vec::new(),
            named: BTreeSet::from([ME]),
            told: String::new(),
        };
        let policy = PolicySpec {
            name: PolicyName::parse("p").unwrap(),
            fingerprint: 1,
            validates: false,
            schema: None,
        };
        let container = r#"{"Id": "0123456789ab", "State": {"Running": true}}"#;
        let container = Container::from_text(container.to_owned()).unwrap();
        for event in [
            reconciler::Event::Policies {
                loaded: vec![policy],
                failed: Vec::new(),
            },
            reconciler::Event::ConfigFile(SourceEvent::Init),
            reconciler::Event::ConfigFile(SourceEvent::InitDone),
            reconciler::Event::Container(SourceEvent::Init),
            reconciler::Event::Container(SourceEvent::InitApply(container)),
            reconciler::Event::Container(SourceEvent::InitDone),
        ] {
            world.handle(event);
        }
        world.begin();
        world
    }

    fn happens(&mut self, line: &[u8]) {
        let (begins, kv) = key_value(line);
        let event = |kind: EventType| Event {
            r#type: kind.into(),
            kv: Some(kv.clone()),
            prev_kv: None,
        };
        match begins {
            b"put" => self.see(event(EventType::Put)),
            b"delete" => self.see(event(EventType::Delete)),
            b"answer" => self.answer(&kv.key),
            b"suspend" => self.session(SessionEvent::Suspended),
            b"begin" => self.begin(),
            _ => {
                let due = self.reconciler.next_timeout();
                self.now = due
                    .unwrap_or(self.now + Duration::from_secs(1))
                    .max(self.now);
                self.handle(reconciler::Event::Timeout);
            }
        }
    }

    /// As a session begins: everything is read, what is wished and what is attached to our lease.
    fn begin(&mut self) {
        for kv in self.found.clone() {
            self.name(&kv);
        }
        let kvs = self.found.iter();
        let registrators = kvs
            .clone()
            .filter_map(|kv| identity::registrator(&self.layout, kv));
        self.sights.identities = registrators.collect();
        let attached = kvs.clone().filter(|kv| kv.lease == ME.0);
        let attached = attached.filter_map(|kv| match self.layout.place(&kv.key) {
            Purpose::Node(key) | Purpose::Claim(key, _) => Some(key),
            _ => None,
        });
        let wished = WISHED.map(|(key, _)| Key::parse(key).unwrap());
        let keys = attached.chain(wished);
        let who = Who {
            me: ME,
            registrators: self
                .sights
                .identities
                .iter()
                .map(|(name, lease)| (*lease, name.clone()))
                .collect(),
            beacons: kvs
                .filter_map(|kv| identity::lit(&self.layout, kv))
                .collect(),
        };
        self.sessions += 1;
        let session = Session {
            number: self.sessions,
            who,
            views: keys.map(|key| (key.clone(), self.view(&key))).collect(),
        };
        self.commits.clear();
        self.session(SessionEvent::Established(session));
    }

    fn view(&self, key: &Key) -> registrator_core::own::View {
        let claims = self.layout.claims(key).into_bytes();
        let answer = |is_meant: &dyn Fn(&KeyValue) -> bool| {
            let kvs = self
                .found
                .iter()
                .filter(|kv| is_meant(kv))
                .cloned()
                .collect();
            let range = RangeResponse {
                kvs,
                ..RangeResponse::default()
            };
            ResponseOp {
                response: Some(Response::ResponseRange(range)),
            }
        };
        let answers = [
            answer(&|kv| kv.key == key.as_str().as_bytes()),
            answer(&|kv| kv.key.starts_with(&claims)),
        ];
        views::junk(&self.layout, &answers).for_each(drop);
        views::decode(&self.layout, &answers).unwrap()
    }

    fn name(&mut self, kv: &KeyValue) {
        let named = match self.layout.place(&kv.key) {
            Purpose::Claim(_, lease) => Some(lease),
            _ => identity::registrator(&self.layout, kv).map(|(_, lease)| lease),
        };
        self.named.extend(named);
    }

    fn see(&mut self, event: Event) {
        let kv = event.kv.clone().unwrap_or_default();
        self.name(&kv);
        if let Some(holder) = Holder::parse(&kv.value) {
            let again = Holder::parse(holder.to_json().as_bytes());
            assert_eq!(again.as_ref(), Some(&holder), "it is read back");
        }
        match self.sights.of(&self.layout, event) {
            Ok(seen) => {
                let events = seen.into_iter().map(SessionEvent::Seen);
                events.for_each(|event| self.session(event));
            }
            Err(Intruded) => {
                self.session(SessionEvent::Suspended);
                self.begin();
            }
        }
    }

    fn answer(&mut self, how: &[u8]) {
        if self.commits.is_empty() {
            return;
        }
        let Commit { id, txns, .. } = self.commits.remove(0);
        let results = txns.iter().map(|txn| match how {
            b"applied" => KeyResult::Applied,
            _ => KeyResult::Refused {
                view: self.view(&txn.key),
                fields: BTreeMap::new(),
                beacons: BTreeMap::new(),
            },
        });
        let outcome = match how {
            b"rejected" => Outcome::Rejected(Rejection {
                message: "no".into(),
                forbidden: false,
            }),
            b"void" => Outcome::Void,
            _ => Outcome::Done {
                revision: 20,
                results: results.collect(),
            },
        };
        self.session(SessionEvent::Committed { id, outcome });
    }

    fn session(&mut self, event: SessionEvent) {
        self.handle(reconciler::Event::Session(event));
    }

    fn handle(&mut self, event: reconciler::Event) {
        self.reconciler.handle(event, self.now);
        while let Some(command) = self.reconciler.next_command() {
            match command {
                Command::Evaluate { ticket, .. } => {
                    let pair =
                        |(key, value)| Some((Key::parse(key).ok()?, Value::parse(value).ok()?));
                    let nodes: Nodes = WISHED.into_iter().filter_map(pair).collect();
                    let log = Vec::new();
                    let result = Ok(Evaluation {
                        nodes,
                        log,
                        reasons: Vec::new(),
                    });
                    self.reconciler
                        .handle(reconciler::Event::Evaluated { ticket, result }, self.now);
                }
                Command::Commit(commit) => self.check(commit),
                _ => {}
            }
        }
        while let Some(notice) = self.reconciler.next_notice() {
            let told = format!("{notice:?}");
            self.told += told.split([' ', '(']).next().unwrap_or_default();
        }
    }

    /// Whatever stands in etcd, only keys of our own are written, under guards, and under leases that others gave
    /// their names to.
    fn check(&mut self, commit: Commit) {
        assert!(commit.txns.len() <= MAX_TXNS && commit.session == self.sessions);
        for txn in &commit.txns {
            let key = txn.key.as_str();
            assert!(!key.starts_with(META), "{txn:?}");
            assert!(!txn.guards.is_empty() && !txn.ops.is_empty(), "{txn:?}");
            for op in &txn.ops {
                let lease = match op {
                    Op::Put(_, lease) | Op::PutClaim(_, lease) | Op::PutField(_, _, lease) => {
                        *lease
                    }
                    Op::Delete | Op::DeleteClaim(_) | Op::DeleteField(_) => continue,
                };
                assert!(self.named.contains(&lease), "{txn:?}");
            }
        }
        self.commits.push(commit);
    }

    fn told(self) -> String {
        let settled = self.reconciler.settled();
        format!("{} {} {settled}", self.told, self.commits.len().min(3))
    }
}
