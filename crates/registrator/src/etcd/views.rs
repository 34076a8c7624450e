//! Reading keys together with the claims on them.

use super::client::EtcdClient;
use super::error::Error;
use super::layout::{Layout, Purpose};
use super::reading::{KeyRange, at_once, held, operation};
use etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_api::request_op::Request as Operation;
use etcd_api::response_op::Response as Answer;
use etcd_api::{Compare, DeleteRangeRequest, KeyValue, RequestOp, ResponseOp, TxnRequest};
use registrator_core::node::Key;
use registrator_core::own::{Revision, View};
use std::collections::{BTreeMap, BTreeSet};

/// Keys in one request: two readings each, of at most 128.
const BATCH: usize = 50;

/// Requests under way at once.
const AT_ONCE: usize = 4;

/// The two readings that make a view of `key`, at `revision` (0 for the newest).
pub(super) fn reads(layout: &Layout, key: &Key, revision: Revision) -> [RequestOp; 2] {
    [
        KeyRange::exact(&layout.node(key)),
        KeyRange::prefix(&layout.claims(key)),
    ]
    .map(|range| operation(Operation::RequestRange(range.request(revision))))
}

/// The answers to [`reads`]; `None` if they are something else.
pub(super) fn decode(layout: &Layout, answers: &[ResponseOp]) -> Option<View> {
    let [node, claims] = answers else { return None };
    let [node, claims] = [range(node)?, range(claims)?];
    Some(View {
        node: node.first().map(held),
        claims: claims
            .iter()
            .filter_map(|kv| match layout.place(&kv.key) {
                Purpose::Claim(_, lease) => Some((lease, held(kv))),
                _ => None,
            })
            .collect(),
    })
}

/// What lies among the claims in the answers to [`reads`] and is none, as after a slip of the hand. It stands in the way of every
/// release, for the guard "no claims" means the whole range.
pub(super) fn junk<'a>(
    layout: &Layout,
    answers: &'a [ResponseOp],
) -> impl Iterator<Item = &'a KeyValue> {
    let claims = answers.get(1).and_then(range).unwrap_or_default();
    claims
        .iter()
        .filter(|kv| !matches!(layout.place(&kv.key), Purpose::Claim(..)))
}

/// What a reading found.
pub(super) fn range(answer: &ResponseOp) -> Option<&[KeyValue]> {
    match &answer.response {
        Some(Answer::ResponseRange(range)) => Some(&range.kvs),
        _ => None,
    }
}

/// The views of many keys at `revision` (0 for the newest, which may then differ between keys).
pub(super) async fn read(
    client: &EtcdClient,
    layout: &Layout,
    keys: &BTreeSet<Key>,
    revision: Revision,
) -> Result<BTreeMap<Key, View>, Error> {
    let keys: Vec<&Key> = keys.iter().collect();
    let batches = keys.chunks(BATCH).map(|batch| {
        let batch: Vec<Key> = batch.iter().copied().cloned().collect();
        let (client, layout) = (client.clone(), layout.clone());
        async move { read_batch(&client, &layout, &batch, revision).await }
    });
    let views = at_once(AT_ONCE, batches.collect::<Vec<_>>()).await?;
    Ok(views.into_iter().flatten().collect())
}

/// Reads a batch; by halves if the answer would be too big.
async fn read_batch(
    client: &EtcdClient,
    layout: &Layout,
    keys: &[Key],
    revision: Revision,
) -> Result<Vec<(Key, View)>, Error> {
    let mut rest = vec![keys];
    let mut views = Vec::new();
    while let Some(batch) = rest.pop() {
        match read_at_once(client, layout, batch, revision).await {
            Err(Error::TooLarge { .. }) if batch.len() > 1 => {
                let (first, second) = batch.split_at(batch.len() / 2);
                rest.extend([second, first]);
            }
            other => views.extend(other?),
        }
    }
    Ok(views)
}

async fn read_at_once(
    client: &EtcdClient,
    layout: &Layout,
    keys: &[Key],
    revision: Revision,
) -> Result<Vec<(Key, View)>, Error> {
    let reads = || keys.iter().flat_map(|key| reads(layout, key, revision));
    let request = never_writing(layout, reads().collect());
    let answers = match client.txn(request).await {
        Ok(answer) => answer.responses,
        // Who may only read, as an onlooker, reads one by one. All is of one revision, so it makes no difference.
        Err(Error::Refused {
            forbidden: true, ..
        }) if revision > 0 => read_singly(client, reads()).await?,
        Err(error) => return Err(error),
    };
    let views = keys.iter().zip(answers.chunks(2));
    views
        .map(|(key, answers)| match decode(layout, answers) {
            Some(view) => Ok((key.clone(), view)),
            None => Err(unexpected(client)),
        })
        .collect()
}

/// The answers to readings, as a transaction gives them.
async fn read_singly(
    client: &EtcdClient,
    reads: impl Iterator<Item = RequestOp>,
) -> Result<Vec<ResponseOp>, Error> {
    let mut answers = Vec::new();
    for read in reads {
        if let Some(Operation::RequestRange(request)) = read.request {
            let response = Some(Answer::ResponseRange(client.range(request).await?));
            answers.push(ResponseOp { response });
        }
    }
    Ok(answers)
}

/// A transaction that only reads, dressed as one that may write: its condition never holds. See [`EtcdClient::txn`]. A deletion, since
/// an etcd that is full refuses whatever might put.
fn never_writing(layout: &Layout, reads: Vec<RequestOp>) -> TxnRequest {
    let key = layout.identity().into_bytes();
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Less.into(),
            target: CompareTarget::Create.into(),
            key: key.clone(),
            range_end: Vec::new(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        }],
        success: vec![operation(Operation::RequestDeleteRange(
            DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            },
        ))],
        failure: reads,
    }
}

/// The answer to a transaction does not have the shape of the request.
pub(super) fn unexpected(client: &EtcdClient) -> Error {
    Error::Unexpected {
        endpoint: client.endpoint(),
        message: "a transaction's answers do not match its operations".to_owned(),
    }
}
