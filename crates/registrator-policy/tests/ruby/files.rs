//! The file as a class body, its environment, the container, what it prints, and its errors.

use crate::SKYDNS;
use crate::common::ruby::{
    self, body, expression, outcome, outcome_for, patient, policy_with, shown,
};
use crate::common::{inspect, lines};
use registrator_core::evaluate::evaluation::Level;
use serde_json::json;

#[test]
fn the_file_is_a_class_body_evaluated_once() {
    if !ruby::is_there() {
        return;
    }
    let text = r##"
PREFIX = '/t'
def key(name)
  "#{PREFIX}/#{name}"
end
class Helper
  def self.value
    PREFIX.sub('/', '')
  end
end
docker_container -> (container) { { key(container.name) => Helper.value } }
"##;
    assert_eq!(shown(text, "{}"), "/t/web = t\n");
}

#[test]
fn the_file_is_loaded_once_for_all_evaluations() {
    if !ruby::is_there() {
        return;
    }
    let text = "puts 'loaded'\ndef docker_container(container)\n  { '/pid' => Process.pid }\nend\n";
    let (_folder, mut policy) = policy_with(text, &patient()).unwrap();
    let mut evaluate = || policy.evaluate(None, &inspect("web")).unwrap();
    let first = evaluate();
    assert_eq!(first.log.len(), 1);
    for _ in 0..3 {
        let next = evaluate();
        assert_eq!((lines(&next), next.log.len()), (lines(&first), 0));
    }
}

#[test]
fn the_environment_is_readable_at_load() {
    if !ruby::is_there() {
        return;
    }
    let text = "A = ENV.fetch('A', 'x')\nB = ENV['B']\nC = ENV.fetch('C', 'default')\ndocker_container -> (c) { { '/e' => [A, B, C] } }";
    let mut settings = patient();
    settings.env = crate::common::settings(&[("A", "ä"), ("SECRET_", "no")]).env;
    let (_folder, mut policy) = policy_with(text, &settings).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/e = [\"ä\",null,\"default\"]\n");
    // Nothing else of this process's environment gets there, but what the interpreter itself is given.
    let names = "docker_container -> (c) { { '/e' => ENV.keys.sort } }";
    let (_folder, mut policy) = policy_with(names, &settings).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(
        lines(&done),
        "/e = [\"A\",\"LC_ALL\",\"MALLOC_ARENA_MAX\",\"SECRET_\"]\n"
    );
}

/// The options of Ruby in the environment are the operator's.
#[test]
fn an_interpreter_without_gems_will_do() {
    if !ruby::is_there() {
        return;
    }
    let mut settings = patient();
    settings.env = crate::common::settings(&[("RUBYOPT", "--disable-gems")]).env;
    let text = "docker_container -> (c) { { '/k' => [defined?(Gem).nil?, c.name] } }";
    let (_folder, mut policy) = policy_with(text, &settings).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/k = [true,\"web\"]\n");
}

#[test]
fn lambdas_and_methods_run_as_the_policy() {
    if !ruby::is_there() {
        return;
    }
    let check = |text: &str, expected: &str| assert_eq!(shown(text, "{}"), expected, "{text}");
    check(
        "def helper\n 'h'\nend\ndocker_container -> (c) { { '/k' => [helper, config, logger.class.name, self.class.superclass.name] } }",
        "/k = [\"h\",null,\"Logger\",\"Kontena::Registrator::Policy\"]\n",
    );
    check(
        "private\ndef docker_container(c)\n { '/k' => c.to_s }\nend",
        "/k = web\n",
    );
    check(
        "docker_container -> (c) { return { '/k' => '1' } }",
        "/k = 1\n",
    );
    check(
        "JSONS = JSON.parse('[1]')\ndocker_container -> (c) { { '/k' => JSON.generate(JSONS) } }",
        "/k = [1]\n",
    );
    let error = outcome("X = 1", "{}").unwrap_err();
    assert!(
        error.contains("ArgumentError: the policy has no docker_container"),
        "{error}"
    );
    assert!(error.starts_with("raised: p.rb: "), "{error}");
}

