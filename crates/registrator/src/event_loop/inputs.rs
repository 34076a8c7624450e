//! Everything that the event loop listens to, as one stream.

use crate::admin::{Question, Questions};
use crate::catalog::Loaded;
use crate::evaluators::Evaluated;
use crate::{docker, etcd, files};
use std::future::pending;
use std::io;
use std::time::Instant;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};

/// Something happened.
pub enum Input {
    /// A signal came.
    Signal(Signal),
    /// An evaluation ended.
    Evaluated(Evaluated),
    /// News from etcd.
    Etcd(etcd::SessionUpdate),
    /// News from Docker.
    Docker(docker::DockerUpdate),
    /// News of files.
    Files(files::FileUpdate),
    /// Policies were loaded.
    Policies(Loaded),
    /// News of configurations in etcd.
    Config(etcd::ConfigUpdate),
    /// Somebody asks.
    Asked(Question),
    /// The time is up.
    Timeout,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: the end.
    Terminate,
    /// SIGHUP: read policies and configurations again.
    Reload,
    /// SIGUSR1: delete the nodes that are held back.
    ReleaseBrake,
}

/// Everything that the loop listens to.
pub struct Inputs {
    /// What people and service managers ask for.
    pub signals: Signals,
    /// Everything else.
    pub work: Work,
    /// What people and programs ask. They take turns with work while there is both.
    pub questions: Questions,
    /// The last input was a question.
    pub asked: bool,
}

/// The signals that are listened for.
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
}

/// Results and news. They take turns while there are both, so that a flood of one, as of other hosts' keys, does not hold up
/// the other.
pub struct Work {
    results: Results,
    news: News,
    /// Whose turn it is.
    news_first: bool,
}

/// What finishes work.
pub struct Results {
    /// Ended evaluations.
    pub evaluated: UnboundedReceiver<Evaluated>,
    pub etcd: UnboundedReceiver<etcd::SessionUpdate>,
}

/// What makes work.
pub struct News {
    pub docker: Receiver<docker::DockerUpdate>,
    /// Configurations in etcd.
    pub configs: UnboundedReceiver<etcd::ConfigUpdate>,
    /// Policies, loaded.
    pub policies: UnboundedReceiver<Loaded>,
    /// Policy files and configurations.
    pub files: Receiver<files::FileUpdate>,
}

impl Inputs {
    /// Waits for the next input, or until `timeout`. A closed source is silent.
    pub async fn next(&mut self, timeout: Option<Instant>) -> Input {
        let Inputs {
            signals,
            work,
            questions,
            asked,
        } = self;
        let input = if *asked {
            tokio::select! {
                biased;
                signal = signals.next() => Input::Signal(signal),
                input = work.next() => input,
                Some(question) = questions.recv() => Input::Asked(question),
                () = until(timeout) => Input::Timeout,
            }
        } else {
            tokio::select! {
                biased;
                signal = signals.next() => Input::Signal(signal),
                Some(question) = questions.recv() => Input::Asked(question),
                input = work.next() => input,
                () = until(timeout) => Input::Timeout,
            }
        };
        self.asked = matches!(input, Input::Asked(_));
        input
    }
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Terminate,
            Some(()) = self.hangup.recv() => Signal::Reload,
            Some(()) = self.user1.recv() => Signal::ReleaseBrake,
            else => pending().await,
        }
    }
}

impl Work {
    /// Results come first.
    pub fn new(results: Results, news: News) -> Work {
        Work {
            results,
            news,
            news_first: false,
        }
    }

    /// An update of the session that is there already.
    pub fn next_of_session(&mut self) -> Option<etcd::SessionUpdate> {
        self.results.etcd.try_recv().ok()
    }

    async fn next(&mut self) -> Input {
        let (input, is_result) = if self.news_first {
            tokio::select! {
                biased;
                input = self.news.next() => (input, false),
                input = self.results.next() => (input, true),
            }
        } else {
            tokio::select! {
                biased;
                input = self.results.next() => (input, true),
                input = self.news.next() => (input, false),
            }
        };
        self.news_first = is_result;
        input
    }
}

impl Results {
    async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            Some(evaluated) = self.evaluated.recv() => Input::Evaluated(evaluated),
            Some(update) = self.etcd.recv() => Input::Etcd(update),
            else => pending().await,
        }
    }
}

impl News {
    async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            Some(update) = self.docker.recv() => Input::Docker(update),
            Some(update) = self.configs.recv() => Input::Config(update),
            Some(loaded) = self.policies.recv() => Input::Policies(loaded),
            Some(update) = self.files.recv() => Input::Files(update),
            else => pending().await,
        }
    }
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd::SessionUpdate;
    use tokio::sync::mpsc::{Sender, UnboundedSender, channel, unbounded_channel};

    struct World {
        etcd: UnboundedSender<SessionUpdate>,
        docker: Sender<docker::DockerUpdate>,
        work: Work,
    }

    /// All other sources are closed.
    fn world() -> World {
        let (etcd, session) = unbounded_channel();
        let (docker, containers) = channel(1000);
        let results = Results {
            evaluated: unbounded_channel().1,
            etcd: session,
        };
        let news = News {
            docker: containers,
            configs: unbounded_channel().1,
            policies: unbounded_channel().1,
            files: channel(1).1,
        };
        World {
            etcd,
            docker,
            work: Work::new(results, news),
        }
    }

    impl World {
        fn result(&self) {
            let key = "/a".to_owned();
            self.etcd.send(SessionUpdate::Stray { key }).unwrap();
        }

        fn news(&self) {
            let id = registrator_core::observe::container::ContainerId::new("c");
            let update = docker::DockerUpdate::InspectRecovered { id };
            self.docker.try_send(update).unwrap();
        }

        async fn next(&mut self) -> char {
            match self.work.next().await {
                Input::Etcd(_) => 'r',
                Input::Docker(_) => 'n',
                _ => panic!("nothing else was sent"),
            }
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_kind_does_not_hold_up_the_other() {
        let mut world = world();
        (0..100).for_each(|_| world.result());
        for _ in 0..10 {
            world.next().await;
        }
        world.news();
        assert_eq!([world.next().await, world.next().await], ['n', 'r']);
        (0..100).for_each(|_| world.news());
        let mut inputs = String::new();
        for _ in 0..6 {
            inputs.push(world.next().await);
        }
        assert_eq!(inputs, "nrnrnr");
    }

    #[tokio::test]
    async fn a_closed_source_is_silent() {
        let mut world = world();
        drop(world.docker);
        world
            .etcd
            .send(SessionUpdate::Stray { key: String::new() })
            .unwrap();
        drop(world.etcd);
        assert!(matches!(world.work.next().await, Input::Etcd(_)));
        let silent = std::pin::pin!(world.work.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(silent.poll(&mut context).is_pending());
    }
}
