//! What is known of one key in etcd, and since when.

use crate::own::{Guard, Held, KeyTxn, LeaseId, Revision, View};

/// A mirror of one key and its claims. Events and answers overtake each other, so each half knows how new it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) view: View,
    /// When the view's node was last known to be true.
    pub(super) node_at: Revision,
    /// When the view's claims were last known to be true, all of them.
    pub(super) claims_at: Revision,
    /// When somebody took an own claim away, who may have fulfilled it in that way.
    pub(super) lost_at: Revision,
}

impl Sight {
    /// Takes in what was read before the session's first event.
    pub(super) fn begin(&mut self, view: View) {
        self.view = view;
    }

    /// Whether a node of this revision is newer than what is known.
    pub(super) fn is_news(&self, revision: Revision) -> bool {
        revision > self.node_at
    }

    /// Takes in what the node is now.
    pub(super) fn see_node(&mut self, node: Option<Held>, revision: Revision) {
        self.view.node = node;
        self.node_at = revision;
    }

    /// Takes in what a claim is now; tells whether that is news.
    pub(super) fn see_claim(
        &mut self,
        lease: LeaseId,
        claim: Option<Held>,
        revision: Revision,
    ) -> bool {
        let known = self.view.claims.get(&lease).map(|claim| claim.mod_revision);
        // One transaction may change several claims: all of them have its revision.
        if revision < self.claims_at || known.is_some_and(|known| revision < known) {
            return false;
        }
        match claim {
            Some(claim) => self.view.claims.insert(lease, claim),
            None => self.view.claims.remove(&lease),
        };
        true
    }

    /// Takes in that an own transaction happened.
    pub(super) fn applied(&mut self, txn: &KeyTxn, revision: Revision) {
        self.view.apply(&txn.ops, revision);
        self.node_at = revision;
        if txn.guards.contains(&Guard::NoClaims) {
            self.claims_at = revision;
        }
    }

    /// Takes in all that etcd holds for the key.
    pub(super) fn read(&mut self, view: View, revision: Revision) {
        *self = Sight {
            view,
            node_at: revision,
            claims_at: revision,
            lost_at: 0,
        };
    }

    /// Takes in a reading that may be older than what is known; tells whether it is news.
    pub(super) fn correct(&mut self, view: View, revision: Revision) -> bool {
        let news = self.is_news(revision) && view != self.view;
        if news {
            self.read(view, revision);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Key, Value};
    use crate::own::Op;

    const OTHER: LeaseId = LeaseId(2);

    fn held(text: &str, mod_revision: Revision) -> Held {
        Held {
            value: Value::parse(text).unwrap(),
            lease: Some(OTHER),
            mod_revision,
        }
    }

    #[test]
    fn claims_of_one_revision_are_all_taken_in() {
        let mut sight = Sight::default();
        assert!(sight.see_claim(OTHER, Some(held("a", 5)), 5));
        assert!(sight.see_claim(LeaseId(3), Some(held("b", 5)), 5));
        assert!(!sight.see_claim(OTHER, None, 4), "older than the claim");
        assert!(sight.see_claim(OTHER, None, 6));
        assert_eq!(sight.view.claims.len(), 1);
    }

    #[test]
    fn an_answer_is_newer_than_events_from_before_it() {
        let mut sight = Sight::default();
        sight.read(View::default(), 7);
        assert!(!sight.is_news(7));
        assert!(!sight.see_claim(OTHER, Some(held("a", 6)), 6));
        assert!(sight.see_claim(OTHER, Some(held("a", 7)), 7));
    }

    /// Only a transaction that compared that there are no claims knows all of them.
    #[test]
    fn a_transaction_knows_the_claims_that_it_compared() {
        let txn = |guards| KeyTxn {
            key: Key::parse("/k").unwrap(),
            guards,
            ops: vec![Op::Delete],
        };
        let mut sight = Sight::default();
        sight.applied(&txn(vec![Guard::HeldBy(OTHER)]), 7);
        assert_eq!((sight.node_at, sight.claims_at), (7, 0));
        sight.applied(&txn(vec![Guard::HeldBy(OTHER), Guard::NoClaims]), 8);
        assert_eq!((sight.node_at, sight.claims_at), (8, 8));
    }

    #[test]
    fn a_reading_from_before_corrects_nothing() {
        let mut sight = Sight::default();
        sight.see_node(Some(held("a", 7)), 7);
        assert!(!sight.correct(View::default(), 7));
        assert!(!sight.correct(sight.view.clone(), 8), "the same");
        assert!(sight.correct(View::default(), 8));
        assert_eq!(sight.view.node, None);
    }
}
