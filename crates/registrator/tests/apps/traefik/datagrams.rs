//! Containers that share names of UDP routers and services: as `streams`, for datagrams.
//!
//! Each Traefik starts when all containers have come, since it goes on with the last route of an entry point for UDP when that is gone and
//! there is no other, whichever provider it was from.

use super::DEFAULTS;
use super::copied::{Copies, expect_told};
use super::doors::Doors;
use super::transports::{perl, serve_udp};
use crate::dockerd::Dockerd;
use crate::etcd::Kind;
use crate::process::find;
use crate::world::{World, eventually};

const DOORS: &[&str] = &[
    "same/udp",
    "this/udp",
    "that/udp",
    "either/udp",
    "upper/udp",
    "lower/udp",
];

/// Labels without `traefik.udp.`. What answers is an entry point.
const COPIES: &[Copies] = &[
    // The same of everything: they are one service.
    Copies {
        containers: &[
            (
                "same-a",
                &[
                    "routers.same.entrypoints=same",
                    "services.same.loadbalancer.server.port=9001",
                ],
            ),
            (
                "same-b",
                &[
                    "routers.same.entrypoints=same",
                    "services.same.loadbalancer.server.port=9001",
                ],
            ),
        ],
        answers: &[("same/udp", &["same-a", "same-b"])],
        theirs: &[],
        conflict: None,
    },
    // A whole compose file, with another entry point.
    Copies {
        containers: &[
            (
                "dup-a",
                &[
                    "routers.dup.entrypoints=this",
                    "services.dup.loadbalancer.server.port=9001",
                ],
            ),
            (
                "dup-b",
                &[
                    "routers.dup.entrypoints=that",
                    "services.dup.loadbalancer.server.port=9001",
                ],
            ),
        ],
        answers: &[("this/udp", &[]), ("that/udp", &[])],
        theirs: &[],
        conflict: Some("traefik/udp/routers/dup"),
    },
    // One router, two services.
    Copies {
        containers: &[
            (
                "crossed-a",
                &[
                    "routers.crossed.entrypoints=either",
                    "services.zeta.loadbalancer.server.port=9001",
                ],
            ),
            (
                "crossed-b",
                &[
                    "routers.crossed.entrypoints=either",
                    "services.alpha.loadbalancer.server.port=9001",
                ],
            ),
        ],
        answers: &[("either/udp", &[])],
        theirs: &[],
        conflict: Some("traefik/udp/routers/crossed"),
    },
    // Services whose names differ in case.
    Copies {
        containers: &[
            (
                "case-a",
                &[
                    "routers.case-a.entrypoints=upper",
                    "services.Log.loadbalancer.server.port=9001",
                ],
            ),
            (
                "case-b",
                &[
                    "routers.case-b.entrypoints=lower",
                    "services.log.loadbalancer.server.port=9001",
                ],
            ),
        ],
        answers: &[("upper/udp", &[]), ("lower/udp", &[])],
        theirs: &[("upper/udp", &["case-a"]), ("lower/udp", &["case-b"])],
        conflict: Some("traefik/udp/services/log"),
    },
];

#[test]
fn nobody_gets_the_answer_of_another_container() {
    let Some(world) = world() else {
        return;
    };
    start(&[&world.docker]);
    expect_told(COPIES, &[&world.registrator]);
    let docker = format!("--providers.docker.endpoint={}", world.docker.host());
    let theirs = Doors::open(docker, DOORS).unwrap();
    let ours = Doors::on_etcd(&world.etcd, DOORS).unwrap();
    let logs = [
        &theirs.traefik.process,
        &ours.traefik.process,
        &world.registrator,
    ];
    for copies in COPIES {
        for (door, answers) in copies.answers {
            theirs.expect(&logs, door, copies.of_docker(door).unwrap_or(answers));
            ours.expect(&logs, door, answers);
        }
    }
    ours.expect_all(COPIES);

    world
        .docker
        .docker(&["stop", "dup-a", "case-b", "crossed-a"]);
    for (door, answers) in [
        ("that/udp", ["dup-b"].as_slice()),
        ("this/udp", &[]),
        ("upper/udp", &["case-a"]),
        ("either/udp", &["crossed-b"]),
    ] {
        theirs.expect(&logs, door, answers);
        ours.expect(&logs, door, answers);
    }
    // The router goes again. What Traefik still answers is what that one, and nobody else, was about.
    world.docker.docker(&["start", "dup-a"]);
    for doors in [&theirs, &ours] {
        let routers = || doors.traefik.objects().contains_key("udp/routers dup");
        _ = eventually("no router", &logs, routers, |is_there| !is_there);
        doors.expect(&logs, "this/udp", &[]);
        doors.expect(&logs, "that/udp", &["dup-b"]);
    }
}

#[test]
fn nobody_gets_the_answer_of_another_host() {
    let Some(mut world) = world() else {
        return;
    };
    let Some(other) = world.neighbour(DEFAULTS) else {
        return;
    };
    start(&[&world.docker, &other.docker]);
    expect_told(COPIES, &[&world.registrator, &other.registrator]);
    let ours = Doors::on_etcd(&world.etcd, DOORS).unwrap();
    let logs = [
        &ours.traefik.process,
        &world.registrator,
        &other.registrator,
    ];
    for (door, answers) in COPIES.iter().flat_map(|copies| copies.answers) {
        ours.expect(&logs, door, answers);
    }
    ours.expect_all(COPIES);

    // A host that dies takes what it said with it.
    world.registrator.kill();
    let logs = [&ours.traefik.process, &other.registrator];
    for (door, answers) in [
        ("same/udp", ["same-b"].as_slice()),
        ("that/udp", &["dup-b"]),
        ("this/udp", &[]),
        ("either/udp", &["crossed-b"]),
        ("lower/udp", &["case-b"]),
        ("upper/udp", &[]),
    ] {
        ours.expect(&logs, door, answers);
    }
}

/// A host, where all is there that this needs.
fn world() -> Option<World> {
    find("traefik", "TRAEFIK_BIN", "scripts/fetch-traefik.sh gets it")?;
    perl()?;
    World::configured(Kind::Installed, DEFAULTS)
}

/// Starts the containers of each group on the hosts in turn.
fn start(hosts: &[&Dockerd]) {
    let perl = perl().unwrap();
    for copies in COPIES {
        for ((name, labels), docker) in copies.containers.iter().zip(hosts.iter().cycle()) {
            let labels: Vec<String> = labels
                .iter()
                .map(|label| format!("traefik.udp.{label}"))
                .collect();
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            serve_udp(docker, &perl, name, &labels);
        }
    }
}
