//! What policies are told of the host: by flag, by variable, by interface.

use super::{Folder, container, contains};
use serde_json::json;
use std::process::{Command, Output};

/// A node for each fact that is known.
const POLICY: &str = r#"FACTS = {name: env("KONTENA_REGISTRATOR_HOST_" + name) for name in ["IP", "IPV6", "NAME"]}

def docker_container(container):
    return {"/host/" + name.lower(): value for name, value in FACTS.items()}
"#;

fn folder() -> Folder {
    let folder = Folder(tempfile::tempdir().unwrap());
    folder.write("etc/policies/facts.star", POLICY);
    std::fs::create_dir_all(folder.path().join("etc/services")).unwrap();
    let containers = json!([container('a', "web", &json!({}))]);
    folder.write("containers.json", &containers.to_string());
    folder
}

const PLAN: [&str; 4] = ["plan", "--no-etcd", "--containers", "containers.json"];

/// The facts that a policy sees with these arguments and variables; what is logged.
#[track_caller]
fn facts(arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<String>, String) {
    let arguments = [&PLAN, arguments].concat();
    let (plan, log) = folder().run_with(0, &arguments, variables);
    (nodes(&plan), log)
}

fn nodes(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter_map(|line| line.split_once("/host/"));
    let fact = |(_, fact): (&str, &str)| fact.split("  ").next().unwrap().to_owned();
    lines.map(fact).collect()
}

fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    format!("name {}", name.trim())
}

const IP: &str = "KONTENA_REGISTRATOR_HOST_IP";
const IPV6: &str = "KONTENA_REGISTRATOR_HOST_IPV6";
const NAME: &str = "KONTENA_REGISTRATOR_HOST_NAME";

#[test]
fn without_options_only_the_machine_s_name_is_known() {
    assert_eq!(facts(&[], &[]).0, [machine()]);
    assert_eq!(facts(&[], &[(IP, ""), (NAME, "")]).0, [machine()]);
}

#[test]
fn flags_and_variables_say_the_same() {
    let expected = ["ip 192.0.2.1", "ipv6 2001:db8::1", "name node-1"];
    let flags = [
        "--host-ip=2001:db8::1",
        "--host-ip=192.0.2.1",
        "--host-name=node-1",
    ];
    assert_eq!(facts(&flags, &[]).0, expected);
    let variables = [(IP, "192.0.2.1, 2001:db8:0::1"), (NAME, "node-1")];
    assert_eq!(facts(&[], &variables).0, expected);
    let others = [(IP, "192.0.2.9"), (NAME, "node-9")];
    assert_eq!(facts(&flags, &others).0, expected, "a flag wins");
    let (found, log) = facts(&["--host-ip=192.0.2.1"], &[(IPV6, "2001:db8::9")]);
    assert_eq!(
        found,
        ["ip 192.0.2.1", &machine()],
        "the variable is an output alone"
    );
    contains(&log, &["WARN", IPV6]);
}

#[test]
fn an_address_that_others_do_not_reach_is_warned_of() {
    let (found, log) = facts(&["--host-ip=127.0.0.1,fe80::1"], &[]);
    assert_eq!(found, ["ip 127.0.0.1", "ipv6 fe80::1", &machine()]);
    for address in ["127.0.0.1", "fe80::1"] {
        let told = format!("policies are told that {address} is this host");
        contains(&log, &["WARN", &told]);
    }
    assert!(!facts(&["--host-ip=10.0.0.1"], &[]).1.contains("told"));
}

#[test]
fn check_knows_the_facts_too() {
    let folder = folder();
    folder.write(
        "etc/policies/facts.star",
        "config(attrs = {\"ip\": attr(str, default = env(\"KONTENA_REGISTRATOR_HOST_IP\"))})\n\ndef docker_container(container, config):\n    return None\n",
    );
    folder.run(1, &["check"]);
    folder.run(0, &["check", "--host-ip=192.0.2.1"]);
}

#[test]
fn an_interface_that_does_not_exist_ends_every_command() {
    for command in [&["run"][..], &["check"], &PLAN] {
        let (_, log) = folder().run(1, &[command, &["--host-interface=nowhere0"]].concat());
        contains(
            &log,
            &[
                "there is no network interface \"nowhere0\"; there are ",
                "lo",
            ],
        );
    }
}

/// Runs `plan` in a network of its own, after these commands of `ip`.
fn plan_in_network(ip: &[&str], arguments: &[&str]) -> Output {
    let mut script = vec!["set -e", "ip link add rgtbr type bridge"];
    script.extend(ip);
    script.push("exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_kontena-registrator");
    let mut command = Command::new("unshare");
    let folder = folder();
    command.args(["--net", "sh", "-c", &script.join("\n"), "sh", program]);
    command
        .args(PLAN)
        .args(arguments)
        .current_dir(folder.path());
    command.output().unwrap()
}

/// Whether networks can be made here; says loudly if not.
fn networks_can_be_made() -> bool {
    let try_it = ["--net", "sh", "-c", "ip link add rgtbr type bridge"];
    let tried = Command::new("unshare").args(try_it).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let skipped = "SKIPPED: --host-interface because network namespaces cannot be made: it needs root, unshare and ip";
    let require_all = std::env::var_os("REGISTRATOR_REQUIRE_ALL");
    assert!(require_all.is_none_or(|value| value != "1"), "{skipped}");
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{skipped}");
    }
    false
}

#[test]
fn an_interface_gives_its_addresses() {
    if !networks_can_be_made() {
        return;
    }
    let both = [
        "ip address add 169.254.7.7/16 dev rgtbr",
        "ip address add 192.0.2.7/24 dev rgtbr",
        "ip address add 2001:db8::7/64 dev rgtbr nodad",
        "ip link set rgtbr up",
    ];
    let check = |commands: &[&str], arguments: &[&str], expected: &[&str]| {
        let output = plan_in_network(commands, &[arguments, &["--host-name=n"]].concat());
        let [plan, log] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(nodes(&plan), expected, "{arguments:?} {log}");
    };
    let interface = "--host-interface=rgtbr";
    check(
        &both,
        &[interface],
        &["ip 192.0.2.7", "ipv6 2001:db8::7", "name n"],
    );
    let given = [interface, "--host-ip=198.51.100.1"];
    check(
        &both,
        &given,
        &["ip 198.51.100.1", "ipv6 2001:db8::7", "name n"],
    );
    check(&both[1..2], &[interface], &["ip 192.0.2.7", "name n"]);
    let output = plan_in_network(&both[1..2], &["--host-interface=lo"]);
    assert_eq!(output.status.code(), Some(1));
    contains(
        &String::from_utf8(output.stderr).unwrap(),
        &["the network interface \"lo\" has no global address; those that have one are rgtbr"],
    );
}