#[test]
fn helper_files_are_required_from_the_policys_folder() {
    if !ruby::is_there() {
        return;
    }
    let write = |value: &str| {
        let folder = crate::common::Folder::with(&[
            (
                "p.rb",
                "require_relative 'lib/value'\ndocker_container -> (c) { { '/k' => VALUE } }",
            ),
            ("lib/value.rb", &format!("VALUE = '{value}'\n")),
        ]);
        let mut policy = folder.load("p.rb", &patient()).unwrap();
        let done = policy.evaluate(None, &inspect("web")).unwrap();
        (lines(&done), policy.spec().fingerprint)
    };
    let (one, other) = (write("1"), write("2"));
    assert_eq!((one.0.as_str(), other.0.as_str()), ("/k = 1\n", "/k = 2\n"));
    assert_ne!(one.1, other.1, "a helper is a part of the policy");
}

#[test]
fn a_missing_interpreter_is_told_with_what_to_install() {
    let mut settings = patient();
    settings.ruby = "no-such-ruby".into();
    let error = policy_with(&body("nil"), &settings).err().unwrap();
    assert!(
        error.contains(
            "there is no no-such-ruby: install it (Debian and Ubuntu: apt-get install ruby"
        ),
        "{error}"
    );
    settings.ruby = "/nowhere/ruby".into();
    let error = policy_with(&body("nil"), &settings).err().unwrap();
    assert!(error.contains("there is no /nowhere/ruby"), "{error}");
}

#[test]
fn a_stopped_container_of_the_original_idiom_has_no_nodes() {
    if !ruby::is_there() {
        return;
    }
    let done = outcome_for(SKYDNS, "{}", &inspect("exited")).unwrap();
    assert_eq!(lines(&done), "");
}

#[test]
fn the_container_is_what_docker_says() {
    if !ruby::is_there() {
        return;
    }
    let check = |name: &str, code: &str, expected: &str| {
        assert_eq!(expression(code, &inspect(name)), expected, "{name}: {code}");
    };
    check(
        "web",
        "container.id.size, container.name, container.hostname, container.to_s",
        "[64,\"web\",\"113ad94dfc20\",\"web\"]",
    );
    check(
        "web",
        "container.json['Name'], container.json.frozen?, container.frozen?",
        "[\"/web\",true,true]",
    );
    check(
        "web",
        "container['NetworkSettings', 'Networks', 'bridge', 'IPAddress'], container['NetworkSettings', 'IPAddress']",
        "[\"172.17.0.2\",\"172.17.0.2\"]",
    );
    check(
        "web",
        "container['Nothing', 'x'], container['Nothing', 'x', 'y'], container['Config', 'Domainname'], container['Config', 'Cmd', 0], container['Config', 'Cmd', 99]",
        "[null,null,null,\"sleep\",null]",
    );
    for (code, said) in [
        (
            "container['Name', 'x']",
            "TypeError: String does not have #dig method",
        ),
        (
            "container['State', 'Pid', 'x']",
            "TypeError: Integer does not have #dig method",
        ),
        ("container['Config', 'Cmd', 'x']", "TypeError: "),
    ] {
        let error = ruby::outcome(&ruby::body(code), "{}").expect_err(code);
        assert!(error.contains(said), "{code}: {error}");
    }
    check(
        "web",
        "container.labels, container.env, container.label('x'), container.networks.keys, container.network('x'), container.network('bridge')['IPPrefixLen']",
        "[{},{},null,[\"bridge\"],null,16]",
    );
    check(
        "web",
        "container.network_ip('bridge'), container.network_ip('x')",
        "[\"172.17.0.2\",null]",
    );
    check("exited", "container.network_ip('bridge')", "[null]");
    check(
        "shop-api-1",
        "container.label('com.docker.compose.service')",
        "[\"api\"]",
    );
    let odd = registrator_core::observe::container::Container::from_inspect(json!({
        "Id": "0123456789abcdef", "Name": "/a/linked",
        "Config": {"Env": ["A=b=c", "B=", "C"], "Labels": null, "Hostname": ""},
        "Big": 123456789012345678901234567890_u128.to_string().parse::<serde_json::Number>().unwrap(),
    }))
    .unwrap();
    assert_eq!(
        expression(
            "container.name, container.env, container.labels, container.networks, container.hostname, container.json['Big'] + 1",
            &odd
        ),
        "[\"linked\",{\"A\":\"b=c\",\"B\":\"\",\"C\":\"\"},{},{},null,123456789012345678901234567891]"
    );
    let nameless = registrator_core::observe::container::Container::from_inspect(
        json!({"Id": "0123456789abcdef"}),
    )
    .unwrap();
    assert_eq!(
        expression("container.name, container.env", &nameless),
        "[\"0123456789ab\",{}]"
    );
}

