//! The page in a real browser, beside a registrator with 10,000 nodes: `scripts/page/page.test.js` looks, and says what is to happen here.

use super::docker::container;
use super::etcd::{in_path, skip};
use super::host::Host;
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A thousand containers, and ten nodes for each.
const MANY: usize = 1_000;
const POLICY: &str = r#"
def docker_container(container):
    if not container.name.startswith("many-"):
        return explain("it is not one of many")
    number = container.name.removeprefix("many-")
    return {"/many/%s-%d" % (number, each): "<b>%s</b>" % number for each in range(10)}
"#;

/// What browsers would take for something to do.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// What the browser's test needs, or why there is none.
fn tools() -> Result<String, &'static str> {
    in_path("node").ok_or("there is no node in the path")?;
    let chromium = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let chromium = chromium.or_else(|| in_path("chromium"));
    chromium.ok_or("there is no chromium in the path, and CHROMIUM names none")?;
    std::env::var("PAGE_MODULES").map_err(|_| "PAGE_MODULES names no folder")
}

fn live(address: &str) -> Json {
    let networks = json!({"NetworkSettings": {"Networks": {"bridge": {"IPAddress": address}}}});
    container('e', "live-one", &networks)
}

/// The shipped policy for names, and one for many nodes.
fn policies() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/policies");
    for file in ["skydns.star", "lib"] {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(format!("{shipped}/{file}"))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success());
    }
    std::fs::write(folder.path().join("many.star"), POLICY).unwrap();
    folder
}

fn containers() -> Vec<Json> {
    let hostile = json!({"Config": {"Labels": {"io.kontena.registrator.enable": HOSTILE}}});
    let few = [
        container('f', HOSTILE, &hostile),
        container('1', "web", &json!({})),
    ];
    let many = (0..MANY).map(|number| {
        let mut one = container('0', &format!("many-{number}"), &json!({}));
        one["Id"] = format!("{number:064x}").into();
        one
    });
    few.into_iter().chain(many).collect()
}

#[test]
fn in_a_browser() {
    let modules = match tools() {
        Ok(modules) => modules,
        Err(reason) => return skip("the page in a browser", reason),
    };
    let policies = policies();
    let mut host = Host::with_policies(policies.path(), containers()).in_sync();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scripts/page/page.test.js"
    );
    let pictures = host.folder.path().join("pictures");
    let mut browser = Command::new("node")
        .args([script, &host.page(), pictures.to_str().unwrap(), "live"])
        .env("NODE_PATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = browser.stdin.take().unwrap();
    let said = BufReader::new(browser.stdout.take().unwrap()).lines();
    for line in said.map_while(Result::ok) {
        println!("{line}");
        match line.strip_prefix("> ") {
            None => continue,
            Some("start") => host.docker.set(&live("172.17.0.14"), "start"),
            Some("readdress") => host.docker.set(&live("172.17.0.15"), "update"),
            Some("stop") => host.docker.set(&stopped(), "die"),
            Some("kill") => host.program.kill(),
            Some("restart") => host.restart(),
            Some(other) => panic!("the script asks for {other:?}"),
        }
        writeln!(answers, "done").unwrap();
    }
    assert!(browser.wait().unwrap().success(), "{}", host.program.log());
}

fn stopped() -> Json {
    let mut live = live("172.17.0.15");
    live["State"]["Running"] = false.into();
    live["State"]["Status"] = "exited".into();
    live
}
