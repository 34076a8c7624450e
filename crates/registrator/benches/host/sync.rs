//! From the start of the process to the last node.

use crate::event::client;
use crate::recorder::Recorder;
use crate::stage::{NODES, Stage, block_on};
use crate::table::{head, row};
use registrator::docker;
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;

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

fn list(stage: &Stage) -> Duration {
    let host = stage.docker.host();
    block_on(async {
        let (client, begun) = (client(&host), Instant::now());
        docker::list_once(&client).await.expect("a list");
        begun.elapsed()
    })
}

fn info(stage: &Stage) -> Duration {
    let host = stage.docker.host();
    block_on(async {
        let (client, begun) = (client(&host), Instant::now());
        docker::engine_id(&client).await.expect("an id");
        begun.elapsed()
    })
}
