//! What is known of keys, for people.

use super::{Keys, Tracked};
use crate::node::Key;
use crate::own::{View, Who};
use crate::tell::notice::Notice;

/// What is known of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AboutTracked<'a> {
    /// What etcd holds for it, as far as it was told.
    pub(crate) view: &'a View,
    /// This process had it while it wished it.
    pub(crate) managed: bool,
    /// What people were told last, if it is what is in the way.
    pub(crate) obstacle: Option<&'a Notice>,
    /// The object that it is a field of, if it is one: it is decided with that.
    pub(crate) object: Option<&'a Key>,
    /// The process before left it, and this one never wished it.
    pub(crate) is_orphan: bool,
}

impl Keys {
    /// Who takes part, while there is a session.
    pub(crate) fn who(&self) -> Option<&Who> {
        self.session.as_ref().map(|(_, who)| &**who)
    }

    /// What is known of a key; `None` if it is of no interest.
    pub(crate) fn about(&self, key: &Key) -> Option<AboutTracked<'_>> {
        self.ledger.get(key).map(|tracked| self.told(key, tracked))
    }

    /// All keys of interest, in their order. The fields of objects are these objects.
    pub(crate) fn tracked(&self) -> impl Iterator<Item = (&Key, AboutTracked<'_>)> {
        let all = self.ledger.iter();
        let all = all.filter(|(key, _)| !self.ledger.is_part(key));
        all.map(|(key, tracked)| (key, self.told(key, tracked)))
    }

    fn told<'a>(&'a self, key: &Key, tracked: &'a Tracked) -> AboutTracked<'a> {
        AboutTracked {
            view: &tracked.sight.view,
            managed: tracked.managed,
            obstacle: tracked.story.obstacle(),
            object: self.ledger.object_of(key),
            is_orphan: self.orphans.contains(key),
        }
    }
}
