//! What the program costs while nothing changes.

use crate::recorder::Recorder;
use crate::stage::{Stage, block_on};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
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
    let (revision, requests) = (revision(stage), requests(stage));
    let (cpu, switches) = (program.cpu(), program.switches());
    std::thread::sleep(WHILE);
    let (used, woken) = (program.cpu() - cpu, program.switches() - switches);
    println!(
        "\nat rest with {CONTAINERS} containers, {} s",
        WHILE.as_secs()
    );
    println!(
        "  CPU                      {:.2} s (to 0.01 s)",
        used.as_secs_f64()
    );
    println!("  wakings                  {woken}");
    println!(
        "  resident memory          {} (peak {})",
        program.status("VmRSS"),
        program.status("VmHWM")
    );
    println!("  of it the program's file {}", program.status("RssFile"));
    println!("  threads                  {}", program.status("Threads"));
    let now = crate::rest::revision(stage);
    println!("  writes to etcd           {}", now - revision);
    println!(
        "  nodes changed            {}",
        recorder.all(crate::stage::NODES).len()
    );
    println!("  messages to etcd, by method:");
    for (method, count) in self::requests(stage) {
        let more = count - requests.get(&method).copied().unwrap_or_default();
        if more > 0 {
            println!("    {method:<22} {more}");
        }
    }
    program.end();
}

/// etcd's revision now.
pub(crate) fn revision(stage: &Stage) -> i64 {
    let answer = block_on(async { stage.etcd.client().status().await }).expect("etcd answers");
    answer.header.map_or(0, |header| header.revision)
}

/// What etcd's own counters say of the messages that it was sent.
fn requests(stage: &Stage) -> BTreeMap<String, u64> {
    metrics(stage).lines().filter_map(counted).collect()
}

/// What etcd says of itself.
pub(crate) fn metrics(stage: &Stage) -> String {
    let address = stage.etcd.url();
    let address = address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("etcd listens");
    let head = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("etcd listens");
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).expect("etcd answers");
    metrics
}

fn counted(line: &str) -> Option<(String, u64)> {
    let labels = line.strip_prefix("grpc_server_msg_received_total{")?;
    let (labels, count) = labels.split_once("} ")?;
    let method = labels.split("grpc_method=\"").nth(1)?.split('"').next()?;
    Some((method.to_owned(), count.trim().parse().ok()?))
}
