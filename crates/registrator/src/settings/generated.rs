//! What packages are made with: `generate completions SHELL`, `generate man DIR`, `generate environment`. No command of those who run the program, so
//! neither help nor completions tell of it.

use super::{Environment, UsageError, command_line};
use clap::{Command, Parser};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

const COLUMNS: usize = 80;

/// What is to be made of the command line's definition.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "kontena-registrator generate", max_term_width = 80)]
pub enum Generated {
    /// Print what a shell completes the command line with
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages, one for the program and one for each of its commands
    Man {
        /// The folder that they are put into, made where it is missing
        folder: PathBuf,
    },
    /// Print a file with the variables of all options of `run`, as comments
    Environment,
}

impl Generated {
    /// What a command line, whose first argument is the program's name, asks for; `None` if that is something else.
    pub fn asked_for(arguments: &[OsString]) -> Option<Result<Generated, UsageError>> {
        let (_, rest) = arguments.split_first()?;
        (rest.first()? == "generate").then(|| Generated::try_parse_from(rest).map_err(UsageError))
    }

    /// What completions and pages are made of. No environment counts: that of whoever makes a package says nothing to its users.
    pub fn definition() -> Command {
        command_line::command(&Environment::default())
    }

    /// A file as systemd and Docker read them, in which every line is a comment.
    pub fn environment() -> String {
        let mut text = String::new();
        for option in command_line::variables_of_run() {
            text.push('\n');
            wrap(&mut text, &option.about);
            text.push_str(&format!("#{}={}\n", option.variable, option.default));
        }
        text
    }
}

/// Adds a text as comments of at most 80 columns.
fn wrap(lines: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let starts = width == 0 || width + 1 + word.chars().count() > COLUMNS;
        if starts {
            lines.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        width += 1 + word.chars().count();
    }
    lines.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(line: &str) -> Option<Result<Generated, UsageError>> {
        let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
        Generated::asked_for(&arguments)
    }

    #[test]
    fn other_commands_are_none_of_it() {
        for line in [
            "kontena-registrator",
            "kontena-registrator run",
            "kontena-registrator --host-id generate",
            "kontena-registrator check generate",
        ] {
            assert!(asked_for(line).is_none(), "{line}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        let is = |line: &str, wanted: Generated| {
            assert_eq!(asked_for(line).unwrap().unwrap(), wanted, "{line}");
        };
        is(
            "kontena-registrator generate completions fish",
            Generated::Completions { shell: Shell::Fish },
        );
        is(
            "kontena-registrator generate man x/y",
            Generated::Man {
                folder: "x/y".into(),
            },
        );
        is(
            "kontena-registrator generate environment",
            Generated::Environment,
        );
        let error = asked_for("kontena-registrator generate completions tcsh");
        let error = error.unwrap().unwrap_err().to_string();
        assert!(error.contains("bash"), "{error}");
    }
    #[test]
    fn every_option_of_run_is_a_comment() {
        let text = Generated::environment();
        assert!(text.contains("\n#LOG_LEVEL=info\n"), "{text}");
        assert!(text.contains("\n#ETCD_ENDPOINT=\n"), "{text}");
        assert!(
            text.contains("\n#KONTENA_REGISTRATOR_ON_EXIT=keep\n"),
            "{text}"
        );
        for line in text.lines() {
            let is_variable = !line.starts_with("# ") && line.contains('=');
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
            assert!(is_variable || line.chars().count() <= COLUMNS, "{line}");
        }
    }
}
