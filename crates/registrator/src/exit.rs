//! The program's exit codes.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: something failed, and the log or the output says what.
    Failure,
    /// 2: the command line or the environment is wrong. The same code that clap uses.
    Usage,
    /// 3: `plan --exit-code` found changes that `run` would make.
    ChangesPending,
}

impl Exit {
    /// The code that the calling process sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::ChangesPending => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_contract_with_scripts() {
        let all = [Exit::Ok, Exit::Failure, Exit::Usage, Exit::ChangesPending];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3]);
    }
}
