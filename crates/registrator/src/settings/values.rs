//! How the values of options are read.

use clap::ValueEnum;
use registrator_core::node::Key;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What becomes of the nodes when the program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// The lease ends them, unless a restart adopts them before.
    Keep,
    /// They go at once.
    Release,
}

/// What to do if another live process has the same host id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnNameConflict {
    /// It ends with an error.
    Refuse,
    /// It waits until the other one ends.
    Wait,
}

/// A time, or `None` for `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrNever(pub Option<Duration>);
/// What others may do in the embedded etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmbeddedAccess {
    /// They read and watch.
    Read,
    /// They write, too.
    Write,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Why a value is refused: a sentence that follows the name of the option.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("write a number with a unit, as in 500ms, 30s, 5m or 1h")]
    Time,
    #[error("it must be from {0:?} to {1:?}")]
    Bounds(Duration, Duration),
    #[error("write a number with a unit, as in 500KiB, 64MiB or 1GiB")]
    Size,
    #[error("it must be from {0} to {1}")]
    SizeBounds(&'static str, &'static str),
    #[error("it must be a whole number, 1 or more")]
    Number,
    #[error("it must be whole seconds")]
    WholeSeconds,
    #[error("an item of the list is empty: separate items by one comma")]
    EmptyItem,
    #[error("it must not be empty")]
    Empty,
    #[error("it must be one or more names with slashes between them, as in /skydns/")]
    Prefix,
    #[error(
        "it must be one or more names with slashes between them, and end with a slash, as in /registrator/"
    )]
    MetaPrefix,
    #[error("it must be an IP address, as in 192.0.2.10 or 2001:db8::10")]
    Address,
    #[error("it must be the address of one host, which this is not")]
    NoHostAddress,
    #[error("it must have no spaces, slashes and control characters")]
    HostName,
}

/// `30`, `30s`, `500ms`, `5m`, `1h`, `1m30s`. A number without unit is seconds.
pub(super) fn time(text: &str) -> Result<Duration, ValueError> {
    if let Ok(seconds) = text.parse() {
        return plain(text).map(|()| Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (part, after) = time_part(rest)?;
        total = total.checked_add(part).ok_or(ValueError::Time)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total).ok_or(ValueError::Time)
}

/// `str::parse` takes a sign, a time does not.
fn plain(digits: &str) -> Result<(), ValueError> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(ValueError::Time)
    }
}

fn time_part(text: &str) -> Result<(Duration, &str), ValueError> {
    let is_digit = |c: char| c.is_ascii_digit();
    let after_number = text.trim_start_matches(is_digit);
    let after = after_number.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let cut = |whole: &str, rest: &str| whole.get(..whole.len() - rest.len()).map(str::to_owned);
    let number: u64 = cut(text, after_number)
        .and_then(|number| number.parse().ok())
        .ok_or(ValueError::Time)?;
    let milliseconds: u64 = match cut(after_number, after).as_deref() {
        Some("ms") => 1,
        Some("s") => 1_000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        _ => return Err(ValueError::Time),
    };
    let product = number.checked_mul(milliseconds).ok_or(ValueError::Time)?;
    Ok((Duration::from_millis(product), after))
}

pub(super) fn max_delete_hold(text: &str) -> Result<OrNever, ValueError> {
    or_never(text, Duration::from_secs(1), Duration::from_secs(86_400))
}

pub(super) fn stale_after(text: &str) -> Result<OrNever, ValueError> {
    or_never(text, Duration::from_secs(10), Duration::from_secs(86_400))
}

fn or_never(text: &str, least: Duration, most: Duration) -> Result<OrNever, ValueError> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(OrNever(None));
    }
    bounded(text, least, most).map(|time| OrNever(Some(time)))
}

fn bounded(text: &str, least: Duration, most: Duration) -> Result<Duration, ValueError> {
    let value = time(text)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ValueError::Bounds(least, most))
    }
}

