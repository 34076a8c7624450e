//! The container as a policy sees it: an immutable, typed view of the inspect document. Nothing is converted before it is read.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use super::facts::{Compose, StarBinding, StarPort, State};
use super::json::to_star;
use super::network::Network;
use super::swarm::Swarm;
use crate::inspect::{environment, text, texts};
use allocative::Allocative;
use registrator_core::observe::container::Container as Inspected;
use registrator_core::observe::document::{Document, Part};
use registrator_core::observe::ports::{self, Port};
use starlark::environment::{GlobalsBuilder, Methods, MethodsBuilder};
use starlark::starlark_simple_value;
use starlark::values::dict::AllocDict;
use starlark::values::none::NoneOr;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{
    Heap, NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, Value,
    starlark_value,
};
use starlark_derive::starlark_module;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// One container.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct Container {
    #[allocative(skip)]
    inspected: Inspected,
    #[allocative(skip)]
    document: Arc<Document>,
    /// Those that the engine knows, from the first time on that somebody asks.
    #[allocative(skip)]
    ports: OnceLock<Vec<Port>>,
}

impl Container {
    /// The container, and its document.
    pub(super) fn new(inspected: &Inspected, document: &Arc<Document>) -> Container {
        Container {
            inspected: inspected.clone(),
            document: Arc::clone(document),
            ports: OnceLock::new(),
        }
    }

    fn ports(&self) -> &[Port] {
        self.ports.get_or_init(|| ports::known(&self.document))
    }

    fn known(&self, number: u16, protocol: &str) -> Option<&Port> {
        let known = self.ports();
        let place = |port: &Port| (port.number, port.protocol).cmp(&(number, protocol));
        known.get(known.binary_search_by(place).ok()?)
    }

    /// With the host's network the engine knows none, and those that are declared are all that is known.
    fn own_ports(&self) -> Vec<Port> {
        let declared = ports::exposed(&self.document).into_iter();
        if self.inspected.network_of().is_some() {
            let known = |port: Port| {
                self.known(port.number, port.protocol)
                    .cloned()
                    .unwrap_or(port)
            };
            return declared.map(known).collect();
        }
        let more = declared.filter(|port| self.known(port.number, port.protocol).is_none());
        let mut own: Vec<Port> = self.ports().iter().cloned().chain(more).collect();
        own.sort_by_key(|port| (port.number, port.protocol));
        own
    }

    fn text(&self, path: &[&str]) -> NoneOr<&str> {
        NoneOr::from_option(text(&self.document, path))
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({})", self.inspected.name())
    }
}

starlark_simple_value!(Container);

starlark::methods_static!(CONTAINER_METHODS = container_methods);

#[starlark_value(type = "Container")]
impl<'v> StarlarkValue<'v> for Container {
    fn get_methods() -> Option<&'static Methods> {
        Some(CONTAINER_METHODS.methods())
    }
}

/// The types that policies can write in annotations.
#[starlark_module]
#[starlark_types(Container as Container, Network as Network, StarPort as Port, StarBinding as Binding, State as State, Compose as Compose, Swarm as Swarm)]
pub(super) fn container_types(builder: &mut GlobalsBuilder) {}

