//! Where a policy's configurations are in etcd: an absolute path with `:placeholders`.

use std::collections::BTreeMap;
use std::fmt;

/// A pattern such as `/kontena/registrator/services/skydns/:service`. Each `:name` stands for exactly one component of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdPath {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    Literal(String),
    Placeholder(String),
}

/// Why a text is not an [`EtcdPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdPathError {
    /// It does not begin with `/`.
    #[error("etcd_path {0:?} must begin with a slash")]
    Relative(String),
    /// A component is empty.
    #[error("etcd_path {0:?} has an empty component")]
    EmptyComponent(String),
    /// The first component is a placeholder: it would match the keys of everybody.
    #[error("etcd_path {0:?} must begin with a fixed component")]
    NoLiteral(String),
    /// A placeholder's name is not an identifier.
    #[error("etcd_path {0:?}: placeholder {1:?} must be a name of letters, digits and '_'")]
    Placeholder(String, String),
    /// Two placeholders have one name.
    #[error("etcd_path {0:?} has the placeholder {1:?} twice")]
    Twice(String, String),
    /// There is no placeholder, so all configurations would be one.
    #[error("etcd_path {0:?} needs a placeholder such as :service, which names the configuration")]
    NoPlaceholder(String),
}

impl EtcdPath {
    /// Checks `text` and makes it a pattern.
    ///
    /// # Errors
    /// The first of [`EtcdPathError`] that applies.
    pub fn parse(text: &str) -> Result<EtcdPath, EtcdPathError> {
        let relative = text
            .strip_prefix('/')
            .ok_or_else(|| EtcdPathError::Relative(text.into()))?;
        let components = relative
            .split('/')
            .map(|part| component(text, part))
            .collect::<Result<Vec<_>, _>>()?;
        if !matches!(components.first(), Some(Component::Literal(_))) {
            return Err(EtcdPathError::NoLiteral(text.into()));
        }
        let path = EtcdPath {
            text: text.into(),
            components,
        };
        let names: Vec<&str> = path.placeholders().collect();
        if names.is_empty() {
            return Err(EtcdPathError::NoPlaceholder(text.into()));
        }
        if let Some(name) = names
            .iter()
            .enumerate()
            .find(|(at, name)| names.iter().take(*at).any(|other| other == *name))
        {
            return Err(EtcdPathError::Twice(text.into(), (*name.1).into()));
        }
        Ok(path)
    }

    /// The placeholders' names, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.components
            .iter()
            .filter_map(|component| match component {
                Component::Placeholder(name) => Some(name.as_str()),
                Component::Literal(_) => None,
            })
    }

    /// The part before the first placeholder, ending with `/`: every matching key begins with it.
    pub fn prefix(&self) -> String {
        let literals = self
            .components
            .iter()
            .map_while(|component| match component {
                Component::Literal(text) => Some(text.as_str()),
                Component::Placeholder(_) => None,
            });
        literals.fold("/".to_owned(), |path, part| path + part + "/")
    }

    /// What the placeholders stand for in `key`, if it matches.
    pub fn matches(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let parts: Vec<&str> = key.strip_prefix('/')?.split('/').collect();
        if parts.len() != self.components.len() {
            return None;
        }
        let mut values = BTreeMap::new();
        for (component, part) in self.components.iter().zip(parts) {
            match component {
                Component::Literal(text) if text == part => {}
                Component::Placeholder(name) if !part.is_empty() => {
                    values.insert(name.clone(), part.to_owned());
                }
                Component::Literal(_) | Component::Placeholder(_) => return None,
            }
        }
        Some(values)
    }

    /// Whether somebody may have taken a key that does not match for one of a configuration: it has all fixed parts of the path, and
    /// too few or too many others, or ends with a slash.
    pub fn resembles(&self, key: &str) -> bool {
        let Some(key) = key.trim_end_matches('/').strip_prefix('/') else {
            return false;
        };
        let is_literal = |component: &Component| matches!(component, Component::Literal(_));
        let least = self
            .components
            .iter()
            .rposition(is_literal)
            .map_or(0, |at| at + 1);
        let parts: Vec<&str> = key.split('/').collect();
        let fits = |(component, part): (&Component, &&str)| match component {
            Component::Literal(text) => text == part,
            Component::Placeholder(_) => true,
        };
        parts.len() >= least && self.components.iter().zip(&parts).all(fits)
    }

    /// The key that would match if the first placeholder stood for nothing, without the slash: `/kontena/services/skydns`.
    pub fn root(&self) -> String {
        let mut root = self.prefix();
        root.pop();
        root
    }

    /// The name of the configuration at `key`: what the placeholders stand for, joined by `/`.
    pub fn config_name(&self, key: &str) -> Option<String> {
        let values = self.matches(key)?;
        let parts: Vec<&str> = self
            .placeholders()
            .filter_map(|name| values.get(name).map(String::as_str))
            .collect();
        Some(parts.join("/"))
    }
}

