//! The words with which a policy declares itself while it is loaded, `config`, `attr`, `env`, and with which it speaks to people, `inform` and `explain`.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`) and panics for a feature that is off
// (`StarlarkPagablePanic`); there is nothing of the kind by hand.
#![allow(unsafe_code, clippy::panic)]

use super::guards::{Evaluating, Room};
use super::json::from_star;
use super::types;
use allocative::Allocative;
use registrator_core::evaluate::evaluation::Level;
use registrator_core::observe::allowed::Allowed;
use registrator_core::observe::etcd_path::EtcdPath;
use registrator_core::observe::spec::{Attribute, Schema, Type};
use serde_json::Value as Json;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_simple_value;
use starlark::values::dict::UnpackDictEntries;
use starlark::values::none::NoneType;
use starlark::values::{
    NoSerialize, ProvidesStaticType, StarlarkPagablePanic, StarlarkValue, Value, starlark_value,
};
use starlark_derive::starlark_module;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// The variables that were read, with what was found.
pub(super) type EnvReads = Rc<RefCell<BTreeMap<String, Option<String>>>>;

/// What the words work on. It is there only while a file is loaded.
#[derive(Debug, ProvidesStaticType)]
pub(super) struct Loading {
    /// The environment as it was at the start.
    pub(super) env: Arc<BTreeMap<String, String>>,
    /// What was read of it, by the policy and its helper files.
    pub(super) reads: EnvReads,
    /// Whether the file is the policy itself.
    pub(super) is_policy: bool,
    /// The memory that the file may use.
    pub(super) room: Room,
    /// What `config` declared.
    pub(super) declared: RefCell<Option<Schema>>,
}

fn loading<'a>(eval: &'a Evaluator<'_, '_, '_>, word: &str) -> anyhow::Result<&'a Loading> {
    let found = eval.extra.and_then(|extra| extra.downcast_ref::<Loading>());
    found.ok_or_else(|| {
        anyhow::anyhow!(
            "{word}() works only while the policy is loaded: call it outside functions and keep what it gives in a variable"
        )
    })
}

fn evaluating<'a>(eval: &'a Evaluator<'_, '_, '_>, word: &str) -> anyhow::Result<&'a Evaluating> {
    let found = eval
        .extra
        .and_then(|extra| extra.downcast_ref::<Evaluating>());
    found.ok_or_else(|| {
        anyhow::anyhow!("{word}() works only in an evaluation: call it in docker_container")
    })
}

/// What `attr` returns.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
struct Attr {
    #[allocative(skip)]
    kind: Type,
    #[allocative(skip)]
    allowed: Allowed,
    #[allocative(skip)]
    default: Option<Json>,
    doc: Option<String>,
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attr({})", self.kind)
    }
}

starlark_simple_value!(Attr);

#[starlark_value(type = "attr")]
impl<'v> StarlarkValue<'v> for Attr {}

#[starlark_module]
pub(super) fn words(builder: &mut GlobalsBuilder) {
    /// Declares the policy's configuration.
    fn config<'v>(
        attrs: Option<UnpackDictEntries<String, Value<'v>>>,
        #[starlark(require = named)] etcd_path: Option<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let loading = loading(eval, "config")?;
        if !loading.is_policy {
            anyhow::bail!(
                "config() belongs into the policy's own file, not into a file that it loads"
            );
        }
        let schema = schema(
            attrs.map(|attrs| attrs.entries).unwrap_or_default(),
            etcd_path,
        )?;
        if loading.declared.replace(Some(schema)).is_some() {
            anyhow::bail!("config() is called twice: a policy has one configuration");
        }
        Ok(NoneType)
    }

    /// One attribute of the configuration: its type, which values it may have, and its default unless it is required.
    fn attr<'v>(
        #[starlark(require = pos)] r#type: Value<'v>,
        #[starlark(require = named)] default: Option<Value<'v>>,
        #[starlark(require = named)] values: Option<Value<'v>>,
        #[starlark(require = named)] min: Option<Value<'v>>,
        #[starlark(require = named)] max: Option<Value<'v>>,
        #[starlark(require = named)] doc: Option<String>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Attr> {
        let kind = types::of_value(r#type, eval.heap())?;
        let given = |value: Option<Value<'v>>| value.map(from_star).transpose();
        let (default, values) = (given(default)?, given(values)?);
        let allowed = Allowed::of(&kind, values, given(min)?, given(max)?)?;
        if let Some(default) = &default {
            if !kind.matches(default) {
                anyhow::bail!("the default {default} is not of type {kind}");
            }
            if let Some(fault) = allowed.fault(default) {
                anyhow::bail!("the default {fault}");
            }
        }
        Ok(Attr {
            kind,
            allowed,
            default,
            doc,
        })
    }

    /// A line of the log for those who run containers. The same line is told once, for as long as the evaluations of one container
    /// give it.
    fn inform<'v>(
        #[starlark(require = pos)] text: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        evaluating(eval, "inform")?.log.add(Level::Info, text);
        Ok(NoneType)
    }

    /// Why a container has no node, or not another one, for those who run containers: `kontena-registrator explain` shows it. It
    /// returns None, so `return explain("...")` gives nothing, with a reason.
    fn explain<'v>(
        #[starlark(require = pos)] text: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        evaluating(eval, "explain")?.log.explain(text);
        Ok(NoneType)
    }

    /// An environment variable as it was when the program started, or `default`.
    fn env<'v>(
        #[starlark(require = pos)] name: &str,
        default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let loading = loading(eval, "env")?;
        let found = loading.env.get(name);
        loading
            .reads
            .borrow_mut()
            .insert(name.to_owned(), found.cloned());
        let found = found.map(|text| eval.heap().alloc_str(text).to_value());
        Ok(found.or(default).unwrap_or_else(Value::new_none))
    }
}

fn schema(attrs: Vec<(String, Value<'_>)>, etcd_path: Option<&str>) -> anyhow::Result<Schema> {
    let attributes = attrs
        .into_iter()
        .map(|(name, value)| attribute(name, value));
    let schema = Schema {
        attributes: attributes.collect::<anyhow::Result<Vec<_>>>()?,
        etcd_path: etcd_path.map(EtcdPath::parse).transpose()?,
        ignores_unknown: false,
    };
    let is_attribute = |name: &&str| {
        schema
            .attributes
            .iter()
            .any(|attribute| attribute.name == *name)
    };
    let twice = schema
        .etcd_path
        .iter()
        .flat_map(|path| path.placeholders())
        .find(is_attribute);
    if let Some(name) = twice {
        anyhow::bail!(
            "{name:?} is an attribute and a placeholder of etcd_path: rename one of them"
        );
    }
    Ok(schema)
}

fn attribute(name: String, value: Value<'_>) -> anyhow::Result<Attribute> {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(start) || !name.chars().all(|c| start(c) || c.is_ascii_digit()) {
        anyhow::bail!("the attribute {name:?} needs a name that can be written as config.NAME");
    }
    let Some(attr) = Attr::from_value(value) else {
        anyhow::bail!(
            "the attribute {name:?} must be declared with attr(), as in attr(str, default = \"x\"), not with a {}",
            value.get_type()
        );
    };
    Ok(Attribute {
        name,
        kind: attr.kind.clone(),
        allowed: attr.allowed.clone(),
        default: attr.default.clone(),
        doc: attr.doc.clone(),
    })
}
