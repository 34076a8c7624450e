//! Tells systemd, or whoever else gave a `NOTIFY_SOCKET`, how this process is: ready, alive, reloading, ending.

use crate::settings::Environment;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Units that come after this one find their keys, but no boot hangs because etcd is away.
const READY_AFTER: Duration = Duration::from_secs(10);

/// Who is told, if anybody.
#[derive(Debug)]
pub struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear.
    interval: Option<Duration>,
    next: Option<Instant>,
    ready_by: Option<Instant>,
    status: String,
}

impl Supervisor {
    /// Whoever the environment names.
    pub fn of(environment: &Environment) -> Supervisor {
        let now = Instant::now();
        let text = |name: &str| {
            environment
                .get(name)
                .map(|it| it.to_string_lossy().into_owned())
        };
        let to = text("NOTIFY_SOCKET").and_then(|path| {
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(&path).ok()?,
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        let pid = std::process::id().to_string();
        let is_ours = text("WATCHDOG_PID").is_none_or(|own| own == pid);
        let usec = text("WATCHDOG_USEC").filter(|_| is_ours && to.is_some());
        let interval = usec.and_then(|usec| usec.parse().ok());
        let interval = interval.map(|usec| Duration::from_micros(usec) / 2);
        Supervisor {
            interval,
            next: interval.map(|_| now),
            ready_by: to.is_some().then(|| now + READY_AFTER),
            to,
            status: String::new(),
        }
    }

    /// When it wants to hear next.
    pub fn due(&self) -> Option<Instant> {
        [self.next, self.ready_by].into_iter().flatten().min()
    }

    /// Whether anybody listens.
    pub fn listens(&self) -> bool {
        self.to.is_some()
    }

    /// The event loop goes round: says what is due.
    pub fn turn(&mut self, now: Instant, settled: bool, status: &str) {
        if self.ready_by.is_some_and(|by| settled || by <= now) {
            self.ready_by = None;
            self.tell("READY=1");
        }
        if self.status != status {
            self.status = status.to_owned();
            self.tell(&format!("STATUS={status}"));
        }
        if let Some(interval) = self
            .interval
            .filter(|_| self.next.is_some_and(|at| at <= now))
        {
            self.next = Some(now + interval);
            self.tell("WATCHDOG=1");
        }
    }

    /// Files are read again.
    pub fn reloads(&self) {
        self.tell("RELOADING=1");
        self.tell("READY=1");
    }

    /// The end has begun.
    pub fn stops(&self) {
        self.tell("STOPPING=1");
    }

    /// Nobody waits for it: what it does not take is lost.
    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut all = Vec::new();
        let mut bytes = [0; 200];
        while let Ok(count) = socket.recv(&mut bytes) {
            all.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
        all
    }

    #[test]
    fn it_is_told_what_changes_and_that_the_loop_goes_round() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let variables = [
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "20000000"),
        ];
        let mut told = Supervisor::of(&environment(&variables));
        let now = Instant::now();
        told.turn(now, false, "waiting");
        assert_eq!(heard(&socket), ["STATUS=waiting", "WATCHDOG=1"]);
        told.turn(now, true, "in sync");
        assert_eq!(heard(&socket), ["READY=1", "STATUS=in sync"]);
        told.turn(now + Duration::from_secs(9), true, "in sync");
        assert_eq!(heard(&socket), [""; 0]);
        told.turn(now + Duration::from_secs(10), true, "in sync");
        assert_eq!(heard(&socket), ["WATCHDOG=1"]);
        told.reloads();
        told.stops();
        assert_eq!(heard(&socket), ["RELOADING=1", "READY=1", "STOPPING=1"]);
    }

    #[test]
    fn it_is_ready_after_a_while_whatever_is_away() {
        let name = format!("kontena-registrator-test-{}", std::process::id());
        let path = format!("@{name}");
        let variables = [("NOTIFY_SOCKET", path.as_str())];
        let name = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&name).unwrap();
        let mut told = Supervisor::of(&environment(&variables));
        let due = told.due().unwrap();
        told.turn(due, false, "");
        assert_eq!(heard(&socket), ["READY=1"]);
        assert_eq!(told.due(), None, "and nobody is woken for it any more");
    }

    #[test]
    fn nobody_is_told_without_a_socket() {
        let variables = [("WATCHDOG_USEC", "20000000")];
        let told = Supervisor::of(&environment(&variables));
        assert_eq!((told.due(), told.listens()), (None, false));
    }
}
