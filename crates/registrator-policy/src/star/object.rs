//! `object`: nodes that are one thing.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use super::answer::node_text;
use super::guards::count;
use crate::define;
use allocative::Allocative;
use registrator_core::node::{Key, Object, Value as NodeValue};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_simple_value;
use starlark::values::dict::UnpackDictEntries;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::{
    NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, Value, ValueLike,
    starlark_value,
};
use starlark_derive::starlark_module;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes that a node takes besides its key and value, roughly.
const NODE_BYTES: usize = 100;

/// What `object` returns: to be compared, printed and returned, and nothing else.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(super) struct StarObject(#[allocative(skip)] pub(super) Object);

impl fmt::Display for StarObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object({:?})", self.0.name().as_str())
    }
}

starlark_simple_value!(StarObject);

#[starlark_value(type = "object")]
impl<'v> StarlarkValue<'v> for StarObject {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let other = other.downcast_ref::<StarObject>();
        Ok(other.is_some_and(|other| other.0 == self.0))
    }
}

#[starlark_module]
pub(super) fn objects(builder: &mut GlobalsBuilder) {
    /// Nodes that are one thing: they count as a whole, or not at all. Keys go on from the name.
    fn object<'v>(
        name: &str,
        nodes: UnpackDictEntries<&'v str, Value<'v>>,
        #[starlark(require = named, default = UnpackDictEntries::default())]
        members: UnpackDictEntries<&'v str, Value<'v>>,
        #[starlark(require = named, default = "smallest")] conflict: &str,
        #[starlark(require = named, default = UnpackListOrTuple::default())]
        uses: UnpackListOrTuple<&'v str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<StarObject> {
        let name = define::name(name).map_err(anyhow::Error::from)?;
        let nodes = read(&name, nodes, eval)?;
        let members = read(&name, members, eval)?;
        let used: usize = uses.items.iter().map(|name| name.len() + NODE_BYTES).sum();
        count(eval, used)?;
        let object = define::object(&name, conflict, nodes, members, uses.items);
        Ok(StarObject(object.map_err(anyhow::Error::from)?))
    }
}

/// The nodes of a dict. They lie outside the interpreter's heap, so they are counted one by one.
fn read<'v>(
    object: &Key,
    nodes: UnpackDictEntries<&'v str, Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<BTreeMap<Key, NodeValue>> {
    let mut found = BTreeMap::new();
    for (key, value) in nodes.entries {
        if value.is_none() {
            continue;
        }
        let text = node_text(value)
            .map_err(|error| anyhow::anyhow!("object {object}: the value of {key:?}: {error}"))?;
        count(
            eval,
            object.as_str().len() + key.len() + text.len() + NODE_BYTES,
        )?;
        let (key, value) = define::node(object, key, &text).map_err(anyhow::Error::from)?;
        found.insert(key, value);
    }
    Ok(found)
}
