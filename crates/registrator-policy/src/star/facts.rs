//! The smaller parts of a container: ports, state, Compose's labels.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use crate::inspect::text;
use allocative::Allocative;
use registrator_core::observe::document::{Document, Part};
use registrator_core::observe::ports::{Binding, Port};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_simple_value;
use starlark::values::none::NoneOr;
use starlark::values::{
    NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, starlark_value,
};
use starlark_derive::starlark_module;
use std::fmt;
use std::sync::Arc;

/// A port of the container.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct StarPort(#[allocative(skip)] pub(super) Port);

impl fmt::Display for StarPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({}/{})", self.0.number, self.0.protocol)
    }
}

starlark_simple_value!(StarPort);

starlark::methods_static!(PORT_METHODS = port_methods);

#[starlark_value(type = "Port")]
impl<'v> StarlarkValue<'v> for StarPort {
    fn get_methods() -> Option<&'static Methods> {
        Some(PORT_METHODS.methods())
    }
}

#[starlark_module]
fn port_methods(builder: &mut MethodsBuilder) {
    /// The port's number in the container.
    #[starlark(attribute)]
    fn port(this: &StarPort) -> anyhow::Result<u32> {
        Ok(this.0.number.into())
    }

    /// `tcp`, `udp` or `sctp`.
    #[starlark(attribute)]
    fn protocol<'v>(this: &'v StarPort) -> anyhow::Result<&'v str> {
        Ok(this.0.protocol)
    }

    /// Where it is published on the host; IPv4 and IPv6 are apart.
    #[starlark(attribute)]
    fn bindings(this: &StarPort) -> anyhow::Result<Vec<StarBinding>> {
        Ok(this.0.bindings.iter().cloned().map(StarBinding).collect())
    }

    /// The host's port of the first binding.
    #[starlark(attribute)]
    fn host_port(this: &StarPort) -> anyhow::Result<NoneOr<u32>> {
        let first = this.0.bindings.first();
        Ok(NoneOr::from_option(
            first.map(|binding| binding.host_port.into()),
        ))
    }
}

/// One place where a port is published.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct StarBinding(#[allocative(skip)] Binding);

impl fmt::Display for StarBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({})", self.0.host_port)
    }
}

starlark_simple_value!(StarBinding);

starlark::methods_static!(BINDING_METHODS = binding_methods);

#[starlark_value(type = "Binding")]
impl<'v> StarlarkValue<'v> for StarBinding {
    fn get_methods() -> Option<&'static Methods> {
        Some(BINDING_METHODS.methods())
    }
}

#[starlark_module]
fn binding_methods(builder: &mut MethodsBuilder) {
    /// The host's address; `0.0.0.0` or `::` stands for all.
    #[starlark(attribute)]
    fn host_ip<'v>(this: &'v StarBinding) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.0.host_ip.as_deref()))
    }

    /// The host's port.
    #[starlark(attribute)]
    fn host_port(this: &StarBinding) -> anyhow::Result<u32> {
        Ok(this.0.host_port.into())
    }
}

/// The state of the container.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct State(#[allocative(skip)] Arc<Document>);

impl State {
    pub(super) fn new(document: &Arc<Document>) -> State {
        State(Arc::clone(document))
    }

    fn flag(&self, name: &str) -> bool {
        let flag = self.0.at(&["State", name]);
        flag.and_then(Part::as_bool).unwrap_or(false)
    }

    /// The engine writes the year 1 for what has not happened.
    fn time(&self, name: &str) -> Option<&str> {
        text(&self.0, &["State", name]).filter(|time| !time.starts_with("0001-"))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = text(&self.0, &["State", "Status"]);
        write!(f, "State({})", status.unwrap_or_default())
    }
}

starlark_simple_value!(State);

starlark::methods_static!(STATE_METHODS = state_methods);

#[starlark_value(type = "State")]
impl<'v> StarlarkValue<'v> for State {
    fn get_methods() -> Option<&'static Methods> {
        Some(STATE_METHODS.methods())
    }
}

#[starlark_module]
fn state_methods(builder: &mut MethodsBuilder) {
    /// `created`, `running`, `stopping`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    #[starlark(attribute)]
    fn status<'v>(this: &'v State) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(text(&this.0, &["State", "Status"])))
    }

    /// Whether the process runs; also while it is paused, and not while it waits for its next start.
    #[starlark(attribute)]
    fn running(this: &State) -> anyhow::Result<bool> {
        Ok(this.flag("Running") && !this.flag("Restarting"))
    }

    /// Whether it is paused.
    #[starlark(attribute)]
    fn paused(this: &State) -> anyhow::Result<bool> {
        Ok(this.flag("Paused"))
    }

    /// Whether the engine is starting it again.
    #[starlark(attribute)]
    fn restarting(this: &State) -> anyhow::Result<bool> {
        Ok(this.flag("Restarting"))
    }

    /// When it was last started, as in RFC 3339.
    #[starlark(attribute)]
    fn started_at<'v>(this: &'v State) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.time("StartedAt")))
    }

    /// When it last ended, as in RFC 3339.
    #[starlark(attribute)]
    fn finished_at<'v>(this: &'v State) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.time("FinishedAt")))
    }

    /// How its process last ended.
    #[starlark(attribute)]
    fn exit_code(this: &State) -> anyhow::Result<i64> {
        let code = this.0.at(&["State", "ExitCode"]);
        Ok(code.and_then(Part::as_i64).unwrap_or(0))
    }
}

/// The container's place in a Compose project, which Compose writes into labels.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct Compose(#[allocative(skip)] Arc<Document>);

impl Compose {
    /// `None` unless project and service are known.
    pub(super) fn of(document: &Arc<Document>) -> Option<Compose> {
        let compose = Compose(Arc::clone(document));
        let known = compose.label("project").is_some() && compose.label("service").is_some();
        known.then_some(compose)
    }

    fn label(&self, name: &str) -> Option<&str> {
        let label = format!("com.docker.compose.{name}");
        text(&self.0, &["Config", "Labels", &label])
    }
}

impl fmt::Display for Compose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name| self.label(name).unwrap_or_default();
        write!(f, "Compose({}/{})", part("project"), part("service"))
    }
}

starlark_simple_value!(Compose);

starlark::methods_static!(COMPOSE_METHODS = compose_methods);

#[starlark_value(type = "Compose")]
impl<'v> StarlarkValue<'v> for Compose {
    fn get_methods() -> Option<&'static Methods> {
        Some(COMPOSE_METHODS.methods())
    }
}

#[starlark_module]
fn compose_methods(builder: &mut MethodsBuilder) {
    /// The project's name.
    #[starlark(attribute)]
    fn project<'v>(this: &'v Compose) -> anyhow::Result<&'v str> {
        Ok(this.label("project").unwrap_or_default())
    }

    /// The service's name.
    #[starlark(attribute)]
    fn service<'v>(this: &'v Compose) -> anyhow::Result<&'v str> {
        Ok(this.label("service").unwrap_or_default())
    }

    /// The container's number among those of the service, from 1.
    #[starlark(attribute)]
    fn number(this: &Compose) -> anyhow::Result<NoneOr<u32>> {
        let number = this
            .label("container-number")
            .and_then(|text| text.parse().ok());
        Ok(NoneOr::from_option(number))
    }

    /// Whether `docker compose run` started it.
    #[starlark(attribute)]
    fn oneoff(this: &Compose) -> anyhow::Result<bool> {
        Ok(this
            .label("oneoff")
            .is_some_and(|text| text.eq_ignore_ascii_case("true")))
    }
}
