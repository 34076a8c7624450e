//! Reading many keys: whole prefixes in pages, and lists of keys at once.

use super::client::EtcdClient;
use super::error::Error;
use etcd_api::request_op::Request as Operation;
use etcd_api::{KeyValue, RangeRequest, RequestOp};
use registrator_core::node::Value;
use registrator_core::own::{Held, LeaseId};
use tokio::task::JoinSet;

/// Keys in one page.
const PAGE: i64 = 500;

/// What etcd holds below a prefix, at one revision.
#[derive(Debug, Clone, Default)]
pub struct KeyListing {
    /// The revision at which all was read.
    pub revision: i64,
    /// The cluster that answered.
    pub cluster: u64,
    /// The keys, in byte order.
    pub kvs: Vec<KeyValue>,
}

/// The lease that a key is attached to.
pub(super) fn lease(kv: &KeyValue) -> Option<LeaseId> {
    Some(LeaseId(kv.lease)).filter(|lease| lease.0 != 0)
}

/// A node or a claim as the core wants it.
pub(super) fn held(kv: &KeyValue) -> Held {
    Held {
        value: Value::from_etcd(&kv.value),
        lease: lease(kv),
        mod_revision: kv.mod_revision,
    }
}

/// An operation of a transaction.
pub(super) fn operation(request: Operation) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// A range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyRange {
    /// The first key.
    pub(super) key: Vec<u8>,
    /// The end, exclusive; empty for one key.
    pub(super) end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with `prefix`, which must not be empty.
    pub(super) fn prefix(prefix: &str) -> KeyRange {
        let mut end = prefix.as_bytes().to_vec();
        // UTF-8 has no byte 0xff, so the last byte always has a successor.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        KeyRange {
            key: prefix.as_bytes().to_vec(),
            end,
        }
    }

    /// One key.
    pub(super) fn exact(key: &str) -> KeyRange {
        KeyRange {
            key: key.as_bytes().to_vec(),
            end: Vec::new(),
        }
    }

    /// The request for the range, at `revision` (0 for the newest).
    pub(super) fn request(&self, revision: i64) -> RangeRequest {
        RangeRequest {
            key: self.key.clone(),
            range_end: self.end.clone(),
            revision,
            ..RangeRequest::default()
        }
    }
}

impl EtcdClient {
    /// Reads one key.
    ///
    /// # Errors
    /// Any.
    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let answer = self.range(KeyRange::exact(key).request(0)).await?;
        Ok(answer.kvs.into_iter().next())
    }

    /// Reads a range in pages, all at `revision` (0 for the newest).
    pub(super) async fn list(&self, range: &KeyRange, revision: i64) -> Result<KeyListing, Error> {
        let mut listing = KeyListing {
            revision,
            ..KeyListing::default()
        };
        let mut request = range.request(revision);
        request.limit = PAGE;
        loop {
            let page = match self.range(request.clone()).await {
                // Big values: smaller pages.
                Err(Error::TooLarge { .. }) if request.limit > 1 => {
                    request.limit /= 2;
                    continue;
                }
                other => other?,
            };
            let header = page.header.unwrap_or_default();
            listing.cluster = header.cluster_id;
            if listing.revision == 0 {
                listing.revision = header.revision;
                request.revision = header.revision;
            }
            let last = page.kvs.last().map(|kv| kv.key.clone());
            listing.kvs.extend(page.kvs);
            match last {
                Some(mut next) if page.more => {
                    next.push(0);
                    request.key = next;
                }
                _ => return Ok(listing),
            }
        }
    }
}

/// Runs `works`, at most `limit` at once; the answers are in any order. The first error ends the rest.
pub(super) async fn at_once<T, W>(
    limit: usize,
    works: impl IntoIterator<Item = W>,
) -> Result<Vec<T>, Error>
where
    W: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let mut works = works.into_iter();
    let mut running: JoinSet<Result<T, Error>> = JoinSet::new();
    let mut answers = Vec::new();
    for work in works.by_ref().take(limit) {
        running.spawn(work);
    }
    while let Some(done) = running.join_next().await {
        // A task of ours neither panics nor is aborted while this set lives.
        let Ok(answer) = done else { continue };
        answers.push(answer?);
        if let Some(work) = works.next() {
            running.spawn(work);
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_behind_their_prefix() {
        assert_eq!(KeyRange::prefix("/a/").end, b"/a0");
        assert_eq!(KeyRange::prefix("a\u{7f}").end, b"a\x80");
    }
}
