//! Runs the Docker watch on a thread and a single-threaded runtime of its own, and shows its updates as lines of text.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use crate::error_chain::error_chain as chain;

use super::fake_docker::{FakeDocker, event, id, inspect};
use crate::docker::{
    DockerClient, DockerEndpoint, DockerUpdate, EndpointSettings, Timeouts, WatchSettings, watch,
};
use registrator_core::backoff::Backoff;
use registrator_core::observe::container::Container;
use registrator_core::observe::watch::{Delta, SourceEvent, Store};

/// How long a test waits for what has to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running watch; ends when dropped.
pub(crate) struct Watched {
    updates: Receiver<(SystemTime, DockerUpdate)>,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: tokio::sync::watch::Sender<bool>,
    /// All lines that were seen.
    pub(crate) seen: Vec<String>,
}

/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_secs(100_000);

/// Times that make trouble pass quickly. That something takes long is no trouble: the machine may be busy.
pub(crate) fn quick() -> (Timeouts, WatchSettings) {
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        connect: ms(2000),
        request: ms(5000),
        list: ms(5000),
        ping: ms(5000),
    };
    let backoff = Backoff {
        first: ms(10),
        longest: ms(200),
    };
    let settings = WatchSettings {
        backoff,
        ping_after: ms(500),
        list_patience: NEVER,
        ..WatchSettings::default()
    };
    (timeouts, settings)
}

/// A client of the daemon at `host`.
pub(crate) fn client(host: &str, timeouts: Timeouts) -> DockerClient {
    let settings = EndpointSettings {
        host: Some(host.to_owned()),
        ..EndpointSettings::default()
    };
    DockerClient::new(DockerEndpoint::from_settings(&settings).unwrap(), timeouts).unwrap()
}

/// Runs a future on a single-threaded runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

impl Watched {
    /// Watches the daemon at `host`.
    pub(crate) fn start(host: &str, (timeouts, settings): (Timeouts, WatchSettings)) -> Self {
        Self::of(client(host, timeouts), settings)
    }

    /// Watches the daemon of a client.
    pub(crate) fn of(client: DockerClient, settings: WatchSettings) -> Self {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let (sender, updates) = channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let (updates, mut received) = tokio::sync::mpsc::channel(4);
                let mut store = Store::default();
                let forward = async {
                    while let Some(update) = received.recv().await {
                        if is_news(&mut store, &update) {
                            _ = sender.send((SystemTime::now(), update));
                        }
                    }
                };
                tokio::select! {
                    () = watch(client, settings, updates) => {}
                    () = forward => {}
                    _ = stopped.changed() => {}
                }
            });
        });
        Self {
            updates,
            thread: Some(thread),
            stop,
            seen: Vec::new(),
        }
    }

    /// The next update and when it came.
    #[track_caller]
    pub(crate) fn next(&mut self) -> (SystemTime, DockerUpdate) {
        let Ok((at, update)) = self.updates.recv_timeout(DEADLINE) else {
            panic!("no update came; before: {:#?}", self.seen);
        };
        self.seen.push(line(&update));
        (at, update)
    }

    /// The next updates are these.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        for (position, expected) in lines.iter().enumerate() {
            let (_, update) = self.next();
            assert_eq!(
                line(&update),
                *expected,
                "line {position} of {lines:#?}, before: {:#?}",
                self.seen
            );
        }
    }

    /// The next updates are a complete list of these, in any order.
    #[track_caller]
    pub(crate) fn expect_list(&mut self, containers: &[&str]) {
        self.expect(&["init"]);
        let mut listed: Vec<_> = containers.iter().map(|_| line(&self.next().1)).collect();
        listed.sort();
        let expected: Vec<_> = containers
            .iter()
            .map(|container| format!("listed {container}"))
            .collect();
        assert_eq!(listed, expected);
        self.expect(&["done"]);
    }

    /// Skips updates up to one whose line begins so; returns the line.
    #[track_caller]
    pub(crate) fn until(&mut self, beginning: &str) -> String {
        self.until_at(beginning).1
    }

    /// As [`Watched::until`], with the time at which it came.
    #[track_caller]
    pub(crate) fn until_at(&mut self, beginning: &str) -> (SystemTime, String) {
        let (deadline, already) = (Instant::now() + DEADLINE, self.seen.len());
        while Instant::now() < deadline {
            let Ok((at, update)) = self.updates.recv_timeout(deadline - Instant::now()) else {
                break;
            };
            let line = line(&update);
            self.seen.push(line.clone());
            if line.starts_with(beginning) {
                return (at, line);
            }
        }
        panic!(
            "no {beginning:?} came, but: {:#?}",
            self.seen.get(already..)
        );
    }

    /// The updates that wait now.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        let lines: Vec<_> = self
            .updates
            .try_iter()
            .map(|(_, update)| line(&update))
            .collect();
        self.seen.extend(lines.iter().cloned());
        lines
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        _ = self.stop.send(true);
        let result = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(
            std::thread::panicking() || matches!(result, Some(Ok(()))),
            "the watch panicked"
        );
    }
}

