//! Signals by number and by name, as Docker writes them.

/// SIGKILL: no container survives it.
pub(super) const KILL: u8 = 9;
/// SIGTERM: what `docker stop` sends, unless the container says otherwise.
pub(super) const TERM: u8 = 15;

/// The highest number: SIGRTMAX.
const LAST: u8 = 64;
/// SIGRTMIN, as Docker counts; systemd in a container is stopped by `SIGRTMIN+3`.
const RT_MIN: u8 = 34;

/// The names of the signals 1 to 31 on Linux, from signal(7). Docker's engine runs on Linux wherever this program does.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names of the same.
const ALIASES: [(&str, &str); 4] = [
    ("IOT", "ABRT"),
    ("CLD", "CHLD"),
    ("POLL", "IO"),
    ("UNUSED", "SYS"),
];

/// The number of `15`, `TERM`, `SIGTERM` or `sigterm`, or of `SIGRTMIN+3`; `None` if it is no signal.
pub(super) fn number(text: &str) -> Option<u8> {
    let text = text.trim().to_ascii_uppercase();
    if let Ok(number) = text.parse() {
        return (1..=LAST).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    let name = ALIASES
        .iter()
        .find_map(|(alias, name_of)| (*alias == name).then_some(*name_of))
        .unwrap_or(name);
    let position = NAMES.iter().position(|known| *known == name);
    match position {
        Some(position) => u8::try_from(position + 1).ok(),
        None => real_time(name),
    }
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-2`, `RTMAX`.
fn real_time(name: &str) -> Option<u8> {
    let distance = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign)?.parse::<u8>().ok(),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RT_MIN.checked_add(distance(rest, '+')?),
        (_, Some(rest)) => LAST.checked_sub(distance(rest, '-')?),
        (None, None) => None,
    };
    number.filter(|number| (RT_MIN..=LAST).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        for (text, expected) in [
            ("15", Some(15)),
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("SIGKILL", Some(KILL)),
            ("SIGHUP", Some(1)),
            ("SIGSYS", Some(31)),
            ("SIGWINCH", Some(28)),
            ("SIGIOT", Some(6)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-2", Some(62)),
            ("RTMAX", Some(64)),
            ("64", Some(64)),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for junk in [
            "",
            "0",
            "65",
            "-1",
            "SIG",
            "SIGSIGTERM",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN-1",
            "RTMIN+",
            "STOPPING",
        ] {
            assert_eq!(number(junk), None, "{junk}");
        }
    }
}
