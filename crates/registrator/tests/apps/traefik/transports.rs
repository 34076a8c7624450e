//! TCP and UDP.

use std::path::{Path, PathBuf};

use super::{Traefik, run};
use crate::dockerd::Dockerd;
use crate::process::find;
use crate::world::{World, eventually};

pub(super) fn connections_and_datagrams_have_routes(world: &World, traefik: &Traefik) {
    let Some(perl) = perl() else {
        return;
    };
    serve_tcp(&world.docker);
    let labels = [
        "traefik.udp.routers.dns.entrypoints=dns",
        "traefik.udp.services.dns.loadbalancer.server.port=9001",
    ];
    serve_udp(&world.docker, &perl, "dns", &labels);
    let logs = [&traefik.process, &world.registrator];
    let tcp = || traefik.tcp();
    eventually("a connection", &logs, tcp, |text| text == "here is db");
    let udp = || traefik.udp();
    eventually("a datagram", &logs, udp, |text| text == "here is dns");

    world.docker.docker(&["stop", "db", "dns"]);
    eventually("no connection", &logs, tcp, String::is_empty);
    eventually("no datagram", &logs, udp, String::is_empty);
}

fn serve_tcp(docker: &Dockerd) {
    let labels = [
        "traefik.tcp.routers.db.rule=HostSNI(`*`)",
        "traefik.tcp.routers.db.entrypoints=db",
        "traefik.tcp.services.db.loadbalancer.server.port=9000",
    ];
    let command = ["nc", "-ll", "-p", "9000", "-e", "echo", "here is db"];
    run(docker, "db", &labels, &[], &command);
}

/// What serves UDP; `None`, after a loud line, where it is missing.
pub(super) fn perl() -> Option<PathBuf> {
    find(
        "perl",
        "PERL_BIN",
        "install perl-base; busybox serves no UDP",
    )
}

/// Runs a container that says its name to all who send it something to port 9001, with the machine's Perl and its libraries.
pub(super) fn serve_udp(docker: &Dockerd, perl: &Path, name: &str, labels: &[&str]) {
    let folders = ["/usr", "/lib", "/lib64"].into_iter();
    let folders = folders.filter(|folder| Path::new(folder).is_dir());
    let volumes: Vec<String> = folders
        .map(|folder| format!("--volume={folder}:{folder}:ro"))
        .collect();
    let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
    let program = format!(
        "socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(9001, INADDR_ANY)) or die; \
        while ($from = recv(S, $text, 1500, 0)) {{ send(S, 'here is {name}', 0, $from) }}"
    );
    let command = [perl.to_str().unwrap(), "-MSocket", "-e", &program];
    run(docker, name, labels, &volumes, &command);
}
