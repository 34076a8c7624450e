//! Rules about who may know whom: the core knows nobody, each library is known by one module, and adapters do not know
//! each other.

use crate::rust::{self, Named};
use crate::workspace::{self, File};
use crate::{Violation, broken_lines, check};

const CORE: &str = "crates/registrator-core/src";
const POLICIES: &str = "crates/registrator-policy/src";
const PROGRAM: &str = "crates/registrator/src";

/// What reads a clock, talks to the world, or starts something.
const BANNED_IN_CORE: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
    "Instant::now",
    "std::time::Instant::now",
    "SystemTime",
    "tokio",
    "tracing",
];

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let sentence = "registrator-core does no IO, reads no clock and starts nothing: time and facts are arguments.";
    let files: Vec<_> = workspace::rust_files()
        .into_iter()
        .filter(|file| file.is_below(CORE))
        .collect();
    check(sentence, &files, is_pure);
    let path = "crates/registrator-core/src/x.rs";
    assert_eq!(
        broken_lines(
            is_pure,
            path,
            "use std::{\n  collections::BTreeMap,\n  fs,\n};"
        ),
        [3]
    );
    assert_eq!(
        broken_lines(is_pure, path, "let now = Instant::now();"),
        [1]
    );
    assert_eq!(
        broken_lines(
            is_pure,
            path,
            "use std::time::SystemTime;\nuse tokio::sync::mpsc;"
        ),
        [1, 2]
    );
    assert_eq!(
        broken_lines(
            is_pure,
            path,
            "//! std::fs is not for us\nuse std::time::Instant;"
        ),
        []
    );
}

fn is_pure(file: &File) -> Vec<Violation> {
    let code = rust::production_code(&file.path, &file.text);
    let named = rust::named_paths(&code);
    let banned = named
        .iter()
        .filter(|named| BANNED_IN_CORE.iter().any(|banned| names(named, banned)));
    banned
        .map(|named| {
            let path = named.parts.join("::");
            Violation::new(
                named.line,
                format!("`{path}` belongs to an adapter; let the result come in as an argument"),
            )
        })
        .collect()
}

/// Whether a path names the banned thing; the last part of `std::time::SystemTime` is enough to name `SystemTime`.
fn names(named: &Named, banned: &str) -> bool {
    named.starts_with(banned)
        || (!banned.contains("::") && named.parts[1..].iter().any(|part| part == banned))
}

/// Which files may name a library, and why no other.
struct Reserved {
    library: &'static str,
    to: &'static [&'static str],
    why: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        library: "hyper",
        to: HTTP,
        why: "only `docker` talks HTTP to the engine, and only `admin` serves it, for `ask`",
    },
    Reserved {
        library: "hyper_util",
        to: &[
            "crates/registrator/src/docker",
            "crates/registrator/src/admin",
            "crates/registrator/src/cli/ask.rs",
            "crates/etcd-mem/src/server/in_process.rs",
        ],
        why: "only `docker` and `admin` speak HTTP, and `in_process` wraps a stream for tonic",
    },
    Reserved {
        library: "http",
        to: &["crates/registrator/src/endpoint.rs"],
        why: "only `endpoint` reads the text of addresses",
    },
    Reserved {
        library: "tokio_rustls",
        to: DOCKER,
        why: "only `docker` talks HTTP to the engine",
    },
    Reserved {
        library: "etcd_api",
        to: ETCD,
        why: "only `etcd` talks gRPC",
    },
    Reserved {
        library: "tonic",
        to: ETCD,
        why: "only `etcd` talks gRPC",
    },
    Reserved {
        library: "starlark",
        to: POLICY,
        why: "only registrator-policy knows the policy language",
    },
    Reserved {
        library: "starlark_derive",
        to: POLICY,
        why: "only registrator-policy knows the policy language",
    },
    Reserved {
        library: "nix",
        to: &[
            "crates/registrator/src/host.rs",
            "crates/registrator/src/init.rs",
        ],
        why: "only `host` asks the system for its addresses, and `init` waits for processes",
    },
    Reserved {
        library: "rustix",
        to: RUSTIX,
        why: "only `ruby` runs interpreters, and `open_files` asks for the limit",
    },
    Reserved {
        library: "clap",
        to: SETTINGS,
        why: "only `settings` reads the command line",
    },
];

