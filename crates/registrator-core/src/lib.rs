//! Every decision of Kontena Registrator, without IO and without a clock.
//!
//! Data flows one way: *observe → evaluate → merge → own → write*.

pub mod config;
pub mod conflict;
pub mod container;
pub mod containers;
pub mod desired;
pub mod etcd_path;
pub mod evaluation;
pub mod fence;
pub mod instance;
mod json_lines;
mod keys;
pub mod node;
pub mod notice;
pub mod ownership;
pub mod plan;
pub mod reconciler;
pub mod scheduler;
pub mod session;
pub mod spec;
pub mod watch;
