//! Which names answer for others: CoreDNS' etcd plugin and SkyDNS answer a name with all that is below its key.

use crate::node::Key;
use crate::observe::container::ContainerId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Where these applications look.
const ROOT: &str = "/skydns/";

/// How many names below a new one are looked at, in case the first ones are of the same container.
const LOOKED_AT: usize = 64;

/// A name that has what is below it, which is another container's, among its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The name, as DNS has it.
    pub name: String,
    /// One of its keys.
    pub key: Key,
    /// A key below it.
    pub below: Key,
}

/// The names that are asked for, with the containers that have them.
#[derive(Debug, Default)]
pub struct Names {
    /// By the path below which a name's answers are, with a slash at the end. So a change finds what is above and below it.
    owners: BTreeMap<String, BTreeMap<ContainerId, BTreeSet<Key>>>,
    /// What people were told, by the path of the upper name.
    told: BTreeMap<String, Key>,
}

impl Names {
    /// Takes in that a container asks for a key, or nobody any more. Returns what is new to people.
    pub fn change(&mut self, key: &Key, container: Option<&ContainerId>) -> Option<Overlap> {
        if !key.as_str().starts_with(ROOT) {
            return None;
        }
        let path = container.map(|container| path_of(key, container));
        if self.knows(key, path.as_ref(), container) {
            return None;
        }
        self.remove(key);
        let (container, path) = (container?, path?);
        let owners = self.owners.entry(path.clone()).or_default();
        let is_new = owners.is_empty();
        let keys = owners.entry(container.clone()).or_default();
        keys.insert(key.clone());
        let below = is_new.then(|| self.below(&path, container)).flatten();
        let found = below.map(|below| (path.clone(), key.clone(), below));
        let (path, of, below) = found.or_else(|| self.above(&path, key, container))?;
        if self.told.insert(path.clone(), below.clone()).is_some() {
            return None;
        }
        Some(Overlap {
            name: name_of(&path),
            key: of,
            below,
        })
    }

    fn knows(&self, key: &Key, path: Option<&String>, container: Option<&ContainerId>) -> bool {
        let owners = path.and_then(|path| self.owners.get(path));
        let keys = owners
            .zip(container)
            .and_then(|(owners, one)| owners.get(one));
        keys.is_some_and(|keys| keys.contains(key))
    }

    /// A key below a name that another container asks for.
    fn below(&self, path: &str, container: &ContainerId) -> Option<Key> {
        let from = (Bound::Excluded(path), Bound::Unbounded);
        let names = self.owners.range::<str, _>(from);
        let mut names = names
            .take_while(|(name, _)| name.starts_with(path))
            .take(LOOKED_AT);
        names.find_map(|(_, owners)| {
            let mut others = owners.iter().filter(|(owner, _)| *owner != container);
            others.next()?.1.first().cloned()
        })
    }

    /// The name above a key that is not its container's own: its path, one of its keys, and the key.
    fn above(&self, path: &str, key: &Key, container: &ContainerId) -> Option<(String, Key, Key)> {
        let ends = path.match_indices('/').map(|(at, _)| at + 1);
        let mut above = ends
            .filter_map(|end| path.get(..end))
            .filter(|above| *above != path);
        above.find_map(|above| {
            let owners = self.owners.get(above)?;
            if owners.contains_key(container) || self.told.contains_key(above) {
                return None;
            }
            let of = owners.values().next()?.first()?;
            Some((above.to_owned(), of.clone(), key.clone()))
        })
    }

    fn remove(&mut self, key: &Key) {
        let own = format!("{key}/");
        let parent = key
            .as_str()
            .rsplit_once('/')
            .map(|(parent, _)| format!("{parent}/"));
        for path in parent.into_iter().chain([own]) {
            let Some(owners) = self.owners.get_mut(&path) else {
                continue;
            };
            owners.retain(|_, keys| !keys.remove(key) || !keys.is_empty());
            if owners.is_empty() {
                self.owners.remove(&path);
                self.told.remove(&path);
            }
        }
        // What was told ends with either side of it.
        for (end, _) in key.as_str().match_indices('/') {
            let above = key.as_str().get(..=end).unwrap_or_default();
            if self.told.get(above) == Some(key) {
                self.told.remove(above);
            }
        }
    }
}

/// The path below which a name's answers are. In most layouts a key ends with what tells a name's instances apart: the container's id, or
/// an id with colons as gliderlabs/registrator makes it.
fn path_of(key: &Key, container: &ContainerId) -> String {
    match key.as_str().rsplit_once('/') {
        Some((name, last)) if last.starts_with(container.short()) || last.contains(':') => {
            format!("{name}/")
        }
        _ => format!("{key}/"),
    }
}

