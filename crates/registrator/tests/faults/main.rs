//! The program among faults: a real Docker daemon and a real etcd that end, vanish, come back and forget, the program itself
//! killed and frozen, and many things at once. What etcd holds at the end is what Docker runs, and nothing that was true in
//! between disappears meanwhile.

#[path = "../support/dockerd.rs"]
mod dockerd;
#[path = "../support/etcd.rs"]
mod support;

mod authorities;
mod burst;
mod docker;
mod etcd;
mod files;
mod guest;
mod identity;
mod log;
mod machine;
mod process;
mod recorder;
mod rights;
mod stuck;
mod world;
