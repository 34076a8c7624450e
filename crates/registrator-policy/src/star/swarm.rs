//! A container's place in Docker Swarm, which the engine writes into the labels of tasks.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use crate::inspect::text;
use allocative::Allocative;
use registrator_core::observe::document::Document;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_simple_value;
use starlark::values::none::NoneOr;
use starlark::values::{
    NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, starlark_value,
};
use starlark_derive::starlark_module;
use std::fmt;
use std::sync::Arc;

const SERVICE: &str = "com.docker.swarm.service.name";
const TASK: &str = "com.docker.swarm.task.name";
const STACK: &str = "com.docker.stack.namespace";

/// A task of a service.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct Swarm(#[allocative(skip)] Arc<Document>);

impl Swarm {
    /// `None` unless the service is known.
    pub(super) fn of(document: &Arc<Document>) -> Option<Swarm> {
        let swarm = Swarm(Arc::clone(document));
        swarm.label(SERVICE).is_some().then_some(swarm)
    }

    fn label(&self, name: &str) -> Option<&str> {
        text(&self.0, &["Config", "Labels", name])
    }

    fn stack_name(&self) -> Option<&str> {
        self.label(STACK)
    }

    /// The service's name is that of its stack, `_`, and the one in the stack's file.
    fn name_in_stack(&self) -> &str {
        let service = self.label(SERVICE).unwrap_or_default();
        let own = self.stack_name().and_then(|stack| {
            let rest = service.strip_prefix(stack)?.strip_prefix('_')?;
            Some(rest).filter(|rest| !rest.is_empty())
        });
        own.unwrap_or(service)
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swarm({})", self.label(SERVICE).unwrap_or_default())
    }
}

starlark_simple_value!(Swarm);

starlark::methods_static!(SWARM_METHODS = swarm_methods);

#[starlark_value(type = "Swarm")]
impl<'v> StarlarkValue<'v> for Swarm {
    fn get_methods() -> Option<&'static Methods> {
        Some(SWARM_METHODS.methods())
    }
}

#[starlark_module]
fn swarm_methods(builder: &mut MethodsBuilder) {
    /// The service's name: `shop_web`.
    #[starlark(attribute)]
    fn service<'v>(this: &'v Swarm) -> anyhow::Result<&'v str> {
        Ok(this.label(SERVICE).unwrap_or_default())
    }

    /// The service's name in the file of its stack: `web`; without a stack as `service`.
    #[starlark(attribute)]
    fn name<'v>(this: &'v Swarm) -> anyhow::Result<&'v str> {
        Ok(this.name_in_stack())
    }

    /// The stack's name: `shop`.
    #[starlark(attribute)]
    fn stack<'v>(this: &'v Swarm) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.stack_name()))
    }

    /// The task's name: `shop_web.1.to13ep3d3vhxa7tv9ztm0axpi`.
    #[starlark(attribute)]
    fn task<'v>(this: &'v Swarm) -> anyhow::Result<NoneOr<&'v str>> {
        Ok(NoneOr::from_option(this.label(TASK)))
    }
}
