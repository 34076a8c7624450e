//! The guards that [`guarded`](super::guarded) puts into policies: each looks whether there is room before something is made.

// The interpreter's derives write an `unsafe impl` (`ProvidesStaticType`); there is nothing of the kind by hand.
#![allow(unsafe_code)]

use super::log::PrintLog;
use super::words::Loading;
use num_bigint::BigInt;
use registrator_core::node::MAX_VALUE_BYTES;
use starlark::ErrorKind;
use starlark::collections::SmallMap;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;
use starlark::values::tuple::{TupleRef, UnpackTuple};
use starlark::values::{ProvidesStaticType, UnpackValue, Value};
use starlark_derive::starlark_module;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::rc::Rc;

/// Bits of the largest integer.
const MAX_INT_BITS: u64 = 1 << 17;

/// The longest range, but for loops: whatever else takes its items takes them all at once.
const MAX_RANGE: i32 = 1_000_000;

/// Bytes of an entry of a dict or a set, roughly.
const ENTRY_BYTES: usize = 40;

/// What an evaluation, or the loading of a file, may use of memory.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    /// Bytes outside the interpreter's heap, which it does not count.
    uncounted: Cell<usize>,
}

impl Room {
    pub(super) fn of(bytes: usize) -> Room {
        Room {
            bytes,
            uncounted: Cell::new(0),
        }
    }
}

/// What the functions work on that a policy may call while it is evaluated.
#[derive(Debug, ProvidesStaticType)]
pub(super) struct Evaluating {
    pub(super) room: Room,
    pub(super) log: Rc<PrintLog>,
}

/// Something would be larger than there is room.
#[derive(Debug, thiserror::Error)]
enum Oversize {
    #[error("this would take the policy's memory over {0} bytes")]
    Memory(usize),
    #[error("the text of a value may have at most {MAX_VALUE_BYTES} bytes")]
    Text,
    #[error("an integer may have at most {MAX_INT_BITS} bits")]
    Integer,
    #[error("a range may have at most {MAX_RANGE} items, except as what a loop goes over")]
    Range,
}

/// Whether an error says that there is no room.
pub(super) fn is_oversize(error: &starlark::Error) -> bool {
    match error.kind() {
        ErrorKind::Other(error) | ErrorKind::Native(error) => {
            matches!(error.downcast_ref(), Some(Oversize::Memory(_)))
        }
        _ => false,
    }
}

fn room<'a>(eval: &Evaluator<'_, 'a, '_>) -> Option<&'a Room> {
    let extra = eval.extra?;
    match extra.downcast_ref::<Loading>() {
        Some(loading) => Some(&loading.room),
        None => Some(&extra.downcast_ref::<Evaluating>()?.room),
    }
}

/// Whether there is room for so many bytes more.
fn fits(eval: &mut Evaluator<'_, '_, '_>, bytes: usize) -> starlark::Result<()> {
    let Some(room) = room(eval) else {
        return Ok(());
    };
    let used = eval
        .heap()
        .peak_allocated_bytes()
        .saturating_add(room.uncounted.get());
    if used.saturating_add(bytes) > room.bytes {
        return Err(no_room(Oversize::Memory(room.bytes)));
    }
    Ok(())
}

fn no_room(error: Oversize) -> starlark::Error {
    starlark::Error::new_other(error)
}

/// Counts what the interpreter does not.
pub(super) fn count(eval: &mut Evaluator<'_, '_, '_>, bytes: usize) -> starlark::Result<()> {
    if let Some(room) = room(eval) {
        room.uncounted
            .set(room.uncounted.get().saturating_add(bytes));
    }
    fits(eval, 0)
}

/// The bytes of a text, or of the items of a list or tuple.
fn size(value: Value<'_>) -> usize {
    let items = || {
        let list = ListRef::from_value(value).map(|list| list.len());
        list.or_else(|| TupleRef::from_value(value).map(|tuple| tuple.len()))
    };
    match value.unpack_str() {
        Some(text) => text.len(),
        None => items().unwrap_or_default() * size_of::<Value<'_>>(),
    }
}

