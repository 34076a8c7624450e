//! Reads the parts of a container's inspect document that need more than a look-up.

use registrator_core::observe::document::{Document, Part};

/// A port of a container and where it is published on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    /// The port in the container.
    pub(crate) number: u16,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    /// Where it is published. The engine lists IPv4 and IPv6 apart.
    pub(crate) bindings: Vec<Binding>,
}

/// One place where a port is published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    /// The host's address; `0.0.0.0` or `::` for all.
    pub(crate) host_ip: Option<String>,
    /// The host's port.
    pub(crate) host_port: u16,
}

/// A part of the document that is not as the engine writes it.
#[derive(Debug, thiserror::Error)]
#[error("{place} of the inspect document has {found:?}: it must be {expected}")]
pub(crate) struct InspectError {
    place: &'static str,
    found: String,
    expected: &'static str,
}

/// The text at a path of member names; `None` if it is missing, empty or no text.
pub(crate) fn text<'a>(document: &'a Document, path: &[&str]) -> Option<&'a str> {
    document.at(path).and_then(text_of)
}

/// The text that a part is; `None` if it is empty or no text.
pub(crate) fn text_of(part: Part<'_>) -> Option<&str> {
    part.as_str().filter(|text| !text.is_empty())
}

/// The ports that the engine knows for the running container, by number and protocol.
pub(crate) fn ports(document: &Document) -> Result<Vec<Port>, InspectError> {
    ports_at(
        document,
        "NetworkSettings.Ports",
        &["NetworkSettings", "Ports"],
    )
}

/// The ports that image or user declared, by number and protocol; without bindings.
pub(crate) fn exposed_ports(document: &Document) -> Result<Vec<Port>, InspectError> {
    ports_at(document, "Config.ExposedPorts", &["Config", "ExposedPorts"])
}

fn ports_at(
    document: &Document,
    place: &'static str,
    path: &[&str],
) -> Result<Vec<Port>, InspectError> {
    let members = document.at(path).into_iter().flat_map(Part::members);
    let ports = members.map(|(name, bindings)| port(place, name, bindings));
    let mut ports = ports.collect::<Result<Vec<Port>, _>>()?;
    ports.sort();
    Ok(ports)
}

fn port(place: &'static str, name: &str, bindings: Part<'_>) -> Result<Port, InspectError> {
    let (number, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
    let number = number.parse().map_err(|_| InspectError {
        place,
        found: name.into(),
        expected: "PORT/PROTOCOL",
    })?;
    let mut found = Vec::new();
    for item in bindings.items() {
        let binding = binding(place, item)?;
        found.extend(binding.filter(|binding| !found.contains(binding)));
    }
    Ok(Port {
        number,
        protocol: protocol.into(),
        bindings: found,
    })
}

/// A binding whose port the engine has not chosen yet is none.
fn binding(place: &'static str, part: Part<'_>) -> Result<Option<Binding>, InspectError> {
    let Some(port) = part.member("HostPort").and_then(text_of) else {
        return Ok(None);
    };
    let host_port = port.parse().map_err(|_| InspectError {
        place,
        found: port.into(),
        expected: "a HostPort from 0 to 65535",
    })?;
    Ok(Some(Binding {
        host_ip: part.member("HostIp").and_then(text_of).map(str::to_owned),
        host_port,
    }))
}

/// `NAME=VALUE` at the first `=`; without one the value is empty.
pub(crate) fn environment(document: &Document) -> impl Iterator<Item = (&str, &str)> {
    let lines = document.at(&["Config", "Env"]);
    let lines = lines.into_iter().flat_map(Part::items);
    let lines = lines.filter_map(Part::as_str);
    lines.map(|line| line.split_once('=').unwrap_or((line, "")))
}

/// The members of an object of texts, in its order.
pub(crate) fn texts<'a>(
    document: &'a Document,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let members = document.at(path).into_iter().flat_map(Part::members);
    members.filter_map(|(name, value)| Some((name, value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn read(json: Json) -> Document {
        Document::parse(json.to_string()).unwrap()
    }

    #[test]
    fn ports_are_sorted_by_number_and_keep_their_bindings() {
        let document = read(json!({"NetworkSettings": {"Ports": {
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
            "53/udp": null,
            "53/tcp": [{"HostIp": "", "HostPort": ""}],
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"}],
        }}}));
        let found = ports(&document).unwrap();
        let shown: Vec<String> = found.iter().map(show).collect();
        let expected = [
            "53/tcp",
            "53/udp",
            "80/tcp 0.0.0.0:8080 :::8080",
            "443/tcp 127.0.0.1:8443",
        ];
        assert_eq!(shown, expected);
    }

    fn show(port: &Port) -> String {
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
    }

    #[test]
    fn a_strange_port_is_named() {
        let document = read(json!({"Config": {"ExposedPorts": {"80-90/tcp": {}}}}));
        assert_eq!(
            exposed_ports(&document).unwrap_err().to_string(),
            "Config.ExposedPorts of the inspect document has \"80-90/tcp\": it must be PORT/PROTOCOL"
        );
        let document = read(json!({"NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": "x"}]}}}));
        assert_eq!(
            ports(&document).unwrap_err().to_string(),
            "NetworkSettings.Ports of the inspect document has \"x\": it must be a HostPort from 0 to 65535"
        );
        assert_eq!(ports(&read(json!({"NetworkSettings": null}))).unwrap(), []);
    }

    #[test]
    fn environment_is_split_at_the_first_equals_sign() {
        let document = read(json!({"Config": {"Env": ["A=b=c", "B=", "C"]}}));
        let found: Vec<_> = environment(&document).collect();
        assert_eq!(found, [("A", "b=c"), ("B", ""), ("C", "")]);
        assert_eq!(
            environment(&read(json!({"Config": {"Env": null}}))).count(),
            0
        );
    }
}
