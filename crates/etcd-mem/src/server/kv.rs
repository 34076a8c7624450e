//! The service KV.

use std::sync::Arc;

use etcd_api as api;
use tonic::{Request, Response, Status};

use super::member::Member;
use super::rights::Rights;
use super::turns::{self, SMALL};
use super::{convert, status};

pub(super) struct KvService {
    member: Arc<Member>,
    rights: Rights,
}

impl KvService {
    pub(super) fn new(member: Arc<Member>, rights: Rights) -> Self {
        Self { member, rights }
    }
}

#[tonic::async_trait]
impl api::kv_server::Kv for KvService {
    async fn range(
        &self,
        request: Request<api::RangeRequest>,
    ) -> Result<Response<api::RangeResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let request = convert::range(request).map_err(status::from_store)?;
        let is_small = || {
            self.member
                .read(|store| store.range_at_most(&request, SMALL))
        };
        turns::for_answer(&extensions, is_small).await;
        let (result, revision) = self.member.apply(|store, _| store.range(&request));
        let result = result.map_err(status::from_store)?;
        Ok(Response::new(convert::range_response(
            result,
            self.member.header(revision),
        )))
    }

    async fn put(
        &self,
        request: Request<api::PutRequest>,
    ) -> Result<Response<api::PutResponse>, Status> {
        self.rights.check_change()?;
        status::check_entry(request.get_ref())?;
        let request = convert::put(request.into_inner());
        let (result, revision) = self.member.apply(|store, _| store.put(&request));
        let result = result.map_err(status::from_store)?;
        Ok(Response::new(convert::put_response(
            result,
            self.member.header(revision),
        )))
    }

    async fn delete_range(
        &self,
        request: Request<api::DeleteRangeRequest>,
    ) -> Result<Response<api::DeleteRangeResponse>, Status> {
        self.rights.check_change()?;
        status::check_entry(request.get_ref())?;
        let request = convert::delete(request.into_inner());
        let (result, revision) = self.member.apply(|store, _| store.delete(&request));
        let result = result.map_err(status::from_store)?;
        Ok(Response::new(convert::delete_response(
            result,
            self.member.header(revision),
        )))
    }

    async fn txn(
        &self,
        request: Request<api::TxnRequest>,
    ) -> Result<Response<api::TxnResponse>, Status> {
        self.rights.check_txn(request.get_ref())?;
        status::check_entry(request.get_ref())?;
        let (_, extensions, request) = request.into_parts();
        let request = convert::txn(request).map_err(status::from_store)?;
        self.member
            .read(|store| self.rights.check_reads(store, &request))?;
        let is_small = || {
            self.member
                .read(|store| store.reads_at_most(&request, SMALL))
        };
        turns::for_answer(&extensions, is_small).await;
        let (result, revision) = self.member.apply(|store, _| store.txn(&request));
        let result = result.map_err(status::from_store)?;
        Ok(Response::new(convert::txn_response(
            result,
            self.member.header(revision),
        )))
    }

    /// `physical` needs nothing: the space is always free when the answer is sent.
    async fn compact(
        &self,
        request: Request<api::CompactionRequest>,
    ) -> Result<Response<api::CompactionResponse>, Status> {
        self.rights.check_change()?;
        let oldest = request.into_inner().revision;
        let (result, revision) = self.member.apply(|store, _| store.compact(oldest));
        result.map_err(status::from_store)?;
        Ok(Response::new(api::CompactionResponse {
            header: self.member.header(revision),
        }))
    }
}