/// The bits of an integer, 0 for anything else.
fn bits(value: Value<'_>) -> u64 {
    if value.unpack_i32().is_some() {
        return 32;
    }
    let big = if value.get_type() == "int" {
        BigInt::unpack_value(value).ok().flatten()
    } else {
        None
    };
    big.map_or(0, |big| big.bits())
}

fn fits_integer(eval: &mut Evaluator<'_, '_, '_>, bits: u64) -> starlark::Result<()> {
    if bits > MAX_INT_BITS {
        return Err(no_room(Oversize::Integer));
    }
    if bits > 64 {
        count(eval, usize::try_from(bits / 8).unwrap_or(usize::MAX))?;
    }
    Ok(())
}

/// Counts the bytes of a text, up to as many as a node may have: a few values within each other may have an endless text.
#[derive(Default)]
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        if self.0 > MAX_VALUE_BYTES {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// The bytes of a value's text, if there is room for them.
fn shown(value: Value<'_>, eval: &mut Evaluator<'_, '_, '_>) -> starlark::Result<usize> {
    if let Some(text) = value.unpack_str() {
        fits(eval, text.len())?;
        return Ok(text.len());
    }
    if value.unpack_i32().is_some() || value.is_none() || value.unpack_bool().is_some() {
        return Ok(16);
    }
    let mut counter = Counter::default();
    if write!(counter, "{value}").is_err() {
        return Err(no_room(Oversize::Text));
    }
    fits(eval, counter.0)?;
    Ok(counter.0)
}

/// Looks at all values; gives the bytes of all their texts, and of the longest.
fn all_shown<'v>(
    values: impl Iterator<Item = Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<(usize, usize)> {
    let (mut sum, mut longest) = (0_usize, 0);
    for value in values {
        let bytes = shown(value, eval)?;
        sum = sum.saturating_add(bytes);
        longest = bytes.max(longest);
    }
    Ok((sum, longest))
}

fn times<'v>(a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<()> {
    match (a.unpack_i32(), b.unpack_i32()) {
        (Some(_), Some(_)) => Ok(()),
        (Some(count), None) if size(b) > 0 => fits(eval, repeated(b, count)),
        (None, Some(count)) if size(a) > 0 => fits(eval, repeated(a, count)),
        _ => fits_integer(eval, bits(a) + bits(b)),
    }
}

fn repeated(value: Value<'_>, count: i32) -> usize {
    size(value).saturating_mul(usize::try_from(count).unwrap_or_default())
}

fn shift<'v>(a: Value<'v>, b: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<()> {
    let distance = b.unpack_i32().map_or(u64::MAX, |distance| {
        u64::try_from(distance).unwrap_or_default()
    });
    fits_integer(eval, bits(a).saturating_add(distance))
}

/// The text of `format % values`.
fn percent<'v>(
    format: Value<'v>,
    values: Value<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<()> {
    let Some(text) = format.unpack_str() else {
        return Ok(());
    };
    let places = text.matches('%').count();
    let bytes = if let Some(tuple) = TupleRef::from_value(values) {
        all_shown(tuple.iter(), eval)?.0
    } else if let Some(dict) = DictRef::from_value(values) {
        all_shown(dict.iter().map(|(_, value)| value), eval)?
            .1
            .saturating_mul(places)
    } else {
        shown(values, eval)?
    };
    fits(eval, text.len().saturating_add(bytes))
}

/// The text of `format.format(values)`.
fn formatted<'v>(
    format: &str,
    values: impl Iterator<Item = Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<()> {
    let places = format.matches('{').count();
    let (sum, longest) = all_shown(values, eval)?;
    let named = format.contains("{0") || places > format.matches("{}").count();
    let bytes = if named {
        longest.saturating_mul(places)
    } else {
        sum
    };
    fits(eval, format.len().saturating_add(bytes))
}

