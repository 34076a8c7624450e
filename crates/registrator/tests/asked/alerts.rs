//! A real Prometheus scrapes a real run, and each alert fires for its cause and ends with it.

use super::docker::container;
use super::etcd::ports::free_port;
use super::etcd::{Etcd, Version};
use super::host::{Host, SKYDNS, curl};
use super::program::{block_on, wait_for};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const RULES: &str = include_str!("../../../../packaging/prometheus/alerts.yml");

/// The rules with spans that a test can wait for.
fn quick_rules() -> String {
    let lines = RULES.lines().map(|line| match line.trim() {
        wait if wait.starts_with("for: ") => "        for: 0s".to_owned(),
        _ => line.replace("[15m]", "[20s]").replace("[1h]", "[40s]"),
    });
    lines.map(|line| line + "\n").collect()
}

struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: &str) -> Prometheus {
        let folder = folder.join("prometheus");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("alerts.yml"), quick_rules()).unwrap();
        let config = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": "kontena-registrator", "static_configs": [{"targets": [target]}]}],
        });
        // JSON is YAML.
        fs::write(folder.join("prometheus.yml"), config.to_string()).unwrap();
        let address = free_port();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("prometheus is there");
        Prometheus { child, address }
    }

    fn ask(&self, path: &str) -> Json {
        let (_, text) = curl(&[&format!("http://{}/api/v1/{path}", self.address)]);
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn is_scraping(&self) -> bool {
        self.ask("targets")["data"]["activeTargets"][0]["health"] == "up"
    }

    /// The alerts that fire.
    fn firing(&self) -> BTreeSet<String> {
        let all = self.ask("alerts");
        let alerts = all["data"]["alerts"].as_array().into_iter().flatten();
        let firing = alerts.filter(|it| it["state"] == "firing");
        firing
            .filter_map(|it| Some(it["labels"]["alertname"].as_str()?.to_owned()))
            .collect()
    }

    #[track_caller]
    fn wait_until(&self, alert: &str, fires: bool) {
        let name = format!("Registrator{alert}");
        let what = format!("{name} to {}", if fires { "fire" } else { "end" });
        let as_wanted = || (self.firing().contains(&name) == fires).then_some(());
        wait_for(&what, as_wanted, || format!("{:?}", self.firing()));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registrator on a real etcd with a lease of 5 s, enough nodes for the brake, and a Prometheus.
fn watched(etcd: &Etcd) -> (Host, Prometheus) {
    let containers = "0123456789ab".chars().enumerate();
    let containers =
        containers.map(|(at, digit)| container(digit, &format!("web-{at}"), &json!({})));
    let more = [
        format!("--etcd-endpoint={}", etcd.url()),
        "--lease-ttl=5s".to_owned(),
    ];
    let address = etcd.address().parse().unwrap();
    let host = Host::start_at(address, "host-a", containers.collect(), SKYDNS, &more).in_sync();
    let page = host.page();
    let target = page.strip_prefix("http://").unwrap();
    let prometheus = Prometheus::start(host.folder.path(), target);
    let scraping = || prometheus.is_scraping().then_some(());
    wait_for("Prometheus to scrape", scraping, || {
        prometheus.ask("targets").to_string()
    });
    (host, prometheus)
}

fn started() -> Etcd {
    block_on(Etcd::start(&Version::V3_4.program().unwrap()))
}

#[test]
fn of_keys_policies_and_configurations() {
    let etcd = started();
    let (host, prometheus) = watched(&etcd);
    let is_quiet = || prometheus.firing().is_empty().then_some(());
    wait_for("nothing to be wrong", is_quiet, || {
        format!("{:?}", prometheus.firing())
    });

    let key = "/skydns/local/skydns/db/cf1c2a9b7d3e";
    host.etcdctl(&["put", key, "theirs"]);
    host.docker.set(&container('c', "db", &json!({})), "start");
    prometheus.wait_until("KeysBlocked", true);
    host.etcdctl(&["del", key]);
    prometheus.wait_until("KeysBlocked", false);

    let labelled = |text| {
        let labels = json!({"Config": {"Labels": {"io.kontena.registrator.enable": text}}});
        container('d', "broken", &labels)
    };
    host.docker.set(&labelled("maybe"), "start");
    prometheus.wait_until("EvaluationsFail", true);
    host.docker.set(&labelled("true"), "update");
    prometheus.wait_until("EvaluationsFail", false);

    let other = host.folder.path().join("services/skydns/other.json");
    fs::write(&other, r#"{"layout": "instance"}"#).unwrap();
    prometheus.wait_until("Problems", true);
    fs::write(&other, r#"{"layout": "instances", "ttl": 31}"#).unwrap();
    prometheus.wait_until("Problems", false);
    prometheus.wait_until("Conflict", true);
    fs::remove_file(&other).unwrap();
    prometheus.wait_until("Conflict", false);

    host.configure(None);
    prometheus.wait_until("BrakeEngaged", true);
    host.configure(Some(SKYDNS));
    prometheus.wait_until("BrakeEngaged", false);

    host.etcdctl(&["del", "--prefix", "/skydns/"]);
    prometheus.wait_until("Fight", true);
    prometheus.wait_until("Fight", false);
}

#[test]
fn of_etcd_docker_and_the_process() {
    let etcd = started();
    let (mut host, prometheus) = watched(&etcd);

    etcd.freeze();
    host.docker.set(&container('c', "db", &json!({})), "start");
    prometheus.wait_until("LeaseRunsOut", true);
    prometheus.wait_until("OutOfSync", true);
    prometheus.wait_until("Disconnected", true);
    etcd.thaw();
    prometheus.wait_until("LeaseRunsOut", false);
    prometheus.wait_until("OutOfSync", false);
    prometheus.wait_until("Disconnected", false);
    prometheus.wait_until("Slow", true);

    host.docker.be_away(true);
    prometheus.wait_until("Disconnected", true);
    host.docker.be_away(false);
    prometheus.wait_until("Disconnected", false);

    for _ in 0..4 {
        host.program.kill();
        prometheus.wait_until("Down", true);
        host.restart();
        prometheus.wait_until("Down", false);
    }
    prometheus.wait_until("Restarts", true);
    prometheus.wait_until("Slow", false);
    prometheus.wait_until("Restarts", false);
}

/// What is scraped is as Prometheus wants it, and a start is one moment.
#[test]
fn metrics_are_well_formed() {
    let etcd = started();
    let (host, _) = watched(&etcd);
    let (_, metrics) = curl(&[&format!("{}/metrics", host.page())]);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success(), "{checked:?}\n{metrics}");
    assert!(checked.stderr.is_empty(), "{checked:?}");
    let start = |metrics: &str| {
        let mut lines = metrics.lines();
        let line =
            lines.find(|it| it.starts_with("kontena_registrator_process_start_time_seconds "));
        line.unwrap().to_owned()
    };
    for _ in 0..50 {
        let (_, again) = curl(&[&format!("{}/metrics", host.page())]);
        assert_eq!(start(&again), start(&metrics));
    }
}
