//! Following files on a real disk.

mod folders;

use super::*;
use expect_test::{Expect, expect};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// A folder with `p` for policies and `s` for configurations, and a watch that follows it.
struct World {
    folder: tempfile::TempDir,
    updates: mpsc::Receiver<FileUpdate>,
    watch: FileWatch,
}

fn quick() -> Pace {
    Pace {
        quiet: Duration::from_millis(20),
        patience: Duration::from_millis(200),
        // A test that waits for this shows that the kernel's reports are not heeded.
        look: Duration::from_secs(600),
        reports: true,
    }
}

/// Writes a file in one step, so that nobody sees half of it.
fn put(path: &Path, text: &str) {
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(".new"), text).unwrap();
    fs::rename(folder.join(".new"), path).unwrap();
}

/// Links in one step.
fn link(target: &str, path: &Path) {
    let new = path.with_file_name(".new");
    symlink(target, &new).unwrap();
    fs::rename(new, path).unwrap();
}

impl World {
    /// Begins with these files, and with what is reported first left out.
    async fn new(files: &[&str]) -> World {
        World::with(files, quick(), "p").await
    }

    async fn with(files: &[&str], pace: Pace, policies: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("p")).unwrap();
        for file in files {
            put(&folder.path().join(file), file);
        }
        let mut world = World::follow(folder, pace, policies);
        while world.next().await != FileUpdate::Configs(SourceEvent::InitDone) {}
        world
    }

    fn follow(folder: tempfile::TempDir, pace: Pace, policies: &str) -> World {
        let (sender, updates) = mpsc::channel(1);
        let sources = Sources {
            policies: folder.path().join(policies).display().to_string(),
            services: folder.path().join("s"),
        };
        let watch = watch(sources, pace, sender).unwrap();
        World {
            folder,
            updates,
            watch,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    /// Takes a folder away in one step, then deletes it.
    fn remove_folder(&self, name: &str) {
        fs::rename(self.path(name), self.path("gone")).unwrap();
        fs::remove_dir_all(self.path("gone")).unwrap();
    }

    async fn next(&mut self) -> FileUpdate {
        let next = tokio::time::timeout(Duration::from_secs(20), self.updates.recv());
        next.await
            .expect("no update came")
            .expect("the watch ended")
    }

    /// The next `count` updates, a line each.
    async fn check(&mut self, count: usize, expected: &Expect) {
        let mut shown = String::new();
        for _ in 0..count {
            let update = self.next().await;
            shown.push_str(&self.shown(&update));
            shown.push('\n');
        }
        expected.assert_eq(&shown);
    }

    /// Nothing but the marker's update comes: whatever else would have, would have come before.
    async fn check_nothing(&mut self) {
        self.put("s/marker.json", "1");
        self.check(
            1,
            &expect![[r#"
            config Apply s/marker.json "1"
        "#]],
        )
        .await;
        fs::remove_file(self.path("s/marker.json")).unwrap();
        self.check(
            1,
            &expect![[r#"
            config Delete s/marker.json
        "#]],
        )
        .await;
    }

    /// Goes on to the update that is shown like this.
    async fn until(&mut self, expected: &str) {
        loop {
            let update = self.next().await;
            if self.shown(&update) == expected {
                return;
            }
        }
    }

    fn shown(&self, update: &FileUpdate) -> String {
        let names = |files: &[PolicyFile]| {
            let paths = files
                .iter()
                .map(|file| self.short(&file.path.display().to_string()));
            paths.collect::<Vec<String>>().join(" ")
        };
        match update {
            FileUpdate::Policies(changes) => {
                format!(
                    "policies [{}] gone [{}]",
                    names(&changes.changed),
                    names(&changes.gone)
                )
            }
            FileUpdate::Configs(event) => format!("config {}", self.config(event)),
            FileUpdate::Problem(problem) => {
                format!(
                    "problem {}: {}",
                    self.short(&problem.path.display().to_string()),
                    self.short(&problem.message)
                )
            }
            FileUpdate::Unread(paths) => {
                let paths: Vec<String> = paths
                    .iter()
                    .map(|path| self.short(&path.display().to_string()))
                    .collect();
                format!("unread [{}]", paths.join(" "))
            }
            FileUpdate::ReloadRequested => "reload".into(),
        }
    }

    fn config(&self, event: &SourceEvent<RawConfig>) -> String {
        let item = |kind: &str, config: &RawConfig| {
            let text = String::from_utf8_lossy(&config.bytes).into_owned();
            format!("{kind} {} {text:?}", self.short(&config.source.to_string()))
        };
        match event {
            SourceEvent::Init => "Init".into(),
            SourceEvent::InitApply(config) => item("InitApply", config),
            SourceEvent::InitDone => "InitDone".into(),
            SourceEvent::Apply(config) => item("Apply", config),
            SourceEvent::Delete((_, source)) => {
                format!("Delete {}", self.short(&source.to_string()))
            }
        }
    }

    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[tokio::test]
async fn first_comes_everything() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "p/b.star",
        "p/a.star",
        "p/lib/x.star",
        "s/a/1.json",
        "s/b.json",
    ] {
        put(&folder.path().join(file), file);
    }
    let mut world = World::follow(folder, quick(), "p/*.star");
    world
        .check(
            5,
            &expect![[r#"
        policies [p/a.star p/b.star] gone []
        config Init
        config InitApply s/a/1.json "s/a/1.json"
        config InitApply s/b.json "s/b.json"
        config InitDone
    "#]],
        )
        .await;
}

#[tokio::test]
async fn without_configurations_the_list_is_empty_but_complete() {
    let mut world = World::new(&[]).await;
    world.put("s/a/1.json", "{}");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a/1.json "{}"
    "#]],
        )
        .await;
}

#[tokio::test]
async fn each_change_is_told_once() {
    let mut world = World::new(&["p/a.star", "p/b.star", "s/a/1.json"]).await;
    world.put("p/a.star", "new");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    world.put("p/c.star", "c");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/c.star] gone []
    "#]],
        )
        .await;
    fs::remove_file(world.path("p/b.star")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        policies [] gone [p/b.star]
    "#]],
        )
        .await;
    world.put("s/a/1.json", "new");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a/1.json "new"
    "#]],
        )
        .await;
    world.put("s/a.json", "new");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a.json "new"
    "#]],
        )
        .await;
    world.remove_folder("s/a");
    world
        .check(
            1,
            &expect![[r#"
        config Delete s/a/1.json
    "#]],
        )
        .await;
    world.check_nothing().await;
}

#[tokio::test]
async fn the_same_contents_are_no_change() {
    let mut world = World::new(&["p/a.star", "s/a/1.json"]).await;
    world.put("p/a.star", "p/a.star");
    world.put("s/a/1.json", "s/a/1.json");
    world.put("p/README.md", "x");
    world.check_nothing().await;
}

#[tokio::test]
async fn a_helper_concerns_every_policy() {
    let mut world = World::new(&["p/a.star", "p/b.star", "p/lib/x.star"]).await;
    world.put("p/lib/x.star", "new");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star p/b.star] gone []
    "#]],
        )
        .await;
    world.put("p/lib/deep/y.star", "new");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star p/b.star] gone []
    "#]],
        )
        .await;
    world.put("p/lib/deep/y.star", "newer");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star p/b.star] gone []
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_renamed_policy_is_not_gone_while_its_name_is_there() {
    let mut world = World::new(&["p/a.rb"]).await;
    fs::rename(world.path("p/a.rb"), world.path("p/a.star")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
}

#[tokio::test]
async fn files_written_in_place_are_noticed() {
    let mut world = World::new(&["p/a.star", "s/a/1.json"]).await;
    fs::write(world.path("s/a/1.json"), "new").unwrap();
    let done = r#"config Apply s/a/1.json "new""#;
    loop {
        let update = world.next().await;
        // Whoever looks between emptying and writing sees an empty file.
        match world.shown(&update) {
            text if text == done => break,
            text => assert_eq!(text, done.replace("new", "")),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_gone() {
    let mut world = World::new(&["p/a.star", "s/a/1.json"]).await;
    link("nowhere", &world.path("s/a/1.json"));
    world
        .check(
            2,
            &expect![[r#"
                unread [s/a/1.json]
                problem s/a/1.json: cannot be read: No such file or directory (os error 2)
            "#]],
        )
        .await;
    link("nowhere", &world.path("p/a.star"));
    world
        .check(
            2,
            &expect![[r#"
                unread [p/a.star s/a/1.json]
                problem p/a.star: cannot be read: No such file or directory (os error 2)
            "#]],
        )
        .await;
    world.put("p/a.rb", "");
    world.check(1, &expect![[r#"
        problem p/a.star: p/a.rb and p/a.star would both be policy a: rename one of them; what was loaded before keeps running
    "#]]).await;
    world.check_nothing().await;
    world.watch.reload();
    world.check(3, &expect![[r#"
        reload
        problem p/a.star: p/a.rb and p/a.star would both be policy a: rename one of them; what was loaded before keeps running
        problem s/a/1.json: cannot be read: No such file or directory (os error 2)
    "#]]).await;
    fs::remove_file(world.path("s/a/1.json")).unwrap();
    world
        .check(
            2,
            &expect![[r#"
                config Delete s/a/1.json
                unread [p/a.star]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_reload_tells_only_what_differs() {
    let mut pace = quick();
    pace.reports = false;
    let mut world = World::with(&["p/a.star"], pace, "p").await;
    world.put("p/a.star", "new");
    world.watch.reload();
    world
        .check(
            2,
            &expect![[r#"
        reload
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    world.watch.reload();
    world.watch.reload();
    world
        .check(
            2,
            &expect![[r#"
        reload
        reload
    "#]],
        )
        .await;
}

#[tokio::test]
async fn without_reports_a_look_finds_changes() {
    let mut pace = quick();
    pace.reports = false;
    pace.look = Duration::from_millis(20);
    let mut world = World::with(
        &["p/a.star", "p/lib/x.star", "s/a/1.json"],
        pace,
        "p/*.star",
    )
    .await;
    world.put("p/a.star", "new");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    world.put("p/lib/x.star", "new");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    fs::remove_file(world.path("s/a/1.json")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        config Delete s/a/1.json
    "#]],
        )
        .await;
    world.check_nothing().await;
}

#[tokio::test]
async fn a_missing_folder_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, _updates) = mpsc::channel(1);
    let sources = Sources {
        policies: folder.path().join("none").display().to_string(),
        services: folder.path().join("s"),
    };
    assert!(matches!(
        watch(sources, quick(), sender),
        Err(FilesError::NoPolicies(_))
    ));
}

#[tokio::test]
async fn the_watch_ends_when_it_is_dropped() {
    let World {
        folder: _folder,
        mut updates,
        watch,
    } = World::new(&[]).await;
    drop(watch);
    let ended = tokio::time::timeout(Duration::from_secs(20), updates.recv());
    assert_eq!(ended.await.unwrap(), None);
}
