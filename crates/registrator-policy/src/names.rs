//! Names and addresses as the applications behind etcd need them; what the functions of the policy language do.

use std::net::{IpAddr, Ipv6Addr};

/// The longest DNS label.
const MAX_LABEL: usize = 63;

/// The longest DNS name in its text form.
const MAX_NAME: usize = 253;

/// Why a text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing of the text can stand in a DNS label.
    #[error("{0:?} has no letter, digit or '_' to make a DNS label of")]
    NoLabel(String),
    /// The domain has no label or is too long.
    #[error(
        "{0:?} is not a domain: write it as \"skydns.local\", with at most {MAX_NAME} characters"
    )]
    NoDomain(String),
    /// A label of the domain has a wrong length or character.
    #[error(
        "{domain:?} is not a domain: its label {label:?} must have 1 to {MAX_LABEL} letters, digits, '-' and '_'"
    )]
    DomainLabel {
        /// The whole text.
        domain: String,
        /// The label in it.
        label: String,
    },
    /// The text is not an IP address.
    #[error("{0:?} is not an IP address: give it without prefix length, port, brackets and zone")]
    NoAddress(String),
    /// A host is empty.
    #[error("the host is empty: leave the key out if there is no address")]
    NoHost,
    /// A port is not one.
    #[error("{0} is not a port: it must be 1 to 65535")]
    NoPort(i64),
}

/// Makes a DNS label: lower case, `.` and every run of other characters become `-`, kept are `a-z`, `0-9`, `-` and `_`; no `-` at
/// the ends; at most 63 characters.
///
/// # Errors
/// [`NameError::NoLabel`] if nothing is left.
pub fn dns_label(text: &str) -> Result<String, NameError> {
    let mut label = String::with_capacity(text.len().min(MAX_LABEL));
    let mut gap = false;
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => {
                if gap && !label.is_empty() && !label.ends_with('-') && c != '-' {
                    label.push('-');
                }
                gap = false;
                label.push(c.to_ascii_lowercase());
            }
            _ => gap = true,
        }
    }
    let kept: String = label
        .trim_start_matches('-')
        .chars()
        .take(MAX_LABEL)
        .collect();
    match kept.trim_end_matches('-') {
        "" => Err(NameError::NoLabel(text.into())),
        label => Ok(label.into()),
    }
}

/// Turns a domain around for a path of keys: `skydns.local` becomes `local/skydns`. Lower case; a trailing dot is allowed.
///
/// # Errors
/// [`NameError::NoDomain`], [`NameError::DomainLabel`].
pub fn domain_path(domain: &str) -> Result<String, NameError> {
    let relative = domain.strip_suffix('.').unwrap_or(domain);
    if relative.is_empty() || relative.len() > MAX_NAME {
        return Err(NameError::NoDomain(domain.chars().take(300).collect()));
    }
    let labels: Vec<&str> = relative.split('.').collect();
    if let Some(label) = labels.iter().find(|label| !is_label(label)) {
        return Err(NameError::DomainLabel {
            domain: domain.into(),
            label: (*label).into(),
        });
    }
    let reversed: Vec<&str> = labels.into_iter().rev().collect();
    Ok(reversed.join("/").to_ascii_lowercase())
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=MAX_LABEL).contains(&text.len()) && text.chars().all(plain)
}

/// The path of keys for the reverse name of an address: `arpa/in-addr/172/17/0/2`, or `arpa/ip6/` and 32 hexadecimal digits.
///
/// # Errors
/// [`NameError::NoAddress`].
pub fn ptr_path(address: &str) -> Result<String, NameError> {
    let labels = reverse_labels(address)?;
    Ok(labels.into_iter().rev().collect::<Vec<_>>().join("/"))
}

/// The DNS name for the reverse lookup of an address: `2.0.17.172.in-addr.arpa`.
///
/// # Errors
/// [`NameError::NoAddress`].
pub fn ptr_name(address: &str) -> Result<String, NameError> {
    Ok(reverse_labels(address)?.join("."))
}

