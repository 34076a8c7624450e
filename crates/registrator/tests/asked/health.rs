//! Alive and ready, while Docker is away, while etcd stands still, and while both are.

use super::docker::container;
use super::etcd::{Etcd, Version};
use super::host::{Host, SKYDNS, curl};
use super::program::{block_on, wait_for};
use serde_json::json;

/// Waits until exactly these conditions do not hold, and it is alive all the time.
#[track_caller]
fn wait_until_missing(page: &str, wanted: &[&str]) {
    let ready = || curl(&[&format!("{page}/readyz")]);
    let as_wanted = || {
        assert_eq!(curl(&[&format!("{page}/livez")]).0, 200);
        let (status, text) = ready();
        let missing = text.lines().filter_map(|line| line.strip_prefix("no "));
        let missing: Vec<&str> = missing
            .map(|it| it.split(':').next().unwrap_or(it))
            .collect();
        assert_eq!(status, if missing.is_empty() { 200 } else { 503 }, "{text}");
        (missing == wanted).then_some(())
    };
    wait_for(&format!("{wanted:?} to be missing"), as_wanted, || {
        format!("{:?}", ready())
    });
}

#[test]
fn readiness_goes_and_returns() {
    let etcd = block_on(Etcd::start(&Version::V3_4.program().unwrap()));
    let endpoint = [
        format!("--etcd-endpoint={}", etcd.url()),
        "--lease-ttl=5s".to_owned(),
    ];
    let address = etcd.address().parse().unwrap();
    let web = container('1', "web", &json!({}));
    let host = Host::start_at(address, "host-a", vec![web], SKYDNS, &endpoint).in_sync();
    let page = host.page();
    wait_until_missing(&page, &[]);
    host.docker.be_away(true);
    wait_until_missing(&page, &["docker"]);
    host.docker.be_away(false);
    wait_until_missing(&page, &[]);
    etcd.freeze();
    wait_until_missing(&page, &["etcd"]);
    host.docker.be_away(true);
    wait_until_missing(&page, &["docker", "etcd"]);
    etcd.thaw();
    wait_until_missing(&page, &["docker"]);
    host.docker.be_away(false);
    wait_until_missing(&page, &[]);
    host.wait_until_it_says(&["explain", "web"], "its node is in etcd");
}
