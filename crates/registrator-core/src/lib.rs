//! Every decision of Kontena Registrator, without IO and without a clock.
//!
//! Data flows one way, and the folders are the flow: *observe → evaluate → merge → own*. What people are told is in `tell`, and
//! `reconciler` moves the data along. Each module uses only those before it.

pub mod node;

pub mod host;

pub mod backoff;

pub mod observe;

pub mod evaluate;

pub mod merge;

pub mod tell;

pub mod own;

pub mod reconciler;
