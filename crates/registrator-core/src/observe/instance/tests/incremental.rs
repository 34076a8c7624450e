//! However policies and configurations come and go, the instances are what a derivation from scratch gives, and the reported
//! changes lead to them.

use super::*;
use crate::observe::config;
use proptest::prelude::*;

const POLICIES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Change {
    Policies(Vec<PolicySpec>, Vec<Problem>),
    File(SourceEvent<RawConfig>),
    Etcd(PolicyName, SourceEvent<RawConfig>),
}

/// A policy with one of five schemas.
fn policy(policy: usize, fingerprint: u64, schema: usize) -> PolicySpec {
    let kinds = [
        None,
        Some(Type::Str),
        Some(Type::Str),
        Some(Type::Int),
        Some(Type::Str),
    ];
    let paths = [
        None,
        None,
        Some("/s/:service"),
        Some("/s/:service"),
        Some("/t/:zone/:service"),
    ];
    let mut spec = spec(POLICIES[policy], fingerprint, kinds[schema].clone());
    if let Some(declared) = &mut spec.schema {
        declared.etcd_path = paths[schema].map(|path| EtcdPath::parse(path).unwrap());
    }
    spec
}

fn raw_file(policy: usize) -> impl Strategy<Value = RawConfig> {
    let name = prop::option::of(prop::sample::select(vec!["one", "two"]));
    (name, text()).prop_map(move |(name, text)| file(POLICIES[policy], name, text))
}

fn raw_node(policy: usize) -> impl Strategy<Value = RawConfig> {
    let key = prop::sample::select(vec!["/s/one", "/s/two", "/t/one/two"]);
    let name = prop::sample::select(vec!["one", "two"]);
    (key, name, text()).prop_map(move |(key, name, text)| RawConfig {
        source: ConfigSource::Etcd(key.into()),
        ..file(POLICIES[policy], Some(name), text)
    })
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{}",
        "{\"x\": \"d\"}",
        "{\"x\": \"y\"}",
        "{\"x\": 1}",
        "{",
        "{\"x\": \"y\", \"x\": \"y\", \"z\": 1}",
    ])
}

fn event(
    raw: impl Strategy<Value = RawConfig> + 'static,
) -> impl Strategy<Value = SourceEvent<RawConfig>> {
    (raw, 0..8).prop_map(|(raw, kind)| match kind {
        0 => SourceEvent::Init,
        1 => SourceEvent::InitApply(raw),
        2 => SourceEvent::InitDone,
        3 | 4 => SourceEvent::Delete((raw.policy, raw.source)),
        _ => SourceEvent::Apply(raw),
    })
}

fn policies() -> impl Strategy<Value = Change> {
    let loaded = prop::collection::vec(prop::option::of((1u64..3, 0usize..5)), POLICIES.len());
    let failed = prop::collection::vec((prop::sample::select(&POLICIES), any::<bool>()), 0..3);
    (loaded, failed).prop_map(|(loaded, failed)| {
        let loaded = loaded.into_iter().enumerate();
        let specs = loaded.filter_map(|(number, loaded)| {
            let (fingerprint, schema) = loaded?;
            Some(policy(number, fingerprint, schema))
        });
        let problem = |(name, kept): (&str, bool)| Problem::Policy {
            name: name.into(),
            message: "syntax".into(),
            kept,
        };
        Change::Policies(specs.collect(), failed.into_iter().map(problem).collect())
    })
}

/// One event, or a complete list.
fn events(
    raw: impl Strategy<Value = RawConfig> + Clone + 'static,
) -> impl Strategy<Value = Vec<SourceEvent<RawConfig>>> {
    let list = prop::collection::vec(raw.clone(), 0..4).prop_map(|raws| {
        let items = raws.into_iter().map(SourceEvent::InitApply);
        let begun = std::iter::once(SourceEvent::Init).chain(items);
        begun.chain([SourceEvent::InitDone]).collect()
    });
    prop_oneof![3 => event(raw).prop_map(|event| vec![event]), 1 => list]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let files = events((0..POLICIES.len()).prop_flat_map(raw_file).boxed());
    let nodes = (0..POLICIES.len()).prop_flat_map(|policy| {
        let events = events(raw_node(policy).boxed());
        events.prop_map(move |events| (name(POLICIES[policy]), events))
    });
    prop_oneof![
        1 => policies().prop_map(|change| vec![change]),
        3 => files.prop_map(|events| events.into_iter().map(Change::File).collect()),
        3 => nodes.prop_map(|(policy, events)| {
            let change = |event| Change::Etcd(policy.clone(), event);
            events.into_iter().map(change).collect()
        }),
    ]
}

