//! Questions over DNS, asked by `dig`, and their answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use crate::process::find;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    A,
    Aaaa,
    Ptr,
    Soa,
    Srv,
    Txt,
}

/// An answer. Records are sorted, and read `web.skydns.local. 30 A 172.17.0.2`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `NOERROR`, `NXDOMAIN`, …
    pub(crate) code: String,
    pub(crate) records: Vec<String>,
    pub(crate) additional: Vec<String>,
}

/// Asks one server.
pub(crate) struct Resolver {
    program: PathBuf,
    server: SocketAddr,
}

impl Resolver {
    /// `None`, after a loud line, where there is no `dig`.
    pub(crate) fn new(server: SocketAddr) -> Option<Resolver> {
        let program = find("dig", "DIG_BIN", "install bind9-dnsutils")?;
        Some(Resolver { program, server })
    }

    /// An error as text where the server does not answer.
    pub(crate) fn ask(&self, kind: Type, name: &str) -> Result<Answer, String> {
        let mut command = Command::new(&self.program);
        command.arg(format!("@{}", self.server.ip()));
        command.args(["-p", &self.server.port().to_string()]);
        // Without the file in which a user has options of his own. CoreDNS itself waits 5 s for etcd.
        command.args(["-r", "+tries=1", "+time=6"]);
        command.args(["+noall", "+comments", "+answer", "+additional"]);
        command.args(["-t", &format!("{kind:?}"), "-q", name]);
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        answer(&text)
            .filter(|_| output.status.success())
            .ok_or(text)
    }
}

/// The name of an address: `2.0.17.172.in-addr.arpa`.
pub(crate) fn reverse_v4(ip: &str) -> String {
    let [a, b, c, d] = ip.parse::<Ipv4Addr>().unwrap().octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// The same for IPv6.
pub(crate) fn reverse_v6(ip: &str) -> String {
    let bits = ip.parse::<Ipv6Addr>().unwrap().to_bits();
    let nibbles = (0..32).map(|nibble| format!("{:x}.", (bits >> (4 * nibble)) & 15));
    nibbles.collect::<String>() + "ip6.arpa"
}

/// What `dig` shows.
fn answer(text: &str) -> Option<Answer> {
    let (_, code) = text.split_once("status: ")?;
    Some(Answer {
        code: code.split(',').next()?.to_owned(),
        records: records(text, ";; ANSWER SECTION:\n"),
        additional: records(text, ";; ADDITIONAL SECTION:\n"),
    })
}

/// Those of a section; it ends with an empty line.
fn records(text: &str, title: &str) -> Vec<String> {
    let section = text.split(title).nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.is_empty());
    let mut records: Vec<_> = lines.map(record).collect();
    records.sort_unstable();
    records
}

/// In one form, without the class.
fn record(line: &str) -> String {
    let words = line.split_whitespace().enumerate();
    let words = words.filter(|(at, _)| *at != 2).map(|(_, word)| word);
    words.collect::<Vec<_>>().join(" ")
}
