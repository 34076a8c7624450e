//! What a policy declares with `config` and `json_attr`.

use crate::SKYDNS;
use crate::common::ruby::{self, body, patient, policy_with, shown};
use crate::common::{config, inspect, lines};
use registrator_core::evaluate::evaluation::{Evaluation, Level};
use registrator_core::observe::spec::Type;
use serde_json::json;

#[test]
fn a_policy_declares_a_configuration() {
    if !ruby::is_there() {
        return;
    }
    let (_folder, mut policy) = policy_with(SKYDNS, &patient()).unwrap();
    let schema = policy.spec().schema.clone().unwrap();
    let path = schema.etcd_path.unwrap().to_string();
    assert_eq!(path, "/kontena/registrator/services/skydns/:service");
    let attributes: Vec<_> = schema
        .attributes
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.default.clone().unwrap()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("domain", json!("skydns.local")),
            ("network", json!("bridge"))
        ]
    );
    let given = config(policy.as_ref(), "{\"domain\": \"kontena.local\"}");
    let done = policy.evaluate(given.as_ref(), &inspect("web")).unwrap();
    assert_eq!(
        lines(&done),
        "/skydns/local/kontena/113ad94dfc20 = {\"host\":\"172.17.0.2\"}\n"
    );
    let (_folder, policy) = policy_with(&body("nil"), &patient()).unwrap();
    assert_eq!(policy.spec().schema, None);
}

#[test]
fn placeholders_are_readable() {
    if !ruby::is_there() {
        return;
    }
    let text = "config etcd_path: '/a/:service' do\n  json_attr :x\nend\n".to_owned()
        + &body("{ \"/k/#{config.service}\" => config.x }");
    assert_eq!(shown(&text, "{\"x\": 1}"), "/k/web = 1\n");
}

#[test]
fn wrong_declarations_are_named() {
    if !ruby::is_there() {
        return;
    }
    let check = |text: &str, part: &str| {
        let error = policy_with(text, &patient()).err().expect(text);
        assert!(error.contains(part), "{text}: {error}");
    };
    check(
        "\nconfig etcd_path: 'a/:b'\n",
        "etcd_path \"a/:b\" must begin with a slash\n --> p.rb:2",
    );
    check(
        "config do\n  json_attr :a, oops: 1\nend",
        "unknown keyword: :oops",
    );
    check("config do\n  json_attr :a, oops: 1\nend", "p.rb:2");
    check(
        "config do\n json_attr :a, type: 1\nend",
        "json_attr :a: type must be a class, not 1",
    );
    check(
        "config do\n json_attr :a, model: String\nend",
        "String must include Kontena::JSON::Model",
    );
    check("config {}\nconfig {}", "config is declared twice");
    check(
        "config do\n json_attr :a\n json_attr :b, name: 'a'\nend",
        "json_attr :b and :a are both the member \"a\"",
    );
    check("docker_container 1", "docker_container takes a lambda");
    // Ruby 3.4 and newer name the line where the expression is missing.
    let line = if ruby::at_least("3.4") { 1 } else { 3 };
    check("x = \n\n)\n", &format!("SyntaxError: p.rb:{line}: "));
    check("def f\n  oops\nend\nf2\n", "--> p.rb:4");
    check("raise 'no way'", "RuntimeError: no way");
    check("exit 3", "the policy called exit");
    check("exit! 3", "it ended with exit status: 3");
    check(
        "require 'nowhere/at_all'",
        "LoadError: cannot load such file -- nowhere/at_all",
    );
}

#[test]
fn attributes_have_names_defaults_types_models_and_blocks() {
    if !ruby::is_there() {
        return;
    }
    let text = r##"
require 'ipaddr'
class Port
  include Kontena::JSON::Model
  json_attr :number, name: 'port'
  json_attr :protocol, default: 'tcp'
  json_attr :note, omitnil: true
end
config do
  class Health
    include Kontena::JSON::Model
    json_attr :interval, default: 5
  end
  json_attr :host_name, name: 'hostName'
  json_attr :address, type: IPAddr, default: IPAddr.new('10.0.0.1')
  json_attr :port, model: Port
  json_attr :ports, array_model: Port, default: []
  json_attr :health, model: Health, default: Health.new
  json_attr :names do |names| names.to_s.split(',') end
  json_attr :fixed, readonly: true, default: 'f'
end
def docker_container(container)
  {
    '/host' => config.host_name, '/address' => [config.address.class.name, config.address.succ.to_s],
    '/port' => config.port && config.port.number, '/ports' => config.ports.map { |port| "#{port.number}/#{port.protocol}" },
    '/encoded' => { ports: config.ports, health: config.health }, '/names' => config.names,
    '/fixed' => [config.fixed, config.respond_to?(:fixed=), config.respond_to?(:names=)],
    '/health' => config.health.interval,
  }
end
"##;
    assert_eq!(
        shown(text, "{}"),
        "/address = [\"IPAddr\",\"10.0.0.2\"]\n/encoded = {\"ports\":[],\"health\":{\"interval\":5}}\n/fixed = [\"f\",false,true]\n/health = 5\n/ports = []\n"
    );
    let given = r#"{"hostName": "h", "address": "fd00::1", "port": {"port": 1}, "ports": [{"port": 80}, {"port": 53, "protocol": "udp", "note": "n"}], "names": "a,b", "health": {}}"#;
    assert_eq!(
        shown(text, given),
        "/address = [\"IPAddr\",\"fd00::2\"]\n/encoded = {\"ports\":[{\"port\":80,\"protocol\":\"tcp\"},{\"port\":53,\"protocol\":\"udp\",\"note\":\"n\"}],\"health\":{\"interval\":5}}\n/fixed = [\"f\",false,true]\n/health = 5\n/host = h\n/names = [\"a\",\"b\"]\n/port = 1\n/ports = [\"80/tcp\",\"53/udp\"]\n"
    );
    let (_folder, policy) = policy_with(text, &patient()).unwrap();
    let schema = policy.spec().schema.clone().unwrap();
    let kinds: Vec<String> = schema
        .attributes
        .iter()
        .map(|found| found.kind.to_string())
        .collect();
    assert_eq!(kinds[0], Type::Any.to_string());
    assert_eq!(kinds[2], "dict[str, any value] | None");
    assert_eq!(kinds[3], "list[dict[str, any value]] | None");
}

