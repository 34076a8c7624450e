//! The most memory that the program takes while many containers with very long inspect documents change at once. The engine is
//! simulated, because a real one has no such containers at hand.

use crate::engine::Engine;
use crate::etcd::ports::free_port;
use crate::program::{Program, wait_for};

/// In bytes, of all of the process.
const MOST: u64 = 150_000_000;

const POLICY: &str = r#"
def docker_container(container, config):
    return {"/t/" + container.name: container.short_id}
"#;

/// A host whose inspect documents begin with these members.
struct Crowd {
    engine: Engine,
    program: Program,
    _folder: tempfile::TempDir,
}

impl Crowd {
    fn start(containers: usize, padding: String) -> Crowd {
        let engine = Engine::start_with("CROWD", 0..containers, padding);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("services")).unwrap();
        std::fs::write(path("crowd.star"), POLICY).unwrap();
        let text = |path: std::path::PathBuf| path.display().to_string();
        let arguments = [
            "run".to_owned(),
            format!("--docker-host={}", engine.host()),
            format!("--embedded-listen={}", free_port()),
            format!("--policies={}", text(path("crowd.star"))),
            format!("--services={}", text(path("services"))),
            "--host-id=crowd".to_owned(),
        ];
        let program = Program::start(folder.path(), &arguments, &[]);
        Crowd {
            engine,
            program,
            _folder: folder,
        }
    }

    /// All containers get other names.
    fn rename_all(&self) {
        for container in self.engine.containers() {
            let number = container.number;
            self.engine.rename(number, &format!("other-{number}"));
        }
    }

    /// Asserts that the process never had more memory than it may have.
    fn assert_peak(&self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.unwrap().trim().trim_end_matches(" kB");
        let bytes = kilobytes.parse::<u64>().unwrap() * 1024;
        eprintln!("peak: {:.1} MB", bytes as f64 / 1e6);
        assert!(bytes <= MOST, "{bytes} bytes, of {MOST}");
    }
}

/// So many bytes of members, each with a comma after it. Documents are kept packed, and what they repeat takes no room.
fn members(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 100);
    let mut number = 0;
    while text.len() < bytes {
        text += &format!(
            "\"Member-{}\":\"some value of usual length\",",
            number % 100
        );
        number += 1;
    }
    text
}

#[test]
fn documents_of_two_megabytes() {
    all_change(300, 2 << 20);
}

#[test]
fn documents_as_long_as_may_be() {
    all_change(64, (4 << 20) - (16 << 10));
}

/// So many containers, with documents of so many bytes, are registered, and registered anew under another name each.
fn all_change(containers: usize, bytes: usize) {
    let crowd = Crowd::start(containers, members(bytes));
    // On a busy machine it may be in sync before the last documents have come.
    crowd
        .program
        .wait_for_lines(containers, &["registered /t/web-"]);
    crowd.rename_all();
    crowd
        .program
        .wait_for_lines(containers, &["registered /t/other-"]);
    crowd.assert_peak();
}

#[test]
fn documents_that_are_too_long() {
    let containers = 300;
    let crowd = Crowd::start(containers, members(5 << 20));
    crowd
        .program
        .wait_for_lines(containers, &["cannot inspect", "is longer than"]);
    let asked = crowd.engine.inspects();
    crowd.rename_all();
    wait_for(
        "each of them to be inspected again",
        || (crowd.engine.inspects() > asked + containers).then_some(()),
        || format!("{} inspects", crowd.engine.inspects()),
    );
    crowd.assert_peak();
}
