//! Reads the parts of a container's inspect document that need more than a look-up.

use serde_json::Value as Json;

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
pub(crate) fn text<'a>(json: &'a Json, path: &[&str]) -> Option<&'a str> {
    at(json, path)?.as_str().filter(|text| !text.is_empty())
}

/// The value at a path of member names.
pub(crate) fn at<'a>(json: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(json, |value, name| value.get(name))
}

/// The ports that the engine knows for the running container, by number and protocol.
pub(crate) fn ports(json: &Json) -> Result<Vec<Port>, InspectError> {
    ports_at(json, "NetworkSettings.Ports", &["NetworkSettings", "Ports"])
}

/// The ports that image or user declared, by number and protocol; without bindings.
pub(crate) fn exposed_ports(json: &Json) -> Result<Vec<Port>, InspectError> {
    ports_at(json, "Config.ExposedPorts", &["Config", "ExposedPorts"])
}

fn ports_at(json: &Json, place: &'static str, path: &[&str]) -> Result<Vec<Port>, InspectError> {
    let Some(members) = at(json, path).and_then(Json::as_object) else {
        return Ok(Vec::new());
    };
    let ports = members
        .iter()
        .map(|(name, bindings)| port(place, name, bindings));
    let mut ports = ports.collect::<Result<Vec<Port>, _>>()?;
    ports.sort();
    Ok(ports)
}

fn port(place: &'static str, name: &str, bindings: &Json) -> Result<Port, InspectError> {
    let (number, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
    let number = number.parse().map_err(|_| InspectError {
        place,
        found: name.into(),
        expected: "PORT/PROTOCOL",
    })?;
    let mut found = Vec::new();
    for item in bindings.as_array().into_iter().flatten() {
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
fn binding(place: &'static str, json: &Json) -> Result<Option<Binding>, InspectError> {
    let Some(port) = text(json, &["HostPort"]) else {
        return Ok(None);
    };
    let host_port = port.parse().map_err(|_| InspectError {
        place,
        found: port.into(),
        expected: "a HostPort from 0 to 65535",
    })?;
    Ok(Some(Binding {
        host_ip: text(json, &["HostIp"]).map(str::to_owned),
        host_port,
    }))
}

/// `NAME=VALUE` at the first `=`; without one the value is empty.
pub(crate) fn environment(json: &Json) -> impl Iterator<Item = (&str, &str)> {
    let lines = at(json, &["Config", "Env"]).and_then(Json::as_array);
    let lines = lines.into_iter().flatten().filter_map(Json::as_str);
    lines.map(|line| line.split_once('=').unwrap_or((line, "")))
}

/// The members of an object of texts, in its order.
pub(crate) fn texts<'a>(json: &'a Json, path: &[&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let members = at(json, path).and_then(Json::as_object);
    let members = members.into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_sorted_by_number_and_keep_their_bindings() {
        let json = json!({"NetworkSettings": {"Ports": {
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
            "53/udp": null,
            "53/tcp": [{"HostIp": "", "HostPort": ""}],
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"}],
        }}});
        let found = ports(&json).unwrap();
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
        let json = json!({"Config": {"ExposedPorts": {"80-90/tcp": {}}}});
        assert_eq!(
            exposed_ports(&json).unwrap_err().to_string(),
            "Config.ExposedPorts of the inspect document has \"80-90/tcp\": it must be PORT/PROTOCOL"
        );
        let json = json!({"NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": "x"}]}}});
        assert_eq!(
            ports(&json).unwrap_err().to_string(),
            "NetworkSettings.Ports of the inspect document has \"x\": it must be a HostPort from 0 to 65535"
        );
        assert_eq!(ports(&json!({"NetworkSettings": null})).unwrap(), []);
    }

    #[test]
    fn environment_is_split_at_the_first_equals_sign() {
        let json = json!({"Config": {"Env": ["A=b=c", "B=", "C"]}});
        let found: Vec<_> = environment(&json).collect();
        assert_eq!(found, [("A", "b=c"), ("B", ""), ("C", "")]);
        assert_eq!(environment(&json!({"Config": {"Env": null}})).count(), 0);
    }
}
