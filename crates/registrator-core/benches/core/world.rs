//! A perfect world around the reconciler: every evaluation and every commit is answered at once, and nothing goes wrong.

use crate::Size;
use crate::cpu::Stopwatch;
use registrator_core::evaluate::evaluation::{EvalError, EvalErrorKind, Evaluation};
use registrator_core::evaluate::fence::Fence;
use registrator_core::node::{Key, Nodes, Value};
use registrator_core::observe::config::{ConfigSource, RawConfig};
use registrator_core::observe::container::Container;
use registrator_core::observe::instance::Instance;
use registrator_core::observe::spec::{PolicyName, PolicySpec, Schema};
use registrator_core::observe::watch;
use registrator_core::own::session::{Commit, KeyResult, Outcome, Seen, Session, SessionEvent};
use registrator_core::own::{Held, LeaseId, Op, Who};
use registrator_core::reconciler::{Command, Event, Reconciler, Settings};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const ME: LeaseId = LeaseId(1);
const OTHER: LeaseId = LeaseId(2);
/// So many events are handled between two looks at the stopwatch.
const AT_ONCE: usize = 64;

/// The reconciler, and what it has to be told.
pub(crate) struct World {
    reconciler: Reconciler,
    size: Size,
    /// How far the world's clock is ahead: nobody waits for what is only a matter of time.
    ahead: Duration,
    events: usize,
    /// Says which version of the policy is loaded, and whether that one works: even ones raise an error.
    fingerprint: u64,
    /// What is different about the containers that change.
    address: usize,
    revision: i64,
    /// Answers of etcd, and what its watch tells.
    etcd: VecDeque<Event>,
    evaluated: VecDeque<Event>,
}

impl World {
    /// Nothing has happened yet.
    pub(crate) fn new(size: Size) -> World {
        let fence = Fence {
            allowed: Vec::new(),
            reserved: "/registrator/".into(),
        };
        World {
            reconciler: Reconciler::new(Settings::with_fence(fence)),
            size,
            ahead: Duration::ZERO,
            events: 0,
            fingerprint: 1,
            address: 0,
            revision: 10,
            etcd: VecDeque::new(),
            evaluated: VecDeque::new(),
        }
    }

    /// How many events the reconciler has handled.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Tells the reconciler of everything. Whether all was done within this CPU time.
    pub(crate) fn start(&mut self, limit: Duration) -> bool {
        let watch = Stopwatch::start();
        self.handle(self.policies());
        self.handle(Event::ConfigFile(watch::SourceEvent::Init));
        for number in 0..self.size.instances {
            self.handle(Event::ConfigFile(watch::SourceEvent::InitApply(config(
                number,
            ))));
        }
        self.handle(Event::ConfigFile(watch::SourceEvent::InitDone));
        self.handle(Event::Session(SessionEvent::Established(session())));
        self.handle(Event::Container(watch::SourceEvent::Init));
        for number in 0..self.size.containers {
            let listed = watch::SourceEvent::InitApply(container(number, 0));
            self.handle(Event::Container(listed));
            self.answer(AT_ONCE);
            if watch.used() > limit {
                return false;
            }
        }
        self.handle(Event::Container(watch::SourceEvent::InitDone));
        self.settle(limit.saturating_sub(watch.used()))
    }

    /// One of the containers changes, so that all its nodes change too.
    pub(crate) fn change(&mut self, number: usize) {
        self.address += 1;
        let changed = container(number % self.size.containers, self.address);
        self.handle(Event::Container(watch::SourceEvent::Apply(changed)));
        while self.answer(AT_ONCE) {}
    }

    /// Another host writes a key below a root that is watched here.
    pub(crate) fn see_foreign(&mut self, number: usize) {
        self.revision += 1;
        let held = Held {
            value: value(number, 0),
            lease: Some(OTHER),
            mod_revision: self.revision,
        };
        let key = Key::parse(&format!("/skydns/other/{}", number % 100)).expect("a key");
        self.handle(Event::Session(SessionEvent::Seen(Seen::Node {
            key,
            node: Some(held),
            revision: self.revision,
        })));
        while self.answer(AT_ONCE) {}
    }

    /// The policy's file changes. The new policy gives other nodes, or it raises an error for every container.
    pub(crate) fn reload(&mut self, works: bool) {
        let odd = self.fingerprint % 2 == 1;
        self.fingerprint += if odd == works { 2 } else { 1 };
        self.handle(self.policies());
    }

    /// Answers until there is nothing to answer. Whether that came within this CPU time.
    pub(crate) fn settle(&mut self, limit: Duration) -> bool {
        let watch = Stopwatch::start();
        while self.answer(AT_ONCE) {
            if watch.used() > limit {
                return false;
            }
        }
        assert!(self.reconciler.settled(), "nothing is left to do");
        true
    }

