//! `plan`: what `run` would write now, made by the same reconciler. Writes nothing.

use super::connect;
use crate::catalog;
use crate::docker;
use crate::error_chain::error_chain;
use crate::etcd::{self, Layout};
use crate::exit::Exit;
use crate::files;
use crate::settings::{Environment, PlanSettings};
use anyhow::{Context, anyhow, bail};
use registrator_core::evaluate::evaluation::Evaluation;
use registrator_core::node::Key;
use registrator_core::observe::config::RawConfig;
use registrator_core::observe::container::Container;
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::PolicyName;
use registrator_core::observe::watch;
use registrator_core::own::{LeaseId, View, Who};
use registrator_core::reconciler::{Asked, Command, Event, Reconciler};
use registrator_core::tell::notice::Notice;
use registrator_core::tell::plan::Plan;
use registrator_core::tell::printable::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;
use tracing::{info, warn};

/// What a plan is made of, besides policies and configurations from files.
struct World {
    containers: Vec<Container>,
    etcd: Option<Target>,
}

/// The etcd that is compared with.
struct Target {
    client: etcd::EtcdClient,
    layout: Layout,
}

pub(super) fn plan(settings: &PlanSettings, environment: &Environment) -> anyhow::Result<Exit> {
    super::with_stack_for_policies("plan", || make(settings, environment))
}

fn make(settings: &PlanSettings, environment: &Environment) -> anyhow::Result<Exit> {
    let mut evaluated = evaluate_all(settings, environment, Vec::new())?;
    let mut plan = evaluated.reconciler.plan(&evaluated.who, &evaluated.views);
    note(&mut plan, &mut evaluated.reconciler);
    show(&plan, settings)
}

/// Everything evaluated once, and what etcd holds.
pub(super) struct EvaluatedNow {
    pub(super) reconciler: Reconciler,
    pub(super) who: Who,
    pub(super) views: BTreeMap<Key, View>,
}

/// Evaluates everything now. What is asked about is read in etcd, too.
pub(super) fn evaluate(
    settings: &PlanSettings,
    environment: &Environment,
    asked: &Asked,
) -> anyhow::Result<EvaluatedNow> {
    evaluate_all(settings, environment, asked.keys())
}

fn evaluate_all(
    settings: &PlanSettings,
    environment: &Environment,
    besides: Vec<Key>,
) -> anyhow::Result<EvaluatedNow> {
    let (evaluation, facts) = (&settings.host.evaluation, &settings.host.facts);
    let policy_settings =
        connect::policies(&settings.common, Some(evaluation), facts, environment)?;
    let files = files::scan_policies(&settings.common.policies)?;
    let (specs, mut policies) = catalog::load_now(files, &policy_settings);
    let mut reconciler = Reconciler::new(connect::reconciler(&settings.host));
    let runtime = super::runtime()?;
    let world = runtime.block_on(look(settings, environment))?;

    let mut feed = |event| reconciler.handle(event, Instant::now());
    feed(specs);
    read_configs(&settings.common.services, &mut feed)?;
    feed(Event::Container(watch::SourceEvent::Init));
    world
        .containers
        .into_iter()
        .for_each(|container| feed(Event::Container(watch::SourceEvent::InitApply(container))));
    feed(Event::Container(watch::SourceEvent::InitDone));
    while let Some(command) = reconciler.next_command() {
        match command {
            Command::Evaluate {
                ticket,
                instance,
                container,
            } => {
                let policy = policies.get_mut(&instance.id.policy);
                let policy = policy
                    .with_context(|| format!("policy {} is not loaded", instance.id.policy))?;
                let result = policy.evaluate(instance.config.as_ref(), &container);
                reconciler.handle(Event::Evaluated { ticket, result }, Instant::now());
            }
            Command::Check { ticket, instance } => {
                let policy = policies.get_mut(&instance.id.policy);
                let checked = policy.zip(instance.config.as_ref());
                let result = checked.map(|(policy, config)| policy.check(config));
                let result = result.unwrap_or_else(|| Ok(Evaluation::default()));
                reconciler.handle(Event::Evaluated { ticket, result }, Instant::now());
            }
            Command::FollowConfigs {
                policy,
                path: Some(path),
            } => {
                let found = runtime.block_on(configs(world.etcd.as_ref(), &policy, path))?;
                for event in catalog::listed(found) {
                    reconciler.handle(Event::ConfigNode(policy.clone(), event), Instant::now());
                }
            }
            // There is no session, so nothing else can come.
            Command::FollowConfigs { .. }
            | Command::Forget(_)
            | Command::Want(_)
            | Command::Commit(_)
            | Command::Stop(_) => {}
        }
    }
    if !reconciler.started() {
        bail!("not everything could be evaluated");
    }
    // What is there of objects is known when they have been read, and which of their members are to be read before.
    reconciler.foresee(&nobody(), &BTreeMap::new());
    let (who, views) = runtime.block_on(compare(&reconciler, world.etcd.as_ref(), besides))?;
    reconciler.foresee(&who, &views);
    Ok(EvaluatedNow {
        reconciler,
        who,
        views,
    })
}

