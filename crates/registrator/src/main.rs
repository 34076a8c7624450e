//! The program `kontena-registrator`: adapters to Docker, etcd, files and policies around the reconciler, and the command line.
//!
//! `event_loop` is where the world is attached. The adapters (`docker`, `etcd`, `files`, `evaluators`) do not know each other,
//! and none of them decides anything. `cli` is where it begins.

#![allow(
    unreachable_pub,
    reason = "nothing of a program can be reached from outside: `pub` means that other modules use it"
)]

mod admin;
mod aside;
mod attempts;
mod catalog;
mod cli;
mod docker;
mod embedded;
mod endpoint;
mod error_chain;
mod etcd;
mod evaluators;
mod event_loop;
mod exit;
mod files;
mod histogram;
mod host;
mod init;
mod logging;
mod open_files;
mod peers;
mod report;
mod settings;
mod supervisor;
mod tls_advice;

use settings::Environment;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match init::run_in_child(&arguments) {
        Some(code) => code.into(),
        None => cli::main(arguments, &Environment::read()).into(),
    }
}
