//! What is known of one key in etcd, and since when.

use crate::node::Value;
use crate::own::{Guard, Held, KeyTxn, LeaseId, Op, Revision, View};
use std::borrow::Cow;

/// A mirror of one key and its claims. Events and answers overtake each other, so each half knows how new it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) view: View,
    /// When the view's node was last known to be true.
    pub(super) node_at: Revision,
    /// When the view's claims were last known to be true, all of them.
    pub(super) claims_at: Revision,
    /// Whether anything was told of the node. What was not is taken as absent.
    pub(super) told: bool,
    /// What this process lost to somebody, as long as it is not known what it has instead.
    pub(super) lost: Option<Lost>,
}

/// One transaction changes a node and its claims, and two watches tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The own claim went at this revision: the node may be ours.
    Claim(Revision),
    /// The own node went to somebody else at this revision: there may be a claim of ours.
    Node(Revision),
}

impl Sight {
    /// Takes in what was read before the session's first event.
    pub(super) fn begin(&mut self, view: View) {
        self.view = view;
        self.told = true;
    }

    /// What is known of the node, if anything is.
    pub(super) fn node(&self) -> Option<&Option<Held>> {
        self.told.then_some(&self.view.node)
    }

    /// Takes in what the node is, by an answer that tells of it and not of claims.
    pub(super) fn know_node(&mut self, node: Option<Held>, revision: Revision) {
        self.view.node = node;
        self.node_at = revision;
        self.told = true;
    }

    /// Whether a node of this revision is newer than what is known.
    pub(super) fn is_news(&self, revision: Revision) -> bool {
        revision > self.node_at
    }

    /// Takes in what the node is now.
    pub(super) fn see_node(&mut self, me: LeaseId, node: Option<Held>, revision: Revision) {
        let was_ours = self.view.holder() == Some(me);
        self.know_node(node, revision);
        let holder = self.view.holder();
        // An older claim is one that was fulfilled before, whose end is still to be told.
        let own_claim = self.view.claims.get(&me);
        let claim_is_known = self.claims_at >= revision
            || own_claim.is_some_and(|claim| claim.mod_revision >= revision);
        if holder == Some(me) || matches!(self.lost, Some(Lost::Claim(at)) if revision >= at) {
            self.lost = None;
        } else if was_ours && holder.is_some() && !claim_is_known {
            self.lost.get_or_insert(Lost::Node(revision));
        }
    }

    /// Takes in what a claim is now; tells whether that is news.
    pub(super) fn see_claim(
        &mut self,
        me: LeaseId,
        lease: LeaseId,
        claim: Option<Held>,
        revision: Revision,
    ) -> bool {
        let known = self.view.claims.get(&lease).map(|claim| claim.mod_revision);
        // One transaction may change several claims: all of them have its revision.
        if revision < self.claims_at || known.is_some_and(|known| revision < known) {
            return false;
        }
        let went = claim.is_none() && known.is_some();
        match claim {
            Some(claim) => self.view.claims.insert(lease, claim),
            None => self.view.claims.remove(&lease),
        };
        if lease == me && went && revision > self.node_at {
            self.lost = Some(Lost::Claim(revision));
        } else if lease == me && matches!(self.lost, Some(Lost::Node(at)) if revision >= at) {
            self.lost = None;
        }
        true
    }

