//! What an interpreter was sent, and so is not sent again: configurations, and the last container.

use super::protocol::Request;
use registrator_core::observe::config::Config;
use registrator_core::observe::container::Container;

/// How many configurations an interpreter keeps.
const MAX_CONFIGS: usize = 256;

/// The memory of one interpreter's conversation.
#[derive(Default)]
pub(super) struct Sent {
    /// The number of the last request.
    last: u64,
    /// The first one has number 1.
    configs: Vec<Config>,
    /// The instances of a policy are asked about one container after the other.
    container: Option<Container>,
}

impl Sent {
    /// The next request, as a line, and the number of its answer.
    pub(super) fn request(
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
        let (number, is_new) = config.map_or((0, false), |config| self.number(config));
        let known = self.container.replace(container.clone());
        let is_known = known.is_some_and(|known| known.is(container));
        let request = Request {
            id: self.last,
            only_check,
            config: (number, config.filter(|_| is_new)),
            forget_configs,
            container: Some(container).filter(|_| !is_known),
        };
        (self.last, request.line())
    }

    /// A configuration's number, and whether it is new.
    fn number(&mut self, config: &Config) -> (usize, bool) {
        let known = self.configs.iter().position(|known| known == config);
        if let Some(at) = known {
            return (at + 1, false);
        }
        self.configs.push(config.clone());
        (self.configs.len(), true)
    }
}
