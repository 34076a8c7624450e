//! A plain client of etcd, so that what the program wrote is not read by the program's own code.

use super::Etcd;
use etcd_api::kv_client::KvClient;
use etcd_api::lease_client::LeaseClient;
use etcd_api::maintenance_client::MaintenanceClient;
use etcd_api::{
    CompactionRequest, DeleteRangeRequest, KeyValue, LeaseGrantRequest, LeaseGrantResponse,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    PutRequest, RangeRequest, StatusRequest, StatusResponse, TxnRequest, TxnResponse,
};
use std::path::Path;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// How long a connection is awaited.
const CONNECTION_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer is awaited, on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The biggest answer.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A connection to one server, made at the first call and again when it is lost.
#[derive(Clone, Debug)]
pub struct Client(Channel);

/// Keys of one revision.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The revision.
    pub revision: i64,
    /// The keys in byte order.
    pub kvs: Vec<KeyValue>,
}

impl Client {
    /// A client of this server, with the client's certificate if it has TLS. Must be called within a Tokio runtime.
    pub(super) fn of(etcd: &Etcd) -> Client {
        let mut endpoint = endpoint(&etcd.url());
        if let Some(tls) = &etcd.variant.tls {
            let read = |path: &Path| std::fs::read(path).unwrap();
            let identity = Identity::from_pem(read(&tls.client.0), read(&tls.client.1));
            let config = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(read(&tls.ca)))
                .identity(identity);
            endpoint = endpoint.tls_config(config).unwrap();
        }
        Client(endpoint.connect_lazy())
    }

    /// A client of the server at this URL, which may not run yet. Must be called within a Tokio runtime.
    pub fn at(url: &str) -> Client {
        Client(endpoint(url).connect_lazy())
    }

    /// One key.
    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, Status> {
        let one = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let answer = self.kv().range(one).await?.into_inner();
        Ok(answer.kvs.into_iter().next())
    }

    /// All keys that begin with `prefix`, all there are if it is empty.
    pub async fn range_prefix(&self, prefix: &str) -> Result<Listing, Status> {
        let all = RangeRequest {
            key: from(prefix),
            range_end: end_of(prefix),
            ..RangeRequest::default()
        };
        let answer = self.kv().range(all).await?.into_inner();
        Ok(Listing {
            revision: answer.header.unwrap().revision,
            kvs: answer.kvs,
        })
    }

    /// How many keys begin with `prefix`.
    pub async fn count(&self, prefix: &str) -> Result<i64, Status> {
        let all = RangeRequest {
            key: from(prefix),
            range_end: end_of(prefix),
            count_only: true,
            ..RangeRequest::default()
        };
        Ok(self.kv().range(all).await?.into_inner().count)
    }

    /// Writes a key without a lease.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), Status> {
        let request = PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        };
        self.kv().put(request).await.map(drop)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &str) -> Result<(), Status> {
        let request = DeleteRangeRequest {
            key: key.into(),
            ..DeleteRangeRequest::default()
        };
        self.kv().delete_range(request).await.map(drop)
    }

    /// Forgets what was before this revision.
    pub async fn compact(&self, revision: i64) -> Result<(), Status> {
        let request = CompactionRequest {
            revision,
            ..CompactionRequest::default()
        };
        self.kv().compact(request).await.map(drop)
    }

    /// How many leases there are.
    pub async fn leases(&self) -> Result<usize, Status> {
        let answer = self.lease().lease_leases(LeaseLeasesRequest {}).await?;
        Ok(answer.into_inner().leases.len())
    }

    /// Performs a transaction.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        Ok(self.kv().txn(request).await?.into_inner())
    }

    /// Begins a lease.
    pub async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrantResponse, Status> {
        let ttl = i64::try_from(ttl.as_secs()).unwrap();
        let request = LeaseGrantRequest { ttl, id: 0 };
        Ok(self.lease().lease_grant(request).await?.into_inner())
    }

    /// Ends a lease, and with it all its keys.
    pub async fn lease_revoke(&self, id: i64) -> Result<(), Status> {
        self.lease()
            .lease_revoke(LeaseRevokeRequest { id })
            .await
            .map(drop)
    }

    /// What is left of a lease, and its keys if `keys` is set. The TTL of a lease that does not exist is -1.
    pub async fn lease_time_to_live(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, Status> {
        let request = LeaseTimeToLiveRequest { id, keys };
        Ok(self.lease().lease_time_to_live(request).await?.into_inner())
    }

    /// The state of the server.
    pub async fn status(&self) -> Result<StatusResponse, Status> {
        let mut stub = MaintenanceClient::new(self.0.clone());
        Ok(stub.status(StatusRequest {}).await?.into_inner())
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.0.clone())
    }
}

/// The first key that may begin with `prefix`; etcd has no empty key.
fn from(prefix: &str) -> Vec<u8> {
    match prefix {
        "" => vec![0],
        prefix => prefix.into(),
    }
}

/// The end of the range, exclusive; a single 0 is etcd's word for no end.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        None => return vec![0],
        Some(last) => *last += 1,
    }
    end
}

fn endpoint(url: &str) -> Endpoint {
    let endpoint = Endpoint::new(url.to_owned()).unwrap();
    endpoint
        .connect_timeout(CONNECTION_WITHIN)
        .timeout(ANSWER_WITHIN)
}
