//! Rules about documents: they keep up with the program, their links lead somewhere, and no file names what is none of the
//! project's business.

use crate::workspace::{self, File};
use crate::{Violation, broken_lines, check};
use std::collections::BTreeSet;
use std::process::Command;

const OPERATING: &str = "docs/operating.md";

/// What `--help` says of all commands, its line breaks taken out.
fn help() -> String {
    let mut all = String::new();
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["plan", "--help"],
        &["explain", "--help"],
        &["status", "--help"],
        &["brake", "--help"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"))
            .args(command)
            .output()
            .expect("the program can be started");
        assert!(
            output.status.success(),
            "{command:?} ends with {}",
            output.status
        );
        all.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every `--flag` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let name: String = text[at + 2..].chars().take_while(|c| is_part(*c)).collect();
        let stands_alone = !text[..at].ends_with(|c: char| is_part(c) || c.is_alphanumeric());
        if stands_alone && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.insert(format!("--{}", name.trim_end_matches('-')));
        }
    }
    found
}

/// Every environment variable that help shows as `[env: NAME=value]`.
fn variables(help: &str) -> BTreeSet<String> {
    let named = help.split("[env: ").skip(1);
    named
        .map(|rest| rest.chars().take_while(|c| is_variable_part(*c)).collect())
        .collect()
}

fn is_variable_part(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

#[test]
fn operating_tells_of_every_option() {
    let help = help();
    let options: BTreeSet<_> = flags(&help).union(&variables(&help)).cloned().collect();
    assert!(
        options.len() > 20,
        "too few options found in --help: {options:?}"
    );
    let rule = |file: &File| lacks(file, &options);
    check(
        "docs/operating.md tells of every flag and every variable.",
        [&workspace::file(OPERATING)],
        rule,
    );
    assert_eq!(
        broken_lines(
            rule,
            OPERATING,
            "| `--policies` | `KONTENA_REGISTRATOR_POLICIES` |"
        )
        .len(),
        options.len() - 2
    );
}

fn lacks(file: &File, options: &BTreeSet<String>) -> Vec<Violation> {
    let missing = options
        .iter()
        .filter(|option| !file.text.contains(&format!("`{option}`")));
    missing
        .map(|option| Violation::new(1, format!("tell of `{option}`")))
        .collect()
}

#[test]
fn documents_name_only_options_that_exist() {
    let help = help();
    let (flags_known, mut variables_known) = (flags(&help), variables(&help));
    // No option of its own: the program sets it for policies.
    variables_known.insert("KONTENA_REGISTRATOR_HOST_IPV6".to_owned());
    let rule = |file: &File| names_unknown_options(file, &flags_known, &variables_known);
    check(
        "A document names only options that the program has.",
        &documents(),
        rule,
    );
    let wrong = "| `--polices` | x |\nset KONTENA_REGISTRATOR_POLICES\n| `--policies` | `KONTENA_REGISTRATOR_POLICIES` |\n";
    assert_eq!(broken_lines(rule, "docs/x.md", wrong), [1, 2]);
}

/// Flags count in tables only: elsewhere they may be another program's.
fn names_unknown_options(
    file: &File,
    flags_known: &BTreeSet<String>,
    variables_known: &BTreeSet<String>,
) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (line, text) in file.lines() {
        let own_flags = if text.starts_with("| `--") {
            flags(text)
        } else {
            BTreeSet::new()
        };
        let unknown = own_flags.difference(flags_known).cloned();
        let own_variables: BTreeSet<_> = own_variables(text).into_iter().collect();
        let unknown = unknown.chain(own_variables.difference(variables_known).cloned());
        broken.extend(unknown.map(|name| Violation::new(line, format!("there is no `{name}`"))));
    }
    broken
}

/// Every variable with the program's own prefix. A `*` after it makes it a pattern, and no name.
fn own_variables(text: &str) -> Vec<String> {
    const PREFIX: &str = "KONTENA_REGISTRATOR_";
    let found = text.match_indices(PREFIX).map(|(at, _)| &text[at..]);
    let names = found.map(|rest| {
        rest.chars()
            .take_while(|c| is_variable_part(*c))
            .collect::<String>()
    });
    names.filter(|name| name != PREFIX).collect()
}

