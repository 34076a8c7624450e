//! What `Keys` decides with: the real decision, or one that is wrong on purpose.

use crate::node::{Key, Value};
use crate::own::{self, KeyTxn, View, Who};
use std::cell::Cell;

/// What `own::decide` is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub who: &'a Who,
    pub key: &'a Key,
    pub wish: Option<&'a Value>,
    pub view: &'a View,
    pub managed: bool,
}

/// What answers it.
pub type Decide = fn(&Asked<'_>) -> Option<KeyTxn>;

/// The real decision.
pub fn really(asked: &Asked<'_>) -> Option<KeyTxn> {
    own::decide(asked.who, asked.key, asked.wish, asked.view, asked.managed)
}

thread_local! {
    static DECIDE: Cell<Decide> = const { Cell::new(really) };
}

/// `own::decide` for this thread.
pub fn decide(
    who: &Who,
    key: &Key,
    wish: Option<&Value>,
    view: &View,
    managed: bool,
) -> Option<KeyTxn> {
    let asked = Asked {
        who,
        key,
        wish,
        view,
        managed,
    };
    DECIDE.get()(&asked)
}

/// Does something while this thread decides in this way.
pub fn deciding<T>(decide: Decide, act: impl FnOnce() -> T) -> T {
    let before = DECIDE.replace(decide);
    let result = act();
    DECIDE.set(before);
    result
}
