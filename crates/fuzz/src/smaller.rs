//! Makes an input that was found smaller.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// Whether panics on this thread are expected.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Leaves out pieces for as long as `test` still panics.
pub(crate) fn smaller(input: &[u8], test: &mut impl FnMut(&[u8]) -> String) -> Vec<u8> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let until = Instant::now() + PATIENCE;
    let mut panics = |input: &[u8]| {
        Instant::now() < until && catch_unwind(AssertUnwindSafe(|| test(input))).is_err()
    };
    let mut smallest = input.to_vec();
    let mut size = smallest.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < smallest.len() {
            let rest = smallest.get(at + size..).unwrap_or_default();
            let without = [smallest.get(..at).unwrap_or_default(), rest].concat();
            if panics(&without) {
                smallest = without;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    QUIET.set(false);
    smallest
}
