//! What a policy of any language says of an object, made the core's.

use registrator_core::node::{Key, KeyError, Object, ObjectError, OnConflict, Value, ValueError};
use std::collections::{BTreeMap, BTreeSet};

/// Why something is no object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    #[error("the name of an object: {0}")]
    Name(KeyError),
    #[error("object {object}: {error}")]
    Key { object: Key, error: KeyError },
    #[error(
        "object {object}: the key {key:?} begins with a slash: keys of an object's nodes go on from its name, so that \"port\" stands for {object}/port"
    )]
    Slash { object: Key, key: String },
    #[error("object {object}: the value of {key:?}: {error}")]
    Value {
        object: Key,
        key: String,
        error: ValueError,
    },
    #[error("object {object}: conflict must be \"smallest\" or \"none\", not {word:?}")]
    Conflict { object: Key, word: String },
    #[error("object {object}: uses must name objects: {error}")]
    Uses { object: Key, error: KeyError },
    #[error("{0}")]
    Object(#[from] ObjectError),
}

/// The name of an object.
pub(crate) fn name(text: &str) -> Result<Key, DefineError> {
    Key::parse(text).map_err(DefineError::Name)
}

/// A node of an object: its whole key, and its value.
pub(crate) fn node(object: &Key, key: &str, value: &str) -> Result<(Key, Value), DefineError> {
    if key.starts_with('/') {
        return Err(DefineError::Slash {
            object: object.clone(),
            key: key.into(),
        });
    }
    let whole = Key::parse(&format!("{object}/{key}")).map_err(|error| DefineError::Key {
        object: object.clone(),
        error,
    })?;
    let value = Value::parse(value).map_err(|error| DefineError::Value {
        object: object.clone(),
        key: key.into(),
        error,
    })?;
    Ok((whole, value))
}

/// The object, of what is said of it.
pub(crate) fn object<'a>(
    name: &Key,
    conflict: &str,
    nodes: BTreeMap<Key, Value>,
    members: BTreeMap<Key, Value>,
    uses: impl IntoIterator<Item = &'a str>,
) -> Result<Object, DefineError> {
    let on_conflict = match conflict {
        "smallest" => OnConflict::Smallest,
        "none" => OnConflict::None,
        word => {
            return Err(DefineError::Conflict {
                object: name.clone(),
                word: word.into(),
            });
        }
    };
    let uses = uses.into_iter().map(Key::parse);
    let uses: BTreeSet<Key> =
        uses.collect::<Result<_, _>>()
            .map_err(|error| DefineError::Uses {
                object: name.clone(),
                error,
            })?;
    let object = Object::new(name, on_conflict, nodes)?.with_members(members)?;
    Ok(object.with_uses(uses))
}
