//! Asks a running registrator over its unix socket.

use crate::admin::SocketPlace;
use crate::settings::{AdminSocket, Environment, SocketSettings};
use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long a registrator may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const MOST_BYTES: usize = 64 << 20;

/// What is the same below each folder.
const SOCKET: &str = "kontena-registrator/admin.sock";

/// Where the socket is, or may be.
pub(super) fn place(settings: &SocketSettings, environment: &Environment) -> SocketPlace {
    match &settings.admin_socket {
        Some(AdminSocket::Off) => SocketPlace::Nowhere,
        Some(AdminSocket::At(path)) => SocketPlace::At(path.clone()),
        None => {
            let own = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
            let folders = [Some(PathBuf::from("/run")), own].into_iter().flatten();
            SocketPlace::AnyOf(folders.map(|folder| folder.join(SOCKET)).collect())
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct SocketAnswer {
    pub(super) status: u16,
    pub(super) text: String,
}

/// Asks, and waits for the answer. `None` if nobody is there to be asked.
pub(super) fn ask(
    place: &SocketPlace,
    method: &str,
    path: &str,
    accept: &str,
) -> anyhow::Result<Option<SocketAnswer>> {
    let paths = match place {
        SocketPlace::Nowhere => return Ok(None),
        SocketPlace::At(path) => std::slice::from_ref(path),
        SocketPlace::AnyOf(paths) => paths.as_slice(),
    };
    super::runtime()?.block_on(async {
        for socket in paths {
            match UnixStream::connect(socket).await {
                Ok(stream) => {
                    let asked = send(stream, method, path, accept);
                    let answer = tokio::time::timeout(PATIENCE, asked).await;
                    let answer =
                        answer.unwrap_or_else(|_| Err(anyhow!("no answer within {PATIENCE:?}")));
                    let answer = answer
                        .with_context(|| format!("the registrator at {}", socket.display()))?;
                    return Ok(Some(answer));
                }
                Err(error) if is_nobody(&error) => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "cannot ask at {}: may you write to this socket?",
                            socket.display()
                        )
                    });
                }
            }
        }
        Ok(None)
    })
}

/// The same, where somebody must be there.
pub(super) fn ask_running(
    place: &SocketPlace,
    method: &str,
    path: &str,
    accept: &str,
) -> anyhow::Result<SocketAnswer> {
    if let Some(answer) = ask(place, method, path, accept)? {
        return Ok(answer);
    }
    match place {
        SocketPlace::Nowhere => {
            bail!("--admin-socket (KONTENA_REGISTRATOR_ADMIN_SOCKET) is off: nobody can be asked")
        }
        SocketPlace::At(path) => bail!(
            "no registrator answers at {}: does it run, and may you read its folder?",
            path.display()
        ),
        SocketPlace::AnyOf(paths) => {
            let paths: Vec<String> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            bail!(
                "no registrator answers at {}: does it run, and may you read its folder?",
                paths.join(" or ")
            )
        }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

async fn send(
    stream: UnixStream,
    method: &str,
    path: &str,
    accept: &str,
) -> anyhow::Result<SocketAnswer> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("accept", accept)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = http_body_util::Limited::new(answer.into_body(), MOST_BYTES);
    let body = body.collect().await.map_err(|error| anyhow!(error))?;
    connection.abort();
    Ok(SocketAnswer {
        status,
        text: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    })
}
