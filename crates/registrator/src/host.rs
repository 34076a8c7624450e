//! What policies are told of this host, since they cannot look by themselves: its addresses and its name.
//!
//! They are found once, at the start: equal inputs of a policy must give equal nodes.

use crate::settings::HostFactSettings;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The variables in which policies find it.
const IPV4: &str = "KONTENA_REGISTRATOR_HOST_IP";
const IPV6: &str = "KONTENA_REGISTRATOR_HOST_IPV6";
const NAME: &str = "KONTENA_REGISTRATOR_HOST_NAME";

/// Each interface with its addresses, in the system's order.
type Interfaces = BTreeMap<String, Vec<IpAddr>>;

/// What is known of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub name: Option<String>,
}

/// Why an interface gives no address.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system does not tell.
    #[error(
        "cannot list the network interfaces for --host-interface (KONTENA_REGISTRATOR_HOST_INTERFACE)"
    )]
    Interfaces(#[source] io::Error),
    /// There is no such interface.
    #[error(
        "--host-interface (KONTENA_REGISTRATOR_HOST_INTERFACE): there is no network interface {name:?}; there are {existing}"
    )]
    NoInterface {
        name: String,
        /// The names of those that exist.
        existing: String,
    },
    /// It has no address that other hosts could reach.
    #[error(
        "--host-interface (KONTENA_REGISTRATOR_HOST_INTERFACE): the network interface {name:?} has no global address; those that have one are {usable}"
    )]
    NoAddress {
        name: String,
        /// The names of those with a global address.
        usable: String,
    },
}

impl Host {
    /// What the settings say, completed by what the system says.
    ///
    /// # Errors
    /// The interface does not exist, or has no global address.
    pub fn new(settings: &HostFactSettings) -> Result<Host, HostError> {
        let interface = match &settings.host_interface {
            Some(name) => addresses_of(name, &interfaces().map_err(HostError::Interfaces)?)?,
            None => Vec::new(),
        };
        let known = || settings.host_ips.iter().chain(&interface);
        Ok(Host {
            ipv4: known().find_map(|ip| match ip {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            }),
            ipv6: known().find_map(|ip| match ip {
                IpAddr::V4(_) => None,
                IpAddr::V6(v6) => Some(*v6),
            }),
            name: settings.host_name.clone().or_else(machine_name),
        })
    }

    /// The variables for policies; `None` is not set.
    pub fn variables(self) -> [(&'static str, Option<String>); 3] {
        [
            (IPV4, self.ipv4.map(|ip| ip.to_string())),
            (IPV6, self.ipv6.map(|ip| ip.to_string())),
            (NAME, self.name),
        ]
    }

    /// Addresses at which other hosts do not find this one: loopback and link-local ones.
    pub fn unreachable(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = [self.ipv4.map(IpAddr::V4), self.ipv6.map(IpAddr::V6)];
        addresses.into_iter().flatten().filter(|ip| !is_global(*ip))
    }
}

/// The machine's host name.
pub fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The global addresses of an interface.
fn addresses_of(name: &str, interfaces: &Interfaces) -> Result<Vec<IpAddr>, HostError> {
    let global = |addresses: &[IpAddr]| -> Vec<IpAddr> {
        let global = addresses.iter().copied().filter(|ip| is_global(*ip));
        global.collect()
    };
    let Some(addresses) = interfaces.get(name) else {
        return Err(HostError::NoInterface {
            name: name.into(),
            existing: names(interfaces.keys()),
        });
    };
    let found = global(addresses);
    if found.is_empty() {
        let usable = interfaces
            .iter()
            .filter(|(_, other)| !global(other).is_empty());
        return Err(HostError::NoAddress {
            name: name.into(),
            usable: names(usable.map(|(name, _)| name)),
        });
    }
    Ok(found)
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Whether it means the same host beyond this host and this link. Private addresses do, on a private network.
fn is_global(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

/// The system lists an interface once for each of its addresses, and once for its hardware.
fn interfaces() -> io::Result<Interfaces> {
    let mut found = Interfaces::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let addresses = found.entry(entry.interface_name).or_default();
        let Some(address) = entry.address else {
            continue;
        };
        let v4 = address.as_sockaddr_in();
        let v6 = address.as_sockaddr_in6();
        addresses.extend(v4.map(|v4| IpAddr::V4(v4.ip())));
        addresses.extend(v6.map(|v6| IpAddr::V6(v6.ip())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces_of(list: &[(&str, &[&str])]) -> Interfaces {
        let parse = |addresses: &&[&str]| addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        list.iter()
            .map(|(name, addresses)| (name.to_string(), parse(addresses)))
            .collect()
    }

    #[test]
    fn an_interface_gives_its_global_addresses_in_order() {
        let interfaces = interfaces_of(&[
            ("lo", &["127.0.0.1", "::1"]),
            (
                "eth0",
                &[
                    "169.254.1.1",
                    "192.0.2.1",
                    "192.0.2.2",
                    "fe80::1",
                    "fd00::2",
                    "2001:db8::3",
                ],
            ),
            ("eth1", &[]),
        ]);
        let found = |name| addresses_of(name, &interfaces);
        let expected = ["192.0.2.1", "192.0.2.2", "fd00::2", "2001:db8::3"];
        let shown = found("eth0").unwrap().into_iter().map(|ip| ip.to_string());
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let error = |name| found(name).unwrap_err().to_string();
        let beginning = "--host-interface (KONTENA_REGISTRATOR_HOST_INTERFACE): ";
        assert_eq!(
            error("wlan0"),
            format!("{beginning}there is no network interface \"wlan0\"; there are eth0, eth1, lo")
        );
        for name in ["lo", "eth1"] {
            assert_eq!(
                error(name),
                format!(
                    "{beginning}the network interface {name:?} has no global address; those that have one are eth0"
                )
            );
        }
    }

    #[test]
    fn an_error_lists_the_interfaces_that_exist() {
        let interfaces = interfaces().unwrap();
        assert!(interfaces.contains_key("lo"), "{interfaces:?}");
        let settings = |name: &str| HostFactSettings {
            host_interface: Some(name.into()),
            ..HostFactSettings::default()
        };
        let missing = Host::new(&settings("no such interface")).unwrap_err();
        assert!(
            matches!(missing, HostError::NoInterface { .. }),
            "{missing}"
        );
        assert!(missing.to_string().contains("lo"), "{missing}");
    }

    #[test]
    fn what_is_given_needs_no_look() {
        let host = Host::new(&HostFactSettings {
            host_ips: vec![
                "2001:db8::10".parse().unwrap(),
                "127.0.0.1".parse().unwrap(),
            ],
            host_interface: None,
            host_name: Some("node-1".into()),
        });
        let host = host.unwrap();
        assert_eq!(
            host.unreachable().collect::<Vec<_>>(),
            [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        );
        let expected = [
            (IPV4, Some("127.0.0.1".to_owned())),
            (IPV6, Some("2001:db8::10".to_owned())),
            (NAME, Some("node-1".to_owned())),
        ];
        assert_eq!(host.variables(), expected);
    }

    #[test]
    fn without_settings_the_machine_s_name_is_all_that_is_known() {
        let host = Host::new(&HostFactSettings::default()).unwrap();
        assert_eq!((host.ipv4, host.ipv6), (None, None));
        assert_eq!(host.name, machine_name());
        assert!(host.name.is_some());
    }
}
