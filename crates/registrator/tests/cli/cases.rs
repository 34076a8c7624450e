//! What `plan` makes of containers as engines describe them, with the shipped policies.
//!
//! Each folder of `cases` has `containers.json`, `services` and the plan, `plan.txt`. `UPDATE_EXPECT=1` writes the plans anew.

use super::Folder;
use std::path::{Path, PathBuf};

#[test]
fn plans() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policies = here.join("../../etc/policies");
    let entries = std::fs::read_dir(here.join("tests/cli/cases")).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 5, "{cases:?}");
    let mut wrong = Vec::new();
    for case in cases {
        let plan = plan(&policies, &case);
        let path = case.join("plan.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &plan).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if plan != expected {
            wrong.push(format!(
                "{}, expected\n{expected}found\n{plan}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn plan(policies: &Path, case: &Path) -> String {
    let [services, containers] = ["services", "containers.json"].map(|name| case.join(name));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let [policies, services, containers] = [policies, &services, &containers].map(path);
    let places = [
        "--policies",
        &policies,
        "--services",
        &services,
        "--containers",
        &containers,
    ];
    let host = ["--host-ip", "192.0.2.10", "--host-name", "node1"];
    let args = [&["plan", "--no-etcd"][..], &places, &host].concat();
    let plan = Folder::new().run(0, &args).0;
    // Which other policies there are is not what this is about.
    let lines = plan
        .lines()
        .filter(|line| !line.contains(" waits for a configuration: "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// As a server of telephone calls has them: `-p 10000-15000:10000-15000/udp`.
#[test]
fn thousands_of_published_ports() {
    let mut document = super::container('1', "rtp", &serde_json::json!({}));
    for port in 10_000..=15_000 {
        let name = format!("{port}/udp");
        let binding = |ip: &str| serde_json::json!({"HostIp": ip, "HostPort": port.to_string()});
        document["Config"]["ExposedPorts"][&name] = serde_json::json!({});
        document["NetworkSettings"]["Ports"][&name] = [binding("0.0.0.0"), binding("::")].into();
    }
    let folder = Folder::new();
    folder.write(
        "containers.json",
        &serde_json::json!([document]).to_string(),
    );
    folder.write("services/services/a.json", "{}");
    folder.write("services/skydns2/a.json", r#"{"domain": "two.test"}"#);
    folder.write("services/skydns-srv/a.json", r#"{"address": "host"}"#);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/policies");
    let policies = policies.to_str().unwrap();
    let args = [
        "plan",
        "--no-etcd",
        "--policies",
        policies,
        "--services",
        "services",
        "--containers",
        "containers.json",
    ];
    // The time is that of a busy machine, and of a build for debugging.
    let host = [
        "--host-ip",
        "192.0.2.10",
        "--host-ip",
        "2001:db8::10",
        "--host-name",
        "node1",
        "--evaluation-timeout",
        "60s",
    ];
    let (plan, log) = folder.run(0, &[&args[..], &host].concat());
    assert_eq!(log, "");
    let of = |beginning: &str| {
        plan.lines()
            .filter(|line| line.starts_with(beginning))
            .count()
    };
    let found = [
        "+ /services/rtp",
        "+ /skydns/test/two/rtp/",
        "+ /skydns/local/skydns/svc/rtp/",
    ]
    .map(of);
    assert_eq!(
        found,
        [5001, 5001, 10_002],
        "{}",
        plan.lines().last().unwrap()
    );
    assert!(plan.contains("+ /services/rtp-15000/node1:rtp:15000:udp 192.0.2.10:15000  for"));
}