/// Takes in what people are told. What policies print and what is remarked says why a container has no nodes, for one.
fn note(plan: &mut Plan, reconciler: &mut Reconciler) {
    while let Some(notice) = reconciler.next_notice() {
        match notice {
            Notice::Printed { .. } | Notice::Remarked { .. } => {
                plan.printed.push(notice.to_string())
            }
            Notice::Remark { .. } | Notice::AnswersForOthers { .. } => {
                plan.warnings.push(notice.to_string());
            }
            _ => {}
        }
    }
}

fn show(plan: &Plan, settings: &PlanSettings) -> anyhow::Result<Exit> {
    let text = if settings.json {
        json(&format!("{:#}\n", plan.to_json())).into_owned()
    } else {
        plan.to_string()
    };
    super::print(&text)?;
    Ok(match settings.exit_code {
        true if !plan.errors.is_empty() => Exit::Failure,
        true if plan.pending() => Exit::ChangesPending,
        _ => Exit::Ok,
    })
}

fn read_configs(services: &Path, feed: &mut impl FnMut(Event)) -> anyhow::Result<()> {
    let scan = files::scan_configs(services)?;
    for problem in scan.problems {
        warn!("{}: {}", problem.path.display(), problem.message);
    }
    catalog::listed(scan.configs)
        .into_iter()
        .for_each(|event| feed(Event::ConfigFile(event)));
    Ok(())
}

async fn look(settings: &PlanSettings, environment: &Environment) -> anyhow::Result<World> {
    let docker = connect::docker(&settings.host.docker, environment)?;
    let containers = match &settings.containers {
        Some(path) => read_containers(path)?,
        None => docker::list_once(&docker)
            .await
            .context("cannot ask Docker; --containers FILE plans without it")?,
    };
    let etcd = if settings.no_etcd {
        None
    } else {
        target(settings, &docker).await?
    };
    Ok(World { containers, etcd })
}

fn read_containers(path: &Path) -> anyhow::Result<Vec<Container>> {
    let text = std::fs::read(path)
        .with_context(|| format!("cannot read --containers {}", path.display()))?;
    let documents: Vec<serde_json::Value> = serde_json::from_slice(&text)
        .with_context(|| format!("--containers {} must be a JSON array of inspect documents, as docker inspect prints it", path.display()))?;
    let numbered = documents.into_iter().enumerate();
    let containers = numbered.map(|(at, document)| {
        Container::from_inspect(document).with_context(|| {
            format!(
                "--containers {}: element {} of the array",
                path.display(),
                at + 1
            )
        })
    });
    let containers = containers.collect::<anyhow::Result<Vec<_>>>()?;
    let mut ids = BTreeSet::new();
    match containers
        .iter()
        .find(|container| !ids.insert(container.id().clone()))
    {
        Some(twice) => Err(anyhow!(
            "--containers {}: container {} is there twice",
            path.display(),
            twice.id()
        )),
        None => Ok(containers),
    }
}

/// Without an endpoint the embedded etcd of a running registrator is asked, if there is one.
async fn target(
    settings: &PlanSettings,
    docker: &docker::DockerClient,
) -> anyhow::Result<Option<Target>> {
    let external = settings.host.etcd.is_external();
    let endpoints = if external {
        settings.host.etcd.etcd_endpoints.clone()
    } else {
        vec![format!("http://{}", settings.host.etcd.embedded_listen)]
    };
    let host_id = match &settings.host.host_id {
        Some(name) => name.clone(),
        None => docker::engine_id(docker).await.unwrap_or_else(|error| {
            warn!("the host id is not known, so the nodes that this host has in etcd look like another host's. Give --host-id: {}", error_chain(&error));
            "unknown".into()
        }),
    };
    let etcd_settings = connect::etcd(&settings.host.etcd, &endpoints, &host_id)?;
    let client = etcd::EtcdClient::new(&etcd_settings)?;
    match client.status().await {
        Ok(_) => {}
        Err(error) if external => {
            return Err(error).context("cannot ask etcd; --no-etcd compares with nothing");
        }
        Err(_) => {
            info!(
                "no etcd endpoint is given, and no registrator serves an embedded etcd on {}: comparing with nothing",
                settings.host.etcd.embedded_listen
            );
            return Ok(None);
        }
    }
    Ok(Some(Target {
        client,
        layout: Layout::new(&settings.host.etcd.meta_prefix, &host_id)?,
    }))
}

async fn configs(
    target: Option<&Target>,
    policy: &PolicyName,
    path: EtcdPath,
) -> anyhow::Result<Vec<RawConfig>> {
    let Some(target) = target else {
        return Ok(Vec::new());
    };
    etcd::list_configs(&target.client, policy.clone(), path)
        .await
        .context("cannot read configurations in etcd")
}

async fn compare(
    reconciler: &Reconciler,
    target: Option<&Target>,
    besides: Vec<Key>,
) -> anyhow::Result<(Who, BTreeMap<Key, View>)> {
    let desired = reconciler.desired();
    let wished = desired.iter().map(|(key, _)| key).chain(desired.fields());
    let wished = wished.cloned().chain(besides).collect();
    Ok(match target {
        Some(target) => etcd::look(&target.client, &target.layout, wished)
            .await
            .context("cannot read etcd")?,
        None => (nobody(), BTreeMap::new()),
    })
}

/// A registrator that knows of no other.
fn nobody() -> Who {
    Who {
        me: LeaseId(0),
        registrators: BTreeMap::new(),
        beacons: BTreeSet::new(),
    }
}
