//! Why evaluations give nothing. Thousands of containers have the same reasons, so equal ones are kept once.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The reasons of one evaluation; `None` if it gave none.
pub(super) type SharedReasons = Option<Arc<Vec<String>>>;

/// All reasons that are in use.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeSet<Arc<Vec<String>>>);

impl Reasons {
    /// Keeps these in the place of others.
    pub(super) fn replace(&mut self, place: &mut SharedReasons, new: Vec<String>) {
        if place.as_deref().map_or(new.is_empty(), |old| *old == new) {
            return;
        }
        self.forget(place.take());
        if new.is_empty() {
            return;
        }
        let shared = match self.0.get(&new) {
            Some(known) => Arc::clone(known),
            None => Arc::new(new),
        };
        self.0.insert(Arc::clone(&shared));
        *place = Some(shared);
    }

    /// Forgets what nobody else has.
    pub(super) fn forget(&mut self, old: SharedReasons) {
        // The last one and the one in here.
        if let Some(old) = old.filter(|old| Arc::strong_count(old) == 2) {
            self.0.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_are_kept_once_and_no_longer_than_needed() {
        let mut reasons = Reasons::default();
        let (mut a, mut b) = (None, None);
        let no_label = || vec!["no label".to_owned()];
        reasons.replace(&mut a, no_label());
        reasons.replace(&mut b, no_label());
        assert!(Arc::ptr_eq(a.as_ref().unwrap(), b.as_ref().unwrap()));
        reasons.replace(&mut a, Vec::new());
        assert_eq!((a, reasons.0.len()), (None, 1));
        reasons.replace(&mut b, no_label());
        assert_eq!(reasons.0.len(), 1);
        reasons.forget(b);
        assert!(reasons.0.is_empty());
    }
}
