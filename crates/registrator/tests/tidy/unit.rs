//! The unit for systemd and the rules for Prometheus, as their own tools see them.

use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The worst that `systemd-analyze security` may find.
const EXPOSURE: f64 = 1.5;

/// What a tool says; `None`, after a loud line, where it is missing.
fn said(tool: &str, args: &[&str]) -> Option<String> {
    match Command::new(tool).args(args).current_dir(ROOT).output() {
        Ok(done) => {
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            let error = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{tool} {args:?}: {text}{error}");
            Some(text + &error)
        }
        Err(_) if std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none() => {
            eprintln!("SKIPPED: {tool} is not there");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

#[test]
fn the_unit_is_hardened_and_says_that_it_is_alive() {
    let unit = std::fs::read_to_string(format!("{ROOT}/packaging/kontena-registrator.service"));
    let unit = unit.expect("the unit is there");
    for line in [
        "Type=notify",
        "WatchdogSec=30s",
        "RuntimeDirectory=kontena-registrator",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line}");
    }
    let args = [
        "security",
        "--offline=true",
        "packaging/kontena-registrator.service",
    ];
    let Some(text) = said("systemd-analyze", &args) else {
        return;
    };
    let (_, rest) = text
        .split_once("Overall exposure level")
        .expect("a verdict");
    let (_, rest) = rest.split_once(": ").expect("a number");
    let number: f64 = rest
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .expect("a number");
    assert!(number <= EXPOSURE, "{text}");
}

#[test]
fn each_alert_fires_and_ends_and_says_what_to_do() {
    let Some(_) = said(
        "promtool",
        &["check", "rules", "packaging/prometheus/alerts.yml"],
    ) else {
        return;
    };
    said(
        "promtool",
        &["test", "rules", "packaging/prometheus/alerts_test.yml"],
    );
    let rules = std::fs::read_to_string(format!("{ROOT}/packaging/prometheus/alerts.yml"));
    let runbook = std::fs::read_to_string(format!("{ROOT}/docs/alerts.md"));
    let (rules, runbook) = (rules.expect("rules"), runbook.expect("a runbook"));
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        assert!(
            runbook.contains(&format!("\n## {name}\n")),
            "docs/alerts.md: {name}"
        );
        assert!(
            rules.contains(&format!("#{}", name.to_lowercase())),
            "{name}"
        );
    }
}

/// `docs/api.md` tells of every metric.
#[test]
fn the_api_page_names_every_metric() {
    let source = include_str!("../../src/admin/metrics.rs");
    let page = std::fs::read_to_string(format!("{ROOT}/docs/api.md")).expect("the page");
    let calls = ["page.gauge(", "page.counter(", "page.all(", "page.family("];
    let mut found = 0;
    for call in calls {
        for rest in source.split(call).skip(1) {
            let Some(name) = rest
                .trim_start()
                .strip_prefix('"')
                .and_then(|it| it.split('"').next())
            else {
                continue;
            };
            found += 1;
            assert!(page.contains(&format!("`{name}`")), "docs/api.md: {name}");
        }
    }
    assert!(found > 20, "{found}");
}
