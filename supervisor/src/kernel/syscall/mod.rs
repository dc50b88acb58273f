//! Answers the calls of workers.
//!
//! `proc` hands over calls that are decoded and legal on their stream; everything in them is still an app's
//! word. What the caller may see follows from the release that its worker was given, never from the call.
//!
//! | task | file |
//! |---|---|
//! | answer a new call | [`Desk::answer`], which matches the table of `fazt_ipc::syscall` exhaustively |
//! | `fazt.storage` | `storage.rs`, `blobs.rs` |
//! | `fazt.storage.sql` | `sql.rs` |
//! | which permission a call needs | `grant.rs` |
//! | `fetch`: who may be reached, secrets | `fetch.rs` |
//! | `fazt.proc` | `schedule.rs` |
//! | what another app exports | `other.rs` |
//! | how often an app may call | `rate.rs` |
//! | how large an answer may be | `size.rs` |

mod blobs;
mod fetch;
mod files;
mod grant;
mod other;
mod rate;
mod schedule;
mod size;
mod sql;
mod storage;

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::store::Form;
use fazt_ipc::syscall::{Call, CallError, Reply, SqlStatement};
use futures_util::future::BoxFuture;

use super::fs::Release;
use super::security::Actor;
pub use super::storage::sql::Room;

pub use rate::Rate;
pub(super) use size::expected;
use sql::Asked;

/// The outcome of a call.
pub enum Answer {
    /// A value, no bytes.
    Reply(Reply),
    /// A value, and bytes to follow.
    Bytes(Reply, Box<dyn Source>),
}

/// The outcome of a call that is known at once: a value, and all bytes that follow it if some do.
pub type WholeAnswer = (Reply, Option<Bytes>);

/// Bytes that follow an answer, read as the worker takes them.
pub trait Source: Send {
    /// Bytes that it holds in memory until the worker has taken them; 0: it reads them when they are asked for.
    fn held_bytes(&self) -> usize {
        0
    }

    /// The next bytes, at most `bytes_max`; empty at the end.
    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>>;
}

/// An answer that is in memory.
pub struct Whole(Bytes);

impl<T: Into<Bytes>> From<T> for Whole {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl Source for Whole {
    fn held_bytes(&self) -> usize {
        self.0.len()
    }

    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>> {
        let bytes = self.0.split_to(self.0.len().min(bytes_max as usize));
        Box::pin(std::future::ready(Ok(bytes)))
    }
}

/// The worker broke off in the middle of what it sent, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Bytes that a worker sends after a call, taken as they come.
pub trait Upload: Send {
    /// The next bytes; none: that was all.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>>;
}

/// Whoever answers the calls of one worker.
pub trait Calls: Send + Sync {
    /// Answers a call that changes nothing without waiting for anything, if that can be. None: [`Self::answer`] it.
    fn at_once(&self, _actor: Actor, _call: &Call) -> Option<Result<WholeAnswer, CallError>> {
        None
    }

    /// Answers a call of a worker that acts for `actor`. `upload` is what follows the call; `room` has memory for an
    /// answer that becomes larger than was set aside for it.
    fn answer(
        &self,
        actor: Actor,
        call: Call,
        upload: Box<dyn Upload>,
        room: Box<dyn Room>,
    ) -> BoxFuture<'static, Result<Answer, CallError>>;
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
    fn at_once(&self, actor: Actor, call: &Call) -> Option<Result<WholeAnswer, CallError>> {
        if other::meant(call).is_some() {
            return None;
        }
        if let Err(error) = grant::check(&self.release, call) {
            return Some(Err(error));
        }
        storage::at_once(self.release.data(), actor, call)
    }

    fn answer(
        &self,
        actor: Actor,
        call: Call,
        upload: Box<dyn Upload>,
        room: Box<dyn Room>,
    ) -> BoxFuture<'static, Result<Answer, CallError>> {
        let release = Arc::clone(&self.release);
        Box::pin(async move {
            let (release, actor, call) = match other::meant(&call) {
                Some(name) => other::lead(&release, actor, &name, call).await?,
                None => {
                    grant::check(&release, &call)?;
                    (release, actor, call)
                }
            };
            match call {
                Call::FsRead { path } => files::read(release, &path).await,
                Call::FsList { path } => files::list(&release, path.as_deref().unwrap_or("")).await,
                Call::FsStat { path } => files::stat(&release, &path).await,
                Call::NetFetch { method, url, fields, redirect, cache } => {
                    let wanted = fetch::Wanted { method, url, fields, redirect, cache };
                    fetch::answer(release, actor, wanted, upload).await
                }
                call if matches!(call.row().noun, "storage.blobs" | "storage.uploads") => {
                    blobs::answer(release.data(), actor, call, upload).await
                }
                Call::SqlBatch { space, binding, statements } => {
                    // Those who write for D1 may put several into one.
                    let form = if binding.is_some() { Form::Last } else { Form::One };
                    sql::answer(&release, actor, Asked { space, binding, statements, form }, room).await
                }
                Call::SqlExec { space, binding, scripts } => {
                    let script = |sql| SqlStatement { sql, values: String::new() };
                    let statements = scripts.into_iter().map(script).collect();
                    sql::answer(
                        &release,
                        actor,
                        Asked { space, binding, statements, form: Form::Script },
                        room,
                    )
                    .await
                }
                call if call.row().noun == "proc" => schedule::answer(&release, call).await,
                call => storage::answer(release.data(), actor, call).await,
            }
        })
    }
}