const HTTP: &[&str] = &[
    "crates/registrator/src/docker",
    "crates/registrator/src/admin",
    "crates/registrator/src/cli/ask.rs",
];
const DOCKER: &[&str] = &["crates/registrator/src/docker"];
const ETCD: &[&str] = &[
    "crates/registrator/src/etcd",
    "crates/etcd-api/",
    "crates/etcd-mem/",
];
const POLICY: &[&str] = &["crates/registrator-policy/"];
const RUSTIX: &[&str] = &[
    "crates/registrator-policy/src/ruby",
    "crates/registrator/src/open_files.rs",
];
const SETTINGS: &[&str] = &[
    "crates/registrator/src/settings",
    "crates/registrator/src/logging",
];

#[test]
fn each_library_is_known_to_its_module_alone() {
    check(
        "A library is known to one module, which alone must change with it.",
        &workspace::rust_files(),
        keeps_to_its_libraries,
    );
    let wrong = "use tonic::Status;\nfn f() { hyper::body::Bytes::new() }\nuse crate::http::x;";
    assert_eq!(
        broken_lines(
            keeps_to_its_libraries,
            "crates/registrator/src/files.rs",
            wrong
        ),
        [1, 2]
    );
    assert_eq!(
        broken_lines(
            keeps_to_its_libraries,
            "crates/registrator/src/etcd/lease.rs",
            "use tonic::Status;"
        ),
        []
    );
    assert_eq!(
        broken_lines(
            keeps_to_its_libraries,
            "crates/registrator/src/docker/http.rs",
            "use starlark::x;"
        ),
        [1]
    );
}

/// The languages of policies.
const LANGUAGES: [&str; 2] = ["star", "ruby"];

#[test]
fn languages_do_not_know_each_other() {
    let language =
        |file: &File| module_of(file, POLICIES).filter(|own| LANGUAGES.contains(&own.as_str()));
    let files: Vec<_> = workspace::rust_files()
        .into_iter()
        .filter(|file| language(file).is_some())
        .collect();
    check(
        "A policy language knows no other: what they share is beside them.",
        &files,
        knows_no_other_language,
    );
    let wrong = "use crate::log::Log;\nuse crate::star::x;\nuse crate::ruby::y;";
    let path = "crates/registrator-policy/src/ruby/child.rs";
    assert_eq!(broken_lines(knows_no_other_language, path, wrong), [2]);
}

fn knows_no_other_language(file: &File) -> Vec<Violation> {
    let own = module_of(file, POLICIES);
    let used = modules_used(file).into_iter();
    let other = used
        .filter(|(_, module)| LANGUAGES.contains(&module.as_str()) && Some(module) != own.as_ref());
    other
        .map(|(line, module)| Violation::new(line, format!("knows `{module}`")))
        .collect()
}

fn keeps_to_its_libraries(file: &File) -> Vec<Violation> {
    let code = rust::production_code(&file.path, &file.text);
    let mut broken = Vec::new();
    for named in rust::named_paths(&code) {
        let reserved = RESERVED
            .iter()
            .find(|reserved| named.starts_with(reserved.library));
        if let Some(Reserved { library, to, why }) = reserved
            && !to.iter().any(|path| file.path.starts_with(path))
        {
            broken.push(Violation::new(
                named.line,
                format!("`{library}` may not be named here: {why}"),
            ));
        }
    }
    broken
}

/// The modules of the program that touch the world.
const ADAPTERS: [&str; 4] = ["docker", "etcd", "files", "evaluators"];

