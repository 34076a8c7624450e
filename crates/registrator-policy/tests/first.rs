//! The first policies of a process: what the interpreter makes once is nobody's memory. A program of its own, for it is made only once.

#![allow(clippy::unwrap_used)]

mod common;

use common::{SHIPPED, settings};
use registrator_policy::load;
use std::path::Path;

/// Each is loaded on a thread of its own, as in the program.
#[test]
fn what_is_made_once_counts_for_no_policy() {
    for name in SHIPPED {
        let loaded = std::thread::spawn(move || {
            let path = format!("../../etc/policies/{name}.star");
            load(Path::new(&path), &settings(&[])).map(drop)
        });
        loaded.join().unwrap().unwrap();
    }
}
