//! The ports of a container, in each form in which images and engines write them. What cannot be read costs that port alone.

use crate::observe::document::{Document, Part};
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A port of a container and where it is published on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The port in the container.
    pub number: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// Where it is published. The engine lists IPv4 and IPv6 apart.
    pub bindings: Vec<Binding>,
}

/// One place where a port is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The host's address; `0.0.0.0` or `::` for all.
    pub host_ip: Option<String>,
    /// The host's port.
    pub host_port: u16,
}

/// The ports that the engine knows for the running container, by number and protocol.
pub fn known(document: &Document) -> Vec<Port> {
    ports(KNOWN, document)
}

/// The ports that image or user declared, by number and protocol; without bindings.
pub fn exposed(document: &Document) -> Vec<Port> {
    ports(EXPOSED, document)
}

/// What the document has among its ports that is none, for people.
pub(super) fn passed_over(document: &Document) -> Vec<String> {
    let places = [KNOWN, EXPOSED].map(|place| (place, part(place, document)));
    let mut odd = Vec::new();
    for (place, ports) in places {
        for (name, bindings) in ports.into_iter().flat_map(Part::members) {
            let Some(entry) = Entry::of(name) else {
                odd.push(format!("{name:?} in {}", place.join(".")));
                continue;
            };
            let strange = bindings
                .items()
                .filter(|item| entry.binding(*item).is_err());
            odd.extend(
                strange.map(|item| format!("{} of {name:?} in {}", item.text(), place.join("."))),
            );
        }
    }
    odd
}