fn component(path: &str, part: &str) -> Result<Component, EtcdPathError> {
    let Some(name) = part.strip_prefix(':') else {
        return match part {
            "" => Err(EtcdPathError::EmptyComponent(path.into())),
            _ => Ok(Component::Literal(part.into())),
        };
    };
    let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if identifier {
        Ok(Component::Placeholder(name.into()))
    } else {
        Err(EtcdPathError::Placeholder(path.into(), part.into()))
    }
}

impl fmt::Display for EtcdPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_one_component_for_each_placeholder() {
        let path = EtcdPath::parse("/kontena/:grid/services/:service").unwrap();
        assert_eq!(path.prefix(), "/kontena/");
        assert_eq!(
            path.config_name("/kontena/g/services/web").as_deref(),
            Some("g/web")
        );
        for key in [
            "/kontena/g/services",
            "/kontena/g/services/",
            "/kontena/g/services/a/b",
            "/kontena/g/other/a",
            "kontena/g/services/a",
        ] {
            assert_eq!(path.config_name(key), None, "{key}");
        }
    }

    #[test]
    fn knows_what_was_meant_to_match() {
        let check = |path: &str, keys: &[&str], expected: bool| {
            let path = EtcdPath::parse(path).unwrap();
            for key in keys {
                assert_eq!(path.resembles(key), expected, "{path} {key}");
            }
        };
        let path = "/r/skydns/:service";
        assert_eq!(EtcdPath::parse(path).unwrap().root(), "/r/skydns");
        check(
            path,
            &[
                "/r/skydns",
                "/r/skydns/",
                "/r/skydns//",
                "/r/skydns/a/",
                "/r/skydns/a/b",
                "/r/skydns//a",
            ],
            true,
        );
        check(
            path,
            &[
                "",
                "/",
                "/r",
                "/r/",
                "/r/skydns-srv/a",
                "/r/skydnsa",
                "r/skydns/a/b",
                "/x/r/skydns",
            ],
            false,
        );
        let path = "/kontena/:grid/services/:service";
        check(
            path,
            &[
                "/kontena/g/services",
                "/kontena/g/services/",
                "/kontena/g/services/a/b",
            ],
            true,
        );
        check(
            path,
            &[
                "/kontena/g",
                "/kontena/haproxy/lb/services/web",
                "/kontena/g/service/a/b",
            ],
            false,
        );
    }

    #[test]
    fn refuses_what_cannot_name_configurations() {
        let error = |text| EtcdPath::parse(text).unwrap_err().to_string();
        assert_eq!(error("a/:b"), "etcd_path \"a/:b\" must begin with a slash");
        assert_eq!(
            error("/a//:b"),
            "etcd_path \"/a//:b\" has an empty component"
        );
        assert_eq!(
            error("/:a/b"),
            "etcd_path \"/:a/b\" must begin with a fixed component"
        );
        assert_eq!(
            error("/a/:"),
            "etcd_path \"/a/:\": placeholder \":\" must be a name of letters, digits and '_'"
        );
        assert_eq!(
            error("/a/:b/:b"),
            "etcd_path \"/a/:b/:b\" has the placeholder \"b\" twice"
        );
        assert_eq!(
            error("/a/b"),
            "etcd_path \"/a/b\" needs a placeholder such as :service, which names the configuration"
        );
    }
}
