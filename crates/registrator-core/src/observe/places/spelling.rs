//! How addresses and ports are written in texts. Only whole ones count: `10.0.0.2` is not in `10.0.0.21`, nor in `1.10.0.0.2`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a text has as such.
pub(super) fn addresses(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let ipv4 = starts(text)
        .filter_map(|at| ipv4_at(text, at))
        .map(IpAddr::V4);
    ipv4.chain(runs(text, is_of_ipv6).filter_map(|run| ipv6_in(text, run)))
}

/// Whether a text has an address in any form: as such, as parts of a key or with dashes, or as a reverse name.
pub(super) fn names(text: &str, ip: IpAddr) -> bool {
    addresses(text).any(|found| found == ip)
        || spellings(ip).any(|spelling| has_word(text, &spelling))
}

/// The places that a text has as `HOST:PORT`.
pub(super) fn ends(text: &str) -> impl Iterator<Item = (&str, u16)> {
    let colons = text.match_indices(':');
    colons.filter_map(|(at, _)| Some((host_before(text, at)?, port_after(text, at)?)))
}

/// What is not the address itself: `10/0/0/2`, `10-0-0-2`, `2.0.0.10.in-addr`, and the same of the digits of IPv6.
fn spellings(ip: IpAddr) -> impl Iterator<Item = String> {
    let (parts, reverse, dashed) = match ip {
        IpAddr::V4(ip) => {
            let parts = ip.octets().map(|octet| octet.to_string()).to_vec();
            let dashed = parts.join("-");
            (parts, "in-addr", dashed)
        }
        IpAddr::V6(ip) => {
            let digits = format!("{:032x}", ip.to_bits());
            let parts = digits.chars().map(String::from).collect();
            (parts, "ip6", ip.to_string().replace(':', "-"))
        }
    };
    let backwards: Vec<&str> = parts.iter().rev().map(String::as_str).collect();
    let backwards = format!("{}.{reverse}", backwards.join("."));
    [parts.join("/"), dashed, backwards].into_iter()
}

/// Whether it is there, with no letter or digit beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + word.len()..).unwrap_or_default();
        !is_inside(before.chars().next_back()) && !is_inside(after.chars().next())
    })
}

/// Where an IPv4 address may begin: at a digit with neither a letter nor a digit before it, nor another dotted number.
fn starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    let bytes = text.as_bytes();
    let before = move |at: usize, back: usize| at.checked_sub(back).and_then(|at| bytes.get(at));
    let is_start = move |at: &usize| match before(*at, 1) {
        Some(b'.') => !before(*at, 2).is_some_and(u8::is_ascii_digit),
        Some(byte) => !byte.is_ascii_alphanumeric(),
        None => true,
    };
    let digits = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_digit());
    digits.map(|(at, _)| at).filter(is_start)
}

fn ipv4_at(text: &str, at: usize) -> Option<Ipv4Addr> {
    let rest = text.get(at..)?;
    let is_of = |c: char| c.is_ascii_digit() || c == '.';
    let run = rest.get(..rest.find(|c| !is_of(c)).unwrap_or(rest.len()))?;
    let after = rest.get(run.len()..)?.chars().next();
    // A name may follow: 10.0.0.2.nip.io.
    let (run, ends) = match run.strip_suffix('.') {
        Some(run) => (run, true),
        None => (run, !after.is_some_and(char::is_alphanumeric)),
    };
    run.parse().ok().filter(|_| ends)
}

fn is_of_ipv6(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, ':' | '.')
}

/// The longest pieces of such characters, each with where it begins.
fn runs(text: &str, is_of: fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..)?;
        let start = from + rest.find(is_of)?;
        let rest = text.get(start..)?;
        let run = rest.get(..rest.find(|c| !is_of(c)).unwrap_or(rest.len()))?;
        from = start + run.len();
        Some((start, run))
    })
}

/// In `node:fd00::2` it begins behind the colon, and in `fd00::2.` it ends before the dot.
fn ipv6_in(text: &str, (start, run): (usize, &str)) -> Option<IpAddr> {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let before = text.get(..start)?.chars().next_back();
    let after = text.get(start + run.len()..)?.chars().next();
    let run = if is_inside(before) {
        run.split_once(':')?.1
    } else {
        run
    };
    let ip: Ipv6Addr = run.trim_end_matches('.').parse().ok()?;
    (!is_inside(after)).then_some(IpAddr::V6(ip).to_canonical())
}

