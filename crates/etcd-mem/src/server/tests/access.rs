//! Who may change something: this process always, others as the settings say.

use std::collections::BTreeSet;
use std::io;

use etcd_api::alarm_request::AlarmAction;
use etcd_api::auth_client::AuthClient;
use etcd_api::cluster_client::ClusterClient;
use etcd_api::maintenance_client::MaintenanceClient;
use etcd_api::request_op::Request;
use tonic::Status;

use super::*;

/// The calls of the API, and whether they change something.
const CALLS: [(&str, bool); 16] = [
    ("Alarm", true),
    ("AuthStatus", false),
    ("Authenticate", false),
    ("Compact", true),
    ("DeleteRange", true),
    ("LeaseGrant", true),
    ("LeaseKeepAlive", true),
    ("LeaseLeases", false),
    ("LeaseRevoke", true),
    ("LeaseTimeToLive", false),
    ("MemberList", false),
    ("Put", true),
    ("Range", false),
    ("Status", false),
    ("Txn", true),
    ("Watch", false),
];

/// Makes the call, so that it changes something if it can.
async fn call(name: &str, channel: &Channel, lease: i64) -> Result<(), Status> {
    match name {
        "Compact" | "DeleteRange" | "Put" | "Range" | "Txn" => call_kv(name, channel).await,
        _ if name.starts_with("Lease") => call_lease(name, channel, lease).await,
        _ => call_other(name, channel.clone()).await,
    }
}

async fn call_kv(name: &str, channel: &Channel) -> Result<(), Status> {
    let mut kv = KvClient::new(channel.clone());
    match name {
        "Compact" => {
            let revision = range(&mut kv).await?;
            let request = CompactionRequest {
                revision,
                ..CompactionRequest::default()
            };
            kv.compact(request).await.map(drop)
        }
        "DeleteRange" => kv.delete_range(delete()).await.map(drop),
        "Put" => kv.put(put()).await.map(drop),
        "Txn" => {
            let request = txn(vec![op(Request::RequestPut(put()))], vec![]);
            kv.txn(request).await.map(drop)
        }
        _ => range(&mut kv).await.map(drop),
    }
}

async fn call_lease(name: &str, channel: &Channel, id: i64) -> Result<(), Status> {
    let mut leases = LeaseClient::new(channel.clone());
    match name {
        "LeaseGrant" => {
            let request = LeaseGrantRequest { ttl: 60, id: 0 };
            leases.lease_grant(request).await.map(drop)
        }
        "LeaseKeepAlive" => {
            let renewals = tokio_stream::once(LeaseKeepAliveRequest { id });
            let mut answers = leases.lease_keep_alive(renewals).await?.into_inner();
            answers.message().await.map(drop)
        }
        "LeaseLeases" => leases.lease_leases(LeaseLeasesRequest {}).await.map(drop),
        "LeaseRevoke" => {
            let request = LeaseRevokeRequest { id };
            leases.lease_revoke(request).await.map(drop)
        }
        "LeaseTimeToLive" => {
            let request = LeaseTimeToLiveRequest { id, keys: true };
            leases.lease_time_to_live(request).await.map(drop)
        }
        _ => panic!("say how {name} is called"),
    }
}

async fn call_other(name: &str, channel: Channel) -> Result<(), Status> {
    let mut auth = AuthClient::new(channel.clone());
    let mut maintenance = MaintenanceClient::new(channel.clone());
    match name {
        "Alarm" => {
            let request = AlarmRequest {
                action: AlarmAction::Deactivate.into(),
                ..AlarmRequest::default()
            };
            maintenance.alarm(request).await.map(drop)
        }
        "AuthStatus" => auth.auth_status(AuthStatusRequest {}).await.map(drop),
        "Authenticate" => {
            let answer = auth.authenticate(AuthenticateRequest::default()).await;
            // Etcd's way to say that it asks nobody for a password.
            assert_eq!(
                answer.expect_err("no users").message(),
                "etcdserver: authentication is not enabled"
            );
            Ok(())
        }
        "MemberList" => {
            let request = MemberListRequest::default();
            let mut cluster = ClusterClient::new(channel);
            cluster.member_list(request).await.map(drop)
        }
        "Status" => maintenance.status(StatusRequest {}).await.map(drop),
        "Watch" => {
            let create = WatchCreateRequest {
                key: "a".into(),
                ..WatchCreateRequest::default()
            };
            let create = WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create)),
            };
            let requests = tokio_stream::once(create).chain(tokio_stream::pending());
            let answers = WatchClient::new(channel).watch(requests).await?;
            assert!(message(&mut answers.into_inner()).await.created);
            Ok(())
        }
        _ => panic!("say how {name} is called"),
    }
}

