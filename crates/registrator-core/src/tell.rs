//! What people are told: facts for the log, and what would be written.

pub mod notice;
pub mod plan;
pub mod printable;
