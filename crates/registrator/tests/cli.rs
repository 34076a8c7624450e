//! The commands that need neither Docker nor etcd, as a shell sees them: output and exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use serde_json::{Value as Json, json};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

#[path = "cli/cases.rs"]
mod cases;
#[path = "cli/configurations.rs"]
mod configurations;
#[path = "cli/first_process.rs"]
mod first_process;
#[path = "cli/generated.rs"]
mod generated;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/host_facts.rs"]
mod host_facts;
#[path = "cli/objects.rs"]
mod objects;
#[path = "cli/places.rs"]
mod places;
#[path = "cli/terminal.rs"]
mod terminal;

/// Two labels become two nodes; one of them is shared by all containers.
const POLICY: &str = r#"config(attrs = {"domain": attr(str), "ttl": attr(int, default = 30)})

def docker_container(container, config):
    if container.label("fail"):
        fail("no idea")
    if container.label("value") == None:
        print("no value")
    return {
        "/" + config.domain + "/" + container.name: {"ttl": config.ttl},
        "/" + config.domain + "/shared": container.label("value"),
    }
"#;

/// A folder in which the program runs with its default settings, and without any environment.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("etc/policies/p.star", POLICY);
        folder.write("etc/services/p/one.json", r#"{"domain": "one"}"#);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn output_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kontena-registrator"));
        command.env_clear().envs(variables.iter().copied());
        command
            .current_dir(self.path())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs the program and expects this exit code. What it printed, and what it logged.
    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> (String, String) {
        self.run_with(code, args, &[])
    }

    #[track_caller]
    fn run_with(&self, code: i32, args: &[&str], variables: &[(&str, &str)]) -> (String, String) {
        let output = self.output_with(args, variables);
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}\n{stdout}\n{stderr}"
        );
        (stdout, stderr)
    }
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} in\n{text}");
    }
}

/// A container as `docker inspect` shows it.
fn container(digit: char, name: &str, labels: &Json) -> Json {
    json!({
        "Id": digit.to_string().repeat(64),
        "Name": format!("/{name}"),
        "State": {"Running": true, "Status": "running"},
        "Config": {"Labels": labels},
        "NetworkSettings": {"Networks": {}},
    })
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let folder = Folder::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["fly"], &["fly"]),
        (
            &["run", "--lease-ttl=1s"],
            &["--lease-ttl", "KONTENA_REGISTRATOR_LEASE_TTL", "5s"],
        ),
        (
            &["run", "--on-exit=explode"],
            &["--on-exit", "keep", "release"],
        ),
        (
            &["run", "--etcd-username=me"],
            &["--etcd-username", "--etcd-password-file"],
        ),
        (
            &["run", "--allow-prefix=/registrator/mine"],
            &["--allow-prefix", "--etcd-meta-prefix"],
        ),
        (
            &["check", "--log-level=loud"],
            &["--log-level", "LOG_LEVEL"],
        ),
        (
            &["plan", "--embedded-listen=here"],
            &["--embedded-listen", "KONTENA_REGISTRATOR_EMBEDDED_LISTEN"],
        ),
    ];
    for (args, words) in cases {
        let (stdout, stderr) = folder.run(2, args);
        assert_eq!(stdout, "");
        contains(&stderr, words);
    }
    let (_, stderr) = folder.run_with(2, &["check"], &[("LOG_LEVEL", "loud")]);
    contains(&stderr, &["--log-level", "LOG_LEVEL", "loud"]);
}

/// As on a disk that hangs: a pipe that nobody writes to.
#[test]
fn a_file_that_does_not_come_is_named() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    folder.write("containers.json", "[]");
    let plan = ["plan", "--containers=containers.json", "--host-id=one"];
    let etcd = "--etcd-endpoint=https://127.0.0.1:1";
    let ca = ["--etcd-ca-file=pipe"];
    let password = ["--etcd-username=web", "--etcd-password-file=pipe"];
    for options in [&ca[..], &password] {
        let (_, log) = folder.run(1, &[&plan[..], &[etcd], options].concat());
        contains(&log, &["FATAL", "nothing came within 3s"]);
    }
}

#[test]
fn a_misspelt_variable_is_noticed() {
    let misspelt = [("KONTENA_REGISTRATOR_POLICY", "here")];
    let (_, stderr) = Folder::new().run_with(0, &["check"], &misspelt);
    contains(&stderr, &["WARN", "KONTENA_REGISTRATOR_POLICY", "misspelt"]);
}

