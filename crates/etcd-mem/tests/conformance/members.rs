//! What tools ask of themselves: status, members, alarms, authentication.

use etcd_api::auth_client::AuthClient;
use etcd_api::cluster_client::ClusterClient;
use etcd_api::maintenance_client::MaintenanceClient;
use etcd_api::*;

use crate::session::{Session, text_of_status};
use crate::target::{Kind, Target};

pub async fn run(target: &Target, kind: Kind) {
    let session = Session::new(target, "members").await;
    let revision = session.revision;
    let mut maintenance = MaintenanceClient::new(target.channel.clone());
    let status = maintenance
        .status(StatusRequest {})
        .await
        .expect("a status")
        .into_inner();
    let header = status.header.expect("a header");
    assert_eq!(
        (header.revision, header.member_id != 0),
        (revision, true),
        "{status:?}"
    );
    assert_eq!(
        (status.leader, status.raft_term),
        (header.member_id, header.raft_term),
        "{status:?}"
    );
    assert!(
        status.version.starts_with("3.") && status.db_size >= status.db_size_in_use,
        "{status:?}"
    );
    assert!(status.errors.is_empty() && !status.is_learner, "{status:?}");

    let alarms = maintenance
        .alarm(AlarmRequest::default())
        .await
        .expect("alarms")
        .into_inner();
    assert!(alarms.alarms.is_empty(), "{alarms:?}");

    let members = ClusterClient::new(target.channel.clone())
        .member_list(MemberListRequest::default())
        .await;
    let members = members.expect("members").into_inner().members;
    let known = members
        .iter()
        .find(|member| member.id == header.member_id)
        .expect("the member itself");
    if kind != Kind::Running {
        assert_eq!(known.client_ur_ls, [target.endpoint.as_str()]);
        let login = AuthenticateRequest {
            name: "root".to_owned(),
            password: "root".to_owned(),
        };
        let refused = AuthClient::new(target.channel.clone())
            .authenticate(login)
            .await
            .expect_err("no users");
        assert_eq!(
            text_of_status(&refused),
            "FailedPrecondition: etcdserver: authentication is not enabled"
        );
    }
    session.finish().await;
}
