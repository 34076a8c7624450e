//! Every decision of Kontena Registrator, without IO and without a clock.
//!
//! Data flows one way: *observe → evaluate → merge → own → write*.

pub mod config;
pub mod conflict;
pub mod container;
pub mod etcd_path;
pub mod evaluation;
mod json_lines;
pub mod node;
pub mod ownership;
pub mod session;
pub mod spec;
pub mod watch;
