//! What the launcher hands to the supervisor: descriptors at fixed numbers and a sealed page of facts.
//!
//! ```text
//! 3 launcher channel   4 facts (sealed memfd, JSON)   5… listening sockets
//! ```
//! Called by the launcher before it starts a supervisor and by the supervisor first of all.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use fazt_ipc::control::Layer;
use serde::{Deserialize, Serialize};

use super::JailError;

/// What a supervisor has from its launcher.
#[derive(Debug)]
pub struct Inherited {
    /// The channel for orders: `SOCK_SEQPACKET`, packets of [`fazt_ipc::launch`].
    pub launcher: OwnedFd,
    /// Listening sockets, in the order of `LaunchOptions`.
    pub listeners: Vec<OwnedFd>,
    /// The facts.
    pub facts: Facts,
}

/// What the launcher knows and the supervisor shows or needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The data folder.
    pub data: PathBuf,
    /// `--dev`.
    pub dev: bool,
    /// Layers of the sandbox on this machine.
    pub layers: Vec<Layer>,
    /// Layers that are missing and allowed to be: for the banner.
    pub missing: Vec<String>,
    /// First generation that the supervisor may use: numbers of an earlier supervisor are not used again.
    pub generation_first: u64,
    /// How often the supervisor died before.
    pub restarts: u32,
    /// Listening sockets that follow.
    pub listeners: usize,
}

/// Takes over what the launcher handed down. To be called once, before anything else opens a descriptor.
///
/// # Errors
/// When this process was not started by a launcher.
pub fn inherited() -> Result<Inherited, JailError> {
    Err(JailError::NotInherited("no channel at descriptor 3"))
}
