//! What a registrator must know of etcd before anything is decided: who the registrators are, and what is at its keys.

use super::client::EtcdClient;
use super::error::Error;
use super::identity;
use super::layout::{Layout, Purpose};
use super::reading::KeyRange;
use super::views;
use etcd_api::KeyValue;
use registrator_core::host::HostId;
use registrator_core::node::Key;
use registrator_core::own::{LeaseId, Revision, View, Who};
use std::collections::{BTreeMap, BTreeSet};

/// What was found at one revision.
#[derive(Debug)]
pub(super) struct Overview {
    /// The registrators' leases by name.
    pub(super) identities: BTreeMap<HostId, LeaseId>,
    /// The leases whose beacons are lit.
    pub(super) beacons: BTreeSet<LeaseId>,
    /// What is at the keys that were asked for.
    pub(super) views: BTreeMap<Key, View>,
}

/// What is attached to a lease.
#[derive(Debug, Default)]
pub(super) struct LeaseKeys {
    /// The keys of nodes and of claims.
    pub(super) keys: BTreeSet<Key>,
    /// Keys that no registrator can have attached.
    pub(super) strays: Vec<String>,
}

impl Overview {
    /// Who the registrators are, for the one that holds `me`.
    pub(super) fn who(&self, me: LeaseId) -> Who {
        let identities = self.identities.iter();
        Who {
            me,
            registrators: identities
                .map(|(name, lease)| (*lease, name.clone()))
                .collect(),
            beacons: self.beacons.clone(),
        }
    }
}

/// What concerns the registrator of `layout`, for one that only looks on: who the registrators are, and what is at its keys and
/// at the `wished` ones, all at one revision. Its lease is 0 if it has none.
///
/// # Errors
/// Any of the first reading that fails.
pub async fn look(
    client: &EtcdClient,
    layout: &Layout,
    wished: BTreeSet<Key>,
) -> Result<(Who, BTreeMap<Key, View>), Error> {
    let own = client.list(&KeyRange::exact(&layout.identity()), 0).await?;
    let lease = own.kvs.first().and_then(identity::lease_of);
    let me = lease.unwrap_or(LeaseId(0));
    let attached = match attached(client, layout, me).await {
        Err(Error::LeaseNotFound { .. }) => LeaseKeys::default(),
        other => other?,
    };
    let keys = wished.into_iter().chain(attached.keys).collect();
    let overview = read(client, layout, &keys, own.revision).await?;
    Ok((overview.who(me), overview.views))
}

/// Reads the registrators, and what is at `keys`, all at `revision`.
pub(super) async fn read(
    client: &EtcdClient,
    layout: &Layout,
    keys: &BTreeSet<Key>,
    revision: Revision,
) -> Result<Overview, Error> {
    let registrators = KeyRange::prefix(&layout.identities());
    let lights = KeyRange::prefix(&layout.beacons());
    let (identities, beacons, views) = tokio::try_join!(
        client.list(&registrators, revision),
        client.list(&lights, revision),
        views::read(client, layout, keys, revision),
    )?;
    let registrator = |kv: &KeyValue| identity::registrator(layout, kv);
    let lit = |kv: &KeyValue| identity::lit(layout, kv);
    Ok(Overview {
        identities: identities.kvs.iter().filter_map(registrator).collect(),
        beacons: beacons.kvs.iter().filter_map(lit).collect(),
        views,
    })
}

/// Reads what is attached to `lease` now.
///
/// # Errors
/// Any; [`Error::LeaseNotFound`] if the lease has ended.
pub(super) async fn attached(
    client: &EtcdClient,
    layout: &Layout,
    lease: LeaseId,
) -> Result<LeaseKeys, Error> {
    let state = client.lease_time_to_live(lease, true).await?;
    if state.ttl < 0 {
        return Err(Error::LeaseNotFound {
            endpoint: client.endpoint(),
        });
    }
    let mut attached = LeaseKeys::default();
    for etcd_key in &state.keys {
        match layout.place(etcd_key) {
            Purpose::Node(key) | Purpose::Claim(key, _) => {
                attached.keys.insert(key);
            }
            Purpose::Identity(_) | Purpose::Beacon(_) => {}
            Purpose::Unknown(text) | Purpose::Foreign(text, _) => attached.strays.push(text),
        }
    }
    Ok(attached)
}
