//! What is wrong when TLS does not come about, in words that say what to do: the libraries' own words only name the symptom.
//!
//! A server often hangs up without a reason. But this side knows whether it has a client certificate, and whether that is valid.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::certificate::Validity;
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

const DAY: i64 = 24 * 60 * 60;

/// How long before its end people are told of a certificate at the earliest. One that lives shorter is replaced later: of that one
/// they are told in the last tenth of its life.
const SOON: i64 = 14 * DAY;

/// A certificate with which this process shows who it is, with those of the authorities between, if they are in its file.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    path: PathBuf,
    not_before: ASN1Time,
    not_after: ASN1Time,
}

impl OwnCertificate {
    /// What is in the file at `path`; `None` if that is no certificate, of which others complain.
    pub fn parse(path: &Path, pem: &[u8]) -> Option<OwnCertificate> {
        let pems = Pem::iter_from_buffer(pem).flatten();
        let validities: Vec<Validity> = pems
            .filter_map(|pem| Some(pem.parse_x509().ok()?.validity().clone()))
            .collect();
        Some(OwnCertificate {
            path: path.to_owned(),
            not_before: validities
                .iter()
                .map(|validity| validity.not_before)
                .max()?,
            not_after: validities.iter().map(|validity| validity.not_after).min()?,
        })
    }

    /// Why no server accepts it at this time.
    pub fn fault(&self, now: SystemTime) -> Option<String> {
        let (now, path) = (seconds(now), self.path.display());
        if now > self.not_after.timestamp() {
            Some(format!("{path} expired on {}", self.not_after))
        } else if now < self.not_before.timestamp() {
            let begin = self.not_before;
            Some(format!(
                "{path} is not valid before {begin}, or the clock of this machine is wrong"
            ))
        } else {
            None
        }
    }

    /// What people should know about it at this time: that it is not accepted, or will not be soon.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let (begin, end) = (self.not_before.timestamp(), self.not_after.timestamp());
        let soon = SOON.min((end - begin) / 10);
        let ends = (end - seconds(now) < soon)
            .then(|| format!("{} expires on {}", self.path.display(), self.not_after));
        self.fault(now).or(ends)
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The two sides of a connection.
#[derive(Debug, Clone)]
pub struct Sides<'a> {
    /// The server, as people call it.
    pub server: &'a str,
    /// The certificate of this side.
    pub own: Option<&'a OwnCertificate>,
    /// How this side is given one.
    pub how_to_own: &'a str,
    /// How this side is told to do without TLS.
    pub how_to_go_plain: &'a str,
    /// Whether the server ever answered.
    pub answered: bool,
}

impl Sides<'_> {
    /// What to do about `symptom`, for which a connection with TLS does not come about, or `broke`.
    pub fn advice(&self, symptom: &str, broke: bool, now: SystemTime) -> Option<String> {
        let server = self.server;
        let no_authority = format!("none of the authorities given signed {server}'s certificate");
        let about_server = [
            (
                "InvalidContentType",
                format!("{server} speaks no TLS there: {}", self.how_to_go_plain),
            ),
            ("UnknownIssuer", no_authority.clone()),
            // One of the same name has another key.
            ("BadSignature", no_authority),
            (
                "certificate expired",
                format!("{server} needs a new certificate, or the clock of this machine is wrong"),
            ),
            (
                "certificate not valid yet",
                format!("{server}'s certificate is too new, or the clock of this machine is wrong"),
            ),
            (
                "certificate not valid for name",
                format!("name {server} as its certificate does"),
            ),
        ];
        let mut about_server = about_server.into_iter();
        match about_server.find(|(text, _)| symptom.contains(text)) {
            Some((_, advice)) => Some(advice),
            None => self.advice_about_own(symptom, broke, now),
        }
    }

    /// With TLS 1.3 a server looks at our certificate when the connection is there for us already, and it may hang up without a word.
    fn advice_about_own(&self, symptom: &str, broke: bool, now: SystemTime) -> Option<String> {
        let (server, how) = (self.server, self.how_to_own);
        let is_said = is_about_certificate(symptom);
        // Which of the two it is depends on what the server has read of ours by then.
        let hung_up = symptom.contains("tls handshake eof")
            || (!broke && symptom.contains("Connection reset by peer"));
        let plain = || format!("if {server} speaks no TLS there: {}", self.how_to_go_plain);
        match self.own {
            _ if !(is_said || hung_up || broke) => None,
            Some(own) => match own.fault(now) {
                Some(fault) => Some(format!("our certificate {fault}")),
                None if is_said => {
                    let path = own.path.display();
                    Some(format!("{server} does not accept our certificate {path}"))
                }
                None => (hung_up && !self.answered).then(plain),
            },
            None if is_said => Some(format!(
                "{server} demands a client certificate, and none is given: {how}"
            )),
            None if self.answered => None,
            None if hung_up => Some(plain()),
            None => Some(format!(
                "{server} may demand a client certificate, and none is given: {how}"
            )),
        }
    }
}

