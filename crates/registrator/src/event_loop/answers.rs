//! Answers what people and programs ask, from the present state.

use super::Attached;
use crate::admin::{LISTED, Question, Status};
use crate::peers::wall_time;
use registrator_core::reconciler::{EtcdSight, Event};
use registrator_core::tell::objects;
use std::time::Instant;
use tracing::info;

/// How many keys that are held back are named.
const KEYS: usize = 1000;

impl Attached {
    /// Answers; gives what follows from it. Who asked may be gone by now, and that is no matter.
    pub(super) fn answer(&self, question: Question, now: Instant) -> Option<Event> {
        match question {
            Question::Explain(asked, to) => {
                let explanation = self.reconciler.explain(&asked, EtcdSight::Followed, now);
                let circumstances = self.peers.circumstances(now);
                let _ = to.send(explanation.map(|mut explanation| {
                    explanation.circumstances.splice(0..0, circumstances);
                    explanation
                }));
            }
            Question::Status(to) => {
                let _ = to.send(self.status(now));
            }
            Question::Metrics(to) => {
                let meters = Box::new(self.meters.clone());
                let _ = to.send((Box::new(self.status(now)), meters));
            }
            Question::Nodes(filter, after, limit, to) => {
                let _ = to.send(self.reconciler.node_page(&filter, &after, limit, now));
            }
            Question::Containers(text, after, limit, to) => {
                let _ = to.send(self.reconciler.container_page(&text, &after, limit));
            }
            Question::Brake(to) => {
                let keys = self.reconciler.held_back_keys(KEYS).into_iter();
                let keys = keys.map(|key| objects::name(key).to_owned()).collect();
                let _ = to.send((self.reconciler.brake_state(now), keys));
            }
            Question::ReleaseBrake(who, to) => {
                let held_back = self.reconciler.brake_state(now);
                let count = held_back.map(|state| state.nodes).unwrap_or_default();
                info!("{who} asked to let go of the {count} nodes that are held back");
                let _ = to.send(count);
                return Some(Event::ReleaseBrake);
            }
            Question::Ping(to) => {
                let _ = to.send(());
            }
        }
        None
    }

    /// How it is, in a few words that cost nothing.
    pub(super) fn state(&self) -> String {
        let nodes = self.reconciler.desired().len();
        if self.reconciler.ending() {
            "ending".to_owned()
        } else if let Some(identity) = &self.peers.identity {
            format!("waiting: {identity}")
        } else if !self.peers.docker.connected {
            "waiting for Docker".to_owned()
        } else if !self.peers.etcd.connected {
            format!("waiting for etcd, with {nodes} nodes")
        } else if !self.reconciler.started() {
            "starting: reading and evaluating everything once".to_owned()
        } else if self.reconciler.settled() {
            format!("in sync: {nodes} nodes")
        } else {
            format!("catching up: {nodes} nodes")
        }
    }

    fn status(&self, now: Instant) -> Status {
        let counts = self.reconciler.counts(now);
        Status {
            peers: self.peers.clone(),
            attention: self.reconciler.attention(&counts, LISTED),
            counts,
            sync_since: self.sync.1,
            at: now,
            now: wall_time(),
        }
    }
}
