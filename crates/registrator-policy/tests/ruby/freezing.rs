//! What an evaluation must not change.

use crate::common::ruby::{self, outcome, patient, policy_with};
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
    ("config.domain << 'x'", "can't modify frozen String"),
    ("config.tags << 'x'", "can't modify frozen Array"),
    ("config.tags.first << 'x'", "can't modify frozen String"),
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
    ("container.json['Id'] << 'x'", "can't modify frozen String"),
    ("container.json['x'] = 1", "can't modify frozen Hash"),
    ("container.env['x'] = 1", "can't modify frozen Hash"),
    ("container.labels['x'] = 1", "can't modify frozen Hash"),
    (
        "container.instance_variable_set(:@x, 1)",
        "can't modify frozen",
    ),
    ("CACHE['x'] = 1", "can't modify frozen Hash"),
    ("CACHE[:list] << 1", "can't modify frozen Array"),
    ("Helper.memo", "can't modify frozen"),
    ("Helper::LIST << 1", "can't modify frozen Array"),
    ("logger.level = 1", "can't modify frozen Logger"),
    ("@@new = 1", "can't modify frozen"),
    ("@@list << 1", "can't modify frozen Array"),
];

/// Each of these is Ruby's own error of that evaluation, with file and line, and the next evaluation works.
#[test]
fn everything_is_frozen_in_an_evaluation() {
    if !ruby::is_there() {
        return;
    }
    let branches = CHANGES
        .iter()
        .enumerate()
        .map(|(at, (code, _))| format!("  when '{at}' then {code}\n"));
    let text = format!(
        "CACHE = {{ list: [] }}\n@@count = 0\n@@list = []\nmodule Helper\n  LIST = []\n  def self.memo\n    @memo ||= 1\n  end\nend\nconfig do\n  json_attr :domain, default: +'skydns.local'\n  json_attr :tags, default: ['a'.dup]\n  json_attr :step\nend\ndef docker_container(container)\n  case config.step\n{}  end\n  {{ '/k' => 'fine' }}\nend\n",
        branches.collect::<String>()
    );
    let (folder, mut policy) = policy_with(&text, &patient()).unwrap();
    let first_line = 17;
    for (at, (code, part)) in CHANGES.iter().enumerate() {
        let step = config(policy.as_ref(), &format!("{{\"step\": \"{at}\"}}"));
        let error = policy.evaluate(step.as_ref(), &inspect("web"));
        let error = error.expect_err(code);
        let told = ruby::told(&folder, &error);
        assert!(
            told.contains("FrozenError: ") && told.contains(part),
            "{code}: {told}"
        );
        let helper = if code.starts_with("Helper.") {
            7
        } else {
            first_line + at
        };
        assert!(
            told.starts_with(&format!("raised: p.rb:{helper}: ")),
            "{code}: {told}"
        );
    }
    let fine = config(policy.as_ref(), "{}");
    let done = policy.evaluate(fine.as_ref(), &inspect("web")).unwrap();
    assert_eq!(lines(&done), "/k = fine\n");
}

#[test]
fn what_a_lambda_captured_is_frozen_too() {
    if !ruby::is_there() {
        return;
    }
    for text in [
        "seen = []\ndocker_container -> (c) { seen << c.name; nil }",
        "seen = []\ndocker_container(proc { |c| seen << c.name; nil })",
        "seen = []\ndefine_method(:see) { |name| seen << name }\ndef docker_container(c) see(c.name) end",
        "seen = []\nSEE = -> (name) { seen << name }\ndef docker_container(c) SEE.call(c.name) end",
        "seen = []\nBY = Hash.new { |_, name| seen << name }\ndef docker_container(c) BY[c.name] end",
        "seen = []\nconfig do\n  define_method(:see) { |name| seen << name }\nend\ndef docker_container(c) config.see(c.name) end",
    ] {
        let error = outcome(text, "{}").expect_err(text);
        assert!(
            error.contains("FrozenError: can't modify frozen Array"),
            "{text}: {error}"
        );
        assert!(error.starts_with("raised: p.rb:"), "{text}: {error}");
    }
    let text = "def docker_container(c)\n  { '/k' => [c.name].map(&ID) + [MANY['x'].class.name] }\nend\nID = :upcase.to_proc\nMANY = Hash.new([])\n";
    assert_eq!(ruby::shown(text, "{}"), "/k = [\"WEB\",\"Array\"]\n");
}
