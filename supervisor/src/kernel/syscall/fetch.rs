//! The global `fetch`: whether the app may reach the host, secrets that it does not see filled in, and the answer as it
//! comes. Everything else about a request, and where it is led, is checked by the process that sends it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::egress::limits::{APP_BYTES_MAX, APP_WALL_MS_MAX};
use fazt_ipc::egress::reaches;
use fazt_ipc::syscall::{CallError, ErrorCode, FetchReply, Reply};
use futures_util::future::BoxFuture;
use url::{Host, Url};

use super::{Answer, Broken, Source, Upload, grant};
use crate::kernel::fs::Release;
use crate::kernel::fs::outbound::{
    BrokenOff, Cache, Caller, Fault, FaultKind, Field, Outgoing, Receiving, Redirect, Sending,
};
use crate::kernel::security::{Actor, Permission};

/// Longest host name that DNS allows.
const HOST_BYTES_MAX: usize = 253;
/// Values of header fields after secrets were filled in.
const FILLED_BYTES_MAX: usize = fazt_ipc::egress::limits::FIELDS_BYTES_MAX;

/// What an app asks for.
pub(super) struct Wanted {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) redirect: Redirect,
    pub(super) cache: Cache,
}

/// Answers a `fetch`.
pub(super) async fn answer(
    release: Arc<Release>,
    actor: Actor,
    wanted: Wanted,
    upload: Box<dyn Upload>,
) -> Result<Answer, CallError> {
    let Wanted { method, url, fields, redirect, cache } = wanted;
    let Some(outbound) = release.outbound() else {
        return Err(CallError::new(ErrorCode::Unavailable, "this server opens no connections to elsewhere"));
    };
    let caller = Caller::App(actor.app(), actor.principal());
    let refused = |error: CallError| {
        outbound.refused(caller, &method, &url, &error.message);
        error
    };
    let Some(host) = host(&url) else {
        let message = "fetch needs an absolute http or https URL";
        return Err(refused(CallError::new(ErrorCode::InvalidArgument, message)));
    };
    let leave = Leave { permission: Permission::Net(host.clone()), release: Arc::clone(&release) };
    leave.holds().map_err(refused)?;
    let fields = fill(&release, &host, fields).map_err(refused)?;
    let outgoing = Outgoing {
        caller,
        method: method.clone(),
        url: url.clone(),
        fields,
        hosts: release.hosts(),
        redirect,
        cache,
        decode: true,
        bytes_max: APP_BYTES_MAX,
        wall: Duration::from_millis(APP_WALL_MS_MAX.into()),
    };
    let body: Option<Box<dyn Sending>> = match method.as_str() {
        "GET" | "HEAD" => None,
        _ => first(leave.clone(), upload).await?.map(|body| Box::new(body) as Box<dyn Sending>),
    };
    let answered = outbound.fetch(outgoing, body).await.map_err(|fault| error(&release, fault))?;
    let head = answered.head;
    let reply =
        FetchReply { status: head.status, url: head.url, redirected: head.redirected, fields: head.fields };
    let source = Coming { body: answered.body, leave, held: Bytes::new() };
    Ok(Answer::Bytes(Reply::NetFetch(reply), Box::new(source)))
}

/// Host of an absolute URL, in the form that hosts are granted in.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let host = match url.host()? {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    (!host.is_empty() && host.len() <= HOST_BYTES_MAX).then_some(host)
}

/// `{{NAME}}` in a value becomes the secret of that name, if the app declares one and it is for this host.
fn fill(release: &Release, host: &str, fields: Vec<(String, Vec<u8>)>) -> Result<Vec<Field>, CallError> {
    let mut bytes = 0;
    let filled = fields.into_iter().map(|(name, value)| {
        let (value, secret) = fill_one(release, host, &value)?;
        bytes += name.len() + value.len();
        if bytes > FILLED_BYTES_MAX {
            let message =
                format!("the header of the request is over {FILLED_BYTES_MAX} bytes with its secrets");
            return Err(CallError::new(ErrorCode::TooLarge, message));
        }
        Ok(Field { name, value: value.into_owned(), secret })
    });
    filled.collect()
}

fn fill_one<'a>(release: &Release, host: &str, value: &'a [u8]) -> Result<(Cow<'a, [u8]>, bool), CallError> {
    let (mut out, mut rest, mut secret) = (Vec::new(), value, false);
    while let Some((before, name, after)) = placeholder(rest) {
        out.extend_from_slice(before);
        let declared = release.manifest.env.iter().find(|variable| variable.name == name);
        match declared.filter(|variable| variable.secret || !variable.inject.is_empty()) {
            None => {
                // Nobody's placeholder: two braces that the app means.
                out.extend_from_slice(b"{{");
                rest = &rest[before.len() + 2..];
                continue;
            }
            Some(variable) if !variable.inject.is_empty() && !reaches(&variable.inject, host) => {
                let message = format!(
                    "the secret {name} is not for {host}: app.json names its hosts under env[].inject ({})",
                    variable.inject.join(", ")
                );
                return Err(CallError {
                    code: ErrorCode::PermissionDenied,
                    message,
                    permission: String::new(),
                });
            }
            Some(_) => {}
        }
        let found = release.secret(name).map_err(|error| {
            tracing::error!(%error, app = release.name, "a secret cannot be read");
            CallError::new(
                ErrorCode::Internal,
                format!("the secret {name} cannot be read; the server's log says why"),
            )
        })?;
        let Some(found) = found else {
            let app = &release.name;
            let message = format!("the secret {name} is not set. Set it: fazt app env {app} set {name}");
            return Err(CallError::new(ErrorCode::Unavailable, message));
        };
        out.extend_from_slice(found.as_bytes());
        secret = true;
        rest = after;
    }
    if out.is_empty() && !secret {
        return Ok((Cow::Borrowed(value), false));
    }
    out.extend_from_slice(rest);
    Ok((Cow::Owned(out), secret))
}

