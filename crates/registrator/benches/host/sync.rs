//! From the start of the process to the last node.

use crate::engine;
use crate::recorder::Recorder;
use crate::stage::{NODES, Stage};
use crate::table::{head, row};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;
/// Inspects under way at once.
const AT_ONCE: usize = 8;

/// Starts the program among 100 and 200 containers.
pub(crate) fn initial(stage: &mut Stage) {
    head("process start -> all nodes in etcd");
    for containers in [100, 200] {
        stage.fill(containers);
        let times = (0..ROUNDS).map(|_| once(stage, containers));
        row(&format!("{containers} containers"), times.collect());
        let lists = (0..ROUNDS).map(|_| list(stage));
        row(
            "  of it: Docker's list and inspects by themselves",
            lists.collect(),
        );
        let infos = (0..ROUNDS).map(|_| info(stage));
        row("  of it: Docker's info by itself", infos.collect());
    }
}

fn once(stage: &Stage, containers: usize) -> Duration {
    stage_is_empty(stage);
    let mut recorder = Recorder::start(&stage.etcd.url());
    let program = stage.launch();
    (0..containers).for_each(|_| _ = recorder.next(NODES));
    let time = program.begun.elapsed();
    program.end();
    time
}

fn stage_is_empty(stage: &Stage) {
    assert_eq!(stage.nodes(), 0, "a program before this one left its nodes");
}

/// As the program does it, some inspects at once.
fn list(stage: &Stage) -> Duration {
    let host = stage.docker.host();
    let begun = Instant::now();
    let list = engine::connect(&host).get("/containers/json?all=1");
    let list: Vec<Value> = serde_json::from_slice(&list).expect("a list");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut docker = engine::connect(&host);
                while let Some(listed) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let id = listed["Id"].as_str().expect("an id");
                    let document = docker.get(&format!("/containers/{id}/json"));
                    serde_json::from_slice::<Value>(&document).expect("a document");
                }
            });
        }
    });
    begun.elapsed()
}

fn info(stage: &Stage) -> Duration {
    let mut docker = engine::connect(&stage.docker.host());
    let begun = Instant::now();
    docker.get("/info");
    begun.elapsed()
}
