//! `run`: registers the containers of this host until it is stopped.

use super::{ask, certificates, connect, secrets};
use crate::admin::{self, Feed, Listeners, Meters};
use crate::catalog::{self, Catalog};
use crate::embedded::Embedded;
use crate::error_chain::error_chain;
use crate::etcd::SessionRequest;
use crate::evaluators::{Deadlines, Evaluators};
use crate::event_loop::{self, Attached, End, Inputs, News, Results, SessionTask, Signals, Work};
use crate::exit::Exit;
use crate::peers::Peers;
use crate::settings::{self, EmbeddedAccess, Environment, RunSettings};
use crate::supervisor::Supervisor;
use crate::{docker, etcd, files, host};
use registrator_core::reconciler::{OnExit, Reconciler, Settings};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tracing::{error, info, warn};

/// How long to wait before the engine is asked for its id again.
const IDENTITY_PAUSE: Duration = Duration::from_secs(1);

/// How long nodes are released or handed over at the end. The session then has a few seconds more, and all ends within eight.
const RELEASE: Duration = Duration::from_secs(4);

/// Updates that may wait for the event loop before a source waits for it.
const QUEUE: usize = 1024;

pub(super) fn run(settings: RunSettings, environment: &Environment) -> anyhow::Result<Exit> {
    let runtime = super::runtime()?;
    let end = runtime.block_on(serve(settings, environment));
    // A thread of a policy that hangs must not keep the process.
    runtime.shutdown_background();
    match end? {
        End::Stopped => Ok(Exit::Ok),
        End::Aborted => {
            error!("aborted by a second signal");
            Ok(Exit::Failure)
        }
        End::Unreleased | End::Superseded | End::Refused => Ok(Exit::Failure),
        End::Etcd(error) => Err(error.into()),
        End::Failed(error) => Err(error.into()),
    }
}

async fn serve(settings: RunSettings, environment: &Environment) -> anyhow::Result<End> {
    let embedded = if settings.host.etcd.is_external() {
        None
    } else {
        Some(embed(&settings).await?)
    };
    let etcd_settings = session_settings(&settings, embedded.as_ref())?;
    let end = attach(&settings, environment, etcd_settings).await;
    if let Some(embedded) = embedded {
        info!("the embedded etcd ends with this process, and the nodes with it");
        embedded.stop().await;
    }
    end
}

async fn embed(settings: &RunSettings) -> anyhow::Result<Embedded> {
    let address = settings.host.etcd.embedded_listen;
    let embedded = Embedded::start(address, &settings.embedded).await?;
    let may = match settings.embedded.access {
        EmbeddedAccess::Read => "read it",
        EmbeddedAccess::Write => "read it and write to it",
    };
    info!(
        "no etcd endpoint is given: serving an embedded etcd on {}; every user of this host may {may}",
        embedded.endpoint()
    );
    if embedded.exposed() {
        warn!(
            "the embedded etcd listens beyond this host and has no passwords: anybody who can reach it may {may}"
        );
    }
    Ok(embedded)
}

/// What the session needs besides its name.
struct SessionParts {
    client: etcd::EtcdClient,
    settings: etcd::Settings,
    asked: UnboundedReceiver<SessionRequest>,
    updates: UnboundedSender<etcd::SessionUpdate>,
}

async fn attach(
    settings: &RunSettings,
    environment: &Environment,
    etcd_settings: etcd::Settings,
) -> anyhow::Result<End> {
    let (evaluation, facts) = (&settings.host.evaluation, &settings.host.facts);
    let policy_settings =
        connect::policies(&settings.common, Some(evaluation), facts, environment)?;
    secrets::warn_of_exposed(&settings.host, environment);
    certificates::watch(&settings.host, environment);
    let docker = connect::docker(&settings.host.docker, environment)?;
    let client = etcd::EtcdClient::new(&etcd_settings)?;
    let renewals = etcd_settings.renewals.clone();

    let admin_side = be_asked(settings, environment, &client).await?;

    let (file_updates, files) = channel(QUEUE);
    let file_watch = files::watch(
        connect::sources(&settings.common),
        files::Pace::default(),
        file_updates,
    )?;
    // Until here files were read on this thread. If their disk hangs, a signal ends the program, for nothing is held yet.
    let signals = Signals::listen()?;
    let (docker_updates, containers) = channel(QUEUE);
    tokio::spawn(docker::watch(
        docker.clone(),
        docker::WatchSettings::default(),
        docker_updates,
    ));
    let (requests, asked) = unbounded_channel();
    let (session_updates, etcd_updates) = unbounded_channel();
    let parts = SessionParts {
        client: client.clone(),
        settings: etcd_settings,
        asked,
        updates: session_updates,
    };
    let session = hold_session(parts, docker, settings.host.host_id.clone());
    let (loader, policies) = catalog::loader(policy_settings);
    let (evaluated, evaluations) = unbounded_channel();
    let (config_updates, configs) = unbounded_channel();

    let attached = Attached {
        reconciler: Reconciler::new(reconciler(settings)),
        evaluators: Evaluators::new(
            Deadlines::new(settings.host.evaluation.evaluation_timeout),
            evaluated,
        ),
        catalog: Catalog::default(),
        loader,
        files: file_watch,
        etcd: client.clone(),
        configs: config_updates,
        followed: BTreeMap::new(),
        on_exit: on_exit(settings.on_exit),
        peers: peers(settings, &client, renewals),
        feed: admin_side.feed,
        meters: Meters::default(),
        supervisor: Supervisor::of(environment),
        sync: (false, Instant::now()),
    };
    let results = Results {
        evaluated: evaluations,
        etcd: etcd_updates,
    };
    let news = News {
        docker: containers,
        configs,
        policies,
        files,
    };
    let work = Work::new(results, news);
    let session = SessionTask {
        requests,
        task: tokio::spawn(session),
    };
    let inputs = Inputs {
        signals,
        work,
        questions: admin_side.questions,
        asked: false,
    };
    Ok(event_loop::run(attached, inputs, session).await)
}

