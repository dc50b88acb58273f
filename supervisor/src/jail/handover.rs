//! What the launcher hands to the supervisor: descriptors at fixed numbers and a sealed page of facts.
//!
//! ```text
//! 3 launcher channel   4 facts (sealed memfd, JSON)   5 sign of life   6… listening sockets
//! ```
//! Called by the launcher before it starts a supervisor, and by the supervisor first of all.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use fazt_ipc::control::Layer;
use rustix::net::SocketType;
use serde::{Deserialize, Serialize};

use crate::sys;

use super::JailError;

pub(super) const CHANNEL: RawFd = 3;
pub(super) const FACTS: RawFd = 4;
pub(super) const ALIVE: RawFd = 5;
pub(super) const LISTENERS: RawFd = 6;
/// Listening sockets at most: they must fit below the numbers that the launcher keeps for itself.
pub(super) const LISTENERS_MAX: usize = 32;

/// What a supervisor has from its launcher.
#[derive(Debug)]
pub struct Inherited {
    /// The channel for orders: `SOCK_SEQPACKET`, packets of [`fazt_ipc::launch`]. Its end means: the launcher is
    /// gone, or wants this process to stop.
    pub launcher: OwnedFd,
    /// Listening sockets, in the order of `LaunchOptions`.
    pub listeners: Vec<OwnedFd>,
    /// The facts.
    pub facts: Facts,
    /// See [`SignOfLife`].
    pub alive: SignOfLife,
}

/// The byte that says: this server was told to stop. Every other byte says that it serves.
pub(super) const STOPS: u8 = 2;

/// Tells the launcher that the server serves, later that it still does, and at last that it was told to stop.
#[derive(Debug, Clone)]
pub struct SignOfLife(Arc<OwnedFd>);

impl SignOfLife {
    /// To be called once when the server serves, then about every ten seconds from the task that would hang if the
    /// server hung. Never blocks.
    pub fn give(&self) {
        // A full pipe says it too; a closed one is the launcher's end, which the channel tells.
        let _ = rustix::io::write(&*self.0, &[1]);
    }

    /// To be called when the server was told to stop, before whoever told it has an answer: from then on the
    /// launcher does not start another one, however this one ends. Never blocks.
    pub fn stops(&self) {
        // Read as it comes, so there is room.
        let _ = rustix::io::write(&*self.0, &[STOPS]);
    }
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
    let missing = JailError::NotInherited;
    let launcher = sys::take_inherited(CHANNEL).ok_or(missing("no channel"))?;
    if rustix::net::sockopt::socket_type(&launcher) != Ok(SocketType::SEQPACKET) {
        return Err(missing("descriptor 3 is no channel"));
    }
    let page = sys::take_inherited(FACTS).ok_or(missing("no facts"))?;
    let mut text = Vec::new();
    let mut page = std::fs::File::from(page);
    page.read_to_end(&mut text).map_err(|_| missing("the facts cannot be read"))?;
    let facts: Facts = serde_json::from_slice(&text).map_err(|_| missing("the facts are malformed"))?;
    let alive = sys::take_inherited(ALIVE).ok_or(missing("no sign of life"))?;
    rustix::io::ioctl_fionbio(alive.as_fd(), true).map_err(|_| missing("no sign of life"))?;
    let numbers = (LISTENERS..).take(facts.listeners.min(LISTENERS_MAX));
    let listeners: Option<Vec<OwnedFd>> = numbers.map(sys::take_inherited).collect();
    let listeners = listeners.ok_or(missing("a listening socket is not there"))?;
    // Without it tools show the number of the descriptor that was executed.
    let _ = rustix::thread::set_name(c"fazt-supervisor");
    Ok(Inherited { launcher, listeners, facts, alive: SignOfLife(Arc::new(alive)) })
}
