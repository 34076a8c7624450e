//! One look at everything that concerns one registrator, without taking part.

use super::client::Client;
use super::error::Error;
use super::identity;
use super::layout::{Layout, Place};
use super::reading::held;
use registrator_core::node::Key;
use registrator_core::own::{LeaseId, View, Who};
use std::collections::{BTreeMap, BTreeSet};

/// Reads who the registrators are, what the one of `layout` has, and what is at the `wished` keys. Its lease is 0 if it has none.
///
/// # Errors
/// Any of the first reading that fails.
pub async fn survey(
    client: &Client,
    layout: &Layout,
    wished: BTreeSet<Key>,
) -> Result<(Who, BTreeMap<Key, View>), Error> {
    let identities = client.range_prefix(&layout.identities()).await?.kvs;
    let own = identities
        .iter()
        .find(|kv| kv.key == layout.identity().as_bytes());
    let me = LeaseId(own.map_or(0, |kv| kv.lease));
    let registrators = identities
        .iter()
        .filter_map(|kv| identity::registrator(layout, kv));
    let beacons = client.range_prefix(&layout.beacons()).await?.kvs;
    let who = Who {
        me,
        registrators: registrators.map(|(name, lease)| (lease, name)).collect(),
        beacons: beacons
            .iter()
            .filter_map(|kv| identity::lit(layout, kv))
            .collect(),
    };
    let mut keys = wished;
    if own.is_some() {
        let attached = client.lease_time_to_live(me, true).await?.keys;
        keys.extend(attached.iter().filter_map(|key| match layout.place(key) {
            Place::Node(key) | Place::Claim(key, _) => Some(key),
            Place::Identity(_) | Place::Beacon(_) | Place::Unknown(_) | Place::Foreign(..) => None,
        }));
    }
    let views = views(client, layout, &keys).await?;
    Ok((who, views))
}

async fn views(
    client: &Client,
    layout: &Layout,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, View>, Error> {
    let names: Vec<String> = keys.iter().map(Key::to_string).collect();
    let mut views: BTreeMap<Key, View> = BTreeMap::new();
    for (name, kv) in client.get_keys(&names).await? {
        if let Some(key) = Key::parse(&name).ok().filter(|key| keys.contains(key)) {
            views.entry(key).or_default().node = Some(held(&kv));
        }
    }
    for kv in client.range_prefix(&layout.all_claims()).await?.kvs {
        match layout.place(&kv.key) {
            Place::Claim(key, lease) if keys.contains(&key) => {
                views
                    .entry(key)
                    .or_default()
                    .claims
                    .insert(lease, held(&kv));
            }
            Place::Claim(..)
            | Place::Node(_)
            | Place::Identity(_)
            | Place::Beacon(_)
            | Place::Unknown(_)
            | Place::Foreign(..) => {}
        }
    }
    Ok(views)
}
