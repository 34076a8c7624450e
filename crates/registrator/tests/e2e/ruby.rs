//! Policies in Ruby, beside those in Starlark.

use crate::program::wait_for;
use crate::world::World;

on! {
    V3_4 as etcd_3_4:
        skydns_with_configurations_from_a_file_and_from_etcd
        a_policy_that_kills_its_interpreter_disturbs_nobody
        interpreters_end_with_the_program
        without_an_interpreter_the_other_policies_run;
    Embedded as embedded: skydns_with_configurations_from_a_file_and_from_etcd;
}

const CONFIGS: &str = "/kontena/registrator/services/skydns/";

/// Whether the tests have an interpreter.
fn has_ruby() -> bool {
    let found = std::process::Command::new("ruby").arg("--version").output();
    if found.is_err() {
        assert!(
            std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_none_or(|value| value != "1"),
            "there is no ruby"
        );
        eprintln!(
            "SKIPPED: a test of Ruby policies because there is no ruby in PATH: apt-get install ruby"
        );
    }
    found.is_ok()
}

fn skydns_with_configurations_from_a_file_and_from_etcd(mut world: World) {
    world.let_others_write();
    if !has_ruby() {
        return;
    }
    world.write(
        "policies/skydns.rb",
        include_str!("../../../../etc/policies-ruby/skydns.rb"),
    );
    world.policy("still", &crate::by_name("\"still\""));
    world.config(
        "skydns/file.json",
        r#"{"domain": "file.test", "network": "WORLD"}"#,
    );
    world.docker().network(&world.name);
    let network = ["--network", &world.name, "--hostname", "web"];
    let id = world.run("web", &network);
    let ip = world.docker().docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &id,
    ]);
    let value = format!("{{\"host\":\"{}\"}}", ip.trim());
    world.start();
    world.wait_for_nodes("/skydns/", &[("/skydns/test/file/web", &value)]);
    world.wait_for_nodes("/t/", &[("/t/web", "still")]);
    let before = world.node("/skydns/test/file/web");

    world.put(
        &format!("{CONFIGS}dynamic"),
        r#"{"domain": "etcd.test", "network": "WORLD"}"#,
    );
    let both = [
        ("/skydns/test/etcd/web", value.as_str()),
        ("/skydns/test/file/web", &value),
    ];
    world.wait_for_nodes("/skydns/", &both);
    world
        .program()
        .wait_for_line(&["INFO", "instance skydns:dynamic runs"]);
    world.put(
        &format!("{CONFIGS}dynamic"),
        r#"{"domain": "etcd.test", "network": "WORLD", "domian": "x"}"#,
    );
    world.program().wait_for_line(&[
        "WARN",
        "skydns/dynamic",
        "unknown member \"domian\": the policy knows domain, network; the member is ignored",
    ]);
    world.put(&format!("{CONFIGS}dynamic"), r#"{"domain": "#);
    world
        .program()
        .wait_for_line(&["ERROR", "skydns/dynamic", "it runs on as it was"]);
    world.wait_for_nodes("/skydns/", &both);
    let plan = world.command("plan", &[]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("= /skydns/test/file/web"), "{plan}");
    world.delete(&format!("{CONFIGS}dynamic"));
    world.wait_for_nodes("/skydns/", &[("/skydns/test/file/web", &value)]);
    assert_eq!(world.node("/skydns/test/file/web"), before);

    world.rm("web");
    world.wait_for_nodes("/skydns/", &[]);
    world.wait_for_nodes("/t/", &[]);
}

fn a_policy_that_kills_its_interpreter_disturbs_nobody(mut world: World) {
    if !has_ruby() {
        return;
    }
    world.write(
        "policies/deadly.rb",
        "def docker_container(container)\n  return unless container.label('world') == 'WORLD'\n  logger.warn(\"looking at #{container}\")\n  exit! 3 if container.label('bad') || container['State', 'Status'] == 'paused'\n  { \"/r/#{container.name.sub('WORLD-', '')}\" => 1 }\nend\n",
    );
    world.policy("still", &crate::by_name("1"));
    world.run("bad", &["--label=bad=yes"]);
    world.run("good", &[]);
    world.start();
    world.wait_for_nodes("/r/", &[("/r/good", "1")]);
    world.wait_for_nodes("/t/", &[("/t/bad", "1"), ("/t/good", "1")]);
    let (bad, good) = (world.container("bad"), world.container("good"));
    let program = world.program();
    program.wait_for_line(&["ERROR", &bad, "deadly.rb", "it ended with exit status: 3"]);
    program.wait_for_line(&["WARN", &good, "(deadly)", &format!("looking at {good}")]);
    let before = world.node("/r/good");
    world.docker().docker(&["pause", &good]);
    program.wait_for_line(&["ERROR", &good, "its last good nodes stay"]);
    world.run("next", &[]);
    world.wait_for_nodes("/r/", &[("/r/good", "1"), ("/r/next", "1")]);
    assert_eq!(world.node("/r/good"), before);
    world.docker().docker(&["unpause", &good]);
    program.wait_for_line(&["INFO", "succeeds again", &good]);
}

/// Also one that never looks at its pipes again.
fn interpreters_end_with_the_program(mut world: World) {
    if !has_ruby() {
        return;
    }
    let busy = world.folder().join("busy");
    world.write(
        "policies/busy.rb",
        &format!(
            "def docker_container(container)\n  return unless container.label('world') == 'WORLD'\n  File.write('{}', Process.pid.to_s)\n  loop {{ }}\nend\n",
            busy.display()
        ),
    );
    let idle = world.folder().join("idle");
    world.write(
        "policies/idle.rb",
        &format!(
            "File.write('{}', Process.pid.to_s)\ndef docker_container(container)\nend\n",
            idle.display()
        ),
    );
    world.arguments.push("--evaluation-timeout=60s".into());
    world.run("web", &[]);
    world.launch();
    let pid = |path: &std::path::Path| {
        wait_for(
            "the interpreter's process id",
            || {
                std::fs::read_to_string(path)
                    .ok()
                    .filter(|text| !text.is_empty())
            },
            String::new,
        )
    };
    let pids = [pid(&busy), pid(&idle)];
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    world.program_mut().kill();
    wait_for(
        "the end of the interpreters",
        || pids.iter().all(|pid| !lives(pid)).then_some(()),
        || format!("{pids:?}"),
    );
}

fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

fn without_an_interpreter_the_other_policies_run(mut world: World) {
    world.write("policies/old.rb", "docker_container -> (c) { nil }\n");
    world.policy("still", &crate::by_name("1"));
    world.arguments.push("--ruby=/nowhere/ruby".into());
    world.run("web", &[]);
    world.start();
    world.wait_for_nodes("/t/", &[("/t/web", "1")]);
    world.program().wait_for_line(&[
        "ERROR",
        "policy old cannot be loaded, it does not run",
        "there is no /nowhere/ruby: install it",
    ]);
}
