//! The control socket: a file that only the server's user and group can open, and a look at who did. Both,
//! because a folder's mode is easily changed by hand.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::kernel::security::{Peer, Server, admit};
use crate::limits::{CONTROL_CONNECTIONS_MAX, CONTROL_LINGER};

/// So much is taken from a peer that is refused.
const REFUSED_BYTES_MAX: usize = 64 * 1024;

const REFUSAL: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"permission_denied\",\"message\":\"you may not command this server\",\
    \"hint\":\"use the user who started it, its group, or root\"}}";

/// The listening control socket.
pub(crate) struct Socket {
    listener: UnixListener,
    server: Server,
    places: Arc<Semaphore>,
}

/// Makes the socket; one that an earlier server left behind is replaced. Whoever calls holds the lock of the
/// data folder, so no other server listens on it.
///
/// # Errors
/// When the folder cannot be used.
pub(crate) fn bind(path: &Path) -> io::Result<Socket> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    let folder = path.parent().unwrap_or(path);
    let uid = rustix::process::getuid().as_raw();
    let gid = std::fs::metadata(folder)?.gid();
    let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
    Ok(Socket { listener, server: Server { uid, gid: Some(gid) }, places })
}

impl axum::serve::Listener for Socket {
    type Io = Admitted;
    type Addr = ();

    async fn accept(&mut self) -> (Admitted, ()) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                std::future::pending().await
            };
            match self.listener.accept().await {
                Ok((stream, _)) if self.admits(&stream) => return (Admitted { stream, _place: place }, ()),
                Ok((stream, _)) => {
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(CONTROL_LINGER, refuse(stream)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears the head of what the peer asks, says why it is refused, and takes the rest. An answer that came before
/// its question would not be read, and closed with something unread, the connection would be reset before the
/// peer has the reason.
async fn refuse(mut stream: UnixStream) -> io::Result<()> {
    let mut heard = Vec::new();
    let mut piece = [0; 1024];
    let mut answered = false;
    while heard.len() < REFUSED_BYTES_MAX {
        let bytes = stream.read(&mut piece).await?;
        heard.extend_from_slice(&piece[..bytes]);
        if !answered && (bytes == 0 || heard.windows(4).any(|end| end == b"\r\n\r\n")) {
            answered = true;
            stream.write_all(REFUSAL).await?;
            stream.shutdown().await?;
        }
        if bytes == 0 {
            break;
        }
    }
    Ok(())
}

impl Socket {
    fn admits(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        match admit(Peer { uid: peer.uid(), gid: peer.gid() }, self.server) {
            Ok(_admin) => true,
            Err(refused) => {
                tracing::warn!(%refused, "the control socket");
                false
            }
        }
    }
}

/// A connection whose peer may command the server.
pub(crate) struct Admitted {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
