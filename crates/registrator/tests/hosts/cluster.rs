//! A cluster of three real etcd servers, each in a place of its own.

use crate::etcd::Version;
use crate::network::{Network, Place};
use crate::program::{block_on, wait_for};
use etcd_api::kv_client::KvClient;
use etcd_api::maintenance_client::MaintenanceClient;
use etcd_api::{RangeRequest, StatusRequest, StatusResponse};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// How many members a cluster has.
pub(crate) const MEMBERS: usize = 3;
/// How long a member may take to answer before another is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The servers, running or not.
pub(crate) struct Cluster {
    program: PathBuf,
    folder: TempDir,
    members: Vec<Member>,
}

struct Member {
    place: Place,
    child: Option<Child>,
}

impl Cluster {
    /// A cluster that answers; `None`, after a loud line, where there is no etcd of this version.
    pub(crate) fn start(version: Version, network: &mut Network) -> Option<Cluster> {
        let mut found = None;
        crate::etcd::run(version, "several hosts", async |program| {
            found = Some(program)
        });
        let member = |number| Member {
            place: network.add(&format!("etcd{number}")),
            child: None,
        };
        let mut cluster = Cluster {
            program: found?,
            folder: tempfile::tempdir().expect("a folder"),
            members: (0..MEMBERS).map(member).collect(),
        };
        (0..MEMBERS).for_each(|member| cluster.spawn(member));
        (0..MEMBERS).for_each(|member| cluster.wait_for_health(member));
        Some(cluster)
    }

    /// Where the members are found.
    pub(crate) fn urls(&self) -> Vec<String> {
        (0..MEMBERS).map(|member| self.url(member)).collect()
    }

    fn url(&self, member: usize) -> String {
        format!("http://{}:2379", self.place(member).address)
    }

    /// Where a member lives.
    pub(crate) fn place(&self, member: usize) -> &Place {
        &self.members[member].place
    }

    /// Starts a member with the data that it had.
    pub(crate) fn spawn(&mut self, member: usize) {
        assert!(self.members[member].child.is_none(), "it runs already");
        let (client, peer) = (self.url(member), |member: usize| {
            format!("http://{}:2380", self.place(member).address)
        });
        let all: Vec<_> = (0..MEMBERS).map(|m| format!("m{m}={}", peer(m))).collect();
        let mut appended = File::options();
        let log = appended.create(true).append(true).open(self.log(member));
        let log = log.expect("a log file");
        let mut command = self.place(member).command(&self.program);
        command
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(self.folder.path().join(format!("m{member}")))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &all.join(",")])
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        self.members[member].child = Some(command.spawn().expect("etcd starts"));
    }

    fn log(&self, member: usize) -> PathBuf {
        self.folder.path().join(format!("m{member}.log"))
    }

    /// Waits until a member answers for the whole cluster.
    #[track_caller]
    pub(crate) fn wait_for_health(&self, member: usize) {
        let healthy = || revision_at(&self.url(member)).map(|_| ());
        wait_for(&format!("member {member} of etcd"), healthy, || {
            fs::read_to_string(self.log(member)).unwrap_or_default()
        });
    }

    /// Ends a member at once.
    pub(crate) fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Ends a member in order.
    pub(crate) fn stop(&mut self, member: usize) {
        let mut child = self.members[member].child.take().expect("it runs");
        let asked = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(asked.is_ok_and(|status| status.success()));
        child.wait().expect("it ends");
    }

    /// The member that leads by its own word and that of another, so that one which was cut off does not count.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        let agreed = || {
            let states: Vec<_> = self.urls().iter().map(|url| status_of(url)).collect();
            let votes = |id| {
                let voters = states.iter().flatten();
                voters.filter(|state| state.leader == id).count()
            };
            states.iter().position(|state| {
                let id = state.as_ref().and_then(|state| state.header.as_ref());
                id.is_some_and(|header| votes(header.member_id) * 2 > MEMBERS)
            })
        };
        wait_for("a leader of etcd", agreed, || {
            format!(
                "{:?}",
                self.urls()
                    .iter()
                    .map(|url| status_of(url))
                    .collect::<Vec<_>>()
            )
        })
    }

    /// Waits until another member than this leads.
    #[track_caller]
    pub(crate) fn wait_for_other_leader(&self, than: usize) -> usize {
        let other = || Some(self.leader()).filter(|leader| *leader != than);
        wait_for("another leader of etcd", other, || format!("still {than}"))
    }

    /// Gives the lead to another member, which all are told of.
    pub(crate) fn move_leader(&self) -> usize {
        // A leader that is elected meanwhile makes it fail.
        let moved = || {
            let leader = self.leader();
            let next = (leader + 1) % MEMBERS;
            let id = status_of(&self.url(next))?.header?.member_id;
            let output = self.run_etcdctl(leader, &["move-leader", &format!("{id:x}")]);
            output.status.success().then_some(next)
        };
        wait_for("a member that takes the lead", moved, || {
            format!("{} leads", self.leader())
        })
    }

    /// Ends a lease, and with it all its keys.
    pub(crate) fn revoke(&self, lease: i64) {
        self.etcdctl(0, &["lease", "revoke", &format!("{lease:x}")]);
    }

    fn etcdctl(&self, member: usize, arguments: &[&str]) {
        let output = self.run_etcdctl(member, arguments);
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
    }

    /// Runs `etcdctl`, which may fail.
    fn run_etcdctl(&self, member: usize, arguments: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        let at = ["--endpoints", &self.url(member)];
        command.env("ETCDCTL_API", "3").args(at).args(arguments);
        command.output().expect("etcdctl runs")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..MEMBERS).for_each(|member| self.kill(member));
    }
}

/// The revision of the whole cluster, by the word of a member that asks the others.
pub(crate) fn revision_at(url: &str) -> Option<i64> {
    let channel = channel(url)?;
    let request = RangeRequest {
        key: b"/".to_vec(),
        ..RangeRequest::default()
    };
    let asked = async {
        let mut client = KvClient::new(channel);
        tokio::time::timeout(ANSWER_WITHIN, client.range(request)).await
    };
    let answer = block_on(asked).ok()?.ok()?.into_inner();
    Some(answer.header?.revision)
}

fn status_of(url: &str) -> Option<StatusResponse> {
    let channel = channel(url)?;
    let asked = async {
        let mut client = MaintenanceClient::new(channel);
        tokio::time::timeout(ANSWER_WITHIN, client.status(StatusRequest {})).await
    };
    Some(block_on(asked).ok()?.ok()?.into_inner())
}

fn channel(url: &str) -> Option<Channel> {
    let endpoint = Endpoint::new(url.to_owned()).ok()?;
    block_on(async { Some(endpoint.connect_timeout(ANSWER_WITHIN).connect_lazy()) })
}
