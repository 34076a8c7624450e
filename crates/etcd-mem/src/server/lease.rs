//! The service Lease.

use std::sync::Arc;

use etcd_api as api;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::member::Member;
use super::rights::Rights;
use super::{status, turns};

/// Answers that may wait for a client; more make it wait with its requests.
const WAITING_ANSWERS: usize = 16;

pub(super) struct LeaseService {
    member: Arc<Member>,
    rights: Rights,
}

impl LeaseService {
    pub(super) fn new(member: Arc<Member>, rights: Rights) -> Self {
        Self { member, rights }
    }
}

type Answers = mpsc::Sender<Result<api::LeaseKeepAliveResponse, Status>>;

#[tonic::async_trait]
impl api::lease_server::Lease for LeaseService {
    type LeaseKeepAliveStream = ReceiverStream<Result<api::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        request: Request<api::LeaseGrantRequest>,
    ) -> Result<Response<api::LeaseGrantResponse>, Status> {
        self.rights.check_change()?;
        let api::LeaseGrantRequest { ttl, id } = request.into_inner();
        let (granted, revision) = self.member.apply(|store, now| store.grant(now, id, ttl));
        let granted = granted.map_err(status::from_store)?;
        let header = self.member.header(revision);
        Ok(Response::new(api::LeaseGrantResponse {
            header,
            id: granted.id,
            ttl: granted.ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<api::LeaseRevokeRequest>,
    ) -> Result<Response<api::LeaseRevokeResponse>, Status> {
        self.rights.check_change()?;
        let id = request.into_inner().id;
        let (result, revision) = self.member.apply(|store, _| store.revoke(id));
        result.map_err(status::from_store)?;
        Ok(Response::new(api::LeaseRevokeResponse {
            header: self.member.header(revision),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<api::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.rights.check_change()?;
        let (answers, stream) = mpsc::channel(WAITING_ANSWERS);
        let member = self.member.clone();
        tokio::spawn(async move {
            let renewing = renew(&member, request.into_inner(), answers.clone());
            member.until_stopped(answers, renewing).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<api::LeaseTimeToLiveRequest>,
    ) -> Result<Response<api::LeaseTimeToLiveResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        turns::for_answer(&extensions, || !request.keys).await;
        let (state, revision) = self
            .member
            .apply(|store, now| store.time_to_live(now, request.id));
        let mut response = api::LeaseTimeToLiveResponse {
            header: self.member.header(revision),
            id: request.id,
            ttl: -1,
            ..api::LeaseTimeToLiveResponse::default()
        };
        if let Some(state) = state {
            response.ttl = state.remaining.as_secs().cast_signed();
            response.granted_ttl = state.granted_ttl;
            response.keys = if request.keys { state.keys } else { Vec::new() };
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<api::LeaseLeasesRequest>,
    ) -> Result<Response<api::LeaseLeasesResponse>, Status> {
        turns::for_answer(request.extensions(), || false).await;
        let (ids, revision) = self.member.apply(|store, _| store.leases());
        let leases = ids.into_iter().map(|id| api::LeaseStatus { id }).collect();
        Ok(Response::new(api::LeaseLeasesResponse {
            header: self.member.header(revision),
            leases,
        }))
    }
}

/// Answers each request of the stream until the client ends it or goes away.
async fn renew(
    member: &Member,
    mut requests: Streaming<api::LeaseKeepAliveRequest>,
    answers: Answers,
) {
    while let Ok(Some(request)) = requests.message().await {
        let (ttl, revision) = member.apply(|store, now| store.keep_alive(now, request.id));
        // etcd says by 0 that the lease is gone.
        let ttl = ttl.unwrap_or(0);
        let answer = api::LeaseKeepAliveResponse {
            header: member.header(revision),
            id: request.id,
            ttl,
        };
        if answers.send(Ok(answer)).await.is_err() {
            return;
        }
    }
}
