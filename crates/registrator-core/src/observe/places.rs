//! Where a container can be reached, as its inspect document says, and what of it a node names.
//!
//! Nodes are texts in any format, so this finds whole addresses, and ports behind a host, in whatever they are written.

mod spelling;

use crate::node::{Key, Value};
use crate::observe::document::{Document, Part};
use crate::observe::ports;
use core::net::IpAddr;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The addresses of a container in its networks and its labels, and the host's ports that lead to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    addresses: BTreeSet<IpAddr>,
    /// To which of the container's ports each leads.
    published: BTreeMap<u16, BTreeSet<(u16, &'static str)>>,
}

/// What a container had, and has no longer.
#[derive(Debug)]
pub struct LostPlaces {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    /// The addresses that it has.
    own: BTreeSet<IpAddr>,
}

impl Places {
    /// Those of a container.
    pub(super) fn of(document: &Document) -> Places {
        let networks = document.at(&["NetworkSettings", "Networks"]);
        let networks = networks.into_iter().flat_map(Part::members);
        let own = networks.flat_map(|(_, network)| ADDRESSES.map(|name| network.member(name)));
        let own = own.flatten().filter_map(Part::as_str);
        let own = own.filter_map(|text| text.parse::<IpAddr>().ok());
        let labels = document.at(&["Config", "Labels"]);
        let labels = labels.into_iter().flat_map(Part::members);
        let labels = labels.filter_map(|(_, text)| text.as_str());
        let mut places = Places {
            addresses: own.chain(labels.flat_map(spelling::addresses)).collect(),
            published: BTreeMap::new(),
        };
        for (port, target) in ports::published(document) {
            places.published.entry(port).or_default().insert(target);
        }
        places
    }

    /// What is not there any more. A host's port that leads elsewhere in the container is another one.
    pub(super) fn lost(&self, now: &Places) -> LostPlaces {
        let leads_there = |port: &u16, targets: &BTreeSet<_>| {
            let found = now.published.get(port);
            found.is_some_and(|found| !found.is_disjoint(targets))
        };
        let gone = self.published.iter();
        let gone = gone.filter(|(port, targets)| !leads_there(port, targets));
        LostPlaces {
            addresses: self.addresses.difference(&now.addresses).copied().collect(),
            ports: gone.map(|(port, _)| *port).collect(),
            own: now.addresses.clone(),
        }
    }
}

/// The members of a network that are addresses.
const ADDRESSES: [&str; 2] = ["IPAddress", "GlobalIPv6Address"];

impl LostPlaces {
    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.ports.is_empty()
    }

    /// Whether a node names any of it: an address in its key or its value, or a port in its value together with a host that is not
    /// the container itself.
    pub fn is_named_in(&self, key: &Key, value: &Value) -> bool {
        let texts = [key.as_str(), value.as_str()];
        let names = |ip: &IpAddr| texts.iter().any(|text| spelling::names(text, *ip));
        self.addresses.iter().any(names)
            || (!self.ports.is_empty() && self.has_port(value.as_str()))
    }

    fn has_port(&self, text: &str) -> bool {
        let json = serde_json::from_str::<Json>(text).ok();
        match json.filter(|json| json.is_object() || json.is_array()) {
            Some(json) => self.has_port_in(&json),
            None => self.has_port_in_text(text),
        }
    }

    fn has_port_in(&self, json: &Json) -> bool {
        match json {
            Json::String(text) => self.has_port_in_text(text),
            Json::Array(items) => items.iter().any(|item| self.has_port_in(item)),
            Json::Object(members) => {
                let is_port = |(name, value): (&String, &Json)| {
                    let is_so_called = name.to_ascii_lowercase().contains("port");
                    is_so_called && port_of(value).is_some_and(|port| self.ports.contains(&port))
                };
                let mut hosts = members.values().filter_map(Json::as_str).peekable();
                let is_elsewhere = hosts.peek().is_some() && !hosts.any(|host| self.is_own(host));
                let here = is_elsewhere && members.iter().any(is_port);
                here || members.values().any(|member| self.has_port_in(member))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        }
    }

    fn has_port_in_text(&self, text: &str) -> bool {
        let mut ends = spelling::ends(text);
        ends.any(|(host, port)| self.ports.contains(&port) && !self.is_own(host))
    }

    /// Whether it names an address at which the container is still reached by its own ports.
    fn is_own(&self, text: &str) -> bool {
        spelling::addresses(text).any(|ip| self.own.contains(&ip))
    }
}

fn port_of(json: &Json) -> Option<u16> {
    match json {
        Json::String(text) => text.parse().ok(),
        json => json.as_u64()?.try_into().ok(),
    }
}

