//! A question over DNS (RFC 1035, 2782, 3596), and its answer in the words of `dig`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    A = 1,
    Soa = 6,
    Ptr = 12,
    Txt = 16,
    Aaaa = 28,
    Srv = 33,
}

/// An answer. Records are sorted, and read `web.skydns.local. 30 A 172.17.0.2`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `NOERROR`, `NXDOMAIN`, …
    pub(crate) code: String,
    pub(crate) records: Vec<String>,
    pub(crate) additional: Vec<String>,
}

/// Asks the server; an error as text where it does not answer or cannot be understood.
pub(crate) fn ask(server: SocketAddr, kind: Type, name: &str) -> Result<Answer, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    // CoreDNS itself waits 5 s for etcd.
    let patience = Some(Duration::from_secs(6));
    let mut message = [0; 4096];
    let length = socket
        .set_read_timeout(patience)
        .and_then(|()| socket.connect(server))
        .and_then(|()| socket.send(&question(kind, name)))
        .and_then(|_| socket.recv(&mut message))
        .map_err(|error| error.to_string())?;
    let mut reader = Reader {
        message: &message[..length],
        at: 0,
    };
    reader.answer().ok_or("a broken answer".to_owned())
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

fn question(kind: Type, name: &str) -> Vec<u8> {
    // An id, "recursion desired", one question and nothing else.
    let mut message = vec![0x52, 0x47, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split_terminator('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, kind as u8, 0, 1]);
    message
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn answer(&mut self) -> Option<Answer> {
        let [_, flags, questions, answers, authorities, additional] = [(); 6].map(|()| self.u16());
        for _ in 0..questions? {
            self.name()?;
            self.at += 4;
        }
        let records = self.records(answers?)?;
        self.records(authorities?)?;
        Some(Answer {
            code: match flags? & 15 {
                0 => "NOERROR".to_owned(),
                2 => "SERVFAIL".to_owned(),
                3 => "NXDOMAIN".to_owned(),
                5 => "REFUSED".to_owned(),
                code => format!("code {code}"),
            },
            records,
            additional: self.records(additional?)?,
        })
    }

    fn records(&mut self, count: u16) -> Option<Vec<String>> {
        let mut records = (0..count)
            .map(|_| self.record())
            .collect::<Option<Vec<_>>>()?;
        records.sort_unstable();
        Some(records)
    }

    fn record(&mut self) -> Option<String> {
        let name = self.name()?;
        let (kind, _class) = (self.u16()?, self.u16()?);
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let content = match kind {
            1 => format!("A {}", Ipv4Addr::from(self.bytes::<4>()?)),
            5 => format!("CNAME {}", self.name()?),
            6 => format!("SOA {}", self.name()?),
            12 => format!("PTR {}", self.name()?),
            16 => format!("TXT {}", self.text(end)?),
            28 => format!("AAAA {}", Ipv6Addr::from(self.bytes::<16>()?)),
            33 => format!(
                "SRV {} {} {} {}",
                self.u16()?,
                self.u16()?,
                self.u16()?,
                self.name()?
            ),
            kind => format!("type {kind}"),
        };
        self.at = end;
        Some(format!("{name} {ttl} {content}"))
    }

    /// Strings that each say their length.
    fn text(&mut self, end: usize) -> Option<String> {
        let mut text = String::new();
        while self.at < end {
            let [length] = self.bytes::<1>()?;
            let part = self.message.get(self.at..self.at + usize::from(length))?;
            text += &String::from_utf8_lossy(part);
            self.at += usize::from(length);
        }
        Some(text)
    }

    /// A name, whose end may be elsewhere in the message.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            let length = usize::from(self.bytes::<1>()?[0]);
            if length >= 0xc0 {
                let at = (length & 0x3f) << 8 | usize::from(self.bytes::<1>()?[0]);
                let message = self.message;
                let end = Reader { message, at }.name()?;
                return Some(name + &end);
            }
            if length == 0 {
                return Some(name);
            }
            let label = self.message.get(self.at..self.at + length)?;
            name += &format!("{}.", String::from_utf8_lossy(label));
            self.at += length;
        }
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.message.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(bytes)
    }
}
