//! Containers that share names of TCP routers, services and middlewares: nobody who connects to one of them reaches another, and no list of
//! allowed addresses opens because somebody else has a more open one.
//!
//! As in `copied`, the Docker provider is asked too: whoever answers here, answers there.

use super::copied::{Copies, expect_told};
use super::doors::Doors;
use super::{DEFAULTS, run};
use crate::dockerd::Dockerd;
use crate::etcd::Kind;
use crate::process::find;
use crate::world::{World, eventually};

/// Entry points besides `db`.
const DOORS: &[&str] = &["left", "right"];

/// Labels without `traefik.tcp.`. A router is on the entry point `db` and passes TLS through, unless they say otherwise.
///
/// What answers is an entry point, or else the name in the TLS of a connection to `db`.
const COPIES: &[Copies] = &[
    // The same of everything: they are one service.
    Copies {
        containers: &[
            (
                "same-a",
                &[
                    "routers.same.rule=HostSNI(`same.test`)",
                    "services.same.loadbalancer.server.port=9000",
                ],
            ),
            (
                "same-b",
                &[
                    "routers.same.rule=HostSNI(`same.test`)",
                    "services.same.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("same.test", &["same-a", "same-b"])],
        theirs: &[],
        conflict: None,
    },
    // The rule of one, the service of the other.
    Copies {
        containers: &[
            (
                "crossed-a",
                &[
                    "routers.crossed.rule=HostSNI(`crossed-a.test`)",
                    "services.zeta.loadbalancer.server.port=9000",
                ],
            ),
            (
                "crossed-b",
                &[
                    "routers.crossed.rule=HostSNI(`crossed-b.test`)",
                    "services.alpha.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("crossed-a.test", &[]), ("crossed-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/routers/crossed"),
    },
    // A whole compose file, with another rule.
    Copies {
        containers: &[
            (
                "dup-a",
                &[
                    "routers.dup.rule=HostSNI(`dup-a.test`)",
                    "services.dup.loadbalancer.server.port=9000",
                ],
            ),
            (
                "dup-b",
                &[
                    "routers.dup.rule=HostSNI(`dup-b.test`)",
                    "services.dup.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("dup-a.test", &[]), ("dup-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/routers/dup"),
    },
    // One has a field more.
    Copies {
        containers: &[
            (
                "more-a",
                &[
                    "routers.more.rule=HostSNI(`more.test`)",
                    "services.more.loadbalancer.server.port=9000",
                ],
            ),
            (
                "more-b",
                &[
                    "routers.more.rule=HostSNI(`more.test`)",
                    "routers.more.priority=7",
                    "services.more.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("more.test", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/routers/more"),
    },
    // Whoever comes to an entry point, without TLS.
    Copies {
        containers: &[
            (
                "star-a",
                &[
                    "routers.star.rule=HostSNI(`*`)",
                    "routers.star.entrypoints=left",
                    "services.star.loadbalancer.server.port=9000",
                ],
            ),
            (
                "star-b",
                &[
                    "routers.star.rule=HostSNI(`*`)",
                    "routers.star.entrypoints=right",
                    "services.star.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("left", &[]), ("right", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/routers/star"),
    },
    // A service with other settings.
    Copies {
        containers: &[
            (
                "slow-a",
                &[
                    "routers.slow-a.rule=HostSNI(`slow-a.test`)",
                    "services.slow.loadbalancer.terminationdelay=7",
                    "services.slow.loadbalancer.server.port=9000",
                ],
            ),
            (
                "slow-b",
                &[
                    "routers.slow-b.rule=HostSNI(`slow-b.test`)",
                    "services.slow.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("slow-a.test", &[]), ("slow-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/services/slow"),
    },
    // Nobody comes in because another one lets everybody in.
    Copies {
        containers: &[
            (
                "list-a",
                &[
                    "routers.list-a.rule=HostSNI(`list-a.test`)",
                    "routers.list-a.middlewares=lan",
                    "middlewares.lan.ipallowlist.sourcerange=192.0.2.0/24",
                    "services.list-a.loadbalancer.server.port=9000",
                ],
            ),
            (
                "list-b",
                &[
                    "routers.list-b.rule=HostSNI(`list-b.test`)",
                    "routers.list-b.middlewares=lan",
                    "middlewares.lan.ipallowlist.sourcerange=0.0.0.0/0",
                    "services.list-b.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("list-a.test", &[]), ("list-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/tcp/middlewares/lan"),
    },
    // Two kinds of middleware under one name.
    Copies {
        containers: &[
            (
                "kinds-a",
                &[
                    "routers.kinds-a.rule=HostSNI(`kinds-a.test`)",
                    "routers.kinds-a.middlewares=few",
                    "middlewares.few.ipallowlist.sourcerange=127.0.0.0/8",
                    "services.kinds-a.loadbalancer.server.port=9000",
                ],
            ),
            (
                "kinds-b",
                &[
                    "routers.kinds-b.rule=HostSNI(`kinds-b.test`)",
                    "middlewares.few.inflightconn.amount=9",
                    "services.kinds-b.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("kinds-a.test", &[]), ("kinds-b.test", &["kinds-b"])],
        theirs: &[],
        conflict: Some("traefik/tcp/middlewares/few"),
    },
    // Services whose names differ in case.
    Copies {
        containers: &[
            (
                "case-a",
                &[
                    "routers.case-a.rule=HostSNI(`case-a.test`)",
                    "services.Mail.loadbalancer.server.port=9000",
                ],
            ),
            (
                "case-b",
                &[
                    "routers.case-b.rule=HostSNI(`case-b.test`)",
                    "services.mail.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("case-a.test", &[]), ("case-b.test", &[])],
        theirs: &[("case-a.test", &["case-a"]), ("case-b.test", &["case-b"])],
        conflict: Some("traefik/tcp/services/mail"),
    },
    // Routers whose names differ in case.
    Copies {
        containers: &[
            (
                "up-a",
                &[
                    "routers.Up.rule=HostSNI(`up-a.test`)",
                    "services.up-a.loadbalancer.server.port=9000",
                ],
            ),
            (
                "up-b",
                &[
                    "routers.up.rule=HostSNI(`up-b.test`)",
                    "services.up-b.loadbalancer.server.port=9000",
                ],
            ),
        ],
        answers: &[("up-a.test", &[]), ("up-b.test", &[])],
        theirs: &[("up-a.test", &["up-a"]), ("up-b.test", &["up-b"])],
        conflict: Some("traefik/tcp/routers/up"),
    },
];

#[test]
fn nobody_reaches_another_container() {
    let Some((world, ours)) = world() else {
        return;
    };
    let docker = format!("--providers.docker.endpoint={}", world.docker.host());
    let theirs = Doors::open(docker, DOORS).unwrap();
    start(&[&world.docker]);
    expect_told(COPIES, &[&world.registrator]);
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
    // It was no accident of the order in which all came.
    ours.expect_all(COPIES);

    // Who remains is served, as his own labels say.
    world
        .docker
        .docker(&["stop", "dup-b", "star-a", "slow-a", "list-a", "up-b"]);
    for (door, answers) in [
        ("dup-a.test", ["dup-a"].as_slice()),
        ("dup-b.test", &[]),
        ("right", &["star-b"]),
        ("left", &[]),
        ("slow-b.test", &["slow-b"]),
        ("list-b.test", &["list-b"]),
        ("up-a.test", &["up-a"]),
        ("up-b.test", &[]),
    ] {
        theirs.expect(&logs, door, answers);
        ours.expect(&logs, door, answers);
    }
}

#[test]
fn nobody_reaches_a_container_of_another_host() {
    let Some((mut world, ours)) = world() else {
        return;
    };
    let Some(other) = world.neighbour(DEFAULTS) else {
        return;
    };
    start(&[&world.docker, &other.docker]);
    expect_told(COPIES, &[&world.registrator, &other.registrator]);
    let logs = [
        &ours.traefik.process,
        &world.registrator,
        &other.registrator,
    ];
    for (door, answers) in COPIES.iter().flat_map(|copies| copies.answers) {
        ours.expect(&logs, door, answers);
    }
    ours.expect_all(COPIES);

    other.docker.docker(&["stop", "list-b"]);
    let list = || ours.traefik.objects().remove("tcp/middlewares lan");
    let list = eventually("the list that is left", &logs, list, Option::is_some).unwrap();
    assert_eq!(
        list["ipAllowList"]["sourceRange"][0], "192.0.2.0/24",
        "{list}"
    );
    // The connection does not come from where that lets somebody in.
    ours.expect(&logs, "list-a.test", &[]);
    // A host that dies takes what it said with it.
    world.registrator.kill();
    let logs = [&ours.traefik.process, &other.registrator];
    for (door, answers) in [
        ("same.test", ["same-b"].as_slice()),
        ("crossed-b.test", &["crossed-b"]),
        ("crossed-a.test", &[]),
        ("right", &["star-b"]),
        ("left", &[]),
        ("case-b.test", &["case-b"]),
    ] {
        ours.expect(&logs, door, answers);
    }
}

/// A host, and a Traefik on its etcd.
fn world() -> Option<(World, Doors)> {
    find("traefik", "TRAEFIK_BIN", "scripts/fetch-traefik.sh gets it")?;
    let world = World::configured(Kind::Installed, DEFAULTS)?;
    let doors = Doors::on_etcd(&world.etcd, DOORS)?;
    Some((world, doors))
}

/// Starts the containers of each group on the hosts in turn.
fn start(hosts: &[&Dockerd]) {
    for copies in COPIES {
        for ((name, labels), docker) in copies.containers.iter().zip(hosts.iter().cycle()) {
            serve(docker, name, labels);
        }
    }
}

/// Runs a container that says its name to all who connect.
fn serve(docker: &Dockerd, name: &str, labels: &[&str]) {
    let mut labels: Vec<String> = labels
        .iter()
        .map(|label| format!("traefik.tcp.{label}"))
        .collect();
    let router = labels
        .iter()
        .find_map(|label| Some(label.split_once(".rule=")?.0.to_owned()))
        .unwrap();
    if !labels.iter().any(|label| label.contains(".entrypoints=")) {
        labels.push(format!("{router}.entrypoints=db"));
        labels.push(format!("{router}.tls.passthrough=true"));
    }
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    // What comes is read: whoever closes a connection with something unread may cut his own answer off.
    let say = format!("echo here is {name}; cat >/dev/null");
    let command = ["nc", "-ll", "-p", "9000", "-e", "sh", "-c", &say];
    run(docker, name, &labels, &[], &command);
}