#[test]
fn run_without_policies_fails() {
    let (_, stderr) = Folder::new().run(
        1,
        &[
            "run",
            "--policies=nowhere/",
            "--embedded-listen=127.0.0.1:0",
        ],
    );
    contains(&stderr, &["FATAL", "nowhere"]);
}

#[test]
fn check_of_what_is_right() {
    let folder = Folder::new();
    let (stdout, stderr) = folder.run(0, &["check"]);
    assert_eq!(
        stdout,
        "1 policies, 1 instances from files: 0 errors, 0 warnings\n"
    );
    assert_eq!(stderr, "");
    let (stdout, _) = folder.run(0, &["check", "--json"]);
    let expected = json!({
        "policies": [{"name": "p", "path": "etc/policies/p.star"}],
        "instances": ["p:one"],
        "idle": [],
        "errors": [],
        "warnings": [],
    });
    assert_eq!(serde_json::from_str::<Json>(&stdout).unwrap(), expected);
}

#[test]
fn check_of_what_is_wrong() {
    let folder = Folder::new();
    folder.write(
        "etc/policies/broken.star",
        "def docker_container(container, config):\n    return {)\n",
    );
    folder.write("etc/policies/needy.star", POLICY);
    folder.write("etc/services/p/two.json", "{\n  \"domain\": 2\n}\n");
    folder.write(
        "etc/services/p/three.json",
        "{\"domain\": \"three\",\n \"colour\": 1}\n",
    );
    let (stdout, _) = folder.run(1, &["check"]);
    contains(
        &stdout,
        &[
            "broken.star:2",
            "return {)",
            "two.json:2",
            "domain",
            "three.json:2",
            "colour",
            "policy needy waits for a configuration",
        ],
    );
    contains(
        &stdout,
        &["3 policies, 1 instances from files: 3 errors, 0 warnings"],
    );
    let (stdout, _) = folder.run(1, &["check", "--json"]);
    let found: Json = serde_json::from_str(&stdout).unwrap();
    let places = |member: &str| {
        let found = found[member].as_array().unwrap().iter();
        let mut places: Vec<_> = found
            .map(|found| format!("{}:{}", found["file"].as_str().unwrap(), found["line"]))
            .collect();
        places.sort();
        places
    };
    let expected = [
        "etc/policies/broken.star:2",
        "etc/services/p/three.json:2",
        "etc/services/p/two.json:2",
    ];
    assert_eq!(places("errors"), expected, "{found:#}");
    assert_eq!(found["warnings"], json!([]));
    let [idle] = found["idle"].as_array().unwrap().as_slice() else {
        panic!("{found:#}");
    };
    contains(idle.as_str().unwrap(), &["needy"]);
}

#[test]
fn the_shipped_policies_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let flags = ["policies", "services"]
        .map(|name| format!("--{name}={}", root.join("etc").join(name).display()));
    let (stdout, _) = Folder::new().run(0, &["check", &flags[0], &flags[1]]);
    // Each of them has a sample in etc/services.
    contains(
        &stdout,
        &["7 policies, 7 instances from files: 0 errors, 0 warnings"],
    );
}

/// Four containers: one without a value, two that do not agree, and one for which the policy fails.
fn planned() -> Folder {
    let folder = Folder::new();
    let containers = json!([
        container('a', "plain", &json!({})),
        container('b', "big", &json!({"value": "9"})),
        container('c', "small", &json!({"value": "10"})),
        container('d', "bad", &json!({"fail": "yes"})),
    ]);
    folder.write("containers.json", &containers.to_string());
    folder
}

