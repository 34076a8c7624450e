//! Policies in Ruby, with the real interpreter: each sentence of what existing policies rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod configuration;
mod docs;
mod faults;
mod files;
mod freezing;
mod hostile;
mod old;
mod results;

/// The shipped policy.
const SKYDNS: &str = include_str!("../../../../etc/policies-ruby/skydns.rb");
