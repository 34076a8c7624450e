//! Rules about names: a type is found by its name alone.

use crate::rust;
use crate::workspace::{self, File};
use crate::{Violation, broken_lines, check};

/// Names that every module may give, because everybody says them together with their module.
const SAID_WITH_MODULE: [&str; 1] = ["Error"];

/// A type as a crate declares it.
struct Declared {
    path: String,
    line: usize,
    name: String,
}

#[test]
fn no_two_types_of_a_crate_have_one_name() {
    let files: Vec<_> = workspace::rust_files()
        .into_iter()
        .filter(|file| crate_of(&file.path).is_some())
        .collect();
    let all = declared_in(&files);
    check(
        "A type has a name that no other type of its crate has.",
        &files,
        |file| names_used_elsewhere(file, &all),
    );
    let other = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let others = declared_in(&[
        other("crates/x/src/a.rs", "pub struct One;\nenum Error {}"),
        other("crates/x/src/b.rs", "type Two<'a> = &'a str;"),
        other("crates/y/src/c.rs", "struct Three;"),
    ]);
    let rule = |file: &File| names_used_elsewhere(file, &others);
    let wrong = "pub(crate) struct One<T>(T);\ntrait Two {}\nstruct Three;\nenum Error {}";
    assert_eq!(broken_lines(rule, "crates/x/src/d.rs", wrong), [1, 2]);
    let right = "/// struct One;\nfn f() { struct Two; }\nimpl A for B {\n    type One = u8;\n}\n#[cfg(test)]\nstruct One;";
    assert_eq!(broken_lines(rule, "crates/x/src/d.rs", right), []);
}

fn names_used_elsewhere(file: &File, all: &[Declared]) -> Vec<Violation> {
    let own = crate_of(&file.path);
    let mut broken = Vec::new();
    for declared in declared_in(std::slice::from_ref(file)) {
        let other = all.iter().find(|other| {
            other.name == declared.name
                && crate_of(&other.path) == own
                && (&other.path, other.line) != (&declared.path, declared.line)
        });
        if let Some(other) = other
            && !SAID_WITH_MODULE.contains(&declared.name.as_str())
        {
            broken.push(Violation::new(
                declared.line,
                format!(
                    "`{}` is the name of a type in {}:{} too; give one of them another",
                    declared.name, other.path, other.line
                ),
            ));
        }
    }
    broken
}

/// The crate whose program a file is a part of.
fn crate_of(path: &str) -> Option<&str> {
    let (name, below) = path.strip_prefix("crates/")?.split_once('/')?;
    below.starts_with("src/").then_some(name)
}

fn declared_in(files: &[File]) -> Vec<Declared> {
    let mut found = Vec::new();
    for file in files {
        let code = rust::production_code(&file.path, &file.text);
        let types = rust::declared_types(&code).into_iter();
        found.extend(types.map(|(line, name)| Declared {
            path: file.path.clone(),
            line,
            name,
        }));
    }
    found
}