/// Whether an update tells something: what is applied or deleted outside of a list does so only if it changes the listener's store.
fn is_news(store: &mut Store<Container>, update: &DockerUpdate) -> bool {
    let DockerUpdate::Container(event) = update else {
        return true;
    };
    let is_of_a_list = !matches!(event, SourceEvent::Apply(_) | SourceEvent::Delete(_));
    store.handle(event.clone()) != Delta::default() || is_of_a_list
}

/// Makes a container appear, and waits for it: everything before has been dealt with then.
pub(crate) fn barrier(fake: &FakeDocker, watched: &mut Watched) {
    fake.change(|world| {
        world.containers.insert(id(99), inspect(99, "barrier"));
        world.send(&event(99, "create"));
    });
    watched.expect(&["apply barrier running bridge"]);
}

/// How many inspects were asked for so far, while they are held: those that what happened before costs.
pub(crate) fn inspects_held(fake: &FakeDocker, watched: &mut Watched) -> usize {
    fake.change(|world| {
        world.containers.insert(id(98), inspect(98, "held"));
        world.send(&event(98, "start"));
    });
    watched.expect(&[&format!("coming {:012x}", 98)]);
    fake.until("its inspect waits", |world| world.asks_for(98));
    fake.world().inspects() - 1
}

/// An update as a line of text.
pub(crate) fn line(update: &DockerUpdate) -> String {
    match update {
        DockerUpdate::Connected {
            after_cut: true, ..
        } => "open again".to_owned(),
        DockerUpdate::Connected { api_version, .. } => format!("connected {api_version}"),
        DockerUpdate::Cut { error, .. } => format!("cut: {}", chain(error)),
        DockerUpdate::Waiting { error, .. } => format!("waiting: {}", chain(error)),
        DockerUpdate::Lost { error, .. } => format!("lost: {}", chain(error)),
        DockerUpdate::InspectFailed { id, error } => {
            format!("failed {}: {}", id.short(), chain(error))
        }
        DockerUpdate::InspectRecovered { id } => format!("recovered {}", id.short()),
        DockerUpdate::Coming(id) => format!("coming {}", id.short()),
        DockerUpdate::Vanished(id) => format!("vanished {}", id.short()),
        DockerUpdate::Container(SourceEvent::Init) => "init".to_owned(),
        DockerUpdate::Container(SourceEvent::InitApply(container)) => {
            format!("listed {}", shown(container))
        }
        DockerUpdate::Container(SourceEvent::InitDone) => "done".to_owned(),
        DockerUpdate::Container(SourceEvent::Apply(container)) => {
            format!("apply {}", shown(container))
        }
        DockerUpdate::Container(SourceEvent::Delete(id)) => format!("delete {}", id.short()),
    }
}

/// Name, status, health and networks with addresses.
fn shown(container: &Container) -> String {
    let json: serde_json::Value = serde_json::from_str(&container.text()).unwrap();
    let text = |pointer| json.pointer(pointer).and_then(|value| value.as_str());
    let document = container.document();
    let mut words = vec![container.name(), container.status(&document).unwrap_or("?")];
    words.extend(text("/State/Health/Status"));
    let networks = json.pointer("/NetworkSettings/Networks");
    for (name, network) in networks
        .and_then(|networks| networks.as_object())
        .into_iter()
        .flatten()
    {
        let address = network
            .pointer("/IPAddress")
            .and_then(|address| address.as_str())
            .unwrap_or("");
        words.extend(Some(name.as_str()).filter(|_| !address.is_empty()));
    }
    words.join(" ")
}
