//! Between etcd's messages and the store's types.

use etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd_api::range_request::SortOrder;
use etcd_api::request_op::Request;
use etcd_api::response_op::Response;
use etcd_api::watch_create_request::FilterType;
use etcd_api::{self as api, ResponseHeader, event::EventType, range_request};

use crate::store::{
    Compare, Delete, DeleteResult, Event, EventKind, KeyRange, KeyValue, Op, OpResult, Put,
    PutResult, Range, RangeResult, Relation, Revision, RevisionBounds, SortTarget, StoreError,
    Target, Txn, TxnResult, WatchRequest,
};

pub(super) fn range(request: api::RangeRequest) -> Result<Range, StoreError> {
    let order =
        SortOrder::try_from(request.sort_order).map_err(|_| StoreError::InvalidSortOption)?;
    let target = range_request::SortTarget::try_from(request.sort_target)
        .map_err(|_| StoreError::InvalidSortOption)?;
    Ok(Range {
        keys: KeyRange::new(request.key, request.range_end),
        revision: request.revision,
        limit: usize::try_from(request.limit).unwrap_or(0),
        sort: sort_target(target),
        descending: order == SortOrder::Descend,
        keys_only: request.keys_only,
        count_only: request.count_only,
        mod_revisions: RevisionBounds {
            min: request.min_mod_revision,
            max: request.max_mod_revision,
        },
        create_revisions: RevisionBounds {
            min: request.min_create_revision,
            max: request.max_create_revision,
        },
    })
}

pub(super) fn put(request: api::PutRequest) -> Put {
    let api::PutRequest {
        key,
        value,
        lease,
        prev_kv,
        ignore_value,
        ignore_lease,
    } = request;
    Put {
        key,
        value,
        lease,
        prev_kv,
        ignore_value,
        ignore_lease,
    }
}

pub(super) fn delete(request: api::DeleteRangeRequest) -> Delete {
    Delete {
        keys: KeyRange::new(request.key, request.range_end),
        prev_kv: request.prev_kv,
    }
}

