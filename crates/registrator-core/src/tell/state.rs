//! How a key stands: one word for each case, the same in plans, explanations, counts and metrics. `reconciler::standing` finds it.

use std::fmt;

/// How a key that this host asks for, or has, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// This host holds it, as wished.
    Registered,
    /// It is about to be written, or to be deleted: now, or as soon as there is a session.
    Pending,
    /// Another registrator holds it, with the value that is wished here.
    Shared,
    /// Another registrator holds it, with a smaller value, or an object has this node too, with another value.
    Outvoted,
    /// It is an object of which there are different definitions, and none counts until they agree.
    Disputed,
    /// Something that no registrator wrote is in its place.
    Blocked,
    /// etcd refuses to write it.
    Rejected,
    /// The process before left it, and a fault may hide that somebody wishes it.
    Kept,
    /// Nobody wishes it, and the brake keeps it.
    HeldBack,
}

impl KeyState {
    /// All of them, in the order in which people read them.
    pub const ALL: [KeyState; 9] = [
        KeyState::Registered,
        KeyState::Pending,
        KeyState::Shared,
        KeyState::Outvoted,
        KeyState::Disputed,
        KeyState::Blocked,
        KeyState::Rejected,
        KeyState::Kept,
        KeyState::HeldBack,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            KeyState::Registered => "registered",
            KeyState::Pending => "pending",
            KeyState::Shared => "shared",
            KeyState::Outvoted => "outvoted",
            KeyState::Disputed => "disputed",
            KeyState::Blocked => "blocked",
            KeyState::Rejected => "rejected",
            KeyState::Kept => "kept",
            KeyState::HeldBack => "held back",
        }
    }

    /// The state with this word; `held_back` is one too, for those who cannot write a space.
    pub fn named(name: &str) -> Option<KeyState> {
        let name = name.replace(['_', '-'], " ");
        KeyState::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether somebody should look at it.
    pub fn needs_attention(self) -> bool {
        match self {
            KeyState::Registered | KeyState::Pending | KeyState::Shared => false,
            KeyState::Outvoted
            | KeyState::Disputed
            | KeyState::Blocked
            | KeyState::Rejected
            | KeyState::Kept
            | KeyState::HeldBack => true,
        }
    }

    /// Whether etcd holds what is wished.
    pub fn is_fulfilled(self) -> bool {
        matches!(self, KeyState::Registered | KeyState::Shared)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_found_by_its_word() {
        for state in KeyState::ALL {
            assert_eq!(KeyState::named(state.name()), Some(state));
        }
        assert_eq!(KeyState::named("held_back"), Some(KeyState::HeldBack));
        assert_eq!(KeyState::named("gone"), None);
    }
}
