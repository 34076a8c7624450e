//! The etcd adapter with real servers, each case with each version of etcd.

// Clippy knows only functions marked as tests for tests; the cases are called by them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes a test of each named case for each version of etcd.
macro_rules! on_each_etcd {
    ($($case:ident)*) => {
        on_each_etcd!(@ etcd_3_4 V3_4 $($case)*);
        on_each_etcd!(@ etcd_3_5 V3_5 $($case)*);
        on_each_etcd!(@ etcd_3_6 V3_6 $($case)*);
    };
    (@ $module:ident $version:ident $($case:ident)*) => {
        mod $module {
            $(#[test]
            fn $case() {
                $crate::etcd::tests::server::run($crate::etcd::tests::server::Version::$version, stringify!($case), super::$case);
            })*
        }
    };
}

mod relay;
mod run;
#[path = "../../tests/support/etcd.rs"]
mod server;

mod client;
mod configs;
mod identity;
mod objects;
mod outage;
mod rotation;
mod session;
mod tls;
mod watches;

use super::endpoint::EtcdEndpoint;
use super::{Credentials, EtcdClient, Settings};
use server::{Etcd, PATIENCE};
use std::time::{Duration, Instant};

/// A TTL that no test outlives.
const LONG: Duration = Duration::from_secs(60);
/// A TTL whose end is waited for. The beacon has half of it and is renewed each second.
const SHORT: Duration = Duration::from_secs(10);

impl Etcd {
    /// The same as the program's kind of address.
    pub fn endpoint(&self) -> EtcdEndpoint {
        EtcdEndpoint::parse(&self.url()).unwrap()
    }

    /// Settings for this server and a node called `node`, with a TTL that no test outlives: on a busy machine a renewal may be late.
    pub fn settings(&self, node: &str) -> Settings {
        let mut settings = Settings::new(vec![self.endpoint()], node);
        settings.lease_ttl = LONG;
        settings.host = "test-host".into();
        if let Some(tls) = &self.variant().tls {
            settings.tls.ca = Some(tls.ca.clone());
            settings.tls.cert = Some(tls.client.0.clone());
            settings.tls.key = Some(tls.client.1.clone());
        }
        settings
    }

    /// The same with a TTL whose end is waited for.
    pub fn settings_that_end(&self, node: &str) -> Settings {
        Settings {
            lease_ttl: SHORT,
            ..self.settings(node)
        }
    }

    /// The program's own client of this server.
    pub fn program_client(&self) -> EtcdClient {
        EtcdClient::new(&self.settings("test")).unwrap()
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "no {what} in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Credentials of `user`.
pub fn credentials(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials {
        username: user.into(),
        password: password.into(),
        file: None,
    })
}
