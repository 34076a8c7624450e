//! What very many watches cost an etcd: those of a thousand hosts with a hundred keys each.

use crate::etcd::Etcd;
use crate::process::{cpu_of_threads, status};
use etcd_api::watch_client::WatchClient;
use etcd_api::watch_request::RequestUnion;
use etcd_api::{WatchCreateRequest, WatchRequest, WatchResponse};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

const HOSTS: usize = 1_000;
/// Of each host; each is watched, and so are the claims on it.
const KEYS: usize = 100;
/// Changes of which the median is taken.
const CHANGES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(300);

/// A stream with all watches of one host.
struct Host {
    answers: Streaming<WatchResponse>,
    _requests: mpsc::UnboundedSender<WatchRequest>,
}

/// Opens them all, and measures what a change costs then. `None` where there is no etcd.
pub(crate) fn many() -> Option<()> {
    let etcd = Etcd::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("\n{HOSTS} hosts that watch {KEYS} keys each and the claims on them");
    let (alone, _) = changes(&etcd, None);
    println!("  a change, before                   {alone:.2} ms of etcd's CPU");
    let resident = || -> u64 {
        let text = status(etcd.id(), "VmRSS");
        text.trim_end_matches(" kB").parse().unwrap_or_default()
    };
    let (before, cpu, begun) = (resident(), cpu_of_threads(etcd.id()), Instant::now());
    let url = etcd.url();
    let mut hosts = runtime.block_on(async {
        let opening = (0..HOSTS).map(|host| open(&url, host));
        let mut hosts = Vec::new();
        for host in opening {
            hosts.push(
                tokio::time::timeout(PATIENCE, host)
                    .await
                    .expect("etcd is in time"),
            );
        }
        hosts
    });
    println!(
        "  to open {} watches             {:.1} s, {:.1} s of etcd's CPU; etcd grew from {:.0} to {:.0} MB",
        HOSTS * KEYS * 2,
        begun.elapsed().as_secs_f64(),
        (cpu_of_threads(etcd.id()) - cpu).as_secs_f64(),
        before as f64 * 1024.0 / 1e6,
        resident() as f64 * 1024.0 / 1e6
    );
    let (with, told) = changes(&etcd, Some((&runtime, &mut hosts[0])));
    println!(
        "  a change, then                     {with:.2} ms of etcd's CPU, told after {told:.2} ms"
    );
    Some(())
}

fn name(host: usize, key: usize) -> String {
    format!("/fleet/host-{host}/{key:03}")
}

/// Opens a stream with all watches of a host, and waits until etcd has confirmed them.
async fn open(url: &str, host: usize) -> Host {
    let channel = Channel::from_shared(url.to_owned())
        .expect("an address")
        .connect()
        .await
        .expect("etcd listens");
    let (requests, receiver) = mpsc::unbounded_channel();
    for key in 0..KEYS {
        let node = name(host, key);
        let claims = format!("/registrator/claims/{}/", node.replace('/', "%2F"));
        let behind = format!("{}0", claims.trim_end_matches('/'));
        for (key, end) in [(node, String::new()), (claims, behind)] {
            let create = WatchCreateRequest {
                key: key.into_bytes(),
                range_end: end.into_bytes(),
                ..WatchCreateRequest::default()
            };
            let request_union = Some(RequestUnion::CreateRequest(create));
            // Its receiver is just below.
            let _ = requests.send(WatchRequest { request_union });
        }
    }
    let mut client = WatchClient::new(channel);
    let answers = client.watch(UnboundedReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    for _ in 0..2 * KEYS {
        answers
            .message()
            .await
            .expect("an answer")
            .expect("an answer");
    }
    Host {
        answers,
        _requests: requests,
    }
}

/// Etcd's CPU for a change of a key, and until it is told, in milliseconds.
fn changes(etcd: &Etcd, told: Option<(&tokio::runtime::Runtime, &mut Host)>) -> (f64, f64) {
    let cpu = cpu_of_threads(etcd.id());
    let mut times = Vec::new();
    let mut told = told;
    for change in 0..CHANGES {
        let begun = Instant::now();
        etcd.put(&name(0, change % KEYS), &change.to_string());
        if let Some((runtime, host)) = &mut told {
            let message = runtime.block_on(host.answers.message());
            message.expect("an answer").expect("an answer");
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let cpu = cpu_of_threads(etcd.id()) - cpu;
    (
        cpu.as_secs_f64() * 1e3 / CHANGES as f64,
        times[CHANGES / 2].as_secs_f64() * 1e3,
    )
}