fn reconciler(settings: &RunSettings) -> Settings {
    Settings {
        release: RELEASE,
        ..connect::reconciler(&settings.host)
    }
}

fn on_exit(settings: settings::OnExit) -> OnExit {
    match settings {
        settings::OnExit::Keep => OnExit::Keep,
        settings::OnExit::Release => OnExit::Release,
    }
}

fn peers(settings: &RunSettings, client: &etcd::EtcdClient, renewals: etcd::Renewals) -> Peers {
    let machine = host::machine_name().unwrap_or_default();
    Peers::new(
        renewals,
        settings.host.host_id.clone(),
        machine,
        client.endpoint(),
    )
}

/// What the event loop needs to be asked.
struct AdminSide {
    feed: Feed,
    questions: admin::Questions,
    /// It ends with this, and so does the file of its socket.
    _admin: AbortOnDrop,
}

async fn be_asked(
    settings: &RunSettings,
    environment: &Environment,
    client: &etcd::EtcdClient,
) -> anyhow::Result<AdminSide> {
    let admin = &settings.admin;
    let listeners = listen(admin, environment).await?;
    let feed = Feed::default();
    let reader = etcd::KeyReader::new(client.clone(), &settings.host.etcd.meta_prefix)?;
    let (asking, questions) = admin::questions(feed.clone(), reader);
    let always = admin.admin_details == settings::AdminDetails::Always;
    let serving = listeners.serve(asking, admin.admin_hosts.clone(), always);
    Ok(AdminSide {
        feed,
        questions,
        _admin: AbortOnDrop(tokio::spawn(serving)),
    })
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where this process can be asked, before Docker and etcd are reached: what waits for them can be asked, too.
async fn listen(
    settings: &settings::AdminSettings,
    environment: &Environment,
) -> anyhow::Result<Listeners> {
    let place = ask::place(&settings.socket, environment);
    let listeners = admin::bind(&place, settings.admin_listen).await?;
    if let Some(why) = &listeners.without_socket {
        warn!("nobody can ask this process over a unix socket: {why}");
    }
    let (socket, port) = listeners.places();
    if let Some(socket) = socket {
        info!(
            "asked with kontena-registrator status, over {}",
            socket.display()
        );
    }
    if let Some(port) = port {
        info!("the page is at http://{port}/");
    }
    Ok(listeners)
}

/// The name matters to the session only, which gets it as soon as it is known.
fn session_settings(
    settings: &RunSettings,
    embedded: Option<&Embedded>,
) -> anyhow::Result<etcd::Settings> {
    let endpoints = match embedded {
        Some(embedded) => &[embedded.endpoint()],
        None => settings.host.etcd.etcd_endpoints.as_slice(),
    };
    let host_id = settings.host.host_id.as_deref().unwrap_or("unknown");
    Ok(etcd::Settings {
        on_conflict: match settings.on_conflict {
            settings::OnNameConflict::Refuse => etcd::OnConflict::Refuse,
            settings::OnNameConflict::Wait => etcd::OnConflict::Wait,
        },
        stale_after: settings.stale_after.0,
        in_process: embedded.map(Embedded::inside),
        ..connect::etcd(&settings.host.etcd, endpoints, host_id)?
    })
}

/// Holds the session under the given name, or under the engine's id as soon as the engine tells it.
async fn hold_session(
    session: SessionParts,
    docker: docker::DockerClient,
    host_id: Option<String>,
) -> Result<etcd::SessionEnd, etcd::SettingsError> {
    let SessionParts {
        client,
        settings,
        mut asked,
        updates,
    } = session;
    let host_id = match host_id {
        Some(name) => name,
        None => match identify(&docker, &mut asked).await {
            Some(name) => name,
            None => return Ok(etcd::SessionEnd::Abandoned),
        },
    };
    etcd::hold_session(
        client,
        &etcd::Settings {
            host_id,
            ..settings
        },
        asked,
        updates,
    )
    .await
}

/// The engine's id; `None` if the end is asked for before it is known: nothing is registered yet, so there is nothing to keep or release.
async fn identify(
    docker: &docker::DockerClient,
    asked: &mut UnboundedReceiver<SessionRequest>,
) -> Option<String> {
    let mut id = pin!(engine_id(docker));
    loop {
        tokio::select! {
            id = &mut id => return Some(id),
            request = asked.recv() => match request {
                Some(SessionRequest::Keep | SessionRequest::Release) | None => return None,
                // Nothing else is asked before the first session.
                Some(
                    SessionRequest::Commit(_) | SessionRequest::Forget(_) | SessionRequest::Want(_),
                ) => {}
            },
        }
    }
}

/// The engine's id. A failure was told by the watch already, which knows when Docker is back.
async fn engine_id(docker: &docker::DockerClient) -> String {
    loop {
        match docker::engine_id(docker).await {
            Ok(id) => return id,
            Err(error @ docker::Error::NoEngineId(_)) => {
                error!("{}", error_chain(&error));
                std::future::pending::<()>().await;
            }
            Err(_) => tokio::time::sleep(IDENTITY_PAUSE).await,
        }
    }
}
