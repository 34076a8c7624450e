//! How many files and connections this process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the system says of the limit. `EMFILE` has this number on every Linux.
const REACHED: &str = "(os error 24)";

/// Raises the soft limit to the hard one. systemd starts services with a soft limit of 1,024 and a hard one of 524,288.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If it may not be raised, what there is must do.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The limit.
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

/// What is to be said besides an error with this text if the limit caused it.
pub fn explanation(text: &str) -> Option<String> {
    text.contains(REACHED).then(|| {
        format!(
            "this process may have {} files and connections open at once, and has; raise the hard limit of its start \
             (LimitNOFILE= in a unit of systemd, --ulimit nofile= of docker run, ulimit -n in a shell)",
            limit()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(Some(limit() as u64), now.current);
    }

    #[test]
    fn an_error_of_the_limit_is_explained() {
        let text = io::Error::from_raw_os_error(24).to_string();
        let said = explanation(&text).expect("it is explained");
        assert!(said.contains("LimitNOFILE"), "{said}");
        assert_eq!(
            explanation(&io::Error::from_raw_os_error(2).to_string()),
            None
        );
    }
}
