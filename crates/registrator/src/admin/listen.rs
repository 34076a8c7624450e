//! The unix socket and the TCP port of those who ask, and the limits on them.

use super::Asking;
use super::api::{self, Api};
use super::guard::Came;
use super::timed::Timed;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// How many connections there are at once.
const CONNECTIONS: usize = 64;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);

/// How many bytes it may have.
const HEAD_BYTES: usize = 8 * 1024;

/// How long the other side may take nothing of an answer.
const TAKING: Duration = Duration::from_secs(10);

/// The pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may do what with the folder of the socket, and with the socket: its owner and its group.
const FOLDER_MODE: u32 = 0o750;
const SOCKET_MODE: u32 = 0o660;

/// Where the unix socket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketPlace {
    /// Nowhere.
    Nowhere,
    /// There, and nowhere else.
    At(PathBuf),
    /// At the first of these that can be.
    AnyOf(Vec<PathBuf>),
}

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers there.
    #[error(
        "--admin-socket (KONTENA_REGISTRATOR_ADMIN_SOCKET) {0}: another process answers there; give this one another path, or off"
    )]
    InUse(PathBuf),
    /// It cannot be made.
    #[error("--admin-socket (KONTENA_REGISTRATOR_ADMIN_SOCKET) {0}: cannot make this socket")]
    Socket(PathBuf, #[source] io::Error),
    /// The port cannot be had.
    #[error("--admin-listen (KONTENA_REGISTRATOR_ADMIN_LISTEN) {0}: cannot listen there")]
    Port(SocketAddr, #[source] io::Error),
}

/// What is listened to. The file of the socket goes with it.
#[derive(Debug)]
pub struct Listeners {
    socket: Option<(UnixListener, PathBuf)>,
    port: Option<TcpListener>,
    /// Why there is no socket though one was looked for.
    pub without_socket: Option<String>,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Listens, and answers nobody yet.
///
/// # Errors
/// What was given cannot be had. Without a socket that was only looked for it goes on.
pub async fn bind(place: &SocketPlace, port: Option<SocketAddr>) -> Result<Listeners, ListenError> {
    let mut without_socket = None;
    let socket = match place {
        SocketPlace::Nowhere => None,
        SocketPlace::At(path) => Some((socket_at(path)?, path.clone())),
        SocketPlace::AnyOf(paths) => {
            let mut found = None;
            for path in paths {
                match socket_at(path) {
                    Ok(socket) => {
                        found = Some((socket, path.clone()));
                        break;
                    }
                    Err(error @ ListenError::InUse(_)) => {
                        without_socket = Some(error.to_string());
                        break;
                    }
                    Err(error) => {
                        without_socket = Some(crate::error_chain::error_chain(&error));
                    }
                }
            }
            found
        }
    };
    let port = match port {
        None => None,
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|error| ListenError::Port(address, error))?)
        }
    };
    Ok(Listeners {
        without_socket: without_socket.filter(|_| socket.is_none()),
        socket,
        port,
    })
}

/// A dead socket is replaced. One that answers is another process's.
fn socket_at(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |error| ListenError::Socket(path.into(), error);
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        let mut made = std::fs::DirBuilder::new();
        made.mode(FOLDER_MODE).create(folder).map_err(failed)?;
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(ListenError::InUse(path.into())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listener)
}

impl Listeners {
    /// Where it is asked, for people.
    pub fn places(&self) -> (Option<&Path>, Option<SocketAddr>) {
        let port = self.port.as_ref();
        (
            self.socket.as_ref().map(|(_, path)| path.as_path()),
            port.and_then(|port| port.local_addr().ok()),
        )
    }

    /// Answers for as long as this future is polled. `always` shows details also beyond the loopback.
    pub async fn serve(self, asking: Asking, names: Vec<String>, always: bool) {
        let api = Arc::new(Api::new(asking, names));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        tokio::join!(
            self.serve_socket(Arc::clone(&api), Arc::clone(&room)),
            self.serve_port(api, room, always)
        );
    }

    async fn serve_socket(&self, api: Arc<Api>, room: Arc<Semaphore>) {
        let Some((socket, _)) = &self.socket else {
            return;
        };
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = socket.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let uid = stream.peer_cred().ok().map(|peer| peer.uid());
            let api = Arc::clone(&api);
            tokio::spawn(async move {
                answer(stream, api, Came::Socket, uid).await;
                drop(place);
            });
        }
    }

    async fn serve_port(&self, api: Arc<Api>, room: Arc<Semaphore>, always: bool) {
        let Some(port) = &self.port else {
            return;
        };
        let is_loopback = port.local_addr().is_ok_and(|it| it.ip().is_loopback());
        let came = Came::Network {
            details: always || is_loopback,
        };
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = port.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let api = Arc::clone(&api);
            tokio::spawn(async move {
                answer(stream, api, came, None).await;
                drop(place);
            });
        }
    }
}

/// Answers one connection until it ends. What goes wrong with it concerns the other side alone.
async fn answer<S>(stream: S, api: Arc<Api>, came: Came, uid: Option<u32>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, std::convert::Infallible>(api::answer(&api, request, came, uid).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES);
    let io = TokioIo::new(Timed::new(stream, TAKING));
    let _ = http.serve_connection(io, service).await;
}
