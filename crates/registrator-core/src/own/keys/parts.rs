//! The fields of objects: keys that are seen as any other, and decided with the marker of their object.

use super::{Keys, Wishes};
use crate::merge::desired::ObjectStanding;
use crate::node::{Definition, Key, Value};
use crate::own::session::Wanted;
use crate::own::{Held, KeyTxn, KnownField, Revision, Who};
use crate::tell::notice::{Askers, Notice};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Keys {
    /// Keys that this process ought to know and does not, since the last time.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        let (session, _) = self.session.as_ref()?;
        let keys = std::mem::take(&mut self.wanted);
        (!keys.is_empty()).then_some(Wanted {
            session: *session,
            keys,
        })
    }

    /// The markers of which something may have changed since the last time.
    pub(crate) fn take_changed_objects(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.ledger.changed_objects)
    }

    /// Whether there are such markers, in a session.
    pub(crate) fn objects_changed(&self) -> bool {
        self.connected() && !self.ledger.changed_objects.is_empty()
    }

    /// Whether an object stands, as far as is known.
    pub(crate) fn standing(&self, marker: &Key) -> ObjectStanding {
        let told = self.ledger.get(marker).filter(|tracked| tracked.sight.told);
        match (&self.session, told) {
            (Some((_, who)), Some(tracked)) => {
                let view = &tracked.sight.view;
                let is_mine = view.holder() == Some(who.me);
                let blocked = if is_mine {
                    tracked.blocked
                } else {
                    Some(false)
                };
                match blocked {
                    None => ObjectStanding::Unknown,
                    Some(true) => ObjectStanding::Fallen,
                    Some(false) => crate::own::stands(who, marker, view).into(),
                }
            }
            _ => ObjectStanding::Unknown,
        }
    }

    /// The nodes below an object that are of interest.
    pub(crate) fn below(&self, marker: &Key) -> impl Iterator<Item = &Key> {
        self.ledger.below(marker)
    }

    /// Asks for a decision of a key; of a field, for one of its object.
    pub(super) fn mark_owner(&mut self, key: &Key) {
        let objects: Vec<Key> = self.ledger.objects_of(key).cloned().collect();
        if objects.is_empty() {
            self.mark([key.clone()].into());
        }
        for object in objects {
            self.mark([object].into());
        }
    }

    /// Asks for a decision of the other objects that have a field of this one.
    pub(super) fn mark_others(&mut self, field: &Key, marker: &Key) {
        let objects = self.ledger.objects_of(field);
        let others: Vec<Key> = objects.filter(|it| *it != marker).cloned().collect();
        for other in others {
            self.mark([other].into());
        }
    }

    /// Takes interest in the fields that an object has or may get.
    pub(super) fn add_parts(&mut self, marker: &Key, wish: Option<&Value>) -> BTreeSet<Key> {
        let view = self.ledger.get(marker).map(|tracked| &tracked.sight.view);
        let held = view
            .into_iter()
            .flat_map(|view| view.node.iter().chain(view.claims.values()));
        let texts: BTreeSet<&Value> = held.map(|held| &held.value).chain(wish).collect();
        let definitions = texts
            .into_iter()
            .filter_map(|text| Definition::parse(marker, text));
        let mut fields = BTreeSet::new();
        for definition in definitions {
            fields.extend(definition.fields.keys().cloned());
        }
        for field in &fields {
            self.orphans.remove(field);
        }
        self.ledger.add_parts(marker, &fields);
        fields
    }

    /// The same, and loses interest in all others that it had.
    pub(super) fn keep_parts(&mut self, marker: &Key, wish: Option<&Value>) {
        let fields = self.add_parts(marker, wish);
        let tracked = self.ledger.get(marker);
        // What it lost may come back with the fields that it had.
        if tracked.is_none_or(|tracked| tracked.sight.lost.is_none()) {
            self.drop_parts_but(marker, &fields);
        }
    }

    /// Loses interest in the fields of an object that are none of these.
    pub(super) fn drop_parts_but(&mut self, marker: &Key, fields: &BTreeSet<Key>) {
        for gone in self.ledger.keep_parts(marker, fields) {
            self.mark_owner(&gone);
        }
    }

    /// What is known of the fields of an object, and until when to wait before it is decided.
    pub(super) fn parts(
        &mut self,
        who: &Who,
        marker: &Key,
        wish: Option<&Value>,
        now: Instant,
    ) -> (BTreeMap<Key, KnownField>, Option<Instant>) {
        let keys: Vec<Key> = self.ledger.parts_of(marker).cloned().collect();
        self.assign_parts(who, marker, &keys);
        let holds = self.ledger.get(marker);
        let holds = holds.is_some_and(|it| it.sight.view.holder() == Some(who.me));
        let (mut parts, mut until) = (BTreeMap::new(), None);
        for key in keys {
            let other = self.ledger.written_for(&key);
            let other = other.filter(|object| *object != marker).cloned();
            let part = self.ledger.change(&key, |tracked| {
                if holds && wish.is_some() && other.is_none() {
                    until = until.max(tracked.look_at_part(who, now));
                }
                if holds && !tracked.sight.told && !tracked.wanted {
                    tracked.wanted = true;
                    self.wanted.insert(key.clone());
                }
                tracked.as_part(who, other)
            });
            parts.extend(part.map(|part| (key, part)));
        }
        (parts, until)
    }

    /// The process before this one wrote a field that several objects have: for the one whose value it is.
    fn assign_parts(&mut self, who: &Who, marker: &Key, fields: &[Key]) {
        let is_unclear = |field: &&Key| {
            self.ledger.written_for(field).is_none() && self.ledger.objects_of(field).count() > 1
        };
        let unclear: Vec<&Key> = fields.iter().filter(is_unclear).collect();
        if unclear.is_empty() {
            return;
        }
        let held = |key: &Key| {
            let node = self.ledger.get(key)?.sight.view.node.clone()?;
            (node.lease == Some(who.me)).then_some(node.value)
        };
        let text = held(marker);
        let definition = text.and_then(|text| Definition::parse(marker, &text));
        let values = definition.iter().flat_map(|it| &it.fields);
        let own = values
            .filter(|(key, value)| unclear.contains(key) && held(key).as_ref() == Some(*value));
        let own: Vec<Key> = own.map(|(key, _)| key.clone()).collect();
        for field in own {
            self.ledger.note_written(&field, Some(marker));
        }
    }

    /// Asks for a decision of the fields of an object on which this process has a claim for nothing.
    pub(super) fn mark_stray_claims(&mut self, who: &Who, marker: &Key) {
        let fields = self.ledger.parts_of(marker);
        let strays = fields.filter(|field| self.has_stray_claim(who, field));
        for stray in strays.cloned().collect::<Vec<_>>() {
            self.mark([stray].into());
        }
    }

    /// Objects are claimed by their markers. On a field there may be a claim from before it was one, or one that a host without objects
    /// left when it took the field: by that one it comes back.
    fn has_stray_claim(&self, who: &Who, field: &Key) -> bool {
        let holds = |key: &Key| {
            let tracked = self.ledger.get(key);
            tracked.is_some_and(|it| it.sight.view.holder() == Some(who.me))
        };
        let claims = self.ledger.get(field).map(|it| &it.sight.view.claims);
        claims.is_some_and(|claims| claims.contains_key(&who.me))
            && (holds(field) || !self.ledger.objects_of(field).any(holds))
    }

    /// Takes such a claim away.
    pub(super) fn drop_stray_claim(&self, who: &Who, field: &Key) -> Option<KeyTxn> {
        let tracked = self.ledger.get(field)?;
        self.has_stray_claim(who, field)
            .then(|| crate::own::drop_claim(who.me, field, &tracked.sight.view))
    }

    /// What a field of an object that this process holds ought to be, if it is one.
    pub(super) fn wish_of_part(
        &self,
        field: &Key,
        wish: impl Fn(&Key) -> Option<Value>,
    ) -> Option<Value> {
        let (_, who) = self.session.as_ref()?;
        let marker = self.ledger.object_of(field)?;
        let view = &self.ledger.get(marker)?.sight.view;
        let held = view.node.as_ref()?;
        if held.lease != Some(who.me) || wish(marker).as_ref() != Some(&held.value) {
            return None;
        }
        crate::own::stands(who, marker, view)?;
        Definition::field(marker, &held.value, field)
    }

    /// Says of the nodes of an object that are asked for by themselves too why they are not registered.
    pub(super) fn tell_of_parts(&mut self, who: &Who, marker: &Key, wishes: &Wishes<'_>) {
        let fields = self.ledger.parts_of(marker);
        let fields = fields.filter(|field| {
            let told = self.ledger.get(field).and_then(|it| it.story.obstacle());
            let is_of_concern = told.is_some() || (wishes.of)(field).is_some();
            is_of_concern && !self.has_stray_claim(who, field)
        });
        for field in fields.cloned().collect::<Vec<_>>() {
            self.tell_of_part(&field, wishes);
        }
    }

    /// The same of one key. One that has the value of such an object goes with that.
    pub(super) fn tell_of_part(&mut self, key: &Key, wishes: &Wishes<'_>) {
        let wish = (wishes.of)(key).filter(|wish| {
            let mut objects = self.ledger.objects_of(key);
            !objects.any(|marker| self.gives(marker, wishes, key, wish))
        });
        let object = self.ledger.object_of(key).cloned();
        let told = object.zip(wish);
        let told = told.map(|(object, value)| Notice::NodeOfObject {
            key: key.clone(),
            value,
            askers: Askers::default(),
            object,
        });
        let news = self.ledger.change(key, |tracked| match told {
            Some(told) => tracked.story.report(told),
            None => {
                tracked.story.stands_alone();
                None
            }
        });
        self.notices.extend(news.flatten());
    }

    /// Whether an object has a field with this value, as it is there or as it is wished.
    fn gives(&self, marker: &Key, wishes: &Wishes<'_>, field: &Key, value: &Value) -> bool {
        let node = self.ledger.get(marker).map(|it| &it.sight.view.node);
        let held = node.and_then(|node| node.as_ref());
        let texts = [held.map(|held| held.value.clone()), (wishes.of)(marker)];
        let fields = texts.into_iter().flatten();
        let mut fields = fields.filter_map(|text| Definition::field(marker, &text, field));
        fields.any(|field| field == *value)
    }

    /// Takes in what a refusal tells of fields.
    pub(super) fn know_fields(&mut self, fields: BTreeMap<Key, Option<Held>>, revision: Revision) {
        let Some((_, who)) = self.session.clone() else {
            return;
        };
        for (key, node) in fields {
            self.ledger.change(&key, |tracked| {
                if tracked.sight.is_news(revision) || !tracked.sight.told {
                    tracked.sight.see_node(who.me, node, revision);
                }
            });
        }
    }
}