fn joined<'v>(
    separator: &str,
    parts: Value<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<()> {
    let sizes = |parts: &[Value<'v>]| {
        let sizes = parts
            .iter()
            .map(|part| size(*part).saturating_add(separator.len()));
        sizes.fold(0, usize::saturating_add)
    };
    let bytes = if let Some(list) = ListRef::from_value(parts) {
        sizes(list.content())
    } else if let Some(tuple) = TupleRef::from_value(parts) {
        sizes(tuple.content())
    } else if let Ok(length) = parts.length() {
        // The keys of a dict, or the items of a set: all different.
        let length = usize::try_from(length).unwrap_or_default();
        separator.len().saturating_mul(length)
    } else {
        0
    };
    fits(eval, bytes)
}

fn replaced(
    text: &str,
    arguments: &[Value<'_>],
    eval: &mut Evaluator<'_, '_, '_>,
) -> starlark::Result<()> {
    let [Some(old), Some(new)] =
        [0, 1].map(|at| arguments.get(at).and_then(|value| value.unpack_str()))
    else {
        return Ok(());
    };
    let most = arguments.get(2).and_then(|count| count.unpack_i32());
    let most = most.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or_default()
    });
    let found = text.matches(old).count().min(most);
    fits(
        eval,
        text.len().saturating_add(found.saturating_mul(new.len())),
    )
}

#[starlark_module]
pub(super) fn guards(builder: &mut GlobalsBuilder) {
    fn guarded_look<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<bool> {
        fits(eval, 0)?;
        Ok(true)
    }

    fn guarded_plus<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        if a.unpack_i32().is_none() {
            fits(eval, size(a).saturating_add(size(b)))?;
        }
        a.add(b, eval.heap())
    }

    fn guarded_addend<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        if a.unpack_i32().is_none() {
            fits(eval, size(a).saturating_add(size(b)))?;
        }
        Ok(b)
    }

    fn guarded_times<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        times(a, b, eval)?;
        a.mul(b, eval.heap())
    }

    fn guarded_factor<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        times(a, b, eval)?;
        Ok(b)
    }

    fn guarded_percent<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        percent(a, b, eval)?;
        a.percent(b, eval.heap())
    }

    fn guarded_values<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        percent(a, b, eval)?;
        Ok(b)
    }

    fn guarded_shift<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        shift(a, b, eval)?;
        a.left_shift(b, eval.heap())
    }

    fn guarded_distance<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        shift(a, b, eval)?;
        Ok(b)
    }

    fn guarded_method<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] this: Value<'v>,
        #[starlark(args)] arguments: UnpackTuple<Value<'v>>,
        #[starlark(kwargs)] named: SmallMap<String, Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        if let Some(text) = this.unpack_str() {
            match (name, arguments.items.first()) {
                ("format", _) => {
                    let values = arguments.items.iter().chain(named.values()).copied();
                    formatted(text, values, eval)?;
                }
                ("join", Some(parts)) => joined(text, *parts, eval)?,
                ("replace", _) => replaced(text, &arguments.items, eval)?,
                _ => {}
            }
        }
        let method = this.get_attr_error(name, eval.heap())?;
        let named: Vec<(&str, Value<'v>)> = named
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        eval.eval_function(method, &arguments.items, &named)
    }

    fn guarded_text<'v>(
        #[starlark(require = pos)] function: Value<'v>,
        #[starlark(args)] arguments: UnpackTuple<Value<'v>>,
        #[starlark(kwargs)] named: SmallMap<String, Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (sum, _) = all_shown(arguments.items.iter().copied(), eval)?;
        fits(eval, sum)?;
        let named: Vec<(&str, Value<'v>)> = named
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        eval.eval_function(function, &arguments.items, &named)
    }

    fn guarded_shown<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        shown(value, eval)?;
        Ok(value)
    }

    fn guarded_new<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        match (value.get_type(), value.length()) {
            ("range", Ok(length)) if length > MAX_RANGE => return Err(no_room(Oversize::Range)),
            ("range", Err(_)) => return Err(no_room(Oversize::Range)),
            ("dict" | "set", Ok(length)) => {
                let entries = usize::try_from(length).unwrap_or_default();
                count(eval, entries.saturating_mul(ENTRY_BYTES))?;
            }
            _ => {}
        }
        Ok(value)
    }
}