/// The host's ports that lead to the container, and to what in it.
pub(super) fn published(document: &Document) -> Vec<(u16, (u16, &'static str))> {
    let mut found = Vec::new();
    for (name, bindings) in part(KNOWN, document).into_iter().flat_map(Part::members) {
        if let Some(entry) = Entry::of(name) {
            let target = (*entry.numbers.start(), entry.protocol);
            let bindings = bindings
                .items()
                .filter_map(|item| entry.binding(item).ok()?);
            found.extend(bindings.map(|binding| (binding.host_port, target)));
        }
    }
    found
}

type Place = [&'static str; 2];
const KNOWN: Place = ["NetworkSettings", "Ports"];
const EXPOSED: Place = ["Config", "ExposedPorts"];

/// Each port of each protocol twice: nobody has more, and the rest of an image's ranges repeats them.
const MOST_OF_RANGES: usize = 400_000;

fn part(place: Place, document: &Document) -> Option<Part<'_>> {
    document.at(&place)
}

/// One port may be there in several spellings, of which one has the bindings.
fn ports(place: Place, document: &Document) -> Vec<Port> {
    let mut found: BTreeMap<(u16, &'static str), Vec<Binding>> = BTreeMap::new();
    let mut left = MOST_OF_RANGES;
    for (name, items) in part(place, document).into_iter().flat_map(Part::members) {
        let Some(entry) = Entry::of(name) else {
            continue;
        };
        for number in entry.numbers.clone().take(left) {
            found.entry((number, entry.protocol)).or_default();
        }
        left = left.saturating_sub(entry.numbers.len());
        let bindings = items.items().filter_map(|item| entry.binding(item).ok()?);
        let known = found.entry((*entry.numbers.start(), entry.protocol));
        let known = known.or_default();
        for binding in bindings {
            if !known.contains(&binding) {
                known.push(binding);
            }
        }
    }
    let port = |((number, protocol), bindings)| Port {
        number,
        protocol,
        bindings,
    };
    found.into_iter().map(port).collect()
}

/// What the name of a port says.
struct Entry {
    numbers: RangeInclusive<u16>,
    protocol: &'static str,
}

/// A place where a port is published that makes no sense.
struct Strange;

impl Entry {
    /// `80`, `80/tcp`, `80/TCP`, `8000-8010/udp`. `None` if it is something else, as `0/tcp`.
    fn of(name: &str) -> Option<Entry> {
        let (numbers, protocol) = name.split_once('/').unwrap_or((name, ""));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "" | "tcp" => "tcp",
            "udp" => "udp",
            "sctp" => "sctp",
            _ => return None,
        };
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let numbers = number(first)?..=number(last)?;
        (!numbers.is_empty()).then_some(Entry { numbers, protocol })
    }

    /// A binding whose port the engine has not chosen yet is none.
    fn binding(&self, part: Part<'_>) -> Result<Option<Binding>, Strange> {
        let text = |name| part.member(name).and_then(Part::as_str);
        let text = |name| text(name).filter(|text| !text.is_empty());
        let Some(port) = text("HostPort") else {
            return part.is_object().then_some(None).ok_or(Strange);
        };
        let host_ip = text("HostIp").map(str::to_owned);
        let is_address = |ip: &String| ip.parse::<IpAddr>().is_ok();
        // Nothing says which of a range it is.
        if !host_ip.iter().all(is_address) || self.numbers.len() > 1 {
            return Err(Strange);
        }
        let host_port = number(port).ok_or(Strange)?;
        Ok(Some(Binding { host_ip, host_port }))
    }
}

/// From 1 to 65535, in digits.
fn number(text: &str) -> Option<u16> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::{Value as Json, json};

    fn read(json: &Json) -> Document {
        Document::parse(json.to_string()).unwrap()
    }

    fn shown(ports: &[Port]) -> String {
        let shown = ports.iter().map(|port| {
            let bindings = port.bindings.iter().map(|binding| {
                let host = binding.host_ip.as_deref().unwrap_or("-");
                format!(" {host}:{}", binding.host_port)
            });
            format!(
                "{}/{}{}",
                port.number,
                port.protocol,
                bindings.collect::<String>()
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// The ports in `NetworkSettings`, and what is passed over.
    #[track_caller]
    fn check(known_ports: Json, expected: &str, odd: &[&str]) {
        let document = read(&json!({"NetworkSettings": {"Ports": known_ports}}));
        assert_eq!(shown(&known(&document)), expected);
        let odd: Vec<_> = odd
            .iter()
            .map(|odd| format!("{odd} in NetworkSettings.Ports"))
            .collect();
        assert_eq!(passed_over(&document), odd);
        assert_eq!(exposed(&document), []);
    }

    #[test]
    fn sorted_by_number_with_their_bindings() {
        check(
            json!({
                "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
                "53/udp": null,
                "53/tcp": [{"HostIp": "", "HostPort": ""}],
                "80/tcp": [
                    {"HostIp": "0.0.0.0", "HostPort": "8080"},
                    {"HostIp": "0.0.0.0", "HostPort": "8080"},
                    {"HostIp": "::", "HostPort": "8080"}],
            }),
            "53/tcp, 53/udp, 80/tcp 0.0.0.0:8080 :::8080, 443/tcp 127.0.0.1:8443",
            &[],
        );
    }

    #[test]
    fn every_spelling() {
        check(
            json!({"80": null, "81/TCP": [], "82/Udp": {}, "83/": null, "0084/sctp": null}),
            "80/tcp, 81/tcp, 82/udp, 83/tcp, 84/sctp",
            &[],
        );
        check(
            json!({"33060-33062/tcp": null, "5-5/udp": null, "7-8": []}),
            "5/udp, 7/tcp, 8/tcp, 33060/tcp, 33061/tcp, 33062/tcp",
            &[],
        );
    }

    #[test]
    fn one_port_in_several_spellings_has_the_bindings_of_all() {
        let bindings = json!([{"HostIp": "0.0.0.0", "HostPort": "55475"}, {"HostIp": "::", "HostPort": "55475"}]);
        let expected = "10000/tcp 0.0.0.0:55475 :::55475";
        for other in ["10000", "10000/TCP", "010000/tcp", "10000/"] {
            check(json!({other: [], "10000/tcp": bindings}), expected, &[]);
            check(json!({other: bindings, "10000/tcp": null}), expected, &[]);
            check(
                json!({other: bindings, "10000/tcp": bindings}),
                expected,
                &[],
            );
        }
        check(
            json!({"9999-10000/tcp": null, "10000/tcp": bindings}),
            &format!("9999/tcp, {expected}"),
            &[],
        );
        check(
            json!({"10000/udp": null, "10000/tcp": bindings}),
            &format!("{expected}, 10000/udp"),
            &[],
        );
    }

    #[test]
    fn what_is_odd_costs_that_port() {
        let names = [
            "0/tcp",
            "0-5/udp",
            "9-5/tcp",
            "65536/tcp",
            "80/quic",
            "+80/tcp",
            " 80/tcp",
            "-/tcp",
            "",
            "http",
            "tcp/80",
            "80-/tcp",
            "1-2-3",
            "80/tcp/x",
        ];
        for name in names {
            check(
                json!({name: null, "3306/tcp": null}),
                "3306/tcp",
                &[&format!("{name:?}")],
            );
        }
    }

    #[test]
    fn an_odd_binding_costs_that_binding() {
        let good = json!({"HostIp": "0.0.0.0", "HostPort": "8080"});
        for odd in [
            json!({"HostIp": "0.0.0.0", "HostPort": "x"}),
            json!({"HostIp": "0.0.0.0", "HostPort": "0"}),
            json!({"HostIp": "0.0.0.0", "HostPort": "70000"}),
            json!({"HostIp": "host", "HostPort": "80"}),
            json!({"HostIp": "", "HostPort": "8080-8081"}),
            json!("8080"),
        ] {
            let name = format!("{odd} of \"80/tcp\"");
            check(
                json!({"80/tcp": [odd, good]}),
                "80/tcp 0.0.0.0:8080",
                &[&name],
            );
        }
        let name = format!("{good} of \"80-81/tcp\"");
        check(json!({"80-81/tcp": [good]}), "80/tcp, 81/tcp", &[&name]);
    }

    #[test]
    fn no_ports() {
        for none in [
            json!(null),
            json!([]),
            json!({}),
            json!("80/tcp"),
            json!(80),
        ] {
            check(none, "", &[]);
        }
        assert_eq!(known(&read(&json!({}))), []);
    }

    #[test]
    fn exposed_ports_are_read_alike() {
        let document = read(
            &json!({"Config": {"ExposedPorts": {"3306/tcp": {}, "33060-33061/tcp": {}, "0/tcp": {}}}}),
        );
        assert_eq!(shown(&exposed(&document)), "3306/tcp, 33060/tcp, 33061/tcp");
        expect![[r#"["\"0/tcp\" in Config.ExposedPorts"]"#]]
            .assert_eq(&format!("{:?}", passed_over(&document)));
        assert_eq!(known(&document), []);
    }

    /// As a hostile image could have them.
    #[test]
    fn many_ranges_take_no_time() {
        let names = (1..5000).map(|last| (format!("1-{}/tcp", 60_000 + last), Json::Null));
        let document =
            read(&json!({"NetworkSettings": {"Ports": names.collect::<serde_json::Map<_, _>>()}}));
        let found = known(&document);
        assert!(found.len() > 60_000, "{}", found.len());
        assert_eq!(passed_over(&document).len(), 0);
    }

    #[test]
    fn where_it_is_published() {
        let bindings = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8081"}]);
        let document = read(
            &json!({"NetworkSettings": {"Ports": {"80": bindings, "81/tcp": null, "x": bindings}}}),
        );
        assert_eq!(
            published(&document),
            [(8080, (80, "tcp")), (8081, (80, "tcp"))]
        );
    }
}
