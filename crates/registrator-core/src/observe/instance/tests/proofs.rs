//! A policy that looks at configurations: what counts before and after its word.

use super::*;
use crate::observe::watch::Keyed;

fn validating(fingerprint: u64, kind: Type) -> PolicySpec {
    PolicySpec {
        validates: true,
        ..spec("a", fingerprint, Some(kind))
    }
}

/// Instances with a policy that validates, and a configuration that it has not seen.
fn beginning() -> Instances {
    let mut instances = Instances::default();
    instances.set_policies(vec![validating(1, Type::Str)], vec![]);
    instances.handle_etcd(&name("a"), SourceEvent::Init);
    instances.handle_etcd(&name("a"), SourceEvent::InitDone);
    assert_eq!(shown(&list(&mut instances, [file("a", None, "{}")])), "");
    instances
}

fn ask(instances: &mut Instances) -> Proof {
    let proof = instances.next_proof().expect("something to look at");
    assert_eq!(instances.next_proof(), None);
    proof
}

fn change(instances: &mut Instances, text: &str) -> InstanceDelta {
    instances.handle_file(SourceEvent::Apply(file("a", None, text)))
}

fn config_of(instances: &Instances) -> String {
    let running = instances.iter().map(|one| one.config.as_ref().unwrap());
    running.map(|config| config.text().to_owned()).collect()
}

#[test]
fn nothing_runs_before_the_policy_has_looked() {
    let mut instances = beginning();
    assert!(!instances.complete());
    let proof = ask(&mut instances);
    let text = proof.instance.config.as_ref().map(Config::text);
    assert_eq!(text, Some(r#"{"x":"d","service":null}"#));
    assert_eq!(shown(&instances.prove(proof, Verdict::Right)), "+a");
    assert!(instances.complete());
    assert_eq!(instances.next_proof(), None);
    // It saw that already.
    assert_eq!(shown(&change(&mut instances, "{ }")), "");
    assert_eq!(instances.next_proof(), None);
}

#[test]
fn a_refused_one_is_one_problem_and_the_last_good_one_runs_on() {
    let mut instances = beginning();
    let proof = ask(&mut instances);
    let refused = || Verdict::Refused("no domain".into());
    assert_eq!(
        shown(&instances.prove(proof, refused())),
        "\nconfiguration of policy a is refused, it does not run: a/-.json: no domain"
    );
    assert!(instances.complete() && instances.hides_nodes());
    change(&mut instances, r#"{"x": "good"}"#);
    let proof = ask(&mut instances);
    assert_eq!(shown(&instances.prove(proof, Verdict::Right)), "+a");
    assert_eq!(instances.problems().count(), 0);
    change(&mut instances, r#"{"x": "bad"}"#);
    assert!(config_of(&instances).contains("good"));
    let proof = ask(&mut instances);
    assert_eq!(
        shown(&instances.prove(proof, refused())),
        "\nconfiguration of policy a is refused, it runs on as it was: a/-.json: no domain"
    );
    assert!(config_of(&instances).contains("good"));
}

#[test]
fn only_what_is_said_of_the_present_state_counts() {
    let mut instances = beginning();
    let old = ask(&mut instances);
    change(&mut instances, r#"{"x": "new"}"#);
    let new = ask(&mut instances);
    let refused = Verdict::Refused("old".into());
    assert_eq!(shown(&instances.prove(old.clone(), refused)), "");
    assert!(!instances.complete());
    assert_eq!(shown(&instances.prove(new, Verdict::Right)), "+a");
    assert_eq!(shown(&instances.prove(old, Verdict::Right)), "");
    // One that is gone, or whose schema it no longer fits, waits for nobody.
    change(&mut instances, r#"{"x": "newer"}"#);
    let gone = ask(&mut instances);
    change(&mut instances, r#"{"x": 1}"#);
    assert!(instances.complete());
    assert_eq!(shown(&instances.prove(gone, Verdict::Right)), "");
    change(&mut instances, r#"{"x": "last"}"#);
    let id = file("a", None, "").id();
    let delta = instances.handle_file(SourceEvent::Delete(id));
    assert!(shown(&delta).starts_with("-a"), "{}", shown(&delta));
    assert!(instances.complete());
    assert_eq!(instances.next_proof(), None);
}

#[test]
fn another_policy_looks_again() {
    let mut instances = beginning();
    let proof = ask(&mut instances);
    instances.prove(proof, Verdict::Right);
    // It stays as it was until the new code has looked: a schema may have more members now.
    let delta = instances.set_policies(vec![validating(2, Type::Str)], vec![]);
    assert_eq!(shown(&delta), "");
    let proof = ask(&mut instances);
    assert_eq!(proof.instance.fingerprint, 2);
    assert_eq!(shown(&instances.prove(proof, Verdict::Right)), "~a");
    instances.set_policies(vec![validating(3, Type::Str)], vec![]);
    let proof = ask(&mut instances);
    let refused = Verdict::Refused("no".into());
    assert_eq!(
        shown(&instances.prove(proof, refused)),
        "~a\nconfiguration of policy a is refused, it runs on as it was: a/-.json: no"
    );
    // One that looks at nothing takes what fits.
    let delta = instances.set_policies(vec![spec("a", 4, Some(Type::Str))], vec![]);
    assert_eq!(shown(&delta), "~a");
    assert_eq!(instances.problems().count(), 0);
    instances.set_policies(vec![validating(5, Type::Str)], vec![]);
    assert!(!instances.complete());
    let delta = instances.set_policies(vec![], vec![]);
    assert!(shown(&delta).starts_with("-a"), "{}", shown(&delta));
    assert!(instances.complete());
}

#[test]
fn what_the_policy_cannot_look_at_is_used_with_a_warning() {
    let mut instances = beginning();
    let proof = ask(&mut instances);
    let delta = instances.prove(proof, Verdict::Unchecked("too slow".into()));
    assert_eq!(
        shown(&delta),
        "+a\na/-.json is used though policy a could not look at it: too slow"
    );
    assert!(!instances.hides_nodes());
    change(&mut instances, r#"{"x": "new"}"#);
    let proof = ask(&mut instances);
    assert_eq!(shown(&instances.prove(proof, Verdict::Right)), "~a");
    assert_eq!(instances.problems().count(), 0);
}
