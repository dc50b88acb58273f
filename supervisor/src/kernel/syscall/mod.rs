//! Answers the calls of workers.
//!
//! `proc` hands over calls that are decoded and legal on their stream; everything in them is still an app's
//! word. What the caller may see follows from the release that its worker was given, never from the call.
//!
//! | task | file |
//! |---|---|
//! | answer a new call | [`Desk::answer`], which matches the table of `fazt_ipc::syscall` exhaustively |
//! | `fazt.storage` | `storage.rs` |
//! | how often an app may call | `rate.rs` |

mod fetch;
mod files;
mod rate;
mod storage;

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::syscall::{Call, CallError, Reply};
use futures_util::future::BoxFuture;

use super::fs::Release;
use super::security::Actor;

pub use rate::Rate;

/// The outcome of a call.
pub enum Answer {
    /// A value, no bytes.
    Reply(Reply),
    /// A value, and bytes to follow.
    Bytes(Reply, Box<dyn Source>),
}

/// Bytes that follow an answer, read as the worker takes them.
pub trait Source: Send {
    /// The next bytes, at most `bytes_max`; empty at the end.
    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>>;
}

/// Whoever answers the calls of one worker.
pub trait Calls: Send + Sync {
    /// Answers a call of a worker that acts for `actor`.
    fn answer(&self, actor: Actor, call: Call) -> BoxFuture<'static, Result<Answer, CallError>>;
}

/// The kernel's answers for the workers of one release.
pub struct Desk {
    release: Arc<Release>,
}

impl Desk {
    /// For workers that run this release.
    #[must_use]
    pub fn new(release: Arc<Release>) -> Self {
        Self { release }
    }
}

impl Calls for Desk {
    fn answer(&self, actor: Actor, call: Call) -> BoxFuture<'static, Result<Answer, CallError>> {
        let release = Arc::clone(&self.release);
        Box::pin(async move {
            match call {
                Call::FsRead { path } => files::read(release, &path).await,
                Call::FsList { path } => files::list(&release, path.as_deref().unwrap_or("")).await,
                Call::FsStat { path } => files::stat(&release, &path).await,
                Call::NetFetch { url, .. } => Err(fetch::refuse(&release.name, &url)),
                call => storage::answer(release.data(), actor, call).await,
            }
        })
    }
}
