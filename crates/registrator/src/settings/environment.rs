//! The process's environment, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Other names of variables: the first is ours, the second works as well. A host id was once called a node name.
const ALIASES: [(&str, &str); 2] = [
    ("ETCD_ENDPOINT", "ETCD_ENDPOINTS"),
    (
        "KONTENA_REGISTRATOR_HOST_ID",
        "KONTENA_REGISTRATOR_NODE_NAME",
    ),
];

/// What policies do not see unless it is allowed by name: this program's secrets, and where they are.
const SECRETS: [&str; 9] = [
    "CREDENTIALS_DIRECTORY",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "ETCD_CERT_FILE",
    "ETCD_KEY_FILE",
    "ETCD_PASSWORD",
    "ETCD_PASSWORD_FILE",
    "ETCD_USERNAME",
    "NOTIFY_SOCKET",
];

/// The environment as it was when the program started. Cheap enough to clone, and the same for all who ask.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Reads the process's environment. Variables whose names are not UTF-8 are none of ours.
    pub fn read() -> Environment {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Environment(std::env::vars_os().filter_map(named).collect())
    }

    /// The variable's value; `None` if it is empty or not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.set(name).or_else(|| {
            let alias = ALIASES.iter().find(|(ours, _)| *ours == name);
            alias.and_then(|(_, other)| self.set(other))
        })
    }

    /// The variables that policies may read: those that one of these patterns allows, or, without any, all but this program's
    /// secrets. What is not UTF-8 is not among them. `facts` stand in the place of the variables of these names; `None` is not
    /// set.
    pub fn for_policies(
        &self,
        allowed: &[String],
        facts: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> BTreeMap<String, String> {
        let secret = |name: &str| SECRETS.contains(&name);
        let is_allowed = |name: &str| match allowed {
            [] => !secret(name),
            patterns => patterns
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => name.starts_with(start) && !secret(name),
                    None => name == pattern,
                }),
        };
        let given = self.0.iter();
        let mut variables: BTreeMap<String, String> = given
            .filter(|(name, _)| is_allowed(name))
            .filter_map(|(name, value)| Some((name.clone(), value.clone().into_string().ok()?)))
            .collect();
        for (name, value) in facts {
            match value {
                Some(value) => variables.insert(name.to_owned(), value),
                None => variables.remove(name),
            };
        }
        variables
    }

    /// Whether a terminal may be coloured: <https://no-color.org>.
    pub fn wants_colour(&self) -> bool {
        self.get("NO_COLOR").is_none() && self.get("TERM").is_none_or(|term| term != "dumb")
    }

    /// The names of all variables that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.as_str())
    }

    /// Whether a variable is another name of one of ours.
    pub(super) fn is_alias(name: &str) -> bool {
        ALIASES.iter().any(|(_, alias)| *alias == name)
    }

    fn set(&self, name: &str) -> Option<&OsStr> {
        self.0
            .get(name)
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Environment {
        let pairs = variables.into_iter();
        Environment(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// Names only: values may be secret.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::from_iter([
            ("A", ""),
            ("B", "x"),
            ("ETCD_ENDPOINT", ""),
            ("ETCD_ENDPOINTS", "e"),
        ]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.get("B"), Some(OsStr::new("x")));
        assert_eq!(environment.get("ETCD_ENDPOINT"), Some(OsStr::new("e")));
    }

    #[test]
    fn policies_see_no_secrets() {
        let secrets = SECRETS.map(|name| (name, "s"));
        let environment: Environment = secrets.into_iter().chain([("B", ""), ("BC", "")]).collect();
        let check = |allowed: &[&str], expected: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|text| (*text).into()).collect();
            let seen = environment.for_policies(&allowed, []);
            assert_eq!(seen.keys().collect::<Vec<_>>(), expected, "{allowed:?}");
        };
        check(&[], &["B", "BC"]);
        check(&["B"], &["B"]);
        check(&["B*", "X"], &["B", "BC"]);
        check(&["*"], &["B", "BC"]);
        check(&["BC", "ETCD_USERNAME"], &["BC", "ETCD_USERNAME"]);
        check(&["NOTHING"], &[]);
        assert!(!format!("{environment:?}").contains("\"s\""));
    }

    #[test]
    fn policies_see_facts_instead_of_variables() {
        let environment = Environment::from_iter([("A", "1"), ("B", "2"), ("C", "3")]);
        let seen =
            environment.for_policies(&[], [("A", Some("x".into())), ("B", None), ("D", None)]);
        let expected = [("A", "x"), ("C", "3")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(seen, BTreeMap::from(expected));
    }

    #[test]
    fn colour_can_be_switched_off() {
        assert!(Environment::from_iter([("TERM", "xterm")]).wants_colour());
        assert!(!Environment::from_iter([("NO_COLOR", "1")]).wants_colour());
        assert!(!Environment::from_iter([("TERM", "dumb")]).wants_colour());
    }
}