/// The first `{{NAME}}`: what is before it, the name, what is behind it.
fn placeholder(value: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let mut from = 0;
    while let Some(at) = value[from..].windows(2).position(|two| two == b"{{").map(|at| at + from) {
        let inner = &value[at + 2..];
        if let Some(end) = inner.windows(2).position(|two| two == b"}}")
            && let Ok(name) = std::str::from_utf8(inner[..end].trim_ascii())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Some((&value[..at], name, &inner[end + 2..]));
        }
        from = at + 1;
    }
    None
}

/// What a fault means to the app.
fn error(release: &Release, fault: Fault) -> CallError {
    let code = match fault.kind {
        FaultKind::Host => {
            let permission = Permission::Net(fault.host);
            let asked = release.asks_for(&permission);
            return CallError {
                code: ErrorCode::PermissionDenied,
                message: permission.lacking(&release.name, asked),
                permission: permission.to_string(),
            };
        }
        FaultKind::Address => ErrorCode::PermissionDenied,
        FaultKind::Invalid => ErrorCode::InvalidArgument,
        FaultKind::TooLarge => ErrorCode::TooLarge,
        FaultKind::Name
        | FaultKind::Connect
        | FaultKind::Tls
        | FaultKind::Protocol
        | FaultKind::Encoding
        | FaultKind::Redirect
        | FaultKind::Late
        | FaultKind::Busy
        | FaultKind::NotCached
        | FaultKind::Cancelled
        | FaultKind::Gone => ErrorCode::Unavailable,
    };
    CallError::new(code, fault.to_string())
}

/// The permission that a request was begun with. It can be taken away before the request has ended, and nothing more
/// goes either way then.
#[derive(Clone)]
struct Leave {
    permission: Permission,
    release: Arc<Release>,
}

impl Leave {
    fn holds(&self) -> Result<(), CallError> {
        grant::need(&self.release, &self.permission)
    }
}

/// What follows the call, if anything does: an upload that ends at once is no body.
async fn first(leave: Leave, mut upload: Box<dyn Upload>) -> Result<Option<Following>, CallError> {
    match upload.next().await {
        Ok(Some(first)) => Ok(Some(Following { first: Some(first), leave, upload })),
        Ok(None) => Ok(None),
        Err(Broken) => Err(CallError::new(ErrorCode::Unavailable, "the body of the request broke off")),
    }
}

/// The body of a request, as the worker sends it.
struct Following {
    first: Option<Bytes>,
    leave: Leave,
    upload: Box<dyn Upload>,
}

impl Sending for Following {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BrokenOff>> {
        Box::pin(async move {
            match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => {
                    let next = self.upload.next().await.map_err(|Broken| BrokenOff)?;
                    self.leave.holds().map(|()| next).map_err(|_| BrokenOff)
                }
            }
        })
    }
}

/// The body of an answer, as the worker takes it.
struct Coming {
    body: Box<dyn Receiving>,
    leave: Leave,
    held: Bytes,
}

impl Source for Coming {
    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>> {
        Box::pin(async move {
            if self.held.is_empty() {
                let next = self.body.next().await;
                self.held = next.map_err(|fault| error(&self.leave.release, fault))?.unwrap_or_default();
                self.leave.holds()?;
            }
            Ok(self.held.split_to(self.held.len().min(bytes_max as usize)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_browsers_do() {
        for url in ["", "x", "ftp://a/", "https://", "https://a b/", "http://\u{1b}[31m/", "/x"] {
            assert_eq!(host(url), None, "{url:?}");
        }
        for (url, expect) in [
            ("http://[::1]:80/", "::1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://A.Example./", "a.example"),
            ("https://b\u{fc}cher.example/", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(url).as_deref(), Some(expect), "{url}");
        }
    }

    #[test]
    fn placeholders_are_names_in_braces_and_nothing_else() {
        for (value, expect) in [
            ("Bearer {{KEY}}", Some(("Bearer ", "KEY", ""))),
            ("{{ A_1 }}b", Some(("", "A_1", "b"))),
            ("{{{KEY}}", Some(("{", "KEY", ""))),
            ("{{a b}}{{C}}", Some(("{{a b}}", "C", ""))),
            ("{{KEY}", None),
            ("{{}}", None),
            ("{KEY}", None),
            ("", None),
            ("{{", None),
        ] {
            let found = placeholder(value.as_bytes());
            let expect = expect.map(|(before, name, after)| (before.as_bytes(), name, after.as_bytes()));
            assert_eq!(found, expect, "{value}");
        }
    }
}