    /// What a decision rests on. Without a wish a claim of ours counts as there as long as it is not known what became of it: the
    /// transaction that drops it is refused if the node is ours.
    pub(super) fn to_decide(&self, me: LeaseId, wished: bool) -> Cow<'_, View> {
        let mut view = Cow::Borrowed(&self.view);
        if let Some(Lost::Claim(at) | Lost::Node(at)) = self.lost
            && !wished
        {
            let claim = Held {
                value: Value::from_etcd(b""),
                lease: Some(me),
                mod_revision: at,
            };
            view.to_mut().claims.insert(me, claim);
        }
        view
    }

    /// The same transaction, which also takes a claim of ours away that may be there unseen, if it gives us the node: who took ours left
    /// one, and nobody tells of it any more once this process has lost interest in the key.
    pub(super) fn without_own_claim(&self, me: LeaseId, mut txn: KeyTxn) -> KeyTxn {
        let ours = |op: &Op| matches!(op, Op::Put(_, lease) if *lease == me);
        let drop = Op::DeleteClaim(me);
        if matches!(self.lost, Some(Lost::Node(_)))
            && txn.ops.iter().any(ours)
            && !txn.ops.contains(&drop)
        {
            txn.ops.push(drop);
        }
        txn
    }

    /// Takes in that an own transaction happened.
    pub(super) fn applied(&mut self, txn: &KeyTxn, revision: Revision) {
        self.view.apply(&txn.ops, revision);
        (self.node_at, self.told) = (revision, true);
        self.lost = None;
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
            told: true,
            lost: None,
        };
    }

    /// Takes in a reading that may be older than what is known; tells whether it is news.
    pub(super) fn correct(&mut self, view: View, revision: Revision) -> bool {
        let news = self.is_news(revision) && (view != self.view || !self.told);
        if news {
            self.read(view, revision);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Key;

    const ME: LeaseId = LeaseId(1);
    const OTHER: LeaseId = LeaseId(2);

    fn held(text: &str, lease: LeaseId, mod_revision: Revision) -> Held {
        Held {
            value: Value::parse(text).unwrap(),
            lease: Some(lease),
            mod_revision,
        }
    }

    fn see_node(sight: &mut Sight, lease: LeaseId, revision: Revision) {
        sight.see_node(ME, Some(held("a", lease, revision)), revision);
    }

    fn see_claim(sight: &mut Sight, lease: LeaseId, there: bool, revision: Revision) -> bool {
        let claim = there.then(|| held("b", lease, revision));
        sight.see_claim(ME, lease, claim, revision)
    }

    /// Whether a claim of ours is to be dropped if nothing is wished.
    fn drops(sight: &Sight) -> bool {
        assert_eq!(*sight.to_decide(ME, true), sight.view);
        sight.to_decide(ME, false).claims.contains_key(&ME)
    }

    #[test]
    fn claims_of_one_revision_are_all_taken_in() {
        let mut sight = Sight::default();
        assert!(see_claim(&mut sight, OTHER, true, 5));
        assert!(see_claim(&mut sight, LeaseId(3), true, 5));
        assert!(!see_claim(&mut sight, OTHER, false, 4), "older");
        assert!(see_claim(&mut sight, OTHER, false, 6));
        assert_eq!(sight.view.claims.len(), 1);
    }

    #[test]
    fn an_answer_is_newer_than_events_from_before_it() {
        let mut sight = Sight::default();
        sight.read(View::default(), 7);
        assert!(!sight.is_news(7));
        assert!(!see_claim(&mut sight, OTHER, true, 6));
        assert!(see_claim(&mut sight, OTHER, true, 7));
    }

    /// The end of the claim with which this process got the node may be told after the node is lost again.
    #[test]
    fn a_claim_from_before_does_not_hide_a_newer_one() {
        let mut sight = Sight::default();
        see_node(&mut sight, OTHER, 3);
        see_claim(&mut sight, ME, true, 4);
        see_node(&mut sight, ME, 5);
        see_node(&mut sight, OTHER, 6);
        see_claim(&mut sight, ME, false, 5);
        assert!(drops(&sight), "the one that the other left at 6");
        see_claim(&mut sight, ME, true, 6);
        assert_eq!(sight.lost, None);
    }

    /// Who takes the node back takes such a claim away.
    #[test]
    fn a_claim_that_may_be_there_unseen_is_taken_away() {
        let mut sight = Sight::default();
        see_node(&mut sight, ME, 5);
        see_node(&mut sight, OTHER, 6);
        let txn = |lease| KeyTxn {
            key: Key::parse("/k").unwrap(),
            guards: Vec::new(),
            ops: vec![Op::Put(Value::parse("a").unwrap(), lease)],
        };
        let completed = |sight: &Sight, lease| sight.without_own_claim(ME, txn(lease)).ops;
        let drop = Op::DeleteClaim(ME);
        assert!(completed(&sight, ME).contains(&drop));
        assert!(!completed(&sight, OTHER).contains(&drop), "for another");
        see_claim(&mut sight, ME, true, 6);
        assert!(!completed(&sight, ME).contains(&drop), "it is known");
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
        see_node(&mut sight, OTHER, 7);
        assert!(!sight.correct(View::default(), 7));
        assert!(!sight.correct(sight.view.clone(), 8), "the same");
        assert!(sight.correct(View::default(), 8));
        assert_eq!(sight.view.node, None);
    }

    /// It may have been fulfilled, and the node be ours.
    #[test]
    fn a_claim_that_went_is_dropped_again_until_the_node_is_known() {
        let mut sight = Sight::default();
        see_node(&mut sight, OTHER, 5);
        see_claim(&mut sight, ME, true, 6);
        see_claim(&mut sight, ME, false, 8);
        assert!(drops(&sight));
        see_node(&mut sight, OTHER, 7);
        assert!(drops(&sight), "the node from before");
        see_node(&mut sight, OTHER, 8);
        assert!(!drops(&sight));
    }

    /// Whoever takes a node over leaves a claim for its holder.
    #[test]
    fn a_node_that_went_leaves_a_claim_until_that_is_known() {
        let mut sight = Sight::default();
        see_node(&mut sight, ME, 5);
        see_node(&mut sight, OTHER, 6);
        assert!(drops(&sight));
        see_claim(&mut sight, ME, true, 6);
        assert_eq!(sight.lost, None, "there it is");
        see_claim(&mut sight, ME, false, 7);
        assert!(drops(&sight));
        see_node(&mut sight, ME, 7);
        assert!(!drops(&sight));
    }

    #[test]
    fn a_node_that_went_with_a_known_claim_raises_no_question() {
        let mut sight = Sight::default();
        see_node(&mut sight, ME, 5);
        see_claim(&mut sight, ME, true, 6);
        see_node(&mut sight, OTHER, 6);
        assert_eq!(sight.lost, None);
    }
}
