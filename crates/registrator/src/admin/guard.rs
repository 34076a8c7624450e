//! Who may ask what over HTTP. A page in a browser of somebody who may ask must not be able to ask for him.

use std::net::IpAddr;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Over the unix socket: who may write to it was decided by its folder.
    Socket,
    /// Over TCP, at an address where details may be seen, or not.
    Network {
        /// Whether they may.
        details: bool,
    },
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Numbers without names: for anybody who reaches it, under any name.
    Numbers,
    /// The page and what it is made of.
    Page,
    /// Names and values.
    Api,
    /// A change.
    Change,
}

/// What of a request matters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heads<'a> {
    pub(super) method: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) origin: Option<&'a str>,
    /// The header `Sec-Fetch-Site`.
    pub(super) site: Option<&'a str>,
}

/// Why a request is refused.
pub(super) type Refused = (u16, &'static str);

/// Whether a request may be answered.
///
/// A rebinding attack comes with a name of its own in `Host`, so only addresses, localhost, and names that were given are taken there.
pub(super) fn check(
    came: Came,
    class: Class,
    asked: Heads<'_>,
    names: &[String],
) -> Result<(), Refused> {
    let wanted = if class == Class::Change {
        asked.method == "POST"
    } else {
        matches!(asked.method, "GET" | "HEAD")
    };
    if !wanted {
        return Err((405, "this method is not for this path"));
    }
    match (came, class) {
        (Came::Socket, _) | (Came::Network { .. }, Class::Numbers) => return Ok(()),
        (Came::Network { .. }, Class::Change) => {
            return Err((
                403,
                "changes are made over the unix socket only: kontena-registrator brake release",
            ));
        }
        (Came::Network { details: false }, _) => {
            return Err((
                403,
                "only numbers are served here: this is no address of the loopback. --admin-details always (KONTENA_REGISTRATOR_ADMIN_DETAILS) serves all to everybody who reaches it",
            ));
        }
        (Came::Network { details: true }, Class::Page | Class::Api) => {}
    }
    let host = asked.host.ok_or((400, "the header Host is missing"))?;
    if !is_own_name(host, names) {
        return Err((
            421,
            "this name is none of the registrator's: use an address or localhost, or give the name with --admin-host (KONTENA_REGISTRATOR_ADMIN_HOST)",
        ));
    }
    let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    if asked.origin.is_some_and(|origin| !is_own(origin)) {
        return Err((403, "a page of somebody else asks"));
    }
    if class == Class::Api && asked.site == Some("cross-site") {
        return Err((403, "a page of somebody else asks"));
    }
    Ok(())
}

/// Whether a `Host` is an address, localhost or a given name.
fn is_own_name(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Came = Came::Network { details: true };
    const SHUT: Came = Came::Network { details: false };

    fn get(host: &str) -> Heads<'_> {
        Heads {
            method: "GET",
            host: Some(host),
            ..Heads::default()
        }
    }

    #[track_caller]
    fn gives(expected: u16, came: Came, class: Class, asked: Heads<'_>) {
        let names = ["status.example.org".to_owned()];
        let status = check(came, class, asked, &names).map_or_else(|(status, _)| status, |()| 200);
        assert_eq!(status, expected, "{came:?} {class:?} {asked:?}");
    }

    #[test]
    fn details_are_for_those_who_call_it_by_an_address_or_a_known_name() {
        for (host, expected) in [
            ("127.0.0.1:9790", 200),
            ("[::1]:9790", 200),
            ("192.0.2.1", 200),
            ("localhost:9790", 200),
            ("LOCALHOST", 200),
            ("a.localhost:1", 200),
            ("status.example.org:9790", 200),
            ("evil.example.org:9790", 421),
            ("127.0.0.1.evil.example.org", 421),
            ("localhost.evil.example.org", 421),
            ("", 421),
            ("[", 421),
        ] {
            gives(expected, OPEN, Class::Api, get(host));
            gives(expected, OPEN, Class::Page, get(host));
            gives(200, OPEN, Class::Numbers, get(host));
            gives(200, SHUT, Class::Numbers, get(host));
            gives(403, SHUT, Class::Api, get(host));
        }
        let nameless = Heads {
            host: None,
            ..get("")
        };
        gives(400, OPEN, Class::Api, nameless);
        gives(200, Came::Socket, Class::Api, nameless);
    }

    #[test]
    fn pages_of_others_ask_in_vain() {
        let from = |origin, site| Heads {
            origin,
            site,
            ..get("127.0.0.1:9790")
        };
        let own = Some("http://127.0.0.1:9790");
        gives(200, OPEN, Class::Api, from(own, Some("same-origin")));
        gives(403, OPEN, Class::Api, from(Some("http://evil"), None));
        gives(403, OPEN, Class::Api, from(Some("null"), None));
        gives(403, OPEN, Class::Api, from(None, Some("cross-site")));
        gives(200, OPEN, Class::Page, from(None, Some("cross-site")));
    }

    #[test]
    fn changes_need_the_socket_and_a_post() {
        let post = Heads {
            method: "POST",
            ..get("127.0.0.1")
        };
        gives(200, Came::Socket, Class::Change, post);
        gives(405, Came::Socket, Class::Change, get("127.0.0.1"));
        gives(403, OPEN, Class::Change, post);
        gives(405, OPEN, Class::Api, post);
        gives(405, Came::Socket, Class::Numbers, post);
        let head = Heads {
            method: "HEAD",
            ..post
        };
        gives(200, OPEN, Class::Numbers, head);
    }
}
