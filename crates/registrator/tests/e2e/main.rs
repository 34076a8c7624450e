//! The program from end to end: real containers in, nodes in etcd out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/program.rs"]
mod program;

/// Makes a test of each named case, which takes a world, for each of these kinds of etcd.
macro_rules! on {
    ($($kind:ident as $module:ident: $($case:ident)*;)*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                if let Some(world) = crate::program::World::new(crate::program::EtcdKind::$kind) {
                    super::$case(world);
                }
            })*
        })*
    };
}

mod containers;
