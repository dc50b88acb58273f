//! What deploying needs from locked processes. `proc` implements it; `fs` knows nothing of processes.

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use crate::build::{Diagnostic, Source, StripResult, Stripped};

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

/// Bytecode of one engine build.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The engine that made it and can load it.
    pub engine: u64,
    /// In the order of the sources.
    pub modules: Vec<Result<Bytes, Diagnostic>>,
}

/// The jail failed, not the script.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// No locked process could be made.
    #[error("no build process: {0}")]
    Unavailable(String),
    /// The process died, overran its time or memory, or answered nonsense.
    #[error("the build process failed: {0}")]
    Died(String),
}
