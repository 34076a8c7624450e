//! What there is of some keys now: read by a session when a watch cannot tell.

use super::Context;
use crate::etcd::error::Error;
use crate::etcd::reading::KeyRange;
use crate::etcd::views;
use registrator_core::node::Key;
use registrator_core::own::{Revision, View};
use std::collections::{BTreeMap, BTreeSet};

/// What was read, at which revision, and by which cluster.
#[derive(Debug)]
pub(super) struct KeyReading {
    pub(super) cluster: u64,
    pub(super) revision: Revision,
    /// All but those that this user may not read.
    pub(super) views: BTreeMap<Key, View>,
}

/// Reads keys as they are now. Where some must not be read, it finds them by halves, and leaves them out.
pub(super) async fn read_keys(
    context: &Context,
    keys: &BTreeSet<Key>,
) -> Result<KeyReading, Error> {
    let (client, layout) = (&context.client, &context.layout);
    let now = client.list(&KeyRange::exact(&layout.identity()), 0).await?;
    let mut views = BTreeMap::new();
    let mut rest = vec![keys.clone()];
    while let Some(mut keys) = rest.pop() {
        match views::read(client, layout, &keys, now.revision).await {
            Ok(read) => views.extend(read),
            Err(Error::Refused {
                forbidden: true, ..
            }) => {
                let middle = keys.iter().nth(keys.len() / 2).cloned();
                if let Some(middle) = middle.filter(|_| keys.len() > 1) {
                    rest.extend([keys.split_off(&middle), keys]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(KeyReading {
        cluster: now.cluster,
        revision: now.revision,
        views,
    })
}