/// The labels of the reverse name in the order of DNS, RFC 1035 §3.5 and RFC 3596 §2.5.
fn reverse_labels(address: &str) -> Result<Vec<String>, NameError> {
    let parsed = address.parse::<IpAddr>();
    let (mut labels, family) = match parsed.map_err(|_| NameError::NoAddress(address.into()))? {
        IpAddr::V4(v4) => (
            v4.octets().map(|octet| octet.to_string()).to_vec(),
            "in-addr",
        ),
        IpAddr::V6(v6) => (nibbles(v6), "ip6"),
    };
    labels.reverse();
    labels.extend([family.to_owned(), "arpa".to_owned()]);
    Ok(labels)
}

fn nibbles(address: Ipv6Addr) -> Vec<String> {
    let octets = address.octets();
    let halves = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    halves.map(|nibble| format!("{nibble:x}")).collect()
}

/// Joins host and port as URLs and most applications want it: an IPv6 address is put in brackets.
///
/// # Errors
/// [`NameError::NoHost`], [`NameError::NoPort`].
pub fn host_port(host: &str, port: i64) -> Result<String, NameError> {
    if host.is_empty() {
        return Err(NameError::NoHost);
    }
    if !(1..=65535).contains(&port) {
        return Err(NameError::NoPort(port));
    }
    if host.contains(':') && !host.starts_with('[') {
        Ok(format!("[{host}]:{port}"))
    } else {
        Ok(format!("{host}:{port}"))
    }
}

/// How many bytes of a text CoreDNS puts into one string of a TXT record.
const MAX_STRING: usize = 255;

/// The text that makes CoreDNS and SkyDNS serve `text` as TXT: a backslash begins an escape there, so each is written twice. They cut the
/// text before they read the escapes, and a cut must not be in one: a letter before it is then escaped too, which moves it.
///
/// `None` if there is no such letter.
pub fn txt_text(text: &str) -> Option<String> {
    let mut pieces: Vec<String> = Vec::new();
    // Where the present string begins, among the pieces, and how many bytes it has.
    let (mut first, mut length) = (0, 0);
    for c in text.chars() {
        let is_escape = c == '\\';
        if is_escape && length == MAX_STRING - 1 {
            let moves = |piece: &&mut String| {
                let is_plain = |c: char| c.is_ascii() && !c.is_ascii_digit() && c != '\\';
                piece.len() == 1 && piece.chars().all(is_plain)
            };
            let letter = pieces.get_mut(first..)?.iter_mut().rfind(moves)?;
            letter.insert(0, '\\');
            (first, length) = (pieces.len(), 0);
        }
        let piece = if is_escape {
            "\\\\".to_owned()
        } else {
            c.to_string()
        };
        length += piece.len();
        pieces.push(piece);
        if length >= MAX_STRING {
            (first, length) = (pieces.len(), length - MAX_STRING);
        }
    }
    Some(pieces.concat())
}