/// Whether the other side said that it does not like our certificate.
fn is_about_certificate(symptom: &str) -> bool {
    let alert = symptom.split_once("received fatal alert: ");
    let about = ["Certificate", "UnknownCA", "AccessDenied", "DecryptError"];
    alert.is_some_and(|(_, alert)| about.iter().any(|one| alert.contains(one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Valid from 2026-01-01 on, for so many days.
    fn certificate(days: u16) -> OwnCertificate {
        let begin = rcgen::date_time_ymd(2026, 1, 1);
        let pem = |days: u16| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.not_before = begin;
            params.not_after = begin + Duration::from_secs(u64::from(days) * 86_400);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        // The one of the authority lives longer, and what is no certificate does not count.
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let text = pem(days) + &key + &pem(days + 1);
        OwnCertificate::parse(Path::new("c.pem"), text.as_bytes()).unwrap()
    }

    /// So many hours after 2026 began.
    fn time(hours: i64) -> SystemTime {
        let hours = 1_767_225_600 + hours * 3600;
        UNIX_EPOCH + Duration::from_secs(hours.try_into().unwrap())
    }

    #[test]
    fn a_certificate_is_valid_for_its_time() {
        let certificate = certificate(90);
        let fault = |hours| certificate.fault(time(hours));
        let early = "c.pem is not valid before Jan  1 00:00:00 2026 +00:00, or the clock of this machine is wrong";
        assert_eq!(fault(-1).as_deref(), Some(early));
        assert_eq!((fault(1), fault(90 * 24 - 1)), (None, None));
        let late = "c.pem expired on Apr  1 00:00:00 2026 +00:00";
        assert_eq!(fault(90 * 24 + 1).as_deref(), Some(late));
        assert!(OwnCertificate::parse(Path::new("c.pem"), b"text").is_none());
    }

    #[test]
    fn people_are_told_before_the_end() {
        let check = |days: u16, told_at: i64| {
            let certificate = certificate(days);
            let warning = |hours| certificate.warning(time(hours));
            assert_eq!(warning(told_at - 1), None, "{days} days");
            let text = warning(told_at + 1).unwrap();
            assert!(text.starts_with("c.pem expires on "), "{text}");
            let text = warning(i64::from(days) * 24 + 1).unwrap();
            assert!(text.starts_with("c.pem expired on "), "{text}");
        };
        check(365, (365 - 14) * 24);
        check(90, (90 - 9) * 24);
        check(10, 9 * 24);
    }

    #[test]
    fn nothing_is_advised_that_has_nothing_to_do_with_certificates() {
        let advice = |symptom, broke, answered| {
            let sides = Sides {
                server: "etcd",
                own: None,
                how_to_own: "give one",
                how_to_go_plain: "write http://",
                answered,
            };
            sides.advice(symptom, broke, time(0))
        };
        assert_eq!(advice("Connection refused", false, false), None);
        let hung_up = "Connection reset by peer";
        let may = "etcd may demand a client certificate, and none is given: give one";
        assert_eq!(advice(hung_up, true, false).as_deref(), Some(may));
        assert_eq!(advice(hung_up, true, true), None, "it was let in before");
        let plain = "if etcd speaks no TLS there: write http://";
        for hung_up in [hung_up, "tls handshake eof"] {
            assert_eq!(advice(hung_up, false, false).as_deref(), Some(plain));
        }
        let alert = "received fatal alert: ProtocolVersion";
        assert_eq!(advice(alert, false, false), None);
    }
}
