//! It finds what there is to find, and says where it is.

use crate::{Target, text_of};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs `test` over a corpus of one seed; the text of the panic at the end, and the files of the corpus then.
fn run(name: &str, seed: &str, test: fn(&str)) -> (String, Vec<String>) {
    let folder = std::env::temp_dir().join(format!("fuzz-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("seed"), seed).unwrap();
    let target = Target {
        corpus: folder.to_str().unwrap(),
        words: &[b"needle"],
        inputs: 20_000,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        target.run(|input| {
            test(&String::from_utf8_lossy(input));
            String::new()
        });
    }));
    let files = contents(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let told = outcome.err().map(|panic| text_of(&*panic).to_owned());
    (told.unwrap_or_default(), files)
}

fn contents(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(fs::DirEntry::path);
    let read = |file: &fs::DirEntry| fs::read(file.path()).unwrap();
    let text = |file| String::from_utf8_lossy(&read(file)).into_owned();
    files.iter().map(text).collect()
}

#[test]
fn what_panics_is_kept_as_small_as_can_be() {
    let (told, files) = run("rare", r#"{"name": ["some", "hay"]}"#, |input| {
        let json: serde_json::Value = serde_json::from_str(input).unwrap_or_default();
        assert!(json["needle"].is_null(), "a needle");
    });
    assert!(
        told.starts_with("a needle\nThe input is kept in "),
        "{told}"
    );
    let [found, seed] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert!(seed.starts_with("{\"name\""));
    let found: serde_json::Value = serde_json::from_str(found).unwrap();
    assert!(!found["needle"].is_null(), "{found}");
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let (told, files) = run("sound", "[]", |_| {});
    assert_eq!(
        (told.as_str(), files.as_slice()),
        ("", &["[]".to_owned()][..])
    );
}
