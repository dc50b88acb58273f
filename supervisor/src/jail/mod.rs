//! The launcher: makes, checks, limits and kills locked processes. Knows nothing of the kernel.
//!
//! The main process of `fazt proc start` becomes the launcher by [`run`]; it starts the supervisor, which takes
//! over what it was given by [`inherited`]. The launcher is the only holder of capabilities. It never reads a
//! byte of the network or of an app: what reaches it are packets of fixed size from the supervisor
//! ([`fazt_ipc::launch`]), hostile once the supervisor is broken, and what the kernel says of processes.
//!
//! ```text
//! run ─ probe ─ judge ─▶ refuse, or
//!       image, shared namespaces, cgroup tree (leaves of an earlier life removed)
//!       ┌─▶ supervisor ─ poll: orders · failures of set-up · Ready · exits · signals ─┐
//!       └──────── it died: kill every process it asked for, back off ◀───────────────┘─▶ exit with its code
//! ```

mod handover;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

pub use handover::{Inherited, inherited};

/// First argument by which the program knows that the launcher started it as the supervisor.
pub const SUPERVISE: &str = "__supervise";
/// First argument by which the program knows that it runs in a build jail: fd 3 is its socket, and it locks
/// itself down before it reads a byte of it.
pub const BUILD: &str = "__build";

/// What the launcher is given.
#[derive(Debug)]
pub struct LaunchOptions {
    /// The worker program, as embedded.
    pub worker_image: &'static [u8],
    /// Listening sockets, bound while there was the right to. They outlive every supervisor.
    pub listeners: Vec<OwnedFd>,
    /// The data folder. Belongs to the supervisor's user.
    pub data: PathBuf,
    /// Layers may be missing for an ordinary user.
    pub dev: bool,
    /// Layers that may be missing for root: `sandbox.allow_missing` of config.toml.
    pub allow_missing: Vec<String>,
    /// Arguments of the supervisor after [`SUPERVISE`].
    pub supervisor_args: Vec<String>,
}

/// Why there is no launcher, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A step of the start failed.
    #[error("{what}: {error}")]
    Start {
        /// Which step.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The sandbox is not whole and nobody allowed that.
    #[error("this machine lacks a layer of the sandbox:\n{0}")]
    Missing(String),
    /// The supervisor sent something that is no order.
    #[error("the supervisor sent a malformed order: everything was stopped")]
    Malformed,
    /// What the launcher hands to the supervisor is not there.
    #[error("not started by the launcher: {0}")]
    NotInherited(&'static str),
}

/// Becomes the launcher: starts the supervisor and serves it until it ends. The process must have one thread.
///
/// # Errors
/// When the machine lacks a layer, the start fails, or the supervisor breaks the contract.
pub fn run(options: LaunchOptions) -> Result<ExitCode, JailError> {
    drop(options);
    Err(JailError::Missing("the launcher is not built yet".into()))
}