/// The naive reference: after each change everything is checked and derived again.
#[derive(Default)]
struct Naive {
    policies: BTreeMap<PolicyName, PolicySpec>,
    told: bool,
    failed: Vec<Problem>,
    files: Store<RawConfig>,
    etcd: BTreeMap<PolicyName, Store<RawConfig>>,
    good: BTreeMap<ConfigId, Config>,
    running: BTreeMap<InstanceId, Instance>,
    problems: Vec<Problem>,
}

impl Naive {
    fn set_policies(&mut self, policies: Vec<PolicySpec>, failed: Vec<Problem>) -> InstanceDelta {
        let named = policies.into_iter().map(|spec| (spec.name.clone(), spec));
        self.policies = named.collect();
        (self.failed, self.told) = (failed, true);
        let looks = |spec: &PolicySpec| {
            spec.schema
                .as_ref()
                .is_some_and(|schema| schema.etcd_path.is_some())
        };
        let policies = &self.policies;
        self.etcd
            .retain(|name, _| policies.get(name).is_some_and(looks));
        for spec in self.policies.values().filter(|spec| looks(spec)) {
            self.etcd.entry(spec.name.clone()).or_default();
        }
        self.derive()
    }

    fn handle_file(&mut self, event: SourceEvent<RawConfig>) -> InstanceDelta {
        let settled = ends_change(&event);
        self.files.handle(event);
        if settled {
            self.derive()
        } else {
            InstanceDelta::default()
        }
    }

    fn handle_etcd(&mut self, policy: &PolicyName, event: SourceEvent<RawConfig>) -> InstanceDelta {
        let settled = ends_change(&event);
        if let Some(store) = self.etcd.get_mut(policy) {
            store.handle(event);
        }
        if settled {
            self.derive()
        } else {
            InstanceDelta::default()
        }
    }

    fn complete(&self) -> bool {
        self.told && self.files.complete() && self.etcd.values().all(Store::complete)
    }

    fn derive(&mut self) -> InstanceDelta {
        let (mut running, mut problems) = (BTreeMap::new(), self.failed.clone());
        for spec in self.policies.values().cloned().collect::<Vec<_>>() {
            self.derive_policy(&spec, &mut running, &mut problems);
        }
        let etcd = self.etcd.values().flat_map(Store::iter);
        let known: BTreeSet<ConfigId> = self
            .files
            .iter()
            .chain(etcd)
            .map(|(id, _)| id.clone())
            .collect();
        self.good.retain(|id, _| known.contains(id));
        for (policy, source) in self.files.iter().map(|(id, _)| id).filter(|_| self.told) {
            let fails = |problem: &Problem| matches!(problem, Problem::Policy { name, .. } if name == policy.as_str());
            if !self.policies.contains_key(policy) && !self.failed.iter().any(fails) {
                problems.push(Problem::NoPolicy(source.clone(), policy.clone()));
            }
        }
        let before = std::mem::replace(&mut self.running, running);
        let problems_before = std::mem::replace(&mut self.problems, problems);
        let now = &self.running;
        let started: Vec<InstanceId> = now
            .keys()
            .filter(|id| before.get(*id) != now.get(*id))
            .cloned()
            .collect();
        InstanceDelta {
            reloaded: started
                .iter()
                .filter(|id| before.contains_key(*id))
                .cloned()
                .collect(),
            started,
            stopped: before
                .into_keys()
                .filter(|id| !now.contains_key(id))
                .collect(),
            problems: self
                .problems
                .iter()
                .filter(|problem| !problems_before.contains(problem))
                .cloned()
                .collect(),
        }
    }