/// etcd counts leases in seconds, and prolongs those that are too short.
pub(super) fn lease_ttl(text: &str) -> Result<Duration, ValueError> {
    let ttl = bounded(text, Duration::from_secs(5), Duration::from_secs(3600))?;
    match ttl.subsec_nanos() {
        0 => Ok(ttl),
        _ => Err(ValueError::WholeSeconds),
    }
}

pub(super) fn evaluation_timeout(text: &str) -> Result<Duration, ValueError> {
    bounded(text, Duration::from_millis(10), Duration::from_secs(60))
}

/// Bytes: `512`, `500KiB`, `64MiB`, `1GiB`.
fn size(text: &str) -> Result<u64, ValueError> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    plain(number)?;
    let shift = match text.strip_prefix(number) {
        Some("") => 0,
        Some("KiB") => 10,
        Some("MiB") => 20,
        Some("GiB") => 30,
        _ => return Err(ValueError::Size),
    };
    let number: u64 = number.parse().map_err(|_| ValueError::Size)?;
    number.checked_mul(1 << shift).ok_or(ValueError::Size)
}

/// How big the embedded etcd may become.
pub(super) fn quota(text: &str) -> Result<usize, ValueError> {
    let bytes = size(text).map_err(|_| ValueError::Size)?;
    if !(1 << 20..=4 << 30).contains(&bytes) {
        return Err(ValueError::SizeBounds("1MiB", "4GiB"));
    }
    usize::try_from(bytes).map_err(|_| ValueError::Size)
}

pub(super) fn limit(text: &str) -> Result<usize, ValueError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(ValueError::Number),
        Ok(limit) => Ok(limit),
    }
}

/// An address that others can reach a host at. Whether this host has it, and who reaches it, cannot be told from it.
pub(super) fn host_ip(text: &str) -> Result<IpAddr, ValueError> {
    let address: IpAddr = listed(text)?.parse().map_err(|_| ValueError::Address)?;
    let is_none = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    if is_none || address.is_unspecified() || address.is_multicast() {
        Err(ValueError::NoHostAddress)
    } else {
        Ok(address)
    }
}

/// A name that policies can use in keys.
pub(super) fn host_name(text: &str) -> Result<String, ValueError> {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    match text {
        "" => Err(ValueError::Empty),
        _ if text.contains(is_bad) => Err(ValueError::HostName),
        _ => Ok(text.into()),
    }
}

/// An item of a list separated by commas.
pub(super) fn listed(text: &str) -> Result<String, ValueError> {
    match text.trim() {
        "" => Err(ValueError::EmptyItem),
        item => Ok(item.into()),
    }
}

pub(super) fn secret(text: &str) -> Result<Secret, ValueError> {
    match text {
        "" => Err(ValueError::Empty),
        _ => Ok(Secret::new(text)),
    }
}

/// Docker's way to say yes: any text but none.
pub(super) fn docker_flag(text: &str) -> Result<bool, ValueError> {
    Ok(!text.is_empty())
}

/// A prefix of keys. It ends with a slash, so that `/skydns` does not open `/skydns-other/` too. `/` is all absolute keys.
pub(super) fn prefix(text: &str) -> Result<String, ValueError> {
    let text = listed(text)?;
    if text == "/" {
        return Ok(text);
    }
    let name = text.strip_suffix('/').unwrap_or(&text);
    Key::parse(name).map_err(|_| ValueError::Prefix)?;
    Ok(format!("{name}/"))
}

