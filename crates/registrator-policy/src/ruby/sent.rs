//! What an interpreter was sent: requests that wait for their answer, configurations and containers that it knows.

use super::child::Child;
use super::protocol::Request;
use registrator_core::observe::config::Config;
use registrator_core::observe::container::{Container, ContainerId};
use std::collections::{BTreeMap, VecDeque};

/// How many configurations an interpreter keeps.
const MAX_CONFIGS: usize = 256;

/// How many containers it keeps: enough for the instances of one policy, which are asked one after the other.
const MAX_CONTAINERS: usize = 64;

/// The memory of one interpreter's conversation.
#[derive(Default)]
pub(super) struct Sent {
    last: u64,
    ahead: VecDeque<Ahead>,
    /// By text, with the number and the configuration.
    configs: Vec<(u64, Config)>,
    containers: BTreeMap<ContainerId, (u64, Container)>,
    /// How many containers the interpreter has, older versions among them.
    held: usize,
    numbers: u64,
}

/// A request that was sent before it was asked for.
struct Ahead {
    id: u64,
    config: Option<Config>,
    container: Container,
}

impl Sent {
    /// The line that asks for an evaluation which will be wanted soon.
    pub(super) fn announce(&mut self, config: Option<&Config>, container: &Container) -> Vec<u8> {
        let (id, line) = self.request(config, container, false);
        self.ahead.push_back(Ahead {
            id,
            config: config.cloned(),
            container: container.clone(),
        });
        line
    }

    /// Whether it has nothing to do.
    pub(super) fn nothing_ahead(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Asks for an evaluation, unless that was done before. Gives the number of the answer.
    pub(super) fn evaluate(
        &mut self,
        config: Option<&Config>,
        container: &Container,
        child: &mut Child,
    ) -> u64 {
        let first = self.ahead.pop_front();
        if let Some(ahead) = first.filter(|ahead| ahead.is(config, container)) {
            return ahead.id;
        }
        // Whatever else was sent ahead is answered to nobody.
        self.ahead.clear();
        let (id, line) = self.request(config, container, false);
        child.send(&line);
        id
    }

    /// Asks for a look at a configuration.
    pub(super) fn check(
        &mut self,
        config: Option<&Config>,
        container: &Container,
        child: &mut Child,
    ) -> u64 {
        self.ahead.clear();
        let (id, line) = self.request(config, container, true);
        child.send(&line);
        id
    }

    fn request(
        &mut self,
        config: Option<&Config>,
        container: &Container,
        only_check: bool,
    ) -> (u64, Vec<u8>) {
        self.last += 1;
        let forget_configs = self.configs.len() >= MAX_CONFIGS;
        if forget_configs {
            self.configs.clear();
        }
        let forget_containers = self.held >= MAX_CONTAINERS;
        if forget_containers {
            self.containers.clear();
            self.held = 0;
        }
        let (config_number, new_config) = match config {
            Some(config) => self.number_config(config),
            None => (0, false),
        };
        let (container_number, new_container) = self.number_container(container);
        let request = Request {
            id: self.last,
            only_check,
            config: (config_number, config.filter(|_| new_config)),
            forget_configs,
            container: (container_number, Some(container).filter(|_| new_container)),
            forget_containers,
        };
        (self.last, request.line())
    }

    /// Its number, and whether it is new.
    fn number_config(&mut self, config: &Config) -> (u64, bool) {
        let known = self.configs.iter().find(|(_, known)| known == config);
        if let Some((number, _)) = known {
            return (*number, false);
        }
        self.numbers += 1;
        self.configs.push((self.numbers, config.clone()));
        (self.numbers, true)
    }

    fn number_container(&mut self, container: &Container) -> (u64, bool) {
        match self.containers.get(container.id()) {
            Some((number, known)) if known.is(container) => return (*number, false),
            _ => {}
        }
        self.numbers += 1;
        self.held += 1;
        let entry = (self.numbers, container.clone());
        self.containers.insert(container.id().clone(), entry);
        (self.numbers, true)
    }
}

impl Ahead {
    fn is(&self, config: Option<&Config>, container: &Container) -> bool {
        self.config.as_ref() == config && self.container.is(container)
    }
}