    fn derive_policy(
        &mut self,
        spec: &PolicySpec,
        running: &mut BTreeMap<InstanceId, Instance>,
        problems: &mut Vec<Problem>,
    ) {
        let etcd = self.etcd.get(&spec.name);
        let files = self
            .files
            .iter()
            .filter(|((policy, _), _)| *policy == spec.name);
        let raws: Vec<RawConfig> = files
            .chain(etcd.into_iter().flat_map(Store::iter))
            .map(|(_, raw)| raw.clone())
            .collect();
        let mut run = |name: Option<&str>, config| {
            let id = InstanceId {
                policy: spec.name.clone(),
                config: name.map(Into::into),
            };
            running.insert(
                id.clone(),
                Instance {
                    id,
                    fingerprint: spec.fingerprint,
                    config,
                },
            );
        };
        let Some(schema) = &spec.schema else {
            problems.extend(
                raws.into_iter()
                    .map(|raw| Problem::NoSchema(raw.source, spec.name.clone())),
            );
            run(None, None);
            return;
        };
        if raws.is_empty() && self.files.complete() && etcd.is_none_or(Store::complete) {
            let etcd_path = schema.etcd_path.as_ref().map(ToString::to_string);
            problems.push(Problem::NoConfig {
                policy: spec.name.clone(),
                etcd_path,
            });
        }
        let mut used: BTreeMap<Option<String>, ConfigSource> = BTreeMap::new();
        for raw in raws {
            let Some(config) = self.check(schema, &raw, problems) else {
                continue;
            };
            if let Some(used) = used.get(&raw.name) {
                let instance = InstanceId {
                    policy: spec.name.clone(),
                    config: raw.name.as_deref().map(Into::into),
                };
                problems.push(Problem::Twice {
                    instance,
                    used: used.clone(),
                    refused: raw.source,
                });
            } else {
                run(raw.name.as_deref(), Some(config));
                used.insert(raw.name, raw.source);
            }
        }
    }

    fn check(
        &mut self,
        schema: &Schema,
        raw: &RawConfig,
        problems: &mut Vec<Problem>,
    ) -> Option<Config> {
        let id = (raw.policy.clone(), raw.source.clone());
        let good = self.good.get(&id).cloned();
        if let ConfigSource::Etcd(key) = &raw.source
            && schema
                .etcd_path
                .as_ref()
                .is_none_or(|path| path.matches(key).is_none())
        {
            return good;
        }
        let faults = match config::check(schema, raw) {
            Ok(config) => {
                return self
                    .good
                    .entry(id)
                    .insert_entry(config)
                    .get()
                    .clone()
                    .into();
            }
            Err(faults) => faults,
        };
        let kept = good.is_some();
        problems.extend(faults.into_iter().map(|fault| Problem::Config {
            policy: raw.policy.clone(),
            fault,
            kept,
        }));
        good
    }
}

/// Both say the same, and the deltas add up to it in `told`.
fn check(naive: &Naive, instances: &Instances, told: &BTreeSet<InstanceId>) {
    let running: Vec<&Instance> = instances.iter().collect();
    assert_eq!(running, naive.running.values().collect::<Vec<_>>());
    for (id, instance) in &naive.running {
        assert_eq!(instances.get(id), Some(instance));
    }
    assert!(told.iter().eq(naive.running.keys()), "{told:?}");
    let problems: Vec<&Problem> = instances.problems().collect();
    assert_eq!(problems, naive.problems.iter().collect::<Vec<_>>());
    let hides_nodes = naive.problems.iter().any(Problem::hides_nodes);
    assert_eq!(instances.hides_nodes(), hides_nodes);
    assert_eq!(instances.complete(), naive.complete());
}

fn add(told: &mut BTreeSet<InstanceId>, delta: &InstanceDelta) {
    for id in &delta.started {
        assert_ne!(told.insert(id.clone()), delta.reloaded.contains(id), "{id}");
    }
    for id in &delta.stopped {
        assert!(told.remove(id), "{id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn deriving_is_incremental(steps in prop::collection::vec(changes(), 1..40)) {
        let (mut naive, mut instances) = (Naive::default(), Instances::default());
        let mut told = BTreeSet::new();
        for change in steps.into_iter().flatten() {
            let (expected, delta) = match change {
                Change::Policies(specs, failed) => (
                    naive.set_policies(specs.clone(), failed.clone()),
                    instances.set_policies(specs, failed),
                ),
                Change::File(event) => (
                    naive.handle_file(event.clone()),
                    instances.handle_file(event),
                ),
                Change::Etcd(policy, event) => (
                    naive.handle_etcd(&policy, event.clone()),
                    instances.handle_etcd(&policy, event),
                ),
            };
            prop_assert_eq!(&delta, &expected);
            add(&mut told, &delta);
            check(&naive, &instances, &told);
        }
    }
}
