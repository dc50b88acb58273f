//! The client side of the control API: JSON over HTTP/1.1 on `run/control.sock`, or to a server elsewhere. The server
//! is trusted to be the server (only its user can make the socket, only it has the certificate); texts in its
//! answers come from apps and are not.
//!
//! | task | file |
//! |---|---|
//! | where a server is | `place.rs` |
//! | the way to one elsewhere | `remote.rs` |
//! | what a request carries | `body.rs` |

mod body;
mod place;
mod remote;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Mutex;

use fazt_ipc::control::{ErrorKind, Failed, Problem};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::data;
use crate::error::{Done, failed, invalid, problem};
use body::Outgoing;
use place::Place;
use remote::Stream;

pub(crate) use place::{Remote, Url};
pub(crate) use remote::look_up;

/// Largest answer that is read whole; answers that may be larger are streamed.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest line of a streamed answer.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A connection to one server.
pub(crate) struct Client {
    place: Place,
    idle: Mutex<Option<SendRequest<Outgoing>>>,
}

impl Client {
    /// A client of the server of a data folder; connects when first used.
    pub(crate) fn here(data: &Path) -> Self {
        Self { place: Place::Here(data::socket(data)), idle: Mutex::new(None) }
    }

    /// A client of a server elsewhere; connects when first used.
    pub(crate) fn there(remote: Remote) -> Self {
        Self { place: Place::There(remote), idle: Mutex::new(None) }
    }

    /// The server is one of this machine, and what is to be done is done on it.
    ///
    /// # Errors
    /// When it is elsewhere; `what` is the command.
    pub(crate) fn only_here(&self, what: &str) -> Done {
        match &self.place {
            Place::Here(_) => Ok(()),
            Place::There(remote) => Err(not_there(what, &remote.url.to_string())),
        }
    }

