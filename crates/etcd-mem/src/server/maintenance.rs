//! The services Maintenance, Cluster and Auth, as far as tools and client libraries call them of themselves.

use std::sync::Arc;

use etcd_api as api;
use etcd_api::alarm_request::AlarmAction;
use tonic::{Request, Response, Status};

use super::member::{MEMBER_ID, Member, RAFT_TERM};
use super::rights::Rights;
use crate::store::Revision;

/// The version that is reported. The calls and fields are those of 3.5, and clients take from a version of at least
/// 3.5.8 that the answers to progress requests are right, which they are.
pub const VERSION: &str = "3.5.8";

pub(super) struct MaintenanceService {
    member: Arc<Member>,
    rights: Rights,
}

impl MaintenanceService {
    pub(super) fn new(member: Arc<Member>, rights: Rights) -> Self {
        Self { member, rights }
    }

    fn header(&self) -> Option<api::ResponseHeader> {
        self.member.header(self.member.apply(|_, _| ()).1)
    }
}

#[tonic::async_trait]
impl api::maintenance_server::Maintenance for MaintenanceService {
    /// There are never alarms, so clearing succeeds.
    async fn alarm(
        &self,
        request: Request<api::AlarmRequest>,
    ) -> Result<Response<api::AlarmResponse>, Status> {
        let action = request.get_ref().action();
        if action != AlarmAction::Get {
            self.rights.check_change()?;
        }
        if action == AlarmAction::Activate {
            return Err(Status::unimplemented(
                "this embedded etcd has no alarms to raise; use a real etcd for it",
            ));
        }
        Ok(Response::new(api::AlarmResponse {
            header: self.header(),
            alarms: Vec::new(),
        }))
    }

    async fn status(
        &self,
        _request: Request<api::StatusRequest>,
    ) -> Result<Response<api::StatusResponse>, Status> {
        let (size, revision) = self.member.apply(|store, _| store.size());
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let index = raft_index(revision);
        Ok(Response::new(api::StatusResponse {
            header: self.member.header(revision),
            version: VERSION.to_owned(),
            db_size: size,
            db_size_in_use: size,
            leader: MEMBER_ID,
            raft_index: index,
            raft_applied_index: index,
            raft_term: RAFT_TERM,
            ..api::StatusResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl api::cluster_server::Cluster for MaintenanceService {
    /// The client URL is the address that the server listens on.
    async fn member_list(
        &self,
        _request: Request<api::MemberListRequest>,
    ) -> Result<Response<api::MemberListResponse>, Status> {
        let member = api::Member {
            id: MEMBER_ID,
            name: "etcd-mem".to_owned(),
            client_ur_ls: vec![format!("http://{}", self.member.address())],
            ..api::Member::default()
        };
        Ok(Response::new(api::MemberListResponse {
            header: self.header(),
            members: vec![member],
        }))
    }
}

#[tonic::async_trait]
impl api::auth_server::Auth for MaintenanceService {
    async fn auth_status(
        &self,
        _request: Request<api::AuthStatusRequest>,
    ) -> Result<Response<api::AuthStatusResponse>, Status> {
        Ok(Response::new(api::AuthStatusResponse {
            header: self.header(),
            enabled: false,
            auth_revision: 1,
        }))
    }

    /// Client libraries that are given a name call this; etcd's text makes them go on without a token.
    async fn authenticate(
        &self,
        _request: Request<api::AuthenticateRequest>,
    ) -> Result<Response<api::AuthenticateResponse>, Status> {
        Err(Status::failed_precondition(
            "etcdserver: authentication is not enabled",
        ))
    }
}

/// There is no raft log; each revision counts as one entry.
fn raft_index(revision: Revision) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}
