//! What there is: containers, policies and their configurations, each a mirror of its source.

pub mod allowed;
pub mod config;
pub mod container;
pub mod containers;
pub mod document;
pub mod etcd_path;
pub mod instance;
mod json_lines;
mod packed;
pub mod spec;
pub mod watch;
