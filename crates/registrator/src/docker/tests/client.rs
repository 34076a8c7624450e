//! The calls one by one: versions, limits, and what errors say.

use crate::docker::api_version::ApiVersion;
use crate::docker::id::parse_id;
use crate::docker::identity::engine_id_on;
use crate::docker::{Error, engine_id};

use super::fake_docker::{FakeDocker, Reply, host, id};
use super::watched::{block_on, chain, client, quick};

fn version(fake: &FakeDocker) -> Result<ApiVersion, Error> {
    block_on(client(&host(&fake.socket()), quick().0).api_version())
}

#[test]
fn speaks_the_newest_version_that_both_know() {
    let fake = FakeDocker::start(0);
    for (daemon, spoken) in [
        ("1.41", "1.41"),
        ("1.44", "1.44"),
        ("1.52", "1.52"),
        ("1.99", "1.52"),
        ("2.0", "1.52"),
    ] {
        fake.world().api_version = daemon.to_owned();
        assert_eq!(version(&fake).unwrap().to_string(), spoken);
    }
}

#[test]
fn what_is_no_docker_is_refused() {
    let fake = FakeDocker::start(0);
    fake.world().api_version = String::new();
    let error = version(&fake).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "what listens at {} does not answer as a Docker daemon does (no Api-Version header)",
            host(&fake.socket())
        )
    );
    fake.world().api_version = "1.24".to_owned();
    let error = version(&fake).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the Docker daemon at {} speaks API 1.24, at least 1.41 (Docker 20.10) is needed: upgrade Docker",
            host(&fake.socket())
        )
    );
}

#[test]
fn the_engine_id_is_docker_infos() {
    let fake = FakeDocker::start(0);
    let client = client(&host(&fake.socket()), quick().0);
    assert_eq!(block_on(engine_id(&client)).unwrap(), "ENGINE");
    fake.script(|_, path| {
        path.ends_with("/info")
            .then(|| Reply::Status(200, "{}".to_owned()))
    });
    let error = block_on(engine_id(&client)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Docker's info has no engine ID: give --host-id"
    );
}

/// As Podman does: what stands for its id lasts, for the watch as for the session.
#[test]
fn an_engine_with_another_id_each_time_has_one_that_lasts() {
    let fake = FakeDocker::start(0);
    let client = client(&host(&fake.socket()), quick().0);
    let mut asked = 0;
    fake.script(move |_, path| {
        asked += 1;
        path.ends_with("/info")
            .then(|| Reply::Status(200, format!("{{\"ID\":\"id-{asked}\"}}")))
    });
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("machine-id");
    let id = || block_on(engine_id_on(&client, &machine));
    assert_eq!(
        id().unwrap_err().to_string(),
        "the engine says another ID each time, as Podman does, and there is no /etc/machine-id that could stand for it: give --host-id"
    );
    std::fs::write(&machine, "0123456789abcdef0123456789abcdef\n").unwrap();
    let first = id().unwrap();
    assert_eq!(first.len(), 32);
    assert_eq!(id().unwrap(), first);
    std::fs::write(&machine, "f123456789abcdef0123456789abcdef\n").unwrap();
    assert_ne!(id().unwrap(), first);
}

/// Podman 4.3 says so of a container that goes while it is looked at.
#[test]
fn a_container_that_is_gone_is_no_fault_in_whatever_words() {
    let fake = FakeDocker::start(1);
    let client = client(&host(&fake.socket()), quick().0);
    let container = parse_id(&id(0)).unwrap();
    for (status, message, is_gone) in [
        (404, "No such container: web", true),
        (404, "page not found", false),
        (500, "getting container from store: no such container", true),
        (500, "no such container or a fault of the disk", false),
        (503, "no such container", false),
    ] {
        fake.script(move |_, path| {
            path.ends_with("/json")
                .then(|| Reply::Status(status, format!("{{\"message\":\"{message}\"}}")))
        });
        let inspected = block_on(client.inspect(&container));
        assert_eq!(
            inspected.is_ok_and(|found| found.is_none()),
            is_gone,
            "{status} {message}"
        );
    }
}

#[test]
fn an_answer_without_end_is_cut_short() {
    let fake = FakeDocker::start(0);
    fake.script(|_, path| {
        path.ends_with("/info")
            .then(|| Reply::Status(200, " ".repeat((1 << 20) + 1)))
    });
    let error = block_on(client(&host(&fake.socket()), quick().0).info()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Docker's answer to the info request is longer than 1048576 bytes"
    );
}

#[test]
fn what_proxies_and_daemons_say_is_passed_on() {
    let fake = FakeDocker::start(0);
    let cases = [
        (403, "<b>forbidden</b>\n", "403 Forbidden: <b>forbidden</b>"),
        (
            500,
            r#"{"message":"a\nb"}"#,
            "500 Internal Server Error: a b",
        ),
        (429, "", "429 Too Many Requests: "),
    ];
    for (status, body, expected) in cases {
        fake.script(move |_, path| {
            path.contains("/events")
                .then(|| Reply::Status(status, body.to_owned()))
        });
        let error = block_on(client(&host(&fake.socket()), quick().0).events()).unwrap_err();
        assert_eq!(
            chain(&error),
            format!("Docker answered the events request with {expected}")
        );
    }
}

#[test]
fn connections_are_used_again() {
    let fake = FakeDocker::start(40);
    let client = client(&host(&fake.socket()), quick().0);
    block_on(async {
        for id in client.list().await.unwrap() {
            client.inspect(&id).await.unwrap().unwrap();
        }
    });
    assert_eq!(fake.world().inspects(), 40);
    assert_eq!(fake.connections(), 1);
}
