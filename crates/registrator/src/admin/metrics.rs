//! The metrics, as Prometheus reads them. Labels are fixed words and the names of policies, never a key, a container or a host.

use super::Status;
use super::meters::{CHANGES, Meters, RESULTS};
use crate::histogram::Histogram;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The beginning of all names.
const PREFIX: &str = "kontena_registrator_";

/// What it was built of, if whoever built it said so.
const COMMIT: &str = match option_env!("REGISTRATOR_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// All metrics.
pub(super) fn text(status: &Status, meters: &Meters) -> String {
    let mut page = Page(String::new());
    of_state(&mut page, status, meters);
    of_keys(&mut page, status);
    of_policies(&mut page, status, meters);
    of_work(&mut page, meters);
    of_requests(&mut page, status);
    of_lease(&mut page, status);
    of_process(&mut page, status);
    page.0
}

/// A page of metrics.
struct Page(String);

/// What one line measures.
type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = text.replace('\n', "\\n");
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn all<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        self.family(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.all(name, "gauge", help, [(Vec::new(), value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.all(name, "counter", help, [(Vec::new(), number(value))]);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut within = 0;
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            within += count;
            let bound = bound.to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
            self.sample(&bucket, &labels, number(within));
        }
        let labels_of_all: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.sample(&bucket, &labels_of_all, number(histogram.count));
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
        self.sample(&format!("{name}_count"), labels, number(histogram.count));
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(u64::try_from(value).unwrap_or(u64::MAX))
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Seconds since 1970 of something so long ago.
fn stamp(status: &Status, age: Duration) -> f64 {
    number(status.now.before(age).0) / 1000.0
}

fn age(status: &Status, since: Instant) -> Duration {
    status.at.saturating_duration_since(since)
}

fn of_state(page: &mut Page, status: &Status, meters: &Meters) {
    let (counts, peers) = (&status.counts, &status.peers);
    page.all(
        "build_info",
        "gauge",
        "The version that runs.",
        [(
            vec![("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)],
            1.0,
        )],
    );
    page.gauge(
        "in_sync",
        "Whether everything was read and evaluated and etcd holds it.",
        flag(counts.in_sync),
    );
    if let Some(since) = meters.last_in_sync {
        let last = if counts.in_sync {
            Duration::ZERO
        } else {
            age(status, since)
        };
        page.gauge(
            "last_in_sync_timestamp_seconds",
            "When it was last in sync.",
            stamp(status, last),
        );
    }
    let sides = [("docker", &peers.docker), ("etcd", &peers.etcd)];
    page.all(
        "connected",
        "gauge",
        "Whether Docker is connected, and whether there is a session with etcd.",
        sides.map(|(peer, side)| (vec![("peer", peer)], flag(side.connected))),
    );
    page.all(
        "disconnects_total",
        "counter",
        "How often Docker, or the session with etcd, was lost.",
        sides.map(|(peer, side)| (vec![("peer", peer)], number(side.disconnects))),
    );
    page.all(
        "containers",
        "gauge",
        "Containers that are known.",
        [("running", counts.running), ("stopped", counts.stopped)]
            .map(|(state, some)| (vec![("state", state)], count(some))),
    );
    page.all(
        "registrators",
        "gauge",
        "Registrators that share this etcd, this one among them.",
        [("alive", counts.alive), ("suspect", counts.suspect)]
            .map(|(state, some)| (vec![("state", state)], count(some))),
    );
    page.gauge(
        "brake_engaged",
        "Whether the brake on mass deletion holds nodes back.",
        flag(counts.brake.is_some()),
    );
}

fn of_keys(page: &mut Page, status: &Status) {
    let counts = &status.counts;
    let nodes = counts.nodes.iter();
    page.all(
        "nodes",
        "gauge",
        "Keys that this host asks for or has.",
        nodes.map(|(state, some)| (vec![("state", state.name())], count(*some))),
    );
    page.all(
        "conflicts",
        "gauge",
        "Keys with different values, on this host or on several.",
        [
            ("host", counts.conflicts_on_host),
            ("cluster", counts.conflicts_in_cluster),
        ]
        .map(|(scope, some)| (vec![("scope", scope)], count(some))),
    );
    let watches = ("watch", status.peers.unwatched.len());
    let problems = counts.problems.iter().map(|(kind, some)| (*kind, *some));
    page.all(
        "problems",
        "gauge",
        "What cannot be loaded, read, inspected or watched.",
        problems
            .chain([watches])
            .map(|(kind, some)| (vec![("kind", kind)], count(some))),
    );
}

fn of_policies(page: &mut Page, status: &Status, meters: &Meters) {
    let by_policy = |map: &std::collections::BTreeMap<String, usize>| -> Vec<(String, f64)> {
        let pairs = map.iter();
        pairs
            .map(|(policy, some)| (policy.clone(), count(*some)))
            .collect()
    };
    let instances = by_policy(&status.counts.instances);
    page.all(
        "instances",
        "gauge",
        "Instances that run.",
        instances
            .iter()
            .map(|(policy, some)| (vec![("policy", &**policy)], *some)),
    );
    let failing = by_policy(&status.counts.failing);
    page.all(
        "failing_evaluations",
        "gauge",
        "Pairs of instance and container whose last evaluation failed.",
        failing
            .iter()
            .map(|(policy, some)| (vec![("policy", &**policy)], *some)),
    );
    page.family(
        "evaluations_total",
        "counter",
        "Evaluations by their result.",
    );
    for (policy, results) in &meters.evaluations {
        for (result, some) in RESULTS.iter().zip(results) {
            let labels = [("policy", &**policy), ("result", *result)];
            page.sample("evaluations_total", &labels, number(*some));
        }
    }
    let name = "evaluation_duration_seconds";
    page.family(name, "histogram", "From asking a policy to its answer.");
    for (policy, histogram) in &meters.durations {
        page.histogram(name, &[("policy", policy)], histogram);
    }
}

fn of_work(page: &mut Page, meters: &Meters) {
    let changes = CHANGES.iter().zip(meters.changes);
    page.all(
        "node_changes_total",
        "counter",
        "What became of nodes.",
        changes.map(|(change, some)| (vec![("change", *change)], number(some))),
    );
    let name = "convergence_seconds";
    let help = "From the event that changed what is asked for to the answer of etcd.";
    page.family(name, "histogram", help);
    page.histogram(name, &[], &meters.convergence);
    page.counter(
        "docker_inspects_total",
        "Containers that were inspected.",
        meters.inspects,
    );
}

fn of_requests(page: &mut Page, status: &Status) {
    let all = status.peers.requests.all();
    let name = "etcd_request_duration_seconds";
    page.family(name, "histogram", "How long requests to etcd took.");
    for measured in &all {
        page.histogram(
            name,
            &[("operation", measured.operation)],
            &measured.durations,
        );
    }
    let failures = all.iter().map(|measured| {
        let labels = vec![("operation", measured.operation)];
        (labels, number(measured.failures))
    });
    page.all(
        "etcd_request_failures_total",
        "counter",
        "Requests to etcd that came to nothing.",
        failures,
    );
}

fn of_lease(page: &mut Page, status: &Status) {
    let peers = &status.peers;
    if let Some(lease) = &peers.lease {
        page.gauge(
            "lease_ttl_seconds",
            "How long the lease lives without a renewal.",
            lease.ttl.as_secs_f64(),
        );
    }
    if let Some(renewed) = peers.renewed(status.at) {
        page.gauge(
            "lease_renewed_timestamp_seconds",
            "When the lease was renewed last.",
            stamp(status, renewed),
        );
    }
    page.counter(
        "leases_lost_total",
        "Leases that ended, with their nodes.",
        peers.leases_lost,
    );
}

/// What the system knows of this process; what it does not tell is left out.
fn of_process(page: &mut Page, status: &Status) {
    page.gauge(
        "process_start_time_seconds",
        "When the process started.",
        number(status.peers.started_at.0) / 1000.0,
    );
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program is in brackets, and may have anything in it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
    if let (Some(user), Some(system)) = (field(11), field(12)) {
        // Linux counts in hundredths for programs, whatever its own clock does.
        page.all(
            "process_cpu_seconds_total",
            "counter",
            "The processor time that it took.",
            [(Vec::new(), number(user + system) / 100.0)],
        );
    }
    let status_text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status_text.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()
    });
    if let Some(kilobytes) = resident {
        page.gauge(
            "process_resident_memory_bytes",
            "The memory that it takes.",
            number(kilobytes * 1024),
        );
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.gauge(
            "process_open_fds",
            "The files that it has open.",
            count(files.count()),
        );
    }
}