pub(super) fn txn(request: api::TxnRequest) -> Result<Txn, StoreError> {
    Ok(Txn {
        compare: request
            .compare
            .into_iter()
            .map(compare)
            .collect::<Result<_, _>>()?,
        success: request
            .success
            .into_iter()
            .map(op)
            .collect::<Result<_, _>>()?,
        failure: request
            .failure
            .into_iter()
            .map(op)
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn watch(request: api::WatchCreateRequest) -> WatchRequest {
    let leaves_out = |filter: FilterType| request.filters.contains(&filter.into());
    WatchRequest {
        start: request.start_revision,
        no_put: leaves_out(FilterType::Noput),
        no_delete: leaves_out(FilterType::Nodelete),
        prev_kv: request.prev_kv,
        keys: KeyRange::new(request.key, request.range_end),
    }
}

/// The header comes from the server; inside of a transaction it has only the revision.
pub(super) fn range_response(
    result: RangeResult,
    header: Option<ResponseHeader>,
) -> api::RangeResponse {
    api::RangeResponse {
        header,
        kvs: kvs(result.kvs),
        more: result.more,
        count: count(result.count),
    }
}

pub(super) fn put_response(result: PutResult, header: Option<ResponseHeader>) -> api::PutResponse {
    api::PutResponse {
        header,
        prev_kv: result.prev_kv.map(kv),
    }
}

pub(super) fn delete_response(
    result: DeleteResult,
    header: Option<ResponseHeader>,
) -> api::DeleteRangeResponse {
    api::DeleteRangeResponse {
        header,
        deleted: count(result.deleted),
        prev_kvs: kvs(result.prev_kvs),
    }
}

pub(super) fn txn_response(result: TxnResult, header: Option<ResponseHeader>) -> api::TxnResponse {
    let responses = result.results.into_iter().map(response_op).collect();
    api::TxnResponse {
        header,
        succeeded: result.succeeded,
        responses,
    }
}

pub(super) fn event(event: Event) -> api::Event {
    let kind = match event.kind {
        EventKind::Put => EventType::Put,
        EventKind::Delete => EventType::Delete,
    };
    api::Event {
        r#type: kind.into(),
        kv: Some(kv(event.kv)),
        prev_kv: event.prev_kv.map(kv),
    }
}

fn sort_target(target: range_request::SortTarget) -> SortTarget {
    match target {
        range_request::SortTarget::Key => SortTarget::Key,
        range_request::SortTarget::Version => SortTarget::Version,
        range_request::SortTarget::Create => SortTarget::CreateRevision,
        range_request::SortTarget::Mod => SortTarget::ModRevision,
        range_request::SortTarget::Value => SortTarget::Value,
    }
}

/// A given side of another kind than the target counts as 0 or empty, as in etcd.
fn compare(compare: api::Compare) -> Result<Compare, StoreError> {
    let relation =
        match CompareResult::try_from(compare.result).map_err(|_| StoreError::UnknownCompare)? {
            CompareResult::Equal => Relation::Equal,
            CompareResult::Greater => Relation::Greater,
            CompareResult::Less => Relation::Less,
            CompareResult::NotEqual => Relation::NotEqual,
        };
    let target = CompareTarget::try_from(compare.target).map_err(|_| StoreError::UnknownCompare)?;
    let target = match (target, compare.target_union) {
        (CompareTarget::Version, Some(TargetUnion::Version(given))) => Target::Version(given),
        (CompareTarget::Version, _) => Target::Version(0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(given))) => {
            Target::CreateRevision(given)
        }
        (CompareTarget::Create, _) => Target::CreateRevision(0),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(given))) => Target::ModRevision(given),
        (CompareTarget::Mod, _) => Target::ModRevision(0),
        (CompareTarget::Value, Some(TargetUnion::Value(given))) => Target::Value(given),
        (CompareTarget::Value, _) => Target::Value(Vec::new()),
        (CompareTarget::Lease, Some(TargetUnion::Lease(given))) => Target::Lease(given),
        (CompareTarget::Lease, _) => Target::Lease(0),
    };
    Ok(Compare {
        keys: KeyRange::new(compare.key, compare.range_end),
        relation,
        target,
    })
}

/// etcd calls an empty operation "key not found".
fn op(op: api::RequestOp) -> Result<Op, StoreError> {
    Ok(match op.request.ok_or(StoreError::KeyNotFound)? {
        Request::RequestRange(request) => Op::Range(range(request)?),
        Request::RequestPut(request) => Op::Put(put(request)),
        Request::RequestDeleteRange(request) => Op::Delete(delete(request)),
        Request::RequestTxn(request) => Op::Txn(txn(request)?),
    })
}

fn response_op(result: OpResult) -> api::ResponseOp {
    let response = match result {
        OpResult::Range(result) => {
            let header = revision_only(result.revision);
            Response::ResponseRange(range_response(result, header))
        }
        OpResult::Put(result) => {
            let header = revision_only(result.revision);
            Response::ResponsePut(put_response(result, header))
        }
        OpResult::Delete(result) => {
            let header = revision_only(result.revision);
            Response::ResponseDeleteRange(delete_response(result, header))
        }
        OpResult::Txn(result) => {
            let header = revision_only(result.revision);
            Response::ResponseTxn(txn_response(result, header))
        }
    };
    api::ResponseOp {
        response: Some(response),
    }
}

fn revision_only(revision: Revision) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn kvs(kvs: Vec<KeyValue>) -> Vec<api::KeyValue> {
    kvs.into_iter().map(kv).collect()
}

fn kv(kv: KeyValue) -> api::KeyValue {
    let KeyValue {
        key,
        value,
        create_revision,
        mod_revision,
        version,
        lease,
    } = kv;
    api::KeyValue {
        key,
        create_revision,
        mod_revision,
        version,
        value,
        lease,
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