    /// Whether the server is elsewhere.
    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Whose process listens on the socket.
    pub(crate) async fn server_pid(&self) -> Done<Option<i32>> {
        let Place::Here(socket) = &self.place else { return Ok(None) };
        let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))?;
        Ok(stream.peer_cred().ok().and_then(|peer| peer.pid()))
    }

    /// The launcher's process, as it wrote it into the lock that it holds while it lives. None where the file
    /// is not ours to read.
    pub(crate) fn launcher_pid(&self) -> Option<i32> {
        let Place::Here(socket) = &self.place else { return None };
        let mut text = String::new();
        // A number; more is not it.
        File::open(socket.with_file_name("lock")).ok()?.take(16).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// `GET`, answered by JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Done<T> {
        self.ask(Method::GET, path, Outgoing::empty()).await
    }

    /// `POST` without a body, answered by JSON.
    pub(crate) async fn order<T: DeserializeOwned>(&self, path: &str) -> Done<T> {
        self.ask(Method::POST, path, Outgoing::empty()).await
    }

    /// `POST` of JSON, answered by JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Done<T> {
        let body = serde_json::to_vec(body).map_err(|error| failed(format!("cannot write JSON: {error}")))?;
        self.ask(Method::POST, path, Outgoing::Whole(Some(body.into()))).await
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Done {
        self.ask::<serde_json::Value>(Method::DELETE, path, Outgoing::empty()).await.map(|_| ())
    }

    /// `PUT` of the `bytes` bytes of a file.
    pub(crate) async fn upload(&self, path: &str, file: File, bytes: u64) -> Done {
        let body = Outgoing::File { file, left: bytes };
        self.ask::<serde_json::Value>(Method::PUT, path, body).await.map(|_| ())
    }

    /// `GET`, answered by bytes that are handed on as they come.
    pub(crate) async fn download(&self, path: &str, take: impl FnMut(&[u8]) -> Done) -> Done {
        self.pieces(Method::GET, path, Outgoing::empty(), take).await
    }

    async fn pieces(
        &self,
        method: Method,
        path: &str,
        body: Outgoing,
        mut take: impl FnMut(&[u8]) -> Done,
    ) -> Done {
        let (response, sender) = self.send(method, path, body).await?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() {
                take(&data)?;
            }
        }
        self.keep(sender);
        Ok(())
    }

    /// `GET`, answered by newline-separated JSON that is handed on as it comes.
    pub(crate) async fn lines<T: DeserializeOwned>(&self, path: &str, take: impl FnMut(T) -> Done) -> Done {
        self.pieces(Method::GET, path, Outgoing::empty(), cut(take)).await
    }

    /// `POST` of JSON, answered by newline-separated JSON that is handed on as it comes.
    pub(crate) async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        take: impl FnMut(T) -> Done,
    ) -> Done {
        let body = serde_json::to_vec(body).map_err(|error| failed(format!("cannot write JSON: {error}")))?;
        self.pieces(Method::POST, path, Outgoing::Whole(Some(body.into())), cut(take)).await
    }

    async fn connect(&self) -> Done<Box<dyn Stream>> {
        match &self.place {
            Place::Here(socket) => match UnixStream::connect(socket).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(unreachable(socket, &error)),
            },
            Place::There(remote) => remote::connect(&remote.url).await,
        }
    }

    /// A connection that is free, else a new one. One that broke while idle is noticed before anything is sent.
    async fn sender(&self) -> Done<SendRequest<Outgoing>> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.take());
        if let Some(mut sender) = idle
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = self.connect().await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(async move {
            // What ends a connection is reported by the request that was on it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Keeps a connection for the next request. Only one whose answer was read to its end: another request
    /// would wait for that.
    fn keep(&self, sender: SendRequest<Outgoing>) {
        if let Ok(mut idle) = self.idle.lock() {
            *idle = Some(sender);
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Outgoing) -> Done<T> {
        let (response, sender) = self.send(method, path, body).await?;
        let bytes = whole(response.into_body()).await?;
        self.keep(sender);
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Outgoing,
    ) -> Done<(Response<Incoming>, SendRequest<Outgoing>)> {
        let mut sender = self.sender().await?;
        let mut request = Request::builder().method(method).uri(path);
        match &self.place {
            Place::Here(_) => request = request.header(HOST, "fazt"),
            Place::There(remote) => {
                request = request
                    .header(HOST, remote.url.authority())
                    .header(USER_AGENT, concat!("fazt/", env!("CARGO_PKG_VERSION")));
                if !remote.token.is_empty() {
                    let bearer = HeaderValue::try_from(format!("Bearer {}", remote.token));
                    let mut bearer =
                        bearer.map_err(|_| invalid("the token is not one", "fazt_…, on one line"))?;
                    bearer.set_sensitive(true);
                    request = request.header(AUTHORIZATION, bearer);
                }
            }
        }
        if let Outgoing::Whole(Some(_)) = body {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(body).map_err(|error| failed(format!("cannot ask for {path}: {error}")))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok((response, sender));
        }
        let status = response.status();
        let bytes = whole(response.into_body()).await?;
        Err(match (serde_json::from_slice::<Failed>(&bytes), &self.place) {
            (Ok(failed), Place::There(remote)) if status == StatusCode::UNAUTHORIZED => Problem {
                message: match remote.token.as_str() {
                    "" => format!("{} wants a token", remote.url),
                    _ => format!("{} does not take this token: it is not one, or worthless by now", remote.url),
                },
                hint: "make one on the server: fazt security token new --scope admin; save it with fazt host add, or \
                       put it into FAZT_TOKEN"
                    .into(),
                ..failed.error
            },
            (Ok(failed), _) => failed.error,
            (Err(_), Place::There(remote)) if status == StatusCode::MISDIRECTED_REQUEST => problem(
                ErrorKind::NotFound,
                format!("the server at {} does not go by this name", remote.url),
                "use the address that fazt proc status shows on the server",
            ),
            (Err(_), Place::There(remote)) => problem(
                ErrorKind::Failed,
                format!("what answers at {} is no Fazt, or another version of it: {status}", remote.url),
                "",
            ),
            (Err(_), Place::Here(_)) => failed(format!("the server answered {status} without saying why")),
        })
    }

    fn broken(&self, error: &hyper::Error) -> Problem {
        use std::error::Error as _;
        // The reason why our own side stopped sending (a file that changed) is inside.
        let inner = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match inner {
            Some(inner) if error.is_user() => failed(inner.to_string()),
            _ => problem(
                ErrorKind::Unreachable,
                format!("the connection to the server broke: {error}"),
                "fazt proc status tells whether it is still there",
            ),
        }
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> Problem {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem(
            ErrorKind::PermissionDenied,
            format!("you may not speak to the server at {socket}"),
            "run the command as root, as the user who runs the server, or as a member of the group fazt",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => problem(
            ErrorKind::Unreachable,
            format!("no server runs on this data folder: nothing answers at {socket}"),
            "fazt proc start, name another folder with --data, or a server elsewhere with --host",
        ),
        _ => problem(ErrorKind::Unreachable, format!("cannot reach the server at {socket}: {error}"), ""),
    }
}

/// Cuts bytes into lines of JSON.
fn cut<T: DeserializeOwned>(mut take: impl FnMut(T) -> Done) -> impl FnMut(&[u8]) -> Done {
    let mut held = Vec::new();
    move |mut bytes| {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            held.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut held);
            if !line.is_empty() {
                take(serde_json::from_slice(&line).map_err(|error| unreadable(&error))?)?;
            }
        }
        held.extend_from_slice(bytes);
        if held.len() > LINE_BYTES_MAX {
            return Err(failed("the server sent a line that is too long"));
        }
        Ok(())
    }
}

/// A command that is not for a server elsewhere.
pub(crate) fn not_there(what: &str, host: &str) -> Problem {
    invalid(
        format!("{what} works on the machine of the server, not from elsewhere"),
        format!("run it there, without --host; FAZT_HOST and --host name {host} now"),
    )
}

fn unreadable(error: &serde_json::Error) -> Problem {
    problem(
        ErrorKind::Failed,
        format!("the server's answer is not what this version of fazt expects: {error}"),
        "use the fazt that started the server: fazt proc status tells its version",
    )
}

async fn whole(body: Incoming) -> Done<Bytes> {
    let limited = http_body_util::Limited::new(body, ANSWER_BYTES_MAX);
    let collected = limited.collect().await.map_err(|error| {
        problem(ErrorKind::Unreachable, format!("the server's answer broke off: {error}"), "")
    })?;
    Ok(collected.to_bytes())
}

/// A text as one part of a path or query.
pub(crate) fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_cannot_leave_it() {
        assert_eq!(part("notes-1"), "notes-1");
        assert_eq!(part("../a b?c#ü"), "..%2Fa%20b%3Fc%23%C3%BC");
    }
}
