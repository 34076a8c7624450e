//! What there is: containers, policies and their configurations, each a mirror of its source.

pub mod allowed;
pub mod config;
pub mod container;
pub mod containers;
pub mod document;
pub mod etcd_path;
pub mod instance;
mod json_lines;
pub(crate) mod moment;
mod packed;
pub mod places;
pub mod ports;
pub mod spec;
pub mod watch;
