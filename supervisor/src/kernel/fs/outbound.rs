//! What whoever asks a server elsewhere says, and gets. `net` carries it out, by the one process that may; the kernel to
//! the left of it knows this much.
//!
//! ```text
//! let request = Outgoing::get(Caller::Kernel("install"), "https://api.github.com/…", hosts);
//! let mut answer = fs.outbound()?.fetch(request, None).await?;
//! while let Some(bytes) = answer.body.next().await? { … }
//! ```
//! Dropping the answer, or the future before there is one, gives the request up. The bytes are hostile; how many they
//! are at most, and how long it takes at most, was said in the request.

use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::egress::limits::{APP_BYTES_MAX, APP_WALL_MS_MAX};
pub use fazt_ipc::egress::{Cache, Fault, FaultKind, Field, Head, Redirect};
use fazt_ipc::ids::AppId;
use futures_util::future::BoxFuture;

use crate::kernel::security::Principal;

/// Who asks. Connections, and answers that are kept, are nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// An app, for somebody.
    App(AppId, Principal),
    /// The kernel itself, for this purpose.
    Kernel(&'static str),
}

/// A request. What it asks for beyond the bounds of `fazt_ipc::egress::limits` it does not get.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Who asks.
    pub caller: Caller,
    /// Method.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header fields.
    pub fields: Vec<Field>,
    /// Hosts that it may go to, also by redirects: `api.github.com`, `*.example.org`.
    pub hosts: Vec<String>,
    /// What becomes of redirects.
    pub redirect: Redirect,
    /// What kept answers are good for.
    pub cache: Cache,
    /// A compressed body comes decompressed.
    pub decode: bool,
    /// Most bytes of the answer's body, at most
    /// [`KERNEL_BYTES_MAX`](fazt_ipc::egress::limits::KERNEL_BYTES_MAX).
    pub bytes_max: u64,
    /// From now to the last byte of the answer.
    pub wall: Duration,
}

impl Outgoing {
    /// A GET without anything, within the bounds of an app.
    #[must_use]
    pub fn get(caller: Caller, url: impl Into<String>, hosts: Vec<String>) -> Self {
        Self {
            caller,
            method: "GET".into(),
            url: url.into(),
            fields: Vec::new(),
            hosts,
            redirect: Redirect::Follow,
            cache: Cache::Default,
            decode: true,
            bytes_max: APP_BYTES_MAX,
            wall: Duration::from_millis(APP_WALL_MS_MAX.into()),
        }
    }

    /// With a header field that may go to every origin.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into(), secret: false });
        self
    }

    /// With a header field, such as a token, that goes to the first origin only.
    #[must_use]
    pub fn secret(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into(), secret: true });
        self
    }
}

/// The body of a request broke off: nothing of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenOff;

/// The body of a request, asked for as the server takes it.
pub trait Sending: Send {
    /// The next bytes; none: that was all.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BrokenOff>>;
}

/// A body that is at hand.
impl Sending for Option<Bytes> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BrokenOff>> {
        Box::pin(std::future::ready(Ok(self.take())))
    }
}

/// The body of an answer, as it comes.
pub trait Receiving: Send {
    /// The next bytes, never empty; none: that was all of it.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Fault>>;
}

/// An answer.
pub struct Answered {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Box<dyn Receiving>,
}

impl Answered {
    /// The whole body. Not for more than memory can hold: it is bounded by what the request says.
    ///
    /// # Errors
    /// When it breaks off or is over a bound.
    pub async fn whole(mut self) -> Result<Vec<u8>, Fault> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.body.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }
}

/// Asks servers elsewhere.
pub trait Outbound: Send + Sync {
    /// Sends a request; returns when the answer begins.
    fn fetch(
        &self,
        request: Outgoing,
        body: Option<Box<dyn Sending>>,
    ) -> BoxFuture<'static, Result<Answered, Fault>>;

    /// Writes down that a request was refused before it was sent, and why: `url` is as the app wrote it.
    fn refused(&self, caller: Caller, method: &str, url: &str, why: &str);
}
