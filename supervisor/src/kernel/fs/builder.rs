//! What deploying and installing need from locked processes. `proc` implements it; `fs` knows nothing of processes.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::error::FsError;
use super::path;
pub use crate::build::{Diagnostic, RepoFile, Source, StripResult, Stripped, Unpack};

/// Turns scripts into what a worker loads, inside jails.
pub trait Builder: Send + Sync {
    /// Looks at every script of the job: strips types and JSX where its path says so (`.ts .mts .cts .tsx
    /// .jsx`), lists its imports.
    fn strip(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Vec<StripResult>, BuildError>>;

    /// Compiles scripts (already JavaScript) to bytecode with a worker in its `Compile` phase. Same order as
    /// the sources. A script that does not compile is a diagnostic, not an error of the whole.
    fn compile(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Compiled, BuildError>>;

    /// Hash of the engine and prelude of the workers that run now; none until a first worker was ready.
    fn engine(&self) -> Option<u64>;
}

/// Turns what was fetched from elsewhere into the files of a deploy. Each call is one process in a jail, which is
/// killed at its end, at its deadline, and when the future is dropped; nothing of it stays.
pub trait Prepare: Send + Sync {
    /// Takes one commit out of a pack of Git, as [`super::origin`] asks for it, in the pieces in which it came. What
    /// comes out hashes to the commit. The whole pack has to be here: a process does not wait for a network.
    fn unpack(&self, job: Unpack, pack: Vec<Bytes>) -> BoxFuture<'static, Result<Unpacked, BuildError>>;
}

/// A repository at one commit. Paths are checked by the rules of a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The commit that was asked for.
    pub commit: String,
    /// Hash of its whole tree, 40 digits.
    pub tree: String,
    /// When it was made, as its author says.
    pub committed_unix_s: u64,
    /// Its files, or those below the folder that was asked for, by path.
    pub files: Vec<RepoFile>,
}

/// Checks what a jail says are files by the rules of a deploy: paths, twins, sizes.
///
/// # Errors
/// The first that is wrong, with its path.
pub fn checked(files: Vec<RepoFile>) -> Result<Vec<RepoFile>, BuildError> {
    let list: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.len() as u64)).collect();
    match path::check_all(list.into_iter()) {
        Ok(()) => Ok(files),
        Err(error @ (FsError::BadPath { .. } | FsError::TooLarge(_) | FsError::BadDeploy(_))) => {
            Err(BuildError::Refused(error.to_string()))
        }
        Err(error) => Err(BuildError::Died(error.to_string())),
    }
}

/// Bytecode of one engine build.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The engine that made it and can load it.
    pub engine: u64,
    /// In the order of the sources.
    pub modules: Vec<Result<Bytes, Diagnostic>>,
}

/// The jail failed, not the script; or all of its input is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// No locked process could be made.
    #[error("no build process: {0}")]
    Unavailable(String),
    /// The process died, overran its time or memory, or answered nonsense.
    #[error("the build process failed: {0}")]
    Died(String),
    /// What it was given is not taken. For whoever brought it, on one line.
    #[error("{0}")]
    Refused(String),
}
