//! What the program costs while nothing changes.

use crate::process::{cpu_of_threads, wakings};
use crate::recorder::Recorder;
use crate::stage::Stage;
use std::time::Duration;

const CONTAINERS: usize = 100;
const WHILE: Duration = Duration::from_secs(60);

/// Watches a minute of rest.
pub(crate) fn minute(stage: &mut Stage) {
    stage.fill(CONTAINERS);
    let program = stage.launch();
    stage.wait_for_nodes(CONTAINERS, &program);
    let mut recorder = Recorder::start(&stage.etcd.url());
    // What a start leaves to be done is no rest.
    std::thread::sleep(Duration::from_secs(5));
    let (revision, requests) = (stage.etcd.revision(), stage.etcd.requests());
    let id = program.id();
    let (cpu, before) = (cpu_of_threads(id), wakings(id));
    std::thread::sleep(WHILE);
    let (used, woken) = (cpu_of_threads(id) - cpu, wakings(id) - before);
    println!(
        "\nat rest with {CONTAINERS} containers, {} s",
        WHILE.as_secs()
    );
    println!("  CPU                      {:.3} s", used.as_secs_f64());
    println!("  wakings                  {woken}");
    println!(
        "  resident memory          {} (peak {})",
        program.status("VmRSS"),
        program.status("VmHWM")
    );
    println!("  of it the program's file {}", program.status("RssFile"));
    println!("  threads                  {}", program.status("Threads"));
    let now = stage.etcd.revision();
    println!("  writes to etcd           {}", now - revision);
    println!(
        "  nodes changed            {}",
        recorder.all(crate::stage::NODES).len()
    );
    println!("  messages to etcd, by method:");
    for (method, count) in stage.etcd.requests() {
        let more = count - requests.get(&method).copied().unwrap_or_default();
        if more > 0 {
            println!("    {method:<22} {more}");
        }
    }
    program.end();
}
