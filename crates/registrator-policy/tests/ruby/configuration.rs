//! What a policy declares with `config` and `json_attr`.

use crate::SKYDNS;
use crate::common::ruby::{self, body, patient, policy_with, shown};
use crate::common::{config, inspect, lines};
use registrator_core::evaluate::evaluation::Evaluation;
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
    let text = "require 'ipaddr'\nclass Port\n  include Kontena::JSON::Model\n  json_attr :number\nend\nconfig do\n  json_attr :address, type: IPAddr\n  json_attr :ports, array_model: Port\n  json_attr(:n) { |n| Integer(n || 0) }\nend\n".to_owned()
        + &body("{ '/k' => 'v' }");
    let (folder, mut policy) = policy_with(&text, &patient()).unwrap();
    for (members, part) in [
        (
            "{\"address\": \"x\"}",
            "raised: p.rb: IPAddr::InvalidAddressError: the configuration.address: ",
        ),
        (
            "{\"ports\": [{\"number\": 1}, {\"numbr\": 2}]}",
            "the configuration.ports[1]: unknown member \"numbr\": the policy knows number",
        ),
        (
            "{\"n\": \"x\"}",
            "p.rb:9: ArgumentError: the configuration.n: invalid value for Integer(): \"x\"",
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

/// The container is sent once for all configurations that are asked about it.
#[test]
fn a_configuration_that_fails_leaves_the_container_to_the_next() {
    if !ruby::is_there() {
        return;
    }
    let text = "config do\n  json_attr :x do |x| Integer(x) end\nend\n".to_owned()
        + &body("{ \"/k/#{config.x}\" => container.name }");
    let (_folder, mut policy) = policy_with(&text, &patient()).unwrap();
    let container = inspect("web");
    let bad = config(policy.as_ref(), "{\"x\": \"no\"}");
    policy.evaluate(bad.as_ref(), &container).unwrap_err();
    let good = config(policy.as_ref(), "{\"x\": \"1\"}");
    let done = policy.evaluate(good.as_ref(), &container).unwrap();
    assert_eq!(lines(&done), "/k/1 = web\n");
}
