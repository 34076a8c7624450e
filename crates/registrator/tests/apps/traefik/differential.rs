//! The policy against Traefik's own Docker provider: the same containers make the same objects.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::{DEFAULTS, Traefik};
use crate::etcd::Kind;
use crate::world::{World, eventually};

/// Containers, as `docker run` takes them.
const CONTAINERS: &[&[&str]] = &[
    &["--name=plain", "--expose=80"],
    &["--name=Odd_name.1", "--expose=8080", "--expose=443"],
    &["--name=two-protocols", "--expose=53/udp", "--expose=80"],
    &["--name=no-port"],
    &[
        "--name=disabled",
        "--expose=80",
        "--label=traefik.enable=false",
    ],
    &[
        "--name=shop-web-1",
        "--expose=80",
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
    ],
    &[
        "--name=shop-web-2",
        "--expose=80",
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=web",
    ],
    &[
        "--name=both",
        "--network=front",
        "--expose=80",
        "--label=traefik.docker.network=back",
    ],
    &[
        "--name=sidecar",
        "--network=container:plain",
        "--label=traefik.http.services.sidecar.loadbalancer.server.port=81",
    ],
    &[
        "--name=starting",
        "--expose=80",
        "--health-cmd=true",
        "--health-interval=1h",
    ],
    &[
        "--name=sound",
        "--expose=80",
        "--health-cmd=true",
        "--health-interval=200ms",
    ],
    &[
        "--name=wrong",
        "--expose=80",
        "--label=traefik.http.routers.wrong.rulez=x",
    ],
    &[
        "--name=typed",
        "--expose=80",
        "--label=traefik.http.routers.typed.priority=high",
    ],
    &["--name=frozen", "--expose=80"],
    &[
        "--name=two",
        "--label=traefik.http.routers.A.rule=Host(`a.test`) && PathPrefix(`/x`)",
        "--label=traefik.http.routers.A.service=a",
        "--label=traefik.http.routers.B.middlewares=head@docker,auth",
        "--label=traefik.http.routers.B.service=b@docker",
        "--label=traefik.http.services.a.loadbalancer.server.port=8001",
        "--label=traefik.http.services.b.loadbalancer.server.port=8002",
        "--label=traefik.http.services.b.loadbalancer.sticky.cookie=true",
        "--label=traefik.http.middlewares.head.headers.customresponseheaders.X-Who=two",
        "--label=traefik.http.middlewares.auth.basicauth.users=test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/",
    ],
    &[
        "--name=weighted",
        "--expose=80",
        "--label=traefik.http.services.weights.weighted.services[0].name=plain",
        "--label=traefik.http.services.weights.weighted.services[0].weight=1",
    ],
    &[
        "--name=mirroring",
        "--expose=80",
        "--label=traefik.http.routers.mirrored.rule=Host(`mirrored.test`)",
        "--label=traefik.http.services.mirror.mirroring.service=plain",
    ],
    &[
        "--name=failover",
        "--expose=80",
        "--label=traefik.http.routers.failed.rule=Host(`failed.test`)",
        "--label=traefik.http.routers.failed.service=fail",
        "--label=traefik.http.services.fail.failover.service=plain",
    ],
    &[
        "--name=parent",
        "--expose=80",
        "--label=traefik.http.routers.parent.parentrefs=plain",
    ],
    &[
        "--name=address",
        "--expose=80",
        "--label=traefik.tcp.routers.address.rule=HostSNI(`*`)",
        "--label=traefik.tcp.services.address.loadbalancer.server.address=192.0.2.1:80",
    ],
    &[
        "--name=redirect",
        "--expose=80",
        "--label=traefik.http.routers.away.rule=Host(`away.test`)",
        "--label=traefik.http.routers.away.service=noop@internal",
        "--label=traefik.http.routers.away.middlewares=away",
        "--label=traefik.http.routers.away.priority=9223372036854774806",
        "--label=traefik.http.middlewares.away.redirectscheme.scheme=https",
    ],
    &[
        "--name=mixed",
        "--expose=5432",
        "--label=traefik.tcp.routers.db.rule=HostSNI(`*`)",
        "--label=traefik.tcp.routers.db.entrypoints=db",
        "--label=traefik.udp.routers.dns.entrypoints=dns",
        "--label=traefik.udp.services.dns.loadbalancer.server.port=53",
    ],
];