#[test]
fn plan_as_json() {
    let folder = planned();
    let (stdout, _) = folder.run(
        0,
        &[
            "plan",
            "--containers=containers.json",
            "--no-etcd",
            "--json",
        ],
    );
    let plan: Json = serde_json::from_str(&stdout).unwrap();
    let origin = |name: &str| json!([{"instance": "p:one", "container": name}]);
    let node = |name: &str| json!({"key": format!("/one/{name}"), "value": r#"{"ttl":30}"#, "action": "create", "origins": origin(name)});
    let shared = json!({"key": "/one/shared", "value": "10", "action": "create", "origins": origin("small")});
    assert_eq!(
        plan["nodes"],
        json!([node("big"), node("plain"), shared, node("small")])
    );
    let candidates = json!([
        {"value": "10", "origins": origin("small"), "hosts": []},
        {"value": "9", "origins": origin("big"), "hosts": []}
    ]);
    assert_eq!(
        plan["conflicts"],
        json!([{"key": "/one/shared", "candidates": candidates}])
    );
    let [error] = plan["errors"].as_array().unwrap().as_slice() else {
        panic!("{plan:#}");
    };
    let mut members: Vec<_> = error.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["at", "container", "instance", "kind", "message"]);
    assert_eq!(
        (&error["instance"], &error["container"]),
        (&json!("p:one"), &json!("bad"))
    );
    assert_eq!(error["kind"], "raised", "{error}");
    contains(error["at"].as_str().unwrap(), &["p.star:5"]);
    contains(error["message"].as_str().unwrap(), &["no idea"]);
    let mut members: Vec<_> = plan.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "conflicts",
            "errors",
            "held_back",
            "idle",
            "nodes",
            "printed",
            "reasons",
            "warnings"
        ]
    );
}

#[test]
fn plan_as_text() {
    let (stdout, _) = planned().run(0, &["plan", "--containers=containers.json", "--no-etcd"]);
    contains(
        &stdout,
        &[
            "+ /one/big",
            "+ /one/shared",
            "10",
            "9",
            "no idea",
            "p.star:5",
            "message from the policy for container plain (p:one): no value",
        ],
    );
}

#[test]
fn plans_exit_code() {
    let folder = planned();
    let plan = [
        "plan",
        "--containers=containers.json",
        "--no-etcd",
        "--exit-code",
    ];
    folder.run(1, &plan);
    folder.write(
        "containers.json",
        &json!([container('a', "web", &json!({}))]).to_string(),
    );
    folder.run(3, &plan);
    folder.write("containers.json", "[]");
    folder.run(0, &plan);
}

#[test]
fn plan_of_a_wrong_file() {
    let folder = Folder::new();
    let cases: &[(&str, &[&str])] = &[
        ("{", &["containers.json", "JSON array"]),
        ("{}", &["containers.json", "JSON array"]),
        (
            r#"[{"Name": "/web"}]"#,
            &["containers.json", "element 1", "Id"],
        ),
    ];
    for (text, words) in cases {
        folder.write("containers.json", text);
        let (stdout, stderr) =
            folder.run(1, &["plan", "--containers=containers.json", "--no-etcd"]);
        assert_eq!(stdout, "");
        contains(&stderr, words);
    }
    let (_, stderr) = folder.run(1, &["plan", "--containers=nowhere.json", "--no-etcd"]);
    contains(&stderr, &["nowhere.json"]);
}

#[test]
fn plan_without_docker_says_what_to_do() {
    let args = [
        "plan",
        "--no-etcd",
        "--docker-host=unix:///nowhere/docker.sock",
    ];
    let (_, stderr) = Folder::new().run(1, &args);
    contains(&stderr, &["/nowhere/docker.sock", "--containers"]);
}

