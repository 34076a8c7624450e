//! The Docker adapter: what containers there are, as a stream of [`SourceEvent`](registrator_core::observe::watch::SourceEvent)s.
//!
//! [`watch()`] is the whole of it for a running program; [`list_once`] is enough for one look. Nothing here decides anything,
//! and nothing here writes: of Docker's API five `GET` calls are used (see [`DockerClient`]), which is what a socket proxy has to allow.

mod answer;
mod api_version;
mod client;
mod connector;
mod endpoint;
mod error;
mod event_stream;
mod id;
mod identity;
mod signal;
mod tls;
mod watch;

#[cfg(test)]
mod tests;

use futures_util::{StreamExt, TryStreamExt, stream};
use registrator_core::observe::container::Container;

pub use client::{DockerClient, Timeouts};
pub use endpoint::{DockerEndpoint, EndpointSettings};
pub use error::Error;
pub use identity::engine_id;
pub use watch::{DockerUpdate, WatchSettings, watch};

/// How many inspects [`list_once`] has under way at once: more makes a daemon no faster.
const INSPECTS_AT_ONCE: usize = 8;

/// All containers there are now, running or not, in the order of their ids.
///
/// # Errors
/// Complete or not at all: an inspect that fails is an error. Containers that vanish meanwhile are left out.
pub async fn list_once(client: &DockerClient) -> Result<Vec<Container>, Error> {
    let ids = client.list().await?;
    let inspects = stream::iter(ids).map(async |id| client.inspect(&id).await);
    inspects
        .buffered(INSPECTS_AT_ONCE)
        .try_filter_map(async |container| Ok(container.inspect(Container::pack)))
        .try_collect()
        .await
}
