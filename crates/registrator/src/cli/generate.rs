//! `generate`: completions, manual pages and a file of variables, of the same definition as the command line itself.

use super::print;
use crate::error_chain::error_chain;
use crate::exit::Exit;
use crate::settings::Generated;
use anyhow::Context as _;
use std::io::Write as _;
use std::path::Path;

/// Makes what was asked for.
pub fn generate(wanted: &Generated) -> Exit {
    let made = match wanted {
        Generated::Completions { shell } => completions(*shell),
        Generated::Man { folder } => manual(folder),
        Generated::Environment => print(&Generated::environment()),
    };
    match made {
        Ok(()) => Exit::Ok,
        Err(error) => {
            // There is no log yet.
            let _ = writeln!(std::io::stderr(), "{}", error_chain(error.as_ref()));
            Exit::Failure
        }
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut definition = Generated::definition();
    let name = definition.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut definition, name, &mut text);
    // A program with a hyphen in its name is called in two ways in what clap makes for bash: the words of commands would never be found.
    let text = String::from_utf8_lossy(&text);
    print(&text.replace("kontena__subcmd__registrator", "kontena__registrator"))
}

fn manual(folder: &Path) -> anyhow::Result<()> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Generated::definition(), folder));
    written.with_context(|| format!("cannot write manual pages into {}", folder.display()))
}
