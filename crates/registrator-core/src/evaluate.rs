//! Which policy looks at which container, and what comes of it.

pub mod evaluation;
pub mod evaluations;
pub mod fence;
pub mod origin;
pub mod scheduler;
