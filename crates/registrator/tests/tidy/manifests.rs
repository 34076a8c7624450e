//! Rules about which crate may depend on which, read from the Cargo.toml files.

use crate::workspace::{self, File};
use crate::{Violation, broken_lines, check};

/// A dependency as a manifest lists it.
struct Dependency {
    line: usize,
    name: String,
    is_for_tests: bool,
}

/// The dependencies that a manifest lists, for every target and kind.
fn dependencies(file: &File) -> Vec<Dependency> {
    let mut section = "";
    let mut found = Vec::new();
    for (line, text) in file.lines() {
        let text = text.trim();
        if let Some(header) = text.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if section.ends_with("dependencies") && !text.starts_with('#') {
            let name = text.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                found.push(Dependency {
                    line,
                    name: name.to_owned(),
                    is_for_tests: section.ends_with("dev-dependencies"),
                });
            }
        }
    }
    found
}

fn crate_name(file: &File) -> &str {
    file.path
        .strip_prefix("crates/")
        .and_then(|path| path.strip_suffix("/Cargo.toml"))
        .unwrap_or_default()
}

fn manifests() -> Vec<File> {
    let is_manifest =
        |file: &File| file.path.ends_with("/Cargo.toml") && !crate_name(file).is_empty();
    workspace::files().into_iter().filter(is_manifest).collect()
}

/// The crates of this workspace, and which of them each may use: outside of tests, and in tests besides.
const ARROWS: [(&str, &[&str], &[&str]); 6] = [
    ("fuzz", &[], &[]),
    ("etcd-api", &[], &[]),
    // Its own tests ask for its server.
    ("etcd-mem", &["etcd-api"], &["etcd-mem", "fuzz"]),
    ("registrator-core", &[], &["etcd-mem", "fuzz"]),
    ("registrator-policy", &["registrator-core"], &["fuzz"]),
    (
        "registrator",
        &[
            "registrator-core",
            "registrator-policy",
            "etcd-api",
            "etcd-mem",
        ],
        &["fuzz"],
    ),
];

#[test]
fn crates_use_only_the_crates_below_them() {
    check(
        "A crate uses only the crates below it.",
        &manifests(),
        follows_the_arrows,
    );
    let wrong = "[dependencies]\netcd-mem.workspace = true\nregistrator-policy.workspace = true\n";
    assert_eq!(
        broken_lines(
            follows_the_arrows,
            "crates/registrator-core/Cargo.toml",
            wrong
        ),
        [2, 3]
    );
    let right = "[dev-dependencies]\netcd-mem.workspace = true\n";
    assert_eq!(
        broken_lines(
            follows_the_arrows,
            "crates/registrator-core/Cargo.toml",
            right
        ),
        []
    );
    assert_eq!(
        broken_lines(follows_the_arrows, "crates/new/Cargo.toml", ""),
        [1]
    );
}

fn follows_the_arrows(file: &File) -> Vec<Violation> {
    let own = crate_name(file);
    let Some((_, uses, tests_use)) = ARROWS.iter().find(|(name, _, _)| *name == own) else {
        return vec![Violation::new(
            1,
            format!("say in ARROWS what `{own}` may use"),
        )];
    };
    let is_ours = |name: &str| ARROWS.iter().any(|(ours, _, _)| *ours == name);
    let mut broken = Vec::new();
    for dependency in dependencies(file)
        .iter()
        .filter(|dependency| is_ours(&dependency.name))
    {
        let name = dependency.name.as_str();
        let is_allowed =
            uses.contains(&name) || (dependency.is_for_tests && tests_use.contains(&name));
        if !is_allowed {
            broken.push(Violation::new(
                dependency.line,
                format!("`{own}` may not use `{name}`"),
            ));
        }
    }
    broken
}

/// All that the core may depend on outside of its tests.
const CORE_USES: [&str; 3] = ["lz4_flex", "serde_json", "thiserror"];

#[test]
fn the_core_depends_on_almost_nothing() {
    let core: Vec<_> = manifests()
        .into_iter()
        .filter(|file| crate_name(file) == "registrator-core")
        .collect();
    check(
        "registrator-core depends on no runtime, no client and no interpreter.",
        &core,
        is_light,
    );
    assert_eq!(
        broken_lines(
            is_light,
            "",
            "[dependencies]\ntokio.workspace = true\n[dev-dependencies]\nproptest = \"1\""
        ),
        [2]
    );
}