pub(super) fn meta_prefix(text: &str) -> Result<String, ValueError> {
    let name = text.strip_suffix('/').ok_or(ValueError::MetaPrefix)?;
    Key::parse(name).map_err(|_| ValueError::MetaPrefix)?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        let check = |text, expected: Option<u64>| {
            assert_eq!(
                time(text).ok(),
                expected.map(Duration::from_millis),
                "{text:?}"
            );
        };
        check("30", Some(30_000));
        check("30s", Some(30_000));
        check("500ms", Some(500));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1m30s", Some(90_000));
        check("0", Some(0));
        for bad in [
            "",
            "s",
            "1x",
            "1.5s",
            "-1",
            "+1",
            "1 s",
            "99999999999999999999",
            "1s5",
            "1µ",
        ] {
            check(bad, None);
        }
        assert_eq!(time("18446744073709551615h"), Err(ValueError::Time));
    }

    #[test]
    fn times_have_bounds() {
        assert_eq!(lease_ttl("5"), Ok(Duration::from_secs(5)));
        assert_eq!(lease_ttl("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(lease_ttl("5500ms"), Err(ValueError::WholeSeconds));
        assert_eq!(
            lease_ttl("4s").unwrap_err().to_string(),
            "it must be from 5s to 3600s"
        );
        assert!(evaluation_timeout("0").is_err());
        let hour = OrNever(Some(Duration::from_secs(3600)));
        assert_eq!(max_delete_hold("1h"), Ok(hour));
        assert_eq!(max_delete_hold("never"), Ok(OrNever(None)));
        for bad in ["0", "ever", "99999999h"] {
            assert!(max_delete_hold(bad).is_err(), "{bad}");
        }
        assert_eq!(stale_after("Never"), Ok(OrNever(None)));
        let minutes = OrNever(Some(Duration::from_secs(300)));
        assert_eq!(stale_after("5m"), Ok(minutes));
        assert!(stale_after("9s").is_err());
    }

    #[test]
    fn sizes_are_bytes_with_units() {
        let check = |text, expected| assert_eq!(quota(text), expected, "{text:?}");
        check("64MiB", Ok(64 << 20));
        check("1GiB", Ok(1 << 30));
        check("2048KiB", Ok(2 << 20));
        check("1048576", Ok(1 << 20));
        for bad in [
            "",
            "MiB",
            "64MB",
            "64M",
            "64 MiB",
            "-1MiB",
            "+1MiB",
            "1.5MiB",
            "99999999999999999999",
            "99999999999GiB",
            "64mib",
        ] {
            check(bad, Err(ValueError::Size));
        }
        for bad in ["0", "1023KiB", "5GiB"] {
            check(bad, Err(ValueError::SizeBounds("1MiB", "4GiB")));
        }
        assert_eq!(limit("1"), Ok(1));
        assert!(
            ["0", "-1", "1k", ""]
                .iter()
                .all(|text| limit(text).is_err())
        );
    }

    #[test]
    fn prefixes_end_at_a_slash() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(prefix(text).ok().as_deref(), expected, "{text:?}");
        };
        check("/skydns", Some("/skydns/"));
        check(" /skydns/ ", Some("/skydns/"));
        check("traefik", Some("traefik/"));
        check("/", Some("/"));
        for bad in ["", "//", "/a//b", "/../a", "/a//"] {
            check(bad, None);
        }
        assert_eq!(meta_prefix("/registrator/"), Ok("/registrator/".into()));
        for bad in ["", "/", "/registrator", "//"] {
            assert_eq!(meta_prefix(bad), Err(ValueError::MetaPrefix), "{bad:?}");
        }
    }

    #[test]
    fn host_addresses_are_of_one_host() {
        for good in [
            "192.0.2.10",
            " 2001:db8::10 ",
            "127.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(host_ip(good).is_ok(), "{good}");
        }
        let check = |text, expected| assert_eq!(host_ip(text), Err(expected), "{text:?}");
        check("", ValueError::EmptyItem);
        for bad in [
            "eth0",
            "192.0.2",
            "192.0.2.10:80",
            "[::1]",
            "192.0.2.10/24",
            "fe80::1%eth0",
        ] {
            check(bad, ValueError::Address);
        }
        for bad in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:192.0.2.10",
        ] {
            check(bad, ValueError::NoHostAddress);
        }
    }

    #[test]
    fn host_names_fit_into_keys() {
        assert_eq!(host_name("node-1.example"), Ok("node-1.example".into()));
        assert_eq!(host_name(""), Err(ValueError::Empty));
        for bad in ["a b", "a/b", "a\n"] {
            assert_eq!(host_name(bad), Err(ValueError::HostName), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("x")), "(hidden)");
    }
}