#[test]
fn what_is_printed_or_logged_becomes_lines_of_the_log() {
    if !ruby::is_there() {
        return;
    }
    let code = "puts 'out'\nwarn 'err'\nSTDOUT.puts 'constant'\nsystem('echo child')\nprint 'no newline'\nputs\nlogger.debug('d')\nlogger.info { 'i' }\nlogger.warn(\"w1\\nw2\")\nlogger.error(RuntimeError.new('e'))\nlogger.fatal(:f)\nlogger.add(Logger::INFO, 'm', 'prog')\nnil";
    let mut settings = patient();
    settings.env = crate::common::settings(&[("PATH", &std::env::var("PATH").unwrap())]).env;
    let (_folder, mut policy) =
        policy_with(&format!("puts 'loading'\n{}", body(code)), &settings).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    let found: Vec<(Level, &str)> = done
        .log
        .iter()
        .map(|line| (line.level, line.text.as_str()))
        .collect();
    use Level::{Debug, Error, Info, Warn};
    assert_eq!(
        found,
        [
            (Debug, "loading"),
            (Debug, "out"),
            (Debug, "err"),
            (Debug, "constant"),
            (Debug, "child"),
            (Debug, "no newline"),
            (Debug, "d"),
            (Info, "i"),
            (Warn, "w1"),
            (Warn, "w2"),
            (Error, "e (RuntimeError)"),
            (Error, ":f"),
            (Info, "prog: m"),
        ]
    );
    let (_folder, mut policy) =
        policy_with(&body("1000.times { puts 'x' * 100 }\nnil"), &settings).unwrap();
    let done = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(done.log.len(), 100);
    let (_folder, mut policy) =
        policy_with(&body("puts 'before'\nraise 'oops'"), &settings).unwrap();
    let error = policy.evaluate(None, &inspect("web")).unwrap_err();
    assert!(
        error.message.ends_with("\nprinted: before"),
        "{}",
        error.message
    );
}

#[test]
fn errors_have_the_backtrace_with_file_and_line() {
    if !ruby::is_there() {
        return;
    }
    let text = "def address(container)\n  container['Id'].oops\nend\n\ndef docker_container(container)\n  { '/a' => address(container) }\nend\n";
    let error = outcome(text, "{}").unwrap_err();
    assert!(
        error.starts_with("raised: p.rb:2: NoMethodError: undefined method"),
        "{error}"
    );
    assert!(
        error.contains("\n  |\n2 |   container['Id'].oops\n  |\ncalled from p.rb:6: "),
        "{error}"
    );
    let library = "require 'json'\ndocker_container -> (c) { JSON.parse('oops') }";
    let error = outcome(library, "{}").unwrap_err();
    assert!(
        error.starts_with("raised: p.rb:2: JSON::ParserError: "),
        "{error}"
    );
}