/// What there must be at least: a comparison of nothing finds nothing.
const EXPECTED: &[&str] = &[
    "http/middlewares m-ratelimit",
    "http/routers a",
    "http/routers odd-name-1",
    "http/routers all",
    "http/routers both",
    "http/routers plain",
    "http/services sidecar",
    "http/services sound",
    "http/services web-shop",
    "tcp/middlewares m-inflightconn",
    "tcp/services mixed",
    "udp/services dns",
];

#[test]
fn objects_are_those_of_the_docker_provider() {
    let Some((world, traefik)) = Traefik::with_world(Kind::Installed, DEFAULTS) else {
        return;
    };
    start_containers(&world);
    let provider = format!("--providers.docker.endpoint={}", world.docker.host());
    let reference = Traefik::start(&[provider]).unwrap();
    let logs = [&reference.process, &traefik.process, &world.registrator];
    let difference = || difference(&lowered(reference.objects()), &own(&traefik));
    eventually("the same objects", &logs, difference, String::is_empty);

    // Also after one of two replicas went, and all of another service.
    world.docker.docker(&["stop", "shop-web-2", "mixed"]);
    let objects = || (lowered(reference.objects()), own(&traefik));
    eventually(
        "the same objects without these",
        &logs,
        objects,
        |(theirs, ours)| {
            theirs == ours
                && !ours.contains_key("tcp/services mixed")
                && ours.contains_key("http/services web-shop")
        },
    );
}

fn own(traefik: &Traefik) -> BTreeMap<String, Json> {
    let mut objects = traefik.objects();
    objects.remove("http/middlewares registrator-noop");
    objects
}

/// With names in lower case, as the policy writes them.
fn lowered(objects: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    let lower = |(name, mut object): (String, Json)| {
        lower_names(&mut object, false);
        (name.to_lowercase(), object)
    };
    objects.into_iter().map(lower).collect()
}

fn lower_names(value: &mut Json, is_name: bool) {
    match value {
        Json::String(text) if is_name => *text = text.to_lowercase(),
        Json::Array(items) => items.iter_mut().for_each(|item| lower_names(item, is_name)),
        Json::Object(members) => {
            for (member, value) in members {
                let names = ["name", "service", "middlewares", "usedBy"];
                lower_names(value, names.contains(&member.as_str()));
            }
        }
        _ => {}
    }
}

/// Told object by object; empty if there is none.
fn difference(theirs: &BTreeMap<String, Json>, ours: &BTreeMap<String, Json>) -> String {
    let missing = EXPECTED.iter().filter(|name| !theirs.contains_key(**name));
    let missing = missing.map(|name| format!("{name} is nowhere\n"));
    let names = theirs
        .keys()
        .chain(ours.keys().filter(|name| !theirs.contains_key(*name)));
    let different = names.filter(|name| theirs.get(*name) != ours.get(*name));
    let shown =
        |object: Option<&Json>| object.map_or_else(|| "nothing".to_owned(), Json::to_string);
    let told = different.map(|name| {
        format!(
            "{name}\n  theirs {}\n  ours   {}\n",
            shown(theirs.get(name)),
            shown(ours.get(name))
        )
    });
    missing.chain(told).collect()
}

fn start_containers(world: &World) {
    world.docker.network("front");
    world.docker.network("back");
    let labels = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/traefik/all.labels");
    let labels = format!("--label-file={}", labels.display());
    let all = ["--name=all", "--expose=80", &labels];
    for options in CONTAINERS.iter().copied().chain([all.as_slice()]) {
        let command = ["busybox", "sleep", "1000000"];
        world.docker.docker(
            &[
                ["run", "--detach", "--stop-signal=KILL"].as_slice(),
                options,
                &command,
            ]
            .concat(),
        );
    }
    world.docker.docker(&["network", "connect", "back", "both"]);
    world.docker.docker(&["pause", "frozen"]);
}
