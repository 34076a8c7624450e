//! What packages are made with.

use crate::Folder;
use std::process::Command;

#[test]
fn completions_are_what_their_shell_reads() {
    let folder = Folder::new();
    for (shell, words) in [
        ("bash", "complete -F _kontena__registrator"),
        ("zsh", "#compdef kontena-registrator"),
        ("fish", "complete -c kontena-registrator"),
    ] {
        let (text, _) = folder.run(0, &["generate", "completions", shell]);
        assert!(text.contains(words), "{text}");
        assert!(text.contains("embedded-listen"), "{text}");
        assert!(!text.contains("generate"), "{text}");
    }
    let (text, _) = folder.run(0, &["generate", "completions", "bash"]);
    folder.write("completions", &text);
    let complete = ". ./completions; COMP_WORDS=(kontena-registrator plan --no-e); COMP_CWORD=2; \
                    _kontena__registrator kontena-registrator --no-e plan; echo ${COMPREPLY[@]}";
    let output = Command::new("bash")
        .args(["-c", complete])
        .current_dir(folder.path())
        .output();
    let output = output.expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--no-etcd\n");
}

#[test]
fn there_is_a_page_for_the_program_and_one_for_each_command() {
    let folder = Folder::new();
    folder.run(0, &["generate", "man", "made/man"]);
    let pages = std::fs::read_dir(folder.path().join("made/man")).expect("a folder");
    let mut names: Vec<_> = pages
        .map(|page| {
            page.expect("a page")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    let (help, _) = folder.run(0, &["--help"]);
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let (commands, _) = commands.split_once("\n\n").expect("options");
    let mut expected = vec!["kontena-registrator.1".to_owned()];
    expected.extend(commands.lines().filter_map(|line| {
        let command = line.strip_prefix("  ")?.split(' ').next()?;
        (!command.is_empty()).then(|| format!("kontena-registrator-{command}.1"))
    }));
    expected.sort();
    assert_eq!(names, expected);
    let plan = std::fs::read_to_string(folder.path().join("made/man/kontena-registrator-plan.1"));
    let plan = plan.expect("a page");
    for words in [
        ".TH kontena-registrator-plan 1",
        "\\-\\-no\\-etcd",
        "KONTENA_REGISTRATOR_NO_ETCD",
    ] {
        assert!(plan.contains(words), "{words} in {plan}");
    }
}

#[test]
fn the_file_of_variables_changes_nothing_as_it_is() {
    let (text, _) = Folder::new().run(0, &["generate", "environment"]);
    assert!(
        text.contains("#KONTENA_REGISTRATOR_ON_EXIT=keep\n"),
        "{text}"
    );
    assert!(
        text.lines()
            .all(|line| line.is_empty() || line.starts_with('#')),
        "{text}"
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    folder.write("file", "");
    let (_, error) = folder.run(1, &["generate", "man", "file/man"]);
    assert!(
        error.contains("cannot write manual pages into file/man"),
        "{error}"
    );
}
