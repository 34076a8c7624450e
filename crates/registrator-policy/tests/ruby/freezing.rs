//! What an evaluation must not change, what it may, and what the next one sees of that.

use crate::common::ruby::{self, patient, policy_with};
use crate::common::{config, inspect, lines};

/// What a policy does, and what Ruby says of it.
const CHANGES: &[(&str, &str)] = &[
    (
        "@seen = 1",
        "can't modify frozen Kontena::Policies::P: #<Kontena::Policies::P>",
    ),
    ("self.class.include(Comparable)", "can't modify frozen"),
    ("extend(Comparable)", "can't modify frozen"),
    (
        "config.domain = 'x'",
        "can't modify frozen Kontena::Policies::PConfig",
    ),
    (
        "config.instance_variable_set(:@x, 1)",
        "can't modify frozen",
    ),
    (
        "self.class.docker_container(-> (c) { })",
        "can't modify frozen class",
    ),
    ("self.class.config { json_attr :x }", "can't modify frozen"),
    (
        "self.class.send(:define_method, :x) { }",
        "can't modify frozen class",
    ),
    ("self.class.const_set(:X, 1)", "can't modify frozen"),
    (
        "self.class.class_variable_set(:@@x, 1)",
        "can't modify frozen",
    ),
    ("config.class.json_attr(:x)", "can't modify frozen"),
    ("container.json['x'] = 1", "can't modify frozen Hash"),
    (
        "container.instance_variable_set(:@x, 1)",
        "can't modify frozen",
    ),
    ("@@new = 1", "can't modify frozen"),
];

/// Each of these is Ruby's own error of that evaluation, with file and line, and the next evaluation works.
#[test]
fn the_policy_its_configuration_and_the_document_are_frozen() {
    if !ruby::is_there() {
        return;
    }
    let branches = CHANGES
        .iter()
        .enumerate()
        .map(|(at, (code, _))| format!("  when '{at}' then {code}\n"));
    let text = format!(
        "config do\n  json_attr :domain, default: 'x'\n  json_attr :step\nend\ndef docker_container(container)\n  case config.step\n{}  end\n  {{ '/k' => 'fine' }}\nend\n",
        branches.collect::<String>()
    );
    let (folder, mut policy) = policy_with(&text, &patient()).unwrap();
    for (at, (code, part)) in CHANGES.iter().enumerate() {
        let step = config(policy.as_ref(), &format!("{{\"step\": \"{at}\"}}"));
        let error = policy.evaluate(step.as_ref(), &inspect("web"));
        let error = error.expect_err(code);
        let told = ruby::told(&folder, &error);
        assert!(
            told.contains("FrozenError: ") && told.contains(part),
            "{code}: {told}"
        );
        assert!(
            told.starts_with(&format!("raised: p.rb:{}: ", 7 + at)),
            "{code}: {told}"
        );
    }
    let fine = config(policy.as_ref(), "{}");
    let done = policy.evaluate(fine.as_ref(), &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/k = fine\n");
}

/// What constants, class variables, captured variables, globals and modules of a policy refer to.
#[test]
fn what_a_policy_keeps_lasts() {
    if !ruby::is_there() {
        return;
    }
    let text = r#"
seen = []
CACHE = Hash.new { |all, name| all[name] = [] }
LIST = %w[a]
@@list = []
$list = []
module Helper
  def self.memo
    @memo ||= []
  end
end
define_method(:captured) { seen }
def docker_container(container)
  logger.level = Logger::WARN
  kept = { cache: CACHE[:x], list: LIST, class: @@list, global: $list, module: Helper.memo, captured: captured }
  kept.each_value { |list| list << 'x' }
  kept.to_h { |name, list| ["/#{name}", list.size] }
end
"#;
    let (_folder, mut policy) = policy_with(text, &patient()).unwrap();
    let first = policy.evaluate(None, &inspect("web")).unwrap();
    let second = policy.evaluate(None, &inspect("web")).unwrap();
    assert_eq!(
        lines(&first),
        "/cache = 1\n/captured = 1\n/class = 1\n/global = 1\n/list = 2\n/module = 1\n"
    );
    assert_eq!(
        lines(&second),
        "/cache = 2\n/captured = 2\n/class = 2\n/global = 2\n/list = 3\n/module = 2\n"
    );
}

/// The freeze is shallow, so an evaluation may change what is nested. The next one must not see it: it would give other nodes.
#[test]
fn each_evaluation_gets_container_and_configuration_afresh() {
    if !ruby::is_there() {
        return;
    }
    let text = r#"
class Port
  include Kontena::JSON::Model
  json_attr :tags, default: ['t']
end
NONE = Object.new
SHARED = ['s']
config do
  json_attr :text, default: +'text'
  json_attr :list, default: [+'a']
  json_attr :hash, default: Hash.new('?')
  json_attr :port, model: Port, default: Port.new
  json_attr :none, default: NONE
  json_attr :shared, default: SHARED
  json_attr :given
end
def docker_container(container)
  config.text << 'x'
  config.list << 'b'
  config.list.first << 'x'
  config.hash['x'] = config.hash['y']
  config.port.tags << 'x'
  config.shared << 'x'
  config.given['a'] << 1
  container['Config', 'Cmd'] << 'x'
  container['Config', 'Hostname'] << 'x'
  container.env['x'] = 'y'
  container.labels['x'] = 'y'
  {
    '/config' => [config.text, config.list, config.hash, config.port.tags, config.none.equal?(NONE), config.shared, config.given],
    '/container' => [container['Config', 'Cmd'], container.hostname, container.labels.size],
  }
end
"#;
    let (_folder, mut policy) = policy_with(text, &patient()).unwrap();
    let config = config(policy.as_ref(), r#"{"given": {"a": []}}"#);
    let container = inspect("web");
    let first = lines(&policy.evaluate(config.as_ref(), &container).unwrap());
    assert!(
        first.starts_with(
            "/config = [\"textx\",[\"ax\",\"b\"],{\"x\":\"?\"},[\"t\",\"x\"],true,[\"s\",\"x\"],{\"a\":[1]}]\n/container = [[\"sleep\",\"1000000\",\"x\"],\"113ad94dfc20x\","
        ),
        "{first}"
    );
    for _ in 0..3 {
        let again = policy.evaluate(config.as_ref(), &container).unwrap();
        assert_eq!(lines(&again), first);
    }
    let other = lines(
        &policy
            .evaluate(config.as_ref(), &inspect("two-nets"))
            .unwrap(),
    );
    let again = lines(&policy.evaluate(config.as_ref(), &container).unwrap());
    assert_ne!(other, first);
    assert_eq!(again, first);
}
