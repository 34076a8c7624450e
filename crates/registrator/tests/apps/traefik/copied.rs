//! Containers that share names of routers, services and middlewares, as those of copied compose files do: nobody gets an answer that is
//! another's, whoever defined what, and on whichever host.
//!
//! The Docker provider is asked too. Whatever it answers, the answer here is the same or 404; where names differ in nothing but case,
//! which are one for the etcd provider, it is 404.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{DEFAULTS, Traefik, serve};
use crate::dockerd::Dockerd;
use crate::etcd::Kind;
use crate::http;
use crate::process::{PATIENCE, Process};
use crate::world::eventually;

/// Containers that share names.
pub(super) struct Copies {
    /// Their names and labels.
    pub(super) containers: &'static [(&'static str, &'static [&'static str])],
    /// Host names, and the containers that answer requests for them; nobody stands for 404.
    pub(super) answers: &'static [(&'static str, &'static [&'static str])],
    /// The same for the Docker provider, where it differs.
    pub(super) theirs: &'static [(&'static str, &'static [&'static str])],
    /// The object that is in conflict, as the log names it.
    pub(super) conflict: Option<&'static str>,
}

impl Copies {
    /// Who answers for the Docker provider, if others than here.
    pub(super) fn of_docker(&self, host: &str) -> Option<&'static [&'static str]> {
        let other = self.theirs.iter().find(|(other, _)| *other == host);
        other.map(|(_, answers)| *answers)
    }
}