/// Traefik's rule for names: runs of anything but letters and digits become one `-`, none at the ends.
pub fn normalize(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Result<String, NameError>, expected: &str) {
        let found = found.unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(found, expected);
    }

    /// What CoreDNS makes of a text: it cuts it, and then reads the escapes in each part. A backslash at the end of a part is lost.
    fn served(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in text.as_bytes().chunks(MAX_STRING) {
            let mut part = part.iter();
            while let Some(byte) = part.next() {
                if *byte == b'\\' {
                    bytes.extend(part.next());
                } else {
                    bytes.push(*byte);
                }
            }
        }
        bytes
    }

    #[test]
    fn texts_are_served_as_they_are() {
        for text in [
            "",
            "a b",
            "a\\b",
            "\\",
            "\\\\",
            "a\\065b",
            "say \"hi\"",
            "Größe\\",
        ] {
            let made = txt_text(text).unwrap();
            assert_eq!(served(&made), text.as_bytes(), "{text:?}");
        }
        assert_eq!(txt_text("a\\b").as_deref(), Some("a\\\\b"));
        for before in 240..270 {
            for tail in ["\\x", "\\\\x", "\\ü\\x"] {
                let text = "ab1ü".repeat(60) + &"x".repeat(before - 240) + &tail.repeat(200);
                let made = txt_text(&text).unwrap_or_else(|| panic!("{before} {tail}"));
                assert_eq!(served(&made), text.as_bytes(), "{before} {tail}");
            }
        }
        assert_eq!(
            txt_text(&"\\".repeat(127)).map(|made| made.len()),
            Some(254)
        );
        assert_eq!(txt_text(&"\\".repeat(128)), None);
    }

    #[test]
    fn labels() {
        check(dns_label("web"), "web");
        check(dns_label("Web.1"), "web-1");
        check(dns_label("shop_api-1"), "shop_api-1");
        check(dns_label("a b//c"), "a-b-c");
        check(dns_label("a.-b"), "a-b");
        check(dns_label("a-.b"), "a-b");
        check(dns_label("a--b"), "a--b");
        check(dns_label("-.a.-"), "a");
        check(dns_label("Käse"), "k-se");
        check(dns_label(&"x".repeat(70)), &"x".repeat(63));
        check(dns_label(&format!("{}-y", "x".repeat(62))), &"x".repeat(62));
        check(dns_label(&format!("--{}", "x".repeat(70))), &"x".repeat(63));
        check(
            dns_label(""),
            "error: \"\" has no letter, digit or '_' to make a DNS label of",
        );
        check(
            dns_label("…."),
            "error: \"….\" has no letter, digit or '_' to make a DNS label of",
        );
    }

    #[test]
    fn domains() {
        check(domain_path("skydns.local"), "local/skydns");
        check(domain_path("SkyDNS.Local."), "local/skydns");
        check(domain_path("a.b.c"), "c/b/a");
        check(domain_path("_tcp.local"), "local/_tcp");
        let no_domain =
            "is not a domain: write it as \"skydns.local\", with at most 253 characters";
        check(domain_path(""), &format!("error: \"\" {no_domain}"));
        check(domain_path("."), &format!("error: \".\" {no_domain}"));
        let rule = "must have 1 to 63 letters, digits, '-' and '_'";
        check(
            domain_path("a..b"),
            &format!("error: \"a..b\" is not a domain: its label \"\" {rule}"),
        );
        check(
            domain_path("a/b"),
            &format!("error: \"a/b\" is not a domain: its label \"a/b\" {rule}"),
        );
        let long = "x".repeat(64);
        check(
            domain_path(&long),
            &format!("error: {long:?} is not a domain: its label {long:?} {rule}"),
        );
    }

    #[test]
    fn reverse_names() {
        check(ptr_path("172.17.0.2"), "arpa/in-addr/172/17/0/2");
        check(ptr_name("172.17.0.2"), "2.0.17.172.in-addr.arpa");
        let path = "arpa/ip6/f/d/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/3";
        check(ptr_path("fd00::3"), path);
        let name = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        check(ptr_name("fd00::3"), name);
        for text in [
            "",
            "172.17.0.2/16",
            "172.17.0.2:80",
            "fe80::1%eth0",
            "[::1]",
            "web",
            " 1.2.3.4",
        ] {
            check(
                ptr_path(text),
                &format!(
                    "error: {text:?} is not an IP address: give it without prefix length, port, brackets and zone"
                ),
            );
        }
    }

    #[test]
    fn hosts_with_ports() {
        check(host_port("172.17.0.2", 80), "172.17.0.2:80");
        check(host_port("fd00::3", 80), "[fd00::3]:80");
        check(host_port("[fd00::3]", 80), "[fd00::3]:80");
        check(host_port("web", 65535), "web:65535");
        check(
            host_port("web", 0),
            "error: 0 is not a port: it must be 1 to 65535",
        );
        check(
            host_port("web", 65536),
            "error: 65536 is not a port: it must be 1 to 65535",
        );
        check(
            host_port("", 80),
            "error: the host is empty: leave the key out if there is no address",
        );
    }

    #[test]
    fn traefik_names() {
        for (text, expected) in [
            ("/web_1.x", "web-1-x"),
            ("Rep", "Rep"),
            ("--", ""),
            ("ä.b", "ä-b"),
        ] {
            assert_eq!(normalize(text), expected);
        }
    }
}