fn documents() -> Vec<File> {
    workspace::files()
        .into_iter()
        .filter(|file| file.path.ends_with(".md"))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    check(
        "A link to a file of the project leads to it.",
        &documents(),
        has_dead_links,
    );
    assert_eq!(
        broken_lines(
            has_dead_links,
            "docs/x.md",
            "[a](../README.md#b)\n[b](nowhere.md) [c](#here)\n"
        ),
        [2]
    );
}

fn has_dead_links(file: &File) -> Vec<Violation> {
    let folder = workspace::root()
        .join(&file.path)
        .parent()
        .map(std::path::Path::to_path_buf)
        .unwrap_or_default();
    let mut broken = Vec::new();
    for (line, text) in file.lines() {
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            let is_file = !path.is_empty() && !path.contains(':');
            if is_file && !folder.join(path).exists() {
                broken.push(Violation::new(line, format!("`{target}` is not there")));
            }
        }
    }
    broken
}

#[test]
fn every_document_is_listed() {
    let index = workspace::file("docs/README.md");
    let listed: Vec<_> = documents()
        .into_iter()
        .filter(|file| file.is_below("docs") && file.path != index.path)
        .collect();
    let rule = |file: &File| is_listed(file, &index.text);
    check(
        "docs/README.md lists every document beside it.",
        &listed,
        rule,
    );
    assert_eq!(broken_lines(rule, "docs/unheard-of.md", ""), [1]);
}

fn is_listed(file: &File, index: &str) -> Vec<Violation> {
    let name = file.path.strip_prefix("docs/").unwrap_or(&file.path);
    match index.contains(&format!("({name})")) {
        true => vec![],
        false => vec![Violation::new(1, "list it in docs/README.md")],
    }
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    check(
        "CHANGELOG.md has an Unreleased section first.",
        [&workspace::file("CHANGELOG.md")],
        has_unreleased,
    );
    assert_eq!(
        broken_lines(
            has_unreleased,
            "CHANGELOG.md",
            "# Changelog\n\n## [1.0.0]\n\n## [Unreleased]\n"
        ),
        [3]
    );
    assert_eq!(
        broken_lines(has_unreleased, "CHANGELOG.md", "# Changelog\n"),
        [1]
    );
}

fn has_unreleased(file: &File) -> Vec<Violation> {
    match file.lines().find(|(_, line)| line.starts_with("## ")) {
        Some((_, line)) if line.starts_with("## [Unreleased]") => vec![],
        Some((number, _)) => vec![Violation::new(number, "put `## [Unreleased]` before it")],
        None => vec![Violation::new(1, "add `## [Unreleased]`")],
    }
}

#[test]
fn the_newest_version_has_its_changes() {
    let manifest = workspace::file("Cargo.toml");
    let version = manifest
        .text
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .expect("Cargo.toml has a version");
    let version = version.trim_matches('"');
    let rule = |file: &File| tells_of(file, version);
    check(
        "The newest version in CHANGELOG.md is that of Cargo.toml.",
        [&workspace::file("CHANGELOG.md")],
        rule,
    );
    let older = "# Changelog\n\n## [Unreleased]\n\n## [0.0.1]\n";
    assert_eq!(broken_lines(rule, "CHANGELOG.md", older), [5]);
    assert_eq!(broken_lines(rule, "CHANGELOG.md", "## [Unreleased]\n"), [1]);
}

fn tells_of(file: &File, version: &str) -> Vec<Violation> {
    let mut sections = file.lines().filter(|(_, line)| line.starts_with("## ["));
    match sections.find(|(_, line)| !line.starts_with("## [Unreleased]")) {
        Some((_, line)) if line.starts_with(&format!("## [{version}]")) => vec![],
        Some((number, _)) => vec![Violation::new(
            number,
            format!("put `## [{version}]` before it"),
        )],
        None => vec![Violation::new(1, format!("add `## [{version}]`"))],
    }
}

