//! What all instances and containers of this host ask for, as one set of nodes.

pub mod brake;
pub mod conflict;
pub mod departures;
pub mod desired;
pub mod gathering;
pub mod names;
