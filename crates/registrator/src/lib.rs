//! The program around the reconciler: adapters to Docker, etcd, files and policies, and the command line.
//!
//! `event_loop` is where the world is attached. The adapters (`docker`, `etcd`, `files`, `evaluators`) do not know each other,
//! and none of them decides anything.

pub mod attempts;
pub mod catalog;
pub mod cli;
pub mod docker;
pub mod embedded;
pub mod endpoint;
pub mod error_chain;
pub mod etcd;
pub mod evaluators;
pub mod event_loop;
pub mod exit;
pub mod files;
pub mod host;
pub mod logging;
pub mod report;
pub mod settings;
