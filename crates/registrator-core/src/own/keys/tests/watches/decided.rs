//! What `Keys` decides with: the real decision, or one that is wrong on purpose.

use crate::node::{Key, Value};
use crate::own::{self, KeyTxn, View, Who};
use std::cell::Cell;

/// `own::decide`, or something in its place.
pub type Decide = fn(&Who, &Key, Option<&Value>, &View, bool) -> Option<KeyTxn>;

thread_local! {
    static DECIDE: Cell<Decide> = const { Cell::new(own::decide) };
}

/// Decides as this thread was told.
pub fn decide(
    who: &Who,
    key: &Key,
    wish: Option<&Value>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    DECIDE.get()(who, key, wish, view, managed)
}

/// Does something while this thread decides in this way.
pub fn deciding<T>(decide: Decide, act: impl FnOnce() -> T) -> T {
    let before = DECIDE.replace(decide);
    let result = act();
    DECIDE.set(before);
    result
}