#[test]
fn what_cannot_be_converted_is_an_error_of_the_evaluation_and_of_the_check() {
    if !ruby::is_there() {
        return;
    }
    let text = "require 'ipaddr'\nclass Range\n  include Kontena::JSON::Model\nend\nclass Port\n  include Kontena::JSON::Model\n  json_attr :range, model: Range\nend\nconfig do\n  json_attr :address, type: IPAddr\n  json_attr :ports, array_model: Port\n  json_attr(:n) { |n| Integer(n || 0) }\nend\n".to_owned()
        + &body("{ '/k' => 'v' }");
    let (folder, mut policy) = policy_with(&text, &patient()).unwrap();
    for (members, part) in [
        (
            "{\"address\": \"x\"}",
            "raised: p.rb: IPAddr::InvalidAddressError: the configuration.address: ",
        ),
        (
            "{\"ports\": [{\"range\": {}}, {\"range\": 2}]}",
            "the configuration.ports[1].range must be an object, not 2",
        ),
        (
            "{\"n\": \"x\"}",
            "p.rb:12: ArgumentError: the configuration.n: invalid value for Integer(): \"x\"",
        ),
    ] {
        let given = config(policy.as_ref(), members).unwrap();
        let checked = policy.check(&given).expect_err(members);
        let error = policy
            .evaluate(Some(&given), &inspect("web"))
            .expect_err(members);
        assert_eq!(checked, error);
        let told = ruby::told(&folder, &error);
        assert!(told.contains(part), "{members}: {told}");
    }
    let fine = config(policy.as_ref(), "{\"n\": 1}").unwrap();
    assert_eq!(policy.check(&fine), Ok(Evaluation::default()));
    assert!(policy.evaluate(Some(&fine), &inspect("web")).is_ok());
}

/// As in the original. The core tells of those of the configuration itself.
#[test]
fn members_that_no_attribute_has_are_ignored_with_one_warning() {
    if !ruby::is_there() {
        return;
    }
    let text = "class Port\n  include Kontena::JSON::Model\n  json_attr :number\nend\nconfig do\n  json_attr :ports, array_model: Port\nend\n".to_owned()
        + &body("{ '/k' => config.ports.map(&:number) }");
    let (_folder, mut policy) = policy_with(&text, &patient()).unwrap();
    assert!(policy.spec().schema.as_ref().unwrap().ignores_unknown);
    let members = r#"{"prots": 1, "ports": [{"number": 1}, {"numbr": 2, "number": 3}]}"#;
    let given = config(policy.as_ref(), members);
    let first = policy.evaluate(given.as_ref(), &inspect("web")).unwrap();
    assert_eq!(lines(&first), "/k = [1,3]\n");
    let told: Vec<_> = first
        .log
        .iter()
        .map(|line| (line.level, line.text.as_str()))
        .collect();
    assert_eq!(
        told,
        [(
            Level::Warn,
            "the configuration.ports[1]: unknown member \"numbr\" is ignored: the policy knows number"
        )]
    );
    let again = policy.evaluate(given.as_ref(), &inspect("web")).unwrap();
    assert_eq!(
        (lines(&again).as_str(), again.log.len()),
        ("/k = [1,3]\n", 0)
    );
}

#[test]
fn older_words_work() {
    if !ruby::is_there() {
        return;
    }
    let text = r#"
config do
  etcd_path '/a/:service'
  json_attr :domain, default: 'x.local'
  helpers do
    def reversed
      domain.split('.').reverse.join('/')
    end
  end
end
helpers do
  SLASH = '/'
  def key(name)
    File.join('/dns', config.reversed, config.service, name)
  end
end
docker_container -> (container) { { key(container.name) => SLASH } }
"#;
    let (_folder, policy) = policy_with(text, &patient()).unwrap();
    let path = policy.spec().schema.clone().unwrap().etcd_path.unwrap();
    assert_eq!(path.to_string(), "/a/:service");
    assert_eq!(shown(text, "{}"), "/dns/local/x/web/web = /\n");
    let twice = "config etcd_path: '/a/:b' do\n  etcd_path '/c/:d'\nend\n";
    let error = policy_with(twice, &patient()).err().unwrap();
    assert!(
        error.contains("etcd_path is declared twice") && error.contains("p.rb:2"),
        "{error}"
    );
}