#[test]
fn adapters_do_not_know_each_other() {
    let sentence =
        "Adapters know the core alone; what one has for another goes through the event loop.";
    let files: Vec<_> = workspace::rust_files()
        .into_iter()
        .filter(|file| adapter_of(file).is_some())
        .collect();
    check(sentence, &files, knows_no_other_adapter);
    let wrong = "use crate::exit::Exit;\nuse crate::{docker::Client, etcd};";
    assert_eq!(
        broken_lines(
            knows_no_other_adapter,
            "crates/registrator/src/etcd/lease.rs",
            wrong
        ),
        [2]
    );
    assert_eq!(
        broken_lines(
            knows_no_other_adapter,
            "crates/registrator/src/files.rs",
            wrong
        ),
        [2, 2]
    );
}

fn adapter_of(file: &File) -> Option<&'static str> {
    let module = module_of(file, PROGRAM)?;
    ADAPTERS.into_iter().find(|adapter| module == *adapter)
}

fn knows_no_other_adapter(file: &File) -> Vec<Violation> {
    let own = adapter_of(file);
    let mut broken = Vec::new();
    for (line, module) in modules_used(file) {
        let other = ADAPTERS
            .into_iter()
            .find(|adapter| *adapter == module && Some(*adapter) != own);
        if let Some(other) = other {
            broken.push(Violation::new(
                line,
                format!("knows `{other}`; let the event loop stand between them"),
            ));
        }
    }
    broken
}

/// The modules of the core, each of which uses only those before it: the flow, with what all speak of before it.
const CORE_ORDER: [&str; 9] = [
    "node",
    "host",
    "backoff",
    "observe",
    "evaluate",
    "merge",
    "tell",
    "own",
    "reconciler",
];

#[test]
fn the_modules_of_the_core_stand_in_order() {
    let sentence =
        "A module of the core uses only the modules before it, so that it can be read in order.";
    let files: Vec<_> = workspace::rust_files()
        .into_iter()
        .filter(|file| module_of(file, CORE).is_some())
        .collect();
    check(sentence, &files, uses_earlier_modules);
    let wrong = "use crate::node::Key;\nuse crate::own::View;\nuse crate::Key;";
    assert_eq!(
        broken_lines(
            uses_earlier_modules,
            "crates/registrator-core/src/observe/watch.rs",
            wrong
        ),
        [2, 3]
    );
    assert_eq!(
        broken_lines(
            uses_earlier_modules,
            "crates/registrator-core/src/own/a.rs",
            "use crate::own::b;"
        ),
        []
    );
    assert_eq!(
        broken_lines(
            uses_earlier_modules,
            "crates/registrator-core/src/new.rs",
            ""
        ),
        [1]
    );
}

fn uses_earlier_modules(file: &File) -> Vec<Violation> {
    let own = module_of(file, CORE).unwrap_or_default();
    let place = |module: &str| CORE_ORDER.iter().position(|known| *known == module);
    let Some(own_place) = place(&own) else {
        return vec![Violation::new(
            1,
            format!("give `{own}` its place in CORE_ORDER"),
        )];
    };
    let mut broken = Vec::new();
    for (line, module) in modules_used(file) {
        match place(&module) {
            Some(used) if used <= own_place => {}
            Some(_) => broken.push(Violation::new(
                line,
                format!("uses `{module}`, which stands after `{own}`"),
            )),
            None => broken.push(Violation::new(
                line,
                format!("name the module that `{module}` is in"),
            )),
        }
    }
    broken
}

/// The module directly below the crate's root that a file belongs to; `None` for the root's own files.
fn module_of(file: &File, source: &str) -> Option<String> {
    let below = file.path.strip_prefix(source)?.strip_prefix('/')?;
    let first = below.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main")).then(|| module.to_owned())
}

/// What the file's code, its tests apart, names directly below `crate::`.
fn modules_used(file: &File) -> Vec<(usize, String)> {
    let code = rust::production_code(&file.path, &file.text);
    let named = rust::named_paths(&code)
        .into_iter()
        .filter(|named| named.starts_with("crate"));
    named
        .map(|named| (named.line, named.parts[1].clone()))
        .collect()
}