    /// Answers so many times at most, etcd first. Whether there was anything to answer.
    fn answer(&mut self, times: usize) -> bool {
        for at in 0..times {
            if let Some(event) = self.etcd.pop_front() {
                self.handle(event);
            } else if let Some(event) = self.evaluated.pop_front() {
                self.handle(event);
            } else if let Some(due) = self.reconciler.next_timeout() {
                self.ahead += due.saturating_duration_since(self.now());
                self.handle(Event::Timeout);
            } else {
                return at > 0;
            }
        }
        true
    }

    /// What the program does for each event.
    fn handle(&mut self, event: Event) {
        self.events += 1;
        self.reconciler.handle(event, self.now());
        while let Some(command) = self.reconciler.next_command() {
            match command {
                Command::Evaluate {
                    ticket,
                    instance,
                    container,
                } => {
                    let result = self.evaluate(&instance, &container);
                    let evaluated = Event::Evaluated { ticket, result };
                    self.evaluated.push_back(evaluated);
                }
                Command::Commit(commit) => self.commit(commit),
                Command::Check { .. }
                | Command::Forget(_)
                | Command::Want(_)
                | Command::FollowConfigs { .. }
                | Command::Stop(_) => {}
            }
        }
        while self.reconciler.next_notice().is_some() {}
        // The program asks for it each time it waits.
        std::hint::black_box(self.reconciler.next_timeout());
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn policies(&self) -> Event {
        let spec = PolicySpec {
            name: policy(),
            fingerprint: self.fingerprint,
            schema: Some(Schema::default()),
            validates: false,
        };
        Event::Policies {
            loaded: vec![spec],
            failed: Vec::new(),
        }
    }

    /// One node for each container and instance.
    fn evaluate(
        &self,
        instance: &Instance,
        container: &Container,
    ) -> Result<Evaluation, EvalError> {
        if instance.fingerprint.is_multiple_of(2) {
            return Err(EvalError {
                kind: EvalErrorKind::Raised,
                message: "it does not work".into(),
                at: None,
            });
        }
        let config = instance.id.config.as_deref().unwrap_or_default();
        let key = Key::parse(&format!("/skydns/local/{config}/{}", container.name()));
        let value = value(self.address, instance.fingerprint);
        Ok(Evaluation {
            nodes: Nodes::from_iter([(key.expect("a key"), value)]),
            ..Evaluation::default()
        })
    }

    /// All guards hold, and the watch tells of every change.
    fn commit(&mut self, commit: Commit) {
        self.revision += 1;
        let revision = self.revision;
        let results = commit.txns.iter().map(|_| KeyResult::Applied).collect();
        let committed = SessionEvent::Committed {
            id: commit.id,
            outcome: Outcome::Done { revision, results },
        };
        self.etcd.push_back(Event::Session(committed));
        for txn in commit.txns {
            let node = txn.ops.into_iter().find_map(|op| match op {
                Op::Put(value, lease) => Some(Held {
                    value,
                    lease: Some(lease),
                    mod_revision: revision,
                }),
                _ => None,
            });
            let seen = Seen::Node {
                key: txn.key,
                node,
                revision,
            };
            let seen = SessionEvent::Seen(seen);
            self.etcd.push_back(Event::Session(seen));
        }
    }
}

fn policy() -> PolicyName {
    PolicyName::parse("skydns").expect("a name")
}

fn config(number: usize) -> RawConfig {
    let name = format!("domain-{number}");
    RawConfig {
        policy: policy(),
        source: ConfigSource::File(format!("skydns/{name}.json")),
        name: Some(name),
        bytes: b"{}".to_vec(),
    }
}

/// As random at its beginning as those of a real engine.
fn id(number: usize) -> String {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{mixed:016x}").repeat(4)
}

/// The core does not look into the document, so it is a small one.
fn container(number: usize, address: usize) -> Container {
    let document = json!({
        "Id": id(number),
        "Name": format!("/web-{number}"),
        "State": {"Running": true},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": format!("10.0.0.{address}")}}},
    });
    Container::from_inspect(document).expect("a document")
}

fn value(address: usize, fingerprint: u64) -> Value {
    let text = format!(r#"{{"host":"10.0.0.{address}","port":80,"version":{fingerprint}}}"#);
    Value::parse(&text).expect("a value")
}

/// This registrator and another one, with nothing in etcd yet.
fn session() -> Session {
    Session {
        number: 1,
        who: Who {
            me: ME,
            registrators: BTreeMap::from([(ME, "web-1".into()), (OTHER, "web-2".into())]),
            beacons: [ME, OTHER].into(),
        },
        views: BTreeMap::new(),
    }
}