/// Whether the tests have a Ruby interpreter.
fn has_ruby() -> bool {
    let found = Command::new("ruby").arg("--version").output().is_ok();
    let required = std::env::var_os("REGISTRATOR_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(found || !required, "there is no ruby");
    if !found {
        eprintln!(
            "SKIPPED: a test of Ruby policies because there is no ruby in PATH: apt-get install ruby"
        );
    }
    found
}

/// Both languages in one folder, and what the original program's users have in their environment.
#[test]
fn policies_in_ruby_are_checked_and_planned() {
    if !has_ruby() {
        return;
    }
    let folder = Folder::new();
    folder.write("etc/policies/old.rb", "require 'ipaddr'\nconfig do\n  json_attr :address, type: IPAddr, default: IPAddr.new('::1')\nend\ndocker_container -> (c) { { '/old' => config.address.to_s } }\n");
    folder.write("etc/services/old/one.json", "{}");
    let (stdout, _) = folder.run(0, &["check"]);
    contains(
        &stdout,
        &["2 policies, 2 instances from files: 0 errors, 0 warnings"],
    );
    let containers = json!([container('1', "web", &json!({}))]);
    folder.write("containers.json", &containers.to_string());
    let plan = [
        "plan",
        "--no-etcd",
        "--containers=containers.json",
        "--host-id=n",
    ];
    let (stdout, _) = folder.run(0, &plan);
    contains(&stdout, &["+ /old ::1", "+ /one/web"]);
    let original = [("KONTENA_REGISTRATOR_POLICIES", "etc/policies/*.rb")];
    let (stdout, _) = folder.run_with(1, &["check"], &original);
    contains(
        &stdout,
        &[
            "there is no policy p",
            "1 policies, 1 instances from files: 1 errors",
        ],
    );

    folder.write("etc/services/old/two.json", "{\n  \"adress\": 1\n}");
    folder.write("etc/services/old/three.json", "{\"address\": \"nonsense\"}");
    folder.write("etc/policies/broken.rb", "config do\n  json_attr\nend\n");
    let (stdout, _) = folder.run(1, &["check"]);
    contains(
        &stdout,
        &[
            "etc/services/old/two.json:2
",
            "unknown member \"adress\": the policy knows address",
            "etc/services/old/three.json\n",
            "the policy refuses it: etc/policies/old.rb",
            "IPAddr::InvalidAddressError",
            "etc/policies/broken.rb:2\n",
            "2 errors, 1 warnings",
        ],
    );
}

#[test]
fn policies_in_ruby_see_what_is_allowed_of_the_environment() {
    if !has_ruby() {
        return;
    }
    let folder = Folder::new();
    folder.write("etc/policies/env.rb", "NAMES = ENV.keys.sort - %w[LC_ALL MALLOC_ARENA_MAX KONTENA_REGISTRATOR_HOST_NAME]\ndocker_container -> (c) { { '/env' => NAMES } }\n");
    let containers = json!([container('1', "web", &json!({}))]);
    folder.write("containers.json", &containers.to_string());
    let variables = [
        ("ETCD_USERNAME", "u"),
        ("ETCD_PASSWORD", "p"),
        ("ETCD_ENDPOINT", "http://127.0.0.1:1"),
        ("DOCKER_CERT_PATH", "x"),
        ("SKYDNS_DOMAIN", "x"),
    ];
    let plan = |allowed: &[&str]| {
        let fixed = [
            "plan",
            "--no-etcd",
            "--containers=containers.json",
            "--host-id=n",
        ];
        let (stdout, _) = folder.run_with(0, &[&fixed[..], allowed].concat(), &variables);
        stdout
    };
    contains(&plan(&[]), &["/env [\"ETCD_ENDPOINT\",\"SKYDNS_DOMAIN\"]"]);
    contains(
        &plan(&["--policy-env=SKYDNS_*"]),
        &["/env [\"SKYDNS_DOMAIN\"]"],
    );
    contains(
        &plan(&["--policy-env=ETCD_*,ETCD_USERNAME"]),
        &["/env [\"ETCD_ENDPOINT\",\"ETCD_USERNAME\"]"],
    );
}

/// Two Hashes and two containers that differ about a key.
#[test]
fn conflicts_of_policies_in_ruby_name_key_container_and_values() {
    if !has_ruby() {
        return;
    }
    let folder = Folder::new();
    std::fs::remove_file(folder.path().join("etc/policies/p.star")).unwrap();
    std::fs::remove_dir_all(folder.path().join("etc/services")).unwrap();
    std::fs::create_dir(folder.path().join("etc/services")).unwrap();
    folder.write("etc/policies/c.rb", "def docker_container(c)\n  yield '/one' => 10\n  yield '/one' => 9\n  yield '/same' => 'x'\n  { '/between' => c.label('value'), '/same' => 'x' }\nend\n");
    let containers = json!([
        container('1', "web", &json!({"value": "b"})),
        container('2', "api", &json!({"value": "a"})),
    ]);
    folder.write("containers.json", &containers.to_string());
    let (stdout, _) = folder.run(
        0,
        &[
            "plan",
            "--no-etcd",
            "--containers=containers.json",
            "--host-id=n",
        ],
    );
    contains(
        &stdout,
        &[
            "+ /one 10  for web (c), api (c)",
            "+ /same x  for web",
            "conflict for /one, the first value is registered:
    10  for web (c), api (c)
    9  for web",
            "conflict for /between, the first value is registered:
    a  for api (c)
    b  for web (c)",
        ],
    );
}
