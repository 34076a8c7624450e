//! A container's place in one network, as a policy sees it.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use crate::inspect::text_of;
use allocative::Allocative;
use registrator_core::observe::document::{Document, Part};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_simple_value;
use starlark::values::none::NoneOr;
use starlark::values::{
    NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, starlark_value,
};
use starlark_derive::starlark_module;
use std::fmt;
use std::sync::Arc;

/// The end of a container in one network.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct Network {
    #[allocative(skip)]
    document: Arc<Document>,
    name: Box<str>,
}

impl Network {
    pub(super) fn new(document: &Arc<Document>, name: &str) -> Network {
        Network {
            document: Arc::clone(document),
            name: name.into(),
        }
    }

    /// The network of this name, if the container is in it.
    pub(super) fn of(document: &Arc<Document>, name: &str) -> Option<Network> {
        document.at(&["NetworkSettings", "Networks", name])?;
        Some(Network::new(document, name))
    }

    fn member(&self, name: &str) -> Option<Part<'_>> {
        self.document
            .at(&["NetworkSettings", "Networks", &self.name, name])
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name).and_then(text_of)
    }

    /// The engine writes 0 where there is no address.
    fn prefix_len(&self, name: &str) -> NoneOr<u32> {
        let number = self.member(name).and_then(Part::as_u64);
        let number = number.and_then(|number| u32::try_from(number).ok());
        NoneOr::from_option(number.filter(|number| *number > 0))
    }

    fn list(&self, name: &str) -> Vec<&str> {
        let items = self.member(name).into_iter().flat_map(Part::items);
        items.filter_map(Part::as_str).collect()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({})", self.name)
    }
}

starlark_simple_value!(Network);

starlark::methods_static!(NETWORK_METHODS = network_methods);

#[starlark_value(type = "Network")]
impl<'v> StarlarkValue<'v> for Network {
    fn get_methods() -> Option<&'static Methods> {
        Some(NETWORK_METHODS.methods())
    }
}

#[starlark_module]
fn network_methods(builder: &mut MethodsBuilder) {
    /// The network's name.
    #[starlark(attribute)]
    fn name<'v>(this: &'v Network) -> anyhow::Result<&'v str> {
        Ok(&this.name)
    }

    /// The network's id.
    #[starlark(attribute)]
    fn id<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("NetworkID")))
    }

    /// The IPv4 address.
    #[starlark(attribute)]
    fn ipv4<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("IPAddress")))
    }

    /// The IPv6 address.
    #[starlark(attribute)]
    fn ipv6<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("GlobalIPv6Address")))
    }

    /// The IPv4 address, else the IPv6 address.
    #[starlark(attribute)]
    fn ip<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        let address = this
            .text("IPAddress")
            .or_else(|| this.text("GlobalIPv6Address"));
        Ok(NoneOr::from_option(address))
    }

    /// All addresses, IPv4 first.
    #[starlark(attribute)]
    fn ips<'v>(this: &'v Network) -> anyhow::Result<Vec<&'v str>> {
        let addresses = ["IPAddress", "GlobalIPv6Address"];
        Ok(addresses
            .iter()
            .filter_map(|name| this.text(name))
            .collect())
    }

    /// The length of the IPv4 network's prefix.
    #[starlark(attribute)]
    fn ipv4_prefix_len(this: &Network) -> anyhow::Result<NoneOr<u32>> {
        Ok(this.prefix_len("IPPrefixLen"))
    }

    /// The length of the IPv6 network's prefix.
    #[starlark(attribute)]
    fn ipv6_prefix_len(this: &Network) -> anyhow::Result<NoneOr<u32>> {
        Ok(this.prefix_len("GlobalIPv6PrefixLen"))
    }

    /// The IPv4 gateway.
    #[starlark(attribute)]
    fn gateway<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("Gateway")))
    }

    /// The IPv6 gateway.
    #[starlark(attribute)]
    fn ipv6_gateway<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("IPv6Gateway")))
    }

    /// The hardware address.
    #[starlark(attribute)]
    fn mac<'v>(this: &'v Network) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.text("MacAddress")))
    }

    /// The names that the container has in the network besides its own.
    #[starlark(attribute)]
    fn aliases<'v>(this: &'v Network) -> anyhow::Result<Vec<&'v str>> {
        Ok(this.list("Aliases"))
    }
}