/// Reads a key; etcd's revision.
async fn range(kv: &mut KvClient<Channel>) -> Result<i64, Status> {
    let request = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    let answer = kv.range(request).await?.into_inner();
    Ok(answer.header.expect("a header").revision)
}

fn put() -> PutRequest {
    PutRequest {
        key: "a".into(),
        value: "theirs".into(),
        ..PutRequest::default()
    }
}

fn delete() -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: "a".into(),
        ..DeleteRangeRequest::default()
    }
}

fn read() -> RangeRequest {
    RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare: vec![],
        success,
        failure,
    }
}

#[track_caller]
fn assert_refused(result: Result<(), Status>, what: &str) {
    let status = result.expect_err(what);
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::PermissionDenied,
            "etcdserver: permission denied: not you"
        ),
        "{what}"
    );
}

async fn read_only() -> Running {
    start(Server::new().read_only_outside("not you")).await
}

#[test]
fn every_call_is_known_as_reading_or_changing() {
    let proto = include_str!("../../../../etcd-api/proto/etcd.proto");
    let calls = proto
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "));
    let calls: BTreeSet<&str> = calls.filter_map(|call| call.split('(').next()).collect();
    assert_eq!(calls, CALLS.iter().map(|(name, _)| *name).collect());
}

#[tokio::test]
async fn others_may_read_and_not_change() {
    let running = read_only().await;
    let within = running.channel_within();
    call("Put", &within, 0).await.expect("this process writes");
    let lease = LeaseClient::new(within.clone())
        .lease_grant(LeaseGrantRequest { ttl: 60, id: 0 })
        .await;
    let lease = lease.expect("this process has leases").into_inner().id;
    let mut kv = KvClient::new(running.channel.clone());
    let before = range(&mut kv).await.expect("others read");
    for (name, changes) in CALLS {
        let result = call(name, &running.channel, lease).await;
        if changes {
            assert_refused(result, name);
        } else {
            result.expect(name);
        }
    }
    assert_eq!(
        range(&mut kv).await.expect("others read"),
        before,
        "nothing has changed"
    );
    // The lease is still there, too.
    for (name, _) in CALLS {
        call(name, &within, lease).await.expect(name);
    }
}

#[tokio::test]
async fn no_branch_of_a_transaction_may_change_anything() {
    let running = read_only().await;
    let mut kv = KvClient::new(running.channel.clone());
    let reading = || op(Request::RequestRange(read()));
    let within = |txn| op(Request::RequestTxn(txn));
    let changes = [
        op(Request::RequestPut(put())),
        op(Request::RequestDeleteRange(delete())),
    ];
    for change in changes {
        let shapes = [
            txn(vec![reading(), change.clone()], vec![]),
            txn(vec![], vec![reading(), change.clone()]),
            txn(
                vec![reading(), within(txn(vec![], vec![change.clone()]))],
                vec![],
            ),
            txn(
                vec![],
                vec![within(txn(
                    vec![reading(), within(txn(vec![change.clone()], vec![]))],
                    vec![],
                ))],
            ),
        ];
        for shape in shapes {
            let what = format!("{shape:?}");
            assert_refused(kv.txn(shape).await.map(drop), &what);
        }
    }
    let harmless = txn(
        vec![reading(), within(txn(vec![reading()], vec![reading()]))],
        vec![],
    );
    kv.txn(harmless).await.expect("it only reads");
}

#[tokio::test]
async fn alarms_may_be_listed() {
    let running = read_only().await;
    let mut maintenance = MaintenanceClient::new(running.channel.clone());
    let alarms = maintenance
        .alarm(AlarmRequest::default())
        .await
        .expect("listed");
    assert_eq!(alarms.into_inner().alarms, []);
}

#[tokio::test]
async fn without_that_setting_others_may_change_everything() {
    let running = start(Server::new()).await;
    let lease = running.grant(60).await;
    running.put("a", 0).await;
    for (name, _) in CALLS {
        call(name, &running.channel, lease).await.expect(name);
    }
}

#[tokio::test]
async fn connections_within_end_with_the_server() {
    let running = read_only().await;
    let within = running.channel_within();
    call("Put", &within, 0).await.expect("written");
    running.shutdown.send(()).expect("it serves");
    let ended = tokio::time::timeout(PATIENCE, running.served).await;
    ended
        .expect("in time")
        .expect("no panic")
        .expect("no error");
    let refused = running.inside.connect().expect_err("it has ended");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}