fn name_of(path: &str) -> String {
    let path = path.strip_prefix(ROOT).unwrap_or(path);
    let labels: Vec<&str> = path.trim_end_matches('/').rsplit('/').collect();
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told when containers ask for keys, one after the other; `-` before a key: nobody asks for it any more.
    #[track_caller]
    fn check(changes: &[&str], expected: &[&str]) {
        let mut names = Names::default();
        let mut told = Vec::new();
        for change in changes {
            let (key, container) = change.split_once(' ').unwrap_or((change, ""));
            let (key, goes) = match key.strip_prefix('-') {
                Some(key) => (key, true),
                None => (key, false),
            };
            let key = Key::parse(&format!("/skydns/local/{key}")).unwrap();
            let container = ContainerId::new(container);
            let found = names.change(&key, Some(&container).filter(|_| !goes));
            told.extend(found.map(|one| format!("{} {} {}", one.name, one.key, one.below)));
        }
        assert_eq!(told, expected);
        // Nothing is left behind.
        for change in changes {
            let key = change.trim_start_matches('-').split(' ').next().unwrap();
            let key = Key::parse(&format!("/skydns/local/{key}")).unwrap();
            names.change(&key, None);
        }
        assert!(
            names.owners.is_empty() && names.told.is_empty(),
            "{names:?}"
        );
    }

    #[test]
    fn a_name_above_that_of_another_container() {
        let told = "cloud.local /skydns/local/cloud/aaa /skydns/local/cloud/db/bbb";
        check(&["cloud/aaa aaa", "cloud/db/bbb bbb"], &[told]);
        check(&["cloud/db/bbb bbb", "cloud/aaa aaa"], &[told]);
        check(
            &["cloud/aaa aaa", "cloud/x/y/bbb bbb"],
            &["cloud.local /skydns/local/cloud/aaa /skydns/local/cloud/x/y/bbb"],
        );
        // The old layout, and that of gliderlabs/registrator.
        check(
            &["cloud aaa", "cloud/db/bbb bbb"],
            &["cloud.local /skydns/local/cloud /skydns/local/cloud/db/bbb"],
        );
        check(
            &["cloud/n1:cloud:80 aaa", "cloud/db/bbb-80 bbb"],
            &["cloud.local /skydns/local/cloud/n1:cloud:80 /skydns/local/cloud/db/bbb-80"],
        );
    }

    #[test]
    fn it_is_told_once_until_it_ends() {
        let told = "cloud.local /skydns/local/cloud/aaa /skydns/local/cloud/db/bbb";
        check(
            &[
                "cloud/aaa aaa",
                "cloud/db/bbb bbb",
                "cloud/redis/ccc ccc",
                "cloud/ddd ddd",
            ],
            &[told],
        );
        // Another value under the same key.
        check(
            &[
                "cloud/aaa aaa",
                "cloud/db/bbb bbb",
                "cloud/db/bbb bbb",
                "cloud/aaa aaa",
            ],
            &[told],
        );
        check(
            &[
                "cloud/aaa aaa",
                "cloud/db/bbb bbb",
                "-cloud/aaa",
                "cloud/aaa aaa",
            ],
            &[told, told],
        );
        check(
            &[
                "cloud/aaa aaa",
                "cloud/db/bbb bbb",
                "-cloud/db/bbb",
                "cloud/db/bbb bbb",
            ],
            &[told, told],
        );
    }

    #[test]
    fn names_that_are_in_nobodys_way() {
        check(
            &[
                "web/aaa aaa",
                "web/bbb bbb",
                "web-2/ccc ccc",
                "webs/ddd ddd",
                "svc/web/aaa-80 aaa",
            ],
            &[],
        );
        // Own ones: of one container, or of all of a service.
        check(
            &["shop/aaa-4 aaa", "shop/aaa-6 aaa", "shop/api/aaa aaa"],
            &[],
        );
        check(
            &[
                "shop/aaa aaa",
                "shop/bbb bbb",
                "shop/api/aaa aaa",
                "shop/api/bbb bbb",
            ],
            &[],
        );
        check(
            &[
                "arpa/in-addr/172/17/0/2 aaa",
                "arpa/in-addr/172/17/0/22 bbb",
            ],
            &[],
        );
        let mut names = Names::default();
        let container = ContainerId::new("aaa");
        for key in ["/services/web/aaa", "/services/web/x/bbb"] {
            assert_eq!(
                names.change(&Key::parse(key).unwrap(), Some(&container)),
                None
            );
        }
        assert!(names.owners.is_empty());
    }
}