fn host_before(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at)?;
    if before.ends_with(']') {
        return before.get(before.rfind('[')?..);
    }
    let is_of = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host = before.trim_end_matches(is_of);
    let host = before.get(host.len()..)?;
    // Not a time, nor a part of an IPv6 address.
    let is_name = host.contains(|c: char| c == '.' || c.is_alphabetic());
    let is_group = host.len() <= 4 && before.get(..before.len() - host.len())?.ends_with(':');
    (is_name && !is_group).then_some(host)
}

fn port_after(text: &str, at: usize) -> Option<u16> {
    let rest = text.get(at + 1..)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let after = rest.get(end..)?;
    let is_longer = after.starts_with(char::is_alphanumeric) || after.starts_with(':');
    rest.get(..end)?.parse().ok().filter(|_| !is_longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ip: &str, inside: &[&str], outside: &[&str]) {
        let ip: IpAddr = ip.parse().unwrap();
        for text in inside {
            assert!(names(text, ip), "{ip} in {text}");
        }
        for text in outside {
            assert!(!names(text, ip), "{ip} not in {text}");
        }
    }

    #[test]
    fn ipv4() {
        check(
            "10.0.0.2",
            &[
                "10.0.0.2",
                "10.0.0.2:80",
                "http://10.0.0.2/x",
                "{\"host\":\"10.0.0.2\"}",
                "10.0.0.2/16",
                "a 10.0.0.2.",
                "ip=10.0.0.2;",
                "web.10.0.0.2.nip.io",
                "10.0.0.2.example.org",
                "10.0.0.2.",
                "::ffff:10.0.0.2",
                "::ffff:a00:2",
                "[::ffff:10.0.0.2]:80",
                "/skydns/arpa/in-addr/10/0/0/2",
                "/skydns/arpa/in-addr/10/0/0/2/4f1c",
                "ip-10-0-0-2.internal",
                "2.0.0.10.in-addr.arpa",
                "10.0.0.21,10.0.0.2",
                "<10.0.0.2>",
                "…10.0.0.2…",
            ],
            &[
                "10.0.0.21",
                "110.0.0.2",
                "1.10.0.0.2",
                "10.0.0.2.1",
                "10.0.0.20:2",
                "10.0.0.0/2",
                "v10.0.0.2",
                "10.0.0.2a",
                "10.0.0,2",
                "10/0/0/21",
                "/110/0/0/2",
                "10-0-0-21",
                "10-0-0-2a",
                "2.0.0.10",
                "12.0.0.10.in-addr.arpa",
                "",
                "10.0.0",
                "10.0.0.02",
            ],
        );
    }

    #[test]
    fn ipv6() {
        check(
            "fd00::a2",
            &[
                "fd00::a2",
                "FD00::A2",
                "fd00:0:0:0:0:0:0:a2",
                "fd00:0000::00a2",
                "[fd00::a2]:80",
                "http://[fd00::a2]/",
                "fd00::a2/64",
                "fd00::a2%eth0",
                "node:fd00::a2",
                "host=fd00::a2.",
                "{\"host\":\"fd00::a2\"}",
                "fd00--a2.example",
                &format!("/skydns/arpa/ip6/f/d/{}a/2", "0/".repeat(28)),
                &format!("2.a.{}d.f.ip6.arpa", "0.".repeat(28)),
            ],
            &[
                "fd00::a21",
                "fd00::a",
                "2001:fd00::a2",
                "fd00::a2:1",
                "fd00:a2",
                "afd00::a2",
                "fd00::a2g",
                "[fd00::a21]:80",
                "",
                "::",
            ],
        );
    }

    #[test]
    fn hosts_with_ports() {
        let check = |text: &str, expected: &[(&str, u16)]| {
            assert_eq!(ends(text).collect::<Vec<_>>(), expected, "{text}");
        };
        check("10.0.0.2:80", &[("10.0.0.2", 80)]);
        check(
            "http://web-1.test:8080/x?y=a:1",
            &[("web-1.test", 8080), ("a", 1)],
        );
        check("[fd00::2]:80", &[("[fd00::2]", 80)]);
        check("a:1,b:2", &[("a", 1), ("b", 2)]);
        check("fd00:1:2::3 2001:db8::1:80", &[]);
        check("12:30 web:x web:99999 web:", &[]);
        check("web:80a", &[]);
    }

    /// Nothing that a text may have ends the program.
    #[test]
    fn any_text() {
        for text in [
            "é:80",
            "]:80",
            "[:80",
            ":",
            "::",
            "…",
            "1.2.3.4é",
            "é1.2.3.4",
            "1.2.3.4.é",
            "a\u{301}:80",
        ] {
            let _ = (
                addresses(text).count(),
                ends(text).count(),
                names(text, [1, 2, 3, 4].into()),
            );
        }
        assert_eq!(addresses("é 1.2.3.4").count(), 1);
    }
}
