//! The complete reading with which a session begins.
//!
//! All of it is read at the revision of the fence, and the watches begin right behind it, so nothing falls between.

use super::Context;
use super::claim::Held;
use super::views;
use crate::etcd::error::Error;
use crate::etcd::identity;
use crate::etcd::layout::Place;
use crate::etcd::reading::KeyRange;
use registrator_core::host::HostName;
use registrator_core::node::Key;
use registrator_core::own::{LeaseId, Revision, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was found.
#[derive(Debug)]
pub(super) struct Beginning {
    /// Every key attached to the lease.
    pub(super) views: BTreeMap<Key, View>,
    /// The registrators' leases by node name.
    pub(super) identities: BTreeMap<HostName, LeaseId>,
    /// The leases whose beacons are lit.
    pub(super) beacons: BTreeSet<LeaseId>,
    /// Keys under the lease that are no node.
    pub(super) strays: Vec<String>,
}

/// Reads everything.
pub(super) async fn read(context: &Arc<Context>, held: &Held) -> Result<Beginning, Error> {
    let (identities, beacons, (keys, strays)) = tokio::try_join!(
        read_identities(context, held),
        read_beacons(context, held),
        read_attached(context, held.lease)
    )?;
    Ok(Beginning {
        views: views::read(context, &keys, held.fence).await?,
        identities,
        beacons,
        strays,
    })
}

/// Reads the keys under the lease again, as they are now.
pub(super) async fn read_again(
    context: &Arc<Context>,
    lease: LeaseId,
) -> Result<(BTreeMap<Key, View>, Revision), Error> {
    // The revision first: what is attached later than that is told by an event.
    let revision = context
        .client
        .range_prefix(&context.layout.identity())
        .await?
        .revision;
    let (keys, _) = read_attached(context, lease).await?;
    Ok((views::read(context, &keys, revision).await?, revision))
}

async fn read_identities(
    context: &Context,
    held: &Held,
) -> Result<BTreeMap<HostName, LeaseId>, Error> {
    let range = KeyRange::prefix(&context.layout.identities());
    let listing = context.client.list(&range, held.fence).await?;
    let found = listing.kvs.iter();
    Ok(found
        .filter_map(|kv| identity::registrator(&context.layout, kv))
        .collect())
}

async fn read_beacons(context: &Context, held: &Held) -> Result<BTreeSet<LeaseId>, Error> {
    let range = KeyRange::prefix(&context.layout.beacons());
    let listing = context.client.list(&range, held.fence).await?;
    let found = listing.kvs.iter();
    Ok(found
        .filter_map(|kv| identity::lit(&context.layout, kv))
        .collect())
}

/// The keys that are attached to the lease, as nodes or as claims, and what else is attached.
async fn read_attached(
    context: &Context,
    lease: LeaseId,
) -> Result<(Vec<Key>, Vec<String>), Error> {
    let state = context.client.lease_time_to_live(lease, true).await?;
    if state.ttl < 0 {
        return Err(Error::LeaseNotFound {
            endpoint: context.client.endpoint(),
        });
    }
    let mut keys = BTreeSet::new();
    let mut strays = Vec::new();
    for etcd_key in &state.keys {
        match context.layout.place(etcd_key) {
            Place::Node(key) | Place::Claim(key, _) => {
                keys.insert(key);
            }
            Place::Identity(_) | Place::Beacon(_) => {}
            Place::Unknown(text) | Place::Foreign(text, _) => strays.push(text),
        }
    }
    Ok((keys.into_iter().collect(), strays))
}
