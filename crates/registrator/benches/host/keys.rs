//! What many keys cost: one registrator alone, then two that share all of them.

use crate::process::{Program, cpu};
use crate::stage::{PATIENCE, Stage};
use std::path::Path;
use std::time::{Duration, Instant};

const CONTAINERS: usize = 20;
/// Of each container. The policy below says it too.
const KEYS: usize = 500;
const NODES: &str = "/keys/";
const CLAIMS: &str = "/registrator/claims/";
const REST: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
def docker_container(container, config):
    return {
        "/keys/%s/%d" % (container.name, number): {"host": "10.0.0.1", "port": 1000 + number, "container": container.name}
        for number in range(500)
    }
"#;

/// Takes ten thousand keys through everything that happens to them.
pub(crate) fn ten_thousand(stage: &mut Stage) {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("keys.star");
    std::fs::write(&policy, POLICY).expect("a policy");
    stage.fill(CONTAINERS);
    let count = CONTAINERS * KEYS;
    println!("\n{count} keys of {CONTAINERS} containers");
    println!("  etcd before              {}", size_of_etcd(stage));

    let one = launch(stage, &policy, "one", "keep");
    timed(stage, "registered", &one, || below(stage, NODES) == count);
    size(stage, "one", &one);
    rest(stage, &one);

    one.end();
    let one = launch(stage, &policy, "one", "keep");
    timed(stage, "adopted by the next process", &one, || {
        one.log().contains("in sync")
    });

    let two = launch(stage, &policy, "two", "release");
    timed(stage, "claimed by a second", &two, || {
        below(stage, CLAIMS) == count
    });
    size(stage, "two", &two);

    drop(one);
    let dead = Instant::now();
    wait(&two, || below(stage, "/registrator/beacons/") == 1);
    println!(
        "  first one killed, beacon out after {:.1} s",
        dead.elapsed().as_secs_f64()
    );
    let gone = Instant::now();
    let lease = lease_of(stage, "two");
    wait(&two, || held_by(stage, lease) == count);
    done(stage, "taken over", gone);
    // Until then it is still somebody to hand over to.
    wait(&two, || below(stage, "/registrator/nodes/") == 1);

    let three = launch(stage, &policy, "three", "release");
    wait(&three, || three.log().contains("in sync"));
    let leaving = Instant::now();
    two.end();
    done(stage, "handed over by one that leaves", leaving);
    let lease = lease_of(stage, "three");
    assert_eq!(held_by(stage, lease), count, "{}", three.log());
    let leaving = Instant::now();
    three.end();
    done(stage, "released by the last", leaving);
    assert_eq!(below(stage, NODES), 0, "nothing is left");
}

fn launch(stage: &Stage, policy: &Path, name: &str, on_exit: &str) -> Program {
    stage.launch_with(&[
        &"--policies",
        &policy,
        &"--host-id",
        &name,
        &"--on-exit",
        &on_exit,
        &"--log-level=info",
    ])
}

/// Prints how long it took from the start of the process until something was so, and how many revisions.
fn timed(stage: &Stage, what: &str, program: &Program, so: impl Fn() -> bool) {
    wait(program, so);
    done(stage, what, program.begun);
}

fn done(stage: &Stage, what: &str, begun: Instant) {
    let time = begun.elapsed().as_secs_f64();
    println!(
        "  {what:<32} {time:>6.2} s, etcd at revision {}",
        stage.etcd.revision()
    );
}

fn wait(program: &Program, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{}", program.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn size(stage: &Stage, name: &str, program: &Program) {
    println!(
        "  resident: etcd {}, {name} {} (peak {})",
        size_of_etcd(stage),
        program.status("VmRSS"),
        program.status("VmHWM")
    );
    println!(
        "  watches at etcd {}, streams of watches {}",
        stage.etcd.metric("etcd_debugging_mvcc_watcher_total"),
        stage.etcd.metric("etcd_debugging_mvcc_watch_stream_total")
    );
}

fn rest(stage: &Stage, program: &Program) {
    std::thread::sleep(Duration::from_secs(3));
    let (used, before) = (cpu(program.id()), stage.etcd.revision());
    std::thread::sleep(REST);
    println!(
        "  at rest for {} s: CPU {:.2} s, {} writes",
        REST.as_secs(),
        (cpu(program.id()) - used).as_secs_f64(),
        stage.etcd.revision() - before
    );
}

fn below(stage: &Stage, prefix: &str) -> usize {
    stage.etcd.count(prefix)
}

fn held_by(stage: &Stage, lease: i64) -> usize {
    let kvs = stage.etcd.below(NODES);
    kvs.iter().filter(|kv| kv.lease == lease).count()
}

fn lease_of(stage: &Stage, name: &str) -> i64 {
    let key = format!("/registrator/nodes/{name}");
    stage.etcd.get(&key).map_or(0, |kv| kv.lease)
}

fn size_of_etcd(stage: &Stage) -> String {
    let bytes = stage.etcd.metric("process_resident_memory_bytes");
    format!("{:.1} MB", bytes / 1e6)
}