impl fmt::Display for LostPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let ports = self
            .ports
            .iter()
            .map(|port| format!("port {port} of the host"));
        let (all, few) = (addresses.chain(ports).collect::<Vec<_>>(), 5);
        write!(f, "{}", all.get(..few).unwrap_or(&all).join(", "))?;
        match all.len().saturating_sub(few) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(networks: &[&str], ports: Json) -> Places {
        let network = |ip: &&str| {
            let name = if ip.contains(':') {
                "GlobalIPv6Address"
            } else {
                "IPAddress"
            };
            ((*ip).to_owned(), json!({ name: ip, "Gateway": "10.0.0.1" }))
        };
        let networks: serde_json::Map<_, _> = networks.iter().map(network).collect();
        let document = json!({"NetworkSettings": {"Networks": networks, "Ports": ports}});
        Places::of(&Document::parse(document.to_string()).unwrap())
    }

    fn published(port: u16, host_port: u16) -> Json {
        json!({ format!("{port}/tcp"): [{"HostIp": "0.0.0.0", "HostPort": host_port.to_string()}] })
    }

    #[track_caller]
    fn check(lost: &LostPlaces, key: &str, value: &str, expected: bool) {
        let (key, value) = (Key::parse(key).unwrap(), Value::parse(value).unwrap());
        assert_eq!(lost.is_named_in(&key, &value), expected, "{key} = {value}");
    }

    #[test]
    fn an_address_in_keys_and_values() {
        let (before, now) = (
            places(&["10.0.0.2", "10.0.0.9"], json!({})),
            places(&["10.0.0.9"], json!({})),
        );
        let lost = before.lost(&now);
        assert_eq!(lost.to_string(), "10.0.0.2");
        check(&lost, "/web", "{\"host\":\"10.0.0.2\",\"ttl\":30}", true);
        check(
            &lost,
            "/skydns/arpa/in-addr/10/0/0/2",
            "{\"host\":\"web.local\"}",
            true,
        );
        check(&lost, "/web", "{\"host\":\"10.0.0.9\",\"port\":2}", false);
        check(&lost, "/web", "{\"host\":\"10.0.0.21\"}", false);
        check(&lost, "/web", "10.0.0.1", false);
    }

    #[test]
    fn nothing_is_lost_of_what_is_still_there() {
        let (before, now) = (
            places(&["10.0.0.2", "fd00::2"], published(80, 8080)),
            places(&["fd00::2", "10.0.0.2", "10.1.0.2"], published(80, 8080)),
        );
        assert!(before.lost(&now).is_empty());
        assert!(before.lost(&before).is_empty());
        let empty = Places::default();
        assert_eq!(
            before.lost(&empty).to_string(),
            "10.0.0.2, fd00::2, port 8080 of the host"
        );
        assert!(empty.lost(&before).is_empty());
    }

    #[test]
    fn a_port_of_the_host_with_its_host() {
        let (before, now) = (
            places(&["10.0.0.2"], published(80, 8080)),
            places(&["10.0.0.2"], json!({})),
        );
        let lost = before.lost(&now);
        for value in [
            "192.0.2.10:8080",
            "http://192.0.2.10:8080/x",
            "http://node1.test:8080",
            "[2001:db8::1]:8080",
            "a:1,b.test:8080",
            "{\"host\":\"192.0.2.10\",\"port\":8080,\"ttl\":30}",
            "{\"Host\":\"node1\",\"Port\":\"8080\"}",
            "{\"URL\":\"http://192.0.2.10:8080\"}",
            "[{\"a\":[\"192.0.2.10:8080\"]}]",
            "{\"upstream\":{\"ip\":\"192.0.2.10\",\"host_port\":8080}}",
        ] {
            check(&lost, "/web", value, true);
        }
        for value in [
            "10.0.0.2:8080",
            "http://10.0.0.2:8080/x",
            "192.0.2.10:80",
            "192.0.2.10:80800",
            "192.0.2.10",
            "8080",
            "{\"host\":\"10.0.0.2\",\"port\":8080}",
            "{\"host\":\"192.0.2.10\",\"port\":80,\"ttl\":8080}",
            "{\"port\":8080}",
            "2001:db8:1:8080::1",
            "12:8080",
            "{\"host\":\"192.0.2.10\",\"port\":8080.5}",
        ] {
            check(&lost, "/web", value, false);
        }
        // In a key it is the container's.
        check(&lost, "/services/web/node1:web:8080", "x", false);
    }

    #[test]
    fn a_port_of_the_host_that_leads_elsewhere_is_lost() {
        let check = |now: Json, expected: &str| {
            let (before, now) = (places(&[], published(80, 8080)), places(&[], now));
            assert_eq!(before.lost(&now).to_string(), expected, "{now:?}");
        };
        check(published(443, 8080), "port 8080 of the host");
        check(published(80, 8081), "port 8080 of the host");
        check(json!({"80": [{"HostIp": "::", "HostPort": "8080"}]}), "");
    }

    #[test]
    fn an_address_of_a_label_is_one_of_the_container() {
        let of = |network: &str, label: &str| {
            let document = json!({"NetworkSettings": {"Networks": {"n": {"IPAddress": network}}}, "Config": {"Labels": {"cidr": label}}});
            Places::of(&Document::parse(document.to_string()).unwrap())
        };
        let before = of("10.0.0.2", "10.81.1.2/16");
        assert_eq!(before.lost(&of("", "10.81.1.2/16")).to_string(), "10.0.0.2");
        assert_eq!(before.lost(&of("10.0.0.2", "")).to_string(), "10.81.1.2");
        assert!(before.lost(&of("", "a=10.81.1.2,b=10.0.0.2")).is_empty());
    }
}
