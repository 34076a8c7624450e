//! confd with the files that docs/applications/services.md shows, and the servers whose configurations it makes.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{Process, find};
use crate::world::World;

const PAGE: &str = include_str!("../../../../docs/applications/services.md");

/// Where the templates listen.
const LISTENS: &str = "127.0.0.1:8000";

/// What is needed, in this order: confd, HAProxy, nginx.
pub(crate) struct Programs([PathBuf; 3]);

/// A server with a configuration made by confd.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// confd, which watches etcd, and its proxies.
pub(crate) struct Confd {
    // Ends before the folder does.
    process: Process,
    proxies: [Proxy; 2],
    _folder: TempDir,
}

impl Confd {
    /// What is needed; `None`, after a loud line, where something is missing.
    pub(crate) fn programs() -> Option<Programs> {
        let confd = find("confd", "CONFD_BIN", "scripts/fetch-confd.sh builds it")?;
        let haproxy = find("haproxy", "HAPROXY_BIN", "install haproxy")?;
        let nginx = find("nginx", "NGINX_BIN", "install nginx-light")?;
        Some(Programs([confd, haproxy, nginx]))
    }

    /// In the order that the page tells: configurations, servers, and then changes.
    pub(crate) fn start(Programs([confd, haproxy, nginx]): Programs, world: &World) -> Confd {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = [free_port(), free_port()];
        write_haproxy(folder.path(), first, &haproxy);
        write_nginx(folder.path(), second);
        let node = format!("http://{}", world.etcd.address());
        let command = |mode: &[&str]| {
            let mut command = Command::new(&confd);
            command.arg("-confdir").arg(folder.path());
            command
                .args(["-backend", "etcdv3", "-node", &node])
                .args(mode);
            command
        };
        let made = command(&["-onetime", "-sync-only"]).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let proxies = [
            start_haproxy(folder.path(), first, &haproxy),
            start_nginx(folder.path(), second, &nginx),
        ];
        let process = Process::start("confd", &mut command(&["-watch"]));
        Confd {
            process,
            proxies,
            _folder: folder,
        }
    }

    pub(crate) fn proxies(&self) -> &[Proxy; 2] {
        &self.proxies
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for Confd {
    fn drop(&mut self) {
        self.process.kill();
        // Their workers end with them only if they end properly.
        self.proxies
            .iter_mut()
            .for_each(|proxy| proxy.process.terminate());
    }
}

fn write_haproxy(folder: &Path, address: SocketAddr, haproxy: &Path) {
    let own = format!("{}/", folder.display());
    let resource = replaced(block("toml", 0), "/etc/haproxy/", &own);
    let check = format!("\"{} -c", haproxy.display());
    let resource = replaced(&resource, "\"haproxy -c", &check);
    write(folder, "haproxy", &resource, "USR2", address);
}

fn start_haproxy(folder: &Path, address: SocketAddr, program: &Path) -> Proxy {
    let mut command = Command::new(program);
    command.arg("-W").arg("-p").arg(folder.join("haproxy.pid"));
    command.arg("-f").arg(folder.join("haproxy.cfg"));
    start("haproxy", command, address)
}

fn write_nginx(folder: &Path, address: SocketAddr) {
    let own = format!("{}/", folder.display());
    let resource = replaced(block("toml", 1), "/etc/nginx/conf.d/", &own);
    write(folder, "nginx", &resource, "HUP", address);
    // What the page takes as given.
    let around = format!(
        "daemon off; user root; worker_processes 1; pid {own}nginx.pid; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; include {own}web.conf; }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), around).unwrap();
}

fn start_nginx(folder: &Path, address: SocketAddr, program: &Path) -> Proxy {
    let mut command = Command::new(program);
    command
        .args(["-e", "stderr", "-c"])
        .arg(folder.join("nginx.conf"));
    start("nginx", command, address)
}

fn start(name: &'static str, mut command: Command, address: SocketAddr) -> Proxy {
    let mut process = Process::start(name, &mut command);
    process.until_ready(|| TcpStream::connect(address).is_ok());
    Proxy {
        name,
        address,
        process,
    }
}

/// The template and what to do with it, for this server.
fn write(folder: &Path, name: &str, resource: &str, signal: &str, address: SocketAddr) {
    let reload = format!("kill -s {signal} $(cat {}/{name}.pid)", folder.display());
    let resource = replaced(resource, &format!("systemctl reload {name}"), &reload);
    let template = replaced(block(name, 0), LISTENS, &address.to_string());
    let files = [
        (format!("conf.d/{name}.toml"), resource),
        (format!("templates/{name}.tmpl"), template),
    ];
    for (file, text) in files {
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

#[track_caller]
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "there is no {old} in {text}");
    text.replace(old, new)
}

/// The page's block of code in this language, counted from 0.
fn block(language: &str, at: usize) -> &'static str {
    let fence = format!("```{language}\n");
    let block = PAGE.split(&fence).nth(at + 1).expect(language);
    block.split("```").next().expect("its end")
}