fn is_light(file: &File) -> Vec<Violation> {
    let used = dependencies(file)
        .into_iter()
        .filter(|dependency| !dependency.is_for_tests);
    let other = used.filter(|dependency| !CORE_USES.contains(&dependency.name.as_str()));
    other
        .map(|dependency| {
            Violation::new(
                dependency.line,
                format!("the core does without `{}`", dependency.name),
            )
        })
        .collect()
}

#[test]
fn the_store_of_etcd_mem_is_pure_unless_its_server_is_asked_for() {
    let memory: Vec<_> = manifests()
        .into_iter()
        .filter(|file| crate_name(file) == "etcd-mem")
        .collect();
    check(
        "etcd-mem without its feature `server` is a data structure.",
        &memory,
        is_pure_by_default,
    );
    let wrong = "[dependencies]\nthiserror.workspace = true\ntonic.workspace = true\n[features]\ndefault = [\"server\"]\n";
    assert_eq!(broken_lines(is_pure_by_default, "", wrong), [3, 5]);
}

fn is_pure_by_default(file: &File) -> Vec<Violation> {
    let mut broken = Vec::new();
    let lines: Vec<_> = file.text.lines().collect();
    for dependency in dependencies(file)
        .iter()
        .filter(|dependency| !dependency.is_for_tests && dependency.name != "thiserror")
    {
        if !lines[dependency.line - 1].contains("optional = true") {
            broken.push(Violation::new(
                dependency.line,
                format!("make `{}` optional, for `server`", dependency.name),
            ));
        }
    }
    let default = file
        .lines()
        .filter(|(_, line)| line.starts_with("default ="));
    broken.extend(default.map(|(line, _)| Violation::new(line, "let the user ask for `server`")));
    broken
}

/// Which crates may depend directly on a library, outside of tests.
const DIRECT_USERS: &[(&str, &[&str])] = &[
    ("starlark", &["registrator-policy"]),
    ("tonic", &["etcd-api", "etcd-mem", "registrator"]),
    ("hyper", &["registrator"]),
    ("clap", &["registrator"]),
    ("notify", &["registrator"]),
    ("tracing", &["registrator"]),
    ("tokio", &["etcd-mem", "registrator"]),
    ("rustix", &["registrator-policy", "registrator"]),
];

#[test]
fn libraries_are_used_by_the_crates_meant_for_it() {
    check(
        "A library with a place of its own is used there alone.",
        &manifests(),
        uses_its_own_libraries,
    );
    let wrong =
        "[dependencies]\ntokio.workspace = true\n[dev-dependencies]\ntokio.workspace = true\n";
    assert_eq!(
        broken_lines(
            uses_its_own_libraries,
            "crates/registrator-policy/Cargo.toml",
            wrong
        ),
        [2]
    );
}

fn uses_its_own_libraries(file: &File) -> Vec<Violation> {
    let own = crate_name(file);
    let mut broken = Vec::new();
    for dependency in dependencies(file)
        .iter()
        .filter(|dependency| !dependency.is_for_tests)
    {
        let users = DIRECT_USERS
            .iter()
            .find(|(name, _)| *name == dependency.name);
        if let Some((name, users)) = users
            && !users.contains(&own)
        {
            broken.push(Violation::new(
                dependency.line,
                format!("`{name}` is for {}", users.join(", ")),
            ));
        }
    }
    broken
}

#[test]
fn every_crate_keeps_the_workspaces_lints() {
    let workspace = workspace::file("Cargo.toml");
    let names = lint_names(&workspace.text, "[workspace.lints.");
    assert!(names.len() > 5, "the workspace has lints: {names:?}");
    let rule = |file: &File| keeps_the_lints(file, &names);
    check(
        "Every crate keeps the lints of the workspace.",
        &manifests(),
        rule,
    );
    assert_eq!(
        broken_lines(
            rule,
            "",
            "[package]\n[lints.rust]\nunsafe_code = \"deny\"\n"
        )
        .len(),
        names.len() - 1
    );
    assert_eq!(
        broken_lines(rule, "", "[package]\n\n[lints]\nworkspace = true\n"),
        []
    );
}

/// The lints in the sections whose headers begin so.
fn lint_names(manifest: &str, header: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with(header);
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.push(name.trim().to_owned());
        }
    }
    names
}

/// By taking them over whole, or one by one where one of them must be another.
fn keeps_the_lints(file: &File, names: &[String]) -> Vec<Violation> {
    if file.text.contains("[lints]\nworkspace = true\n") {
        return vec![];
    }
    let own = lint_names(&file.text, "[lints.");
    let missing = names.iter().filter(|name| !own.contains(name));
    missing
        .map(|name| {
            Violation::new(
                1,
                format!("add the lint `{name}`, or all: `[lints]` with `workspace = true`"),
            )
        })
        .collect()
}
