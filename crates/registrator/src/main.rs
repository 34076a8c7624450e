//! The program `kontena-registrator`: see `cli`.

use registrator::cli;
use registrator::settings::Environment;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &Environment::read()).into()
}