#[test]
fn the_makefile_explains_its_targets() {
    check(
        "Every target of the Makefile has its `##` line for `make`.",
        [&workspace::file("Makefile")],
        explains_its_targets,
    );
    assert_eq!(
        broken_lines(
            explains_its_targets,
            "Makefile",
            ".PHONY: a b\na: ## Does a\nb:\n"
        ),
        [1]
    );
}

fn explains_its_targets(file: &File) -> Vec<Violation> {
    let mut broken = Vec::new();
    let declared = file
        .lines()
        .filter_map(|(line, text)| Some((line, text.strip_prefix(".PHONY: ")?)));
    for (line, targets) in declared {
        for target in targets.split_whitespace() {
            let is_explained =
                |text: &str| text.starts_with(&format!("{target}:")) && text.contains("## ");
            if !file.text.lines().any(is_explained) {
                broken.push(Violation::new(
                    line,
                    format!("explain `{target}` behind ` ## `"),
                ));
            }
        }
    }
    broken
}

/// Folders whose files are test cases, and how such a file ends: an empty one would test nothing.
const CASES: &[(&str, &str)] = &[
    ("crates/registrator-core/tests/scenarios", ".txt"),
    ("crates/registrator-policy/tests/golden", ".json"),
    ("etc/policies", ".star"),
    ("etc/services", ".json"),
];

#[test]
fn folders_of_cases_are_not_empty() {
    let files = workspace::files();
    for (folder, ending) in CASES {
        assert!(
            has_case(&files, folder, ending),
            "{folder} has no {ending} file: its test would check nothing."
        );
    }
    assert!(!has_case(
        &files,
        "crates/registrator-core/tests/scenarios",
        ".none"
    ));
}

fn has_case(files: &[File], folder: &str, ending: &str) -> bool {
    files
        .iter()
        .any(|file| file.is_below(folder) && file.path.ends_with(ending))
}

/// Hosts that serve packages, spelled in halves so that this file keeps the rule. Which registry serves a machine is its
/// administrator's choice.
const REGISTRY_HOSTS: [&str; 12] = [
    concat!("crates", ".io"),
    concat!("static.rust-", "lang.org"),
    concat!("sh.rust", "up.rs"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("proxy.go", "lang.org"),
    concat!("sum.go", "lang.org"),
    concat!("deb.de", "bian.org"),
    concat!("archive.u", "buntu.com"),
    concat!("registry-1.do", "cker.io"),
    concat!("gh", "cr.io"),
];

/// Folders of a machine, of no meaning on another.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/hel", "pers"),
];

#[test]
fn no_file_names_a_registry_or_a_machine() {
    let is_written = |file: &File| file.path != "Cargo.lock" && !file.path.ends_with("/go.sum");
    let files: Vec<_> = workspace::files().into_iter().filter(is_written).collect();
    check(
        "No file names a package registry's host or a folder of somebody's machine.",
        &files,
        names_no_place,
    );
    let wrong = format!(
        "see {}\nok\ncd {}main\n",
        REGISTRY_HOSTS[0], MACHINE_PATHS[0]
    );
    assert_eq!(broken_lines(names_no_place, "x.md", &wrong), [1, 3]);
}

fn names_no_place(file: &File) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (line, text) in file.lines() {
        let named = REGISTRY_HOSTS
            .iter()
            .chain(&MACHINE_PATHS)
            .filter(|place| text.contains(**place));
        broken.extend(named.map(|place| Violation::new(line, format!("leave `{place}` out"))));
    }
    broken
}

#[test]
fn options_are_read_from_help() {
    let help = "--policies <PATH> Where [env: KONTENA_REGISTRATOR_POLICIES=] [default: x] -h, --help --on-exit";
    assert_eq!(
        flags(help).into_iter().collect::<Vec<_>>(),
        ["--help", "--on-exit", "--policies"]
    );
    assert_eq!(
        variables(help).into_iter().collect::<Vec<_>>(),
        ["KONTENA_REGISTRATOR_POLICIES"]
    );
    assert_eq!(
        own_variables("all of `KONTENA_REGISTRATOR_*`"),
        Vec::<String>::new()
    );
}