const COPIES: &[Copies] = &[
    // The same of everything: they are one service.
    Copies {
        containers: &[
            (
                "same-a",
                &[
                    "traefik.http.routers.same.rule=Host(`same.test`)",
                    "traefik.http.services.same.loadbalancer.server.port=80",
                ],
            ),
            (
                "same-b",
                &[
                    "traefik.http.routers.same.rule=Host(`same.test`)",
                    "traefik.http.services.same.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("same.test", &["same-a", "same-b"])],
        theirs: &[],
        conflict: None,
    },
    // What is said and what goes without saying are the same.
    Copies {
        containers: &[
            (
                "said-a",
                &[
                    "traefik.http.routers.said.rule=Host(`said.test`)",
                    "traefik.http.routers.said.service=said",
                    "traefik.http.services.said.loadbalancer.server.port=80",
                ],
            ),
            (
                "said-b",
                &[
                    "traefik.http.routers.said.rule=Host(`said.test`)",
                    "traefik.http.routers.said.service=said",
                    "traefik.http.services.said.loadbalancer.passhostheader=true",
                ],
            ),
        ],
        answers: &[("said.test", &["said-a", "said-b"])],
        theirs: &[],
        conflict: None,
    },
    // The rule of one, the service of the other.
    Copies {
        containers: &[
            (
                "crossed-a",
                &[
                    "traefik.http.routers.crossed.rule=Host(`crossed-a.test`)",
                    "traefik.http.routers.crossed.service=zeta",
                    "traefik.http.services.zeta.loadbalancer.server.port=80",
                ],
            ),
            (
                "crossed-b",
                &[
                    "traefik.http.routers.crossed.rule=Host(`crossed-b.test`)",
                    "traefik.http.routers.crossed.service=alpha",
                    "traefik.http.services.alpha.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("crossed-a.test", &[]), ("crossed-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/routers/crossed"),
    },
    // A whole compose file, with another rule.
    Copies {
        containers: &[
            (
                "photos",
                &[
                    "traefik.http.routers.dup.rule=Host(`photos.test`)",
                    "traefik.http.services.dup.loadbalancer.server.port=80",
                ],
            ),
            (
                "wiki",
                &[
                    "traefik.http.routers.dup.rule=Host(`wiki.test`)",
                    "traefik.http.services.dup.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("photos.test", &[]), ("wiki.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/routers/dup"),
    },
    // Three, of which two agree.
    Copies {
        containers: &[
            (
                "three-a",
                &[
                    "traefik.http.routers.three.rule=Host(`three.test`)",
                    "traefik.http.services.three.loadbalancer.server.port=80",
                ],
            ),
            (
                "three-b",
                &[
                    "traefik.http.routers.three.rule=Host(`other.test`)",
                    "traefik.http.services.three.loadbalancer.server.port=80",
                ],
            ),
            (
                "three-c",
                &[
                    "traefik.http.routers.three.rule=Host(`three.test`)",
                    "traefik.http.services.three.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("three.test", &[]), ("other.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/routers/three"),
    },
    // One has a field more.
    Copies {
        containers: &[
            (
                "more-a",
                &[
                    "traefik.http.routers.more.rule=Host(`more.test`)",
                    "traefik.http.services.more.loadbalancer.server.port=80",
                ],
            ),
            (
                "more-b",
                &[
                    "traefik.http.routers.more.rule=Host(`more.test`)",
                    "traefik.http.routers.more.priority=7",
                    "traefik.http.services.more.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("more.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/routers/more"),
    },
    // A service of which one says what the other leaves at its default.
    Copies {
        containers: &[
            (
                "header-a",
                &[
                    "traefik.http.routers.header-a.rule=Host(`header-a.test`)",
                    "traefik.http.services.header.loadbalancer.passhostheader=false",
                ],
            ),
            (
                "header-b",
                &[
                    "traefik.http.routers.header-b.rule=Host(`header-b.test`)",
                    "traefik.http.services.header.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("header-a.test", &[]), ("header-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/services/header"),
    },
    // Nobody comes in because another one lets everybody in.
    Copies {
        containers: &[
            (
                "list-a",
                &[
                    "traefik.http.routers.list-a.rule=Host(`list-a.test`)",
                    "traefik.http.routers.list-a.middlewares=lan",
                    "traefik.http.middlewares.lan.ipallowlist.sourcerange=192.0.2.0/24",
                ],
            ),
            (
                "list-b",
                &[
                    "traefik.http.routers.list-b.rule=Host(`list-b.test`)",
                    "traefik.http.routers.list-b.middlewares=lan",
                    "traefik.http.middlewares.lan.ipallowlist.sourcerange=0.0.0.0/0",
                ],
            ),
        ],
        answers: &[("list-a.test", &[]), ("list-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/middlewares/lan"),
    },
    // Ways to the servers: labels name them, and set none up.
    Copies {
        containers: &[
            (
                "way-a",
                &[
                    "traefik.http.routers.way.rule=Host(`way.test`)",
                    "traefik.http.serverstransports.way.insecureskipverify=true",
                    "traefik.http.services.way.loadbalancer.server.port=80",
                ],
            ),
            (
                "way-b",
                &[
                    "traefik.http.routers.way.rule=Host(`way.test`)",
                    "traefik.http.serverstransports.way.insecureskipverify=false",
                    "traefik.http.services.way.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("way.test", &["way-a", "way-b"])],
        theirs: &[],
        conflict: None,
    },
    Copies {
        containers: &[
            (
                "ways-a",
                &[
                    "traefik.http.routers.ways-a.rule=Host(`ways-a.test`)",
                    "traefik.http.services.ways.loadbalancer.serverstransport=one@file",
                ],
            ),
            (
                "ways-b",
                &[
                    "traefik.http.routers.ways-b.rule=Host(`ways-b.test`)",
                    "traefik.http.services.ways.loadbalancer.serverstransport=two@file",
                ],
            ),
        ],
        answers: &[("ways-a.test", &[]), ("ways-b.test", &[])],
        theirs: &[],
        conflict: Some("traefik/http/services/ways"),
    },
    // Two kinds of middleware under one name.
    Copies {
        containers: &[
            (
                "kinds-a",
                &[
                    "traefik.http.routers.kinds-a.rule=Host(`kinds-a.test`)",
                    "traefik.http.routers.kinds-a.middlewares=auth",
                    "traefik.http.middlewares.auth.basicauth.users=ann:x",
                ],
            ),
            (
                "kinds-b",
                &[
                    "traefik.http.routers.kinds-b.rule=Host(`kinds-b.test`)",
                    "traefik.http.middlewares.auth.compress=true",
                ],
            ),
        ],
        answers: &[("kinds-a.test", &[]), ("kinds-b.test", &["kinds-b"])],
        theirs: &[],
        conflict: Some("traefik/http/middlewares/auth"),
    },
    // Services whose names differ in case.
    Copies {
        containers: &[
            (
                "case-a",
                &[
                    "traefik.http.routers.case-a.rule=Host(`case-a.test`)",
                    "traefik.http.services.Blog.loadbalancer.server.port=80",
                ],
            ),
            (
                "case-b",
                &[
                    "traefik.http.routers.case-b.rule=Host(`case-b.test`)",
                    "traefik.http.services.blog.loadbalancer.server.port=80",
                ],
            ),
        ],
        answers: &[("case-a.test", &[]), ("case-b.test", &[])],
        theirs: &[("case-a.test", &["case-a"]), ("case-b.test", &["case-b"])],
        conflict: Some("traefik/http/services/blog"),
    },
    // Routers whose names differ in case.
    Copies {
        containers: &[
            ("up-a", &["traefik.http.routers.Up.rule=Host(`up-a.test`)"]),
            ("up-b", &["traefik.http.routers.up.rule=Host(`up-b.test`)"]),
        ],
        answers: &[("up-a.test", &[]), ("up-b.test", &[])],
        theirs: &[("up-a.test", &["up-a"]), ("up-b.test", &["up-b"])],
        conflict: Some("traefik/http/routers/up"),
    },
    // Names in capitals that nobody else has.
    Copies {
        containers: &[(
            "alone",
            &[
                "traefik.http.routers.Alone.rule=Host(`alone.test`)",
                "traefik.http.routers.Alone.service=Alone",
                "traefik.http.routers.Alone.middlewares=Open@docker",
                "traefik.http.services.Alone.loadbalancer.server.port=80",
                "traefik.http.middlewares.Open.ipallowlist.sourcerange=0.0.0.0/0",
            ],
        )],
        answers: &[("alone.test", &["alone"])],
        theirs: &[],
        conflict: None,
    },
];

#[test]
fn nobody_gets_another_ones_answer() {
    let Some((world, traefik)) = Traefik::with_world(Kind::Installed, DEFAULTS) else {
        return;
    };
    let provider = format!("--providers.docker.endpoint={}", world.docker.host());
    let reference = Traefik::start(&[provider]).unwrap();
    start(&[&world.docker]);
    expect_told(COPIES, &[&world.registrator]);
    let logs = [&reference.process, &traefik.process, &world.registrator];
    for copies in COPIES {
        for (host, answers) in copies.answers {
            let theirs = copies.of_docker(host).unwrap_or(answers);
            for (traefik, expected) in [(&reference, theirs), (&traefik, *answers)] {
                let ask = || asked(traefik, host);
                eventually(host, &logs, ask, |found| *found == words(expected));
            }
        }
    }
    // Whose router uses what nobody has is told, too.
    let log = world.registrator.log();
    let parts = ["middlewares/lan", "refer to it", "routers/list-a"];
    let told = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(log.lines().any(told), "{log}");
    // It was no accident of the order in which all came.
    for (host, answers) in COPIES.iter().flat_map(|copies| copies.answers) {
        let found = asked_within(PATIENCE, &traefik, host);
        assert_eq!(found, words(answers), "{host}");
    }

    // Who remains is served.
    world.docker.docker(&["stop", "three-b", "list-b", "wiki"]);
    for (host, answers) in [
        ("three.test", ["three-a", "three-c"].as_slice()),
        ("photos.test", &["photos"]),
        ("wiki.test", &[]),
    ] {
        let ask = || asked(&traefik, host);
        eventually(host, &logs, ask, |found| *found == words(answers));
    }
    // The request does not come from where the list that is left lets somebody in.
    let ask = || http::get(traefik.web, "list-a.test", "/").map(|(status, _)| status);
    _ = eventually("list-a.test", &logs, ask, |status| *status == Ok(403));
}

#[test]
fn nobody_gets_an_answer_of_another_host() {
    let Some((mut world, traefik)) = Traefik::with_world(Kind::Installed, DEFAULTS) else {
        return;
    };
    let Some(other) = world.neighbour(DEFAULTS) else {
        return;
    };
    start(&[&world.docker, &other.docker]);
    expect_told(COPIES, &[&world.registrator, &other.registrator]);
    let logs = [&traefik.process, &world.registrator, &other.registrator];
    let expect = |host: &str, answers: &[&str]| {
        let ask = || asked(&traefik, host);
        eventually(host, &logs, ask, |found| *found == words(answers));
    };
    for (host, answers) in COPIES.iter().flat_map(|copies| copies.answers) {
        expect(host, answers);
    }
    for (host, answers) in COPIES.iter().flat_map(|copies| copies.answers) {
        let found = asked_within(PATIENCE, &traefik, host);
        assert_eq!(found, words(answers), "{host}");
    }

    other.docker.docker(&["stop", "three-b", "wiki"]);
    expect("three.test", &["three-a", "three-c"]);
    expect("photos.test", &["photos"]);
    // A host that dies takes what it said with it.
    world.registrator.kill();
    let logs = [&traefik.process, &other.registrator];
    for (host, answers) in [
        ("same.test", ["same-b"].as_slice()),
        ("crossed-b.test", &["crossed-b"]),
        ("list-b.test", &["list-b"]),
        ("case-b.test", &["case-b"]),
        ("three.test", &[]),
    ] {
        let ask = || asked(&traefik, host);
        eventually(host, &logs, ask, |found| *found == words(answers));
    }
}

/// Starts the containers of each group on the hosts in turn.
fn start(hosts: &[&Dockerd]) {
    for copies in COPIES {
        for ((name, labels), docker) in copies.containers.iter().zip(hosts.iter().cycle()) {
            serve(docker, name, name, labels, &[]);
        }
    }
}

/// The different answers to eight requests; those that are none as their status.
fn asked(traefik: &Traefik, host: &str) -> BTreeSet<String> {
    asked_within(Duration::from_secs(1), traefik, host)
}

/// The same, for who does not ask again.
fn asked_within(patience: Duration, traefik: &Traefik, host: &str) -> BTreeSet<String> {
    let ask = |_| match http::get_within(patience, traefik.web, host, "/") {
        Ok((200, body)) => body,
        Ok((status, _)) => status.to_string(),
        Err(error) => error,
    };
    (0..8).map(ask).collect()
}

fn words(containers: &[&str]) -> BTreeSet<String> {
    if containers.is_empty() {
        return ["404".to_owned()].into();
    }
    let word = |name: &&str| format!("here is {name}");
    containers.iter().map(word).collect()
}

/// Waits until whoever runs the containers can read which objects are in conflict.
#[track_caller]
pub(super) fn expect_told(copies: &[Copies], registrators: &[&Process]) {
    let told = || -> String { registrators.iter().map(|it| it.log()).collect() };
    let all = |log: &String| copies.iter().all(|copies| is_told(copies, log));
    _ = eventually("all conflicts to be told", registrators, told, all);
}

fn is_told(copies: &Copies, log: &str) -> bool {
    let told = |object: &&str| {
        let is = |line: &str| line.contains(" WARN ") && line.contains(object);
        log.lines().any(is)
    };
    copies.conflict.as_ref().is_none_or(told)
}
