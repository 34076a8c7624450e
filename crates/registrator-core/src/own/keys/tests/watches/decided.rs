//! What `Keys` decides with: the real decision, or one that is wrong on purpose.

use crate::node::{Key, Value};
use crate::own::{self, KeyTxn, Sides, View, Who};
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

/// What becomes of the decision of an object.
pub type Dress = fn(&Sides<'_>, Option<KeyTxn>) -> Option<KeyTxn>;

thread_local! {
    static DECIDE: Cell<Decide> = const { Cell::new(really) };
    static DRESS: Cell<Dress> = const { Cell::new(own::dress) };
}

/// `own::dress` for this thread.
pub fn dress(known: &Sides<'_>, txn: Option<KeyTxn>) -> Option<KeyTxn> {
    DRESS.get()(known, txn)
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
pub fn deciding<T>(decide: Decide, dress: Dress, act: impl FnOnce() -> T) -> T {
    let before = (DECIDE.replace(decide), DRESS.replace(dress));
    let result = act();
    DECIDE.set(before.0);
    DRESS.set(before.1);
    result
}
