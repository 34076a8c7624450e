//! Who an engine is.

use super::client::DockerClient;
use super::error::Error;
use crate::aside::Aside;
use ring::hmac;
use std::fs;
use std::path::Path;

/// What tells one machine from all others: machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";

/// Bytes of an id that stands for an engine's own: as many as a UUID has.
const BYTES: usize = 16;

/// The engine's own ID: made when it was installed, and kept for its life. Podman has none and makes up another for each answer; then
/// the machine's id and the engine's address stand for it.
///
/// # Errors
/// The engine does not answer, or there is nothing that lasts.
pub async fn engine_id(client: &DockerClient) -> Result<String, Error> {
    engine_id_on(client, Path::new(MACHINE_ID)).await
}

pub(super) async fn engine_id_on(client: &DockerClient, machine: &Path) -> Result<String, Error> {
    let (first, second) = (client.info().await?.id, client.info().await?.id);
    if first.is_empty() {
        return Err(Error::NoEngineId("Docker's info has no engine ID"));
    }
    if first == second {
        return Ok(first);
    }
    let machine = machine.to_owned();
    let aside = Aside::default();
    let read = aside.run(move || fs::read_to_string(machine)).await;
    let machine = read.ok().and_then(Result::ok);
    let id = machine.and_then(|machine| stand_in(machine.trim(), &client.endpoint().to_string()));
    id.ok_or(Error::NoEngineId(
        "the engine says another ID each time, as Podman does, and there is no /etc/machine-id that could stand for it",
    ))
}

/// Tells nobody what the machine's id is, which machine-id(5) asks for.
fn stand_in(machine: &str, endpoint: &str) -> Option<String> {
    if machine.len() != 32 || !machine.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, machine.as_bytes());
    let tag = hmac::sign(&key, endpoint.as_bytes());
    let bytes = tag.as_ref().iter().take(BYTES);
    Some(bytes.map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_of_each_machine_has_one_that_lasts() {
        let [machine, other] = ["0123456789abcdef", "0123456789abcdee"].map(|half| half.repeat(2));
        let socket = "unix:///run/podman/podman.sock";
        let id = stand_in(&machine, socket).unwrap();
        // What it was in the version before: a host must not get another one with an upgrade.
        assert_eq!(id, "b505f130812f3cdd12bc92c88996c1e9");
        assert_ne!(stand_in(&other, socket).unwrap(), id);
        assert_ne!(
            stand_in(&machine, "unix:///run/user/1000/podman/podman.sock").unwrap(),
            id
        );
        for nothing in ["", "uninitialized", &machine[1..], &"x".repeat(32)] {
            assert_eq!(stand_in(nothing, socket), None, "{nothing:?}");
        }
    }
}
