//! What all instances and containers of this host ask for, as one set of nodes.

pub mod conflict;
pub mod desired;
pub mod gathering;
