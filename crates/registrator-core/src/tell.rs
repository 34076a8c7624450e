//! What people are told: facts for the log, what would be written, and why a key is there or not.

pub mod explanation;
pub mod notice;
pub mod objects;
pub mod plan;
pub mod printable;
pub mod snapshot;
pub mod state;
pub mod walltime;
