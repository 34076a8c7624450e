//! Tests of [`super::Keys`].

use super::*;

#[test]
fn without_a_session_nothing_piles_up() {
    let mut keys = Keys::default();
    for _ in 0..1000 {
        keys.mark([Key::parse("/web").unwrap()].into());
    }
    assert!(keys.queue.is_empty(), "the next session asks for all");
}