#[starlark_module]
fn container_methods(builder: &mut MethodsBuilder) {
    /// The engine's id, 64 hexadecimal digits.
    #[starlark(attribute)]
    fn id<'v>(this: &'v Container) -> anyhow::Result<&'v str> {
        Ok(this.inspected.id().as_str())
    }

    /// The first 12 digits of the id.
    #[starlark(attribute)]
    fn short_id<'v>(this: &'v Container) -> anyhow::Result<&'v str> {
        Ok(this.inspected.id().short())
    }

    /// The name, without the slash before it.
    #[starlark(attribute)]
    fn name<'v>(this: &'v Container) -> anyhow::Result<&'v str> {
        Ok(this.inspected.name())
    }

    /// The host name inside the container.
    #[starlark(attribute)]
    fn hostname<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["Config", "Hostname"]))
    }

    /// The domain name inside the container.
    #[starlark(attribute)]
    fn domainname<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["Config", "Domainname"]))
    }

    /// The image as it was given to create the container.
    #[starlark(attribute)]
    fn image<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["Config", "Image"]))
    }

    /// The image's id, as `sha256:…`.
    #[starlark(attribute)]
    fn image_id<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["Image"]))
    }

    /// The program that runs and its arguments.
    #[starlark(attribute)]
    fn command<'v>(this: &'v Container) -> anyhow::Result<Vec<&'v str>> {
        let arguments = this.document.at(&["Args"]);
        let arguments = arguments.into_iter().flat_map(Part::items);
        let arguments = arguments.filter_map(Part::as_str);
        Ok(text(&this.document, &["Path"])
            .into_iter()
            .chain(arguments)
            .collect())
    }

    /// The labels.
    #[starlark(attribute)]
    fn labels<'v>(this: &'v Container) -> anyhow::Result<AllocDict<Vec<(&'v str, &'v str)>>> {
        Ok(AllocDict(
            texts(&this.document, &["Config", "Labels"]).collect(),
        ))
    }

    /// The environment variables of the image and of `docker run`.
    #[starlark(attribute)]
    fn env<'v>(this: &'v Container) -> anyhow::Result<AllocDict<Vec<(&'v str, &'v str)>>> {
        Ok(AllocDict(environment(&this.document).collect()))
    }

    /// The networks by name.
    #[starlark(attribute)]
    fn networks<'v>(this: &'v Container) -> anyhow::Result<AllocDict<Vec<(&'v str, Network)>>> {
        let networks = this.document.at(&["NetworkSettings", "Networks"]);
        let members = networks.into_iter().flat_map(Part::members);
        let network = |(name, _)| (name, Network::new(&this.document, name));
        Ok(AllocDict(members.map(network).collect()))
    }

    /// How it was attached: `bridge`, `host`, `none`, `container:…` or the name of a network.
    #[starlark(attribute)]
    fn network_mode<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["HostConfig", "NetworkMode"]))
    }

    /// The ports that the engine knows for the running container, with their bindings on the host, by number.
    #[starlark(attribute)]
    fn ports(this: &Container) -> anyhow::Result<Vec<StarPort>> {
        Ok(this.ports().iter().cloned().map(StarPort).collect())
    }

    /// The ports that image or user declared, by number. They are known with the host's network too.
    #[starlark(attribute)]
    fn exposed_ports(this: &Container) -> anyhow::Result<Vec<StarPort>> {
        Ok(ports::exposed(&this.document)
            .into_iter()
            .map(StarPort)
            .collect())
    }

    /// Those of both that are its own: in the network of another container the engine knows the other's.
    #[starlark(attribute)]
    fn own_ports(this: &Container) -> anyhow::Result<Vec<StarPort>> {
        Ok(this.own_ports().into_iter().map(StarPort).collect())
    }

    /// Whether its process runs; not while it waits for its next start after a crash.
    #[starlark(attribute)]
    fn running(this: &Container) -> anyhow::Result<bool> {
        Ok(this.inspected.running())
    }

    /// Whether it was asked to stop, and still runs.
    #[starlark(attribute)]
    fn stopping(this: &Container) -> anyhow::Result<bool> {
        let status = text(&this.document, &["State", "Status"]);
        Ok(status == Some("stopping"))
    }

    /// Its state.
    #[starlark(attribute)]
    fn state(this: &Container) -> anyhow::Result<State> {
        Ok(State::new(&this.document))
    }

    /// `healthy`, `unhealthy` or `starting`; None without a health check.
    #[starlark(attribute)]
    fn health<'v>(this: &'v Container) -> anyhow::Result<NoneOr<&'v str>> {
        let status = text(&this.document, &["State", "Health", "Status"]);
        Ok(NoneOr::from_option(
            status.filter(|status| *status != "none"),
        ))
    }

    /// What Docker Compose says about it; None if it is not part of a project.
    #[starlark(attribute)]
    fn compose(this: &Container) -> anyhow::Result<NoneOr<Compose>> {
        Ok(NoneOr::from_option(Compose::of(&this.document)))
    }

    /// What Docker Swarm says about it; None if it is not a task of a service.
    #[starlark(attribute)]
    fn swarm(this: &Container) -> anyhow::Result<NoneOr<Swarm>> {
        Ok(NoneOr::from_option(Swarm::of(&this.document)))
    }

    /// The label's value, or `default`.
    fn label<'v>(
        this: &'v Container,
        #[starlark(require = pos)] name: &str,
        default: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        let found = this.document.at(&["Config", "Labels", name]);
        let found = found.and_then(Part::as_str);
        let found = found.map(|text| heap.alloc_str(text).to_value());
        Ok(found.or(default).unwrap_or_else(Value::new_none))
    }

    /// The port of this number that the engine knows, or None.
    fn port(
        this: &Container,
        #[starlark(require = pos)] number: i32,
        #[starlark(default = "tcp")] protocol: &str,
    ) -> anyhow::Result<NoneOr<StarPort>> {
        let number = u16::try_from(number).ok();
        let found = number.and_then(|number| this.known(number, protocol));
        Ok(NoneOr::from_option(found.cloned().map(StarPort)))
    }

    /// The network of this name, or None.
    fn network(
        this: &Container,
        #[starlark(require = pos)] name: &str,
    ) -> anyhow::Result<NoneOr<Network>> {
        Ok(NoneOr::from_option(Network::of(&this.document, name)))
    }

    /// The IPv4 address in the network of this name, or None.
    fn network_ip<'v>(
        this: &'v Container,
        #[starlark(require = pos)] name: &str,
    ) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(this.text(&["NetworkSettings", "Networks", name, "IPAddress"]))
    }

    /// Any part of the inspect document: members by name, items by number. None if a step is missing or the text is empty.
    fn dig<'v>(
        this: &Container,
        #[starlark(args)] path: UnpackTuple<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        let mut found = Some(this.document.root());
        for step in path.items {
            found = match (step.unpack_str(), step.unpack_i32()) {
                (Some(name), _) => found.and_then(|part| part.member(name)),
                (_, Some(index)) => found.and_then(|part| part.item(usize::try_from(index).ok()?)),
                (None, None) => anyhow::bail!(
                    "dig: a step must be a str or an int, not a {}",
                    step.get_type()
                ),
            };
        }
        match found {
            None => Ok(Value::new_none()),
            Some(part) if part.as_str() == Some("") => Ok(Value::new_none()),
            Some(part) => Ok(to_star(&serde_json::from_str(part.text())?, heap)?),
        }
    }
}
