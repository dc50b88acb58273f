//! The two ways into this crate for the program `fazt`: [`start`], which becomes the launcher, and
//! [`supervise`], which the launcher re-executes itself in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::ConfigError;

/// What `fazt proc start` was told on its command line; everything else is in `config.toml`.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Data folder; made if it is not there.
    pub data: PathBuf,
    /// Addresses instead of those of the configuration; empty: those of the configuration.
    pub listen: Vec<SocketAddr>,
    /// Development: missing sandbox layers are borne on loopback, stacks are shown there.
    pub dev: bool,
    /// Announce as one JSON document instead of lines for people.
    pub json: bool,
    /// The program `fazt-worker`.
    pub worker: &'static [u8],
}

/// Why nothing was started. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}: {error}")]
    Data {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another server runs on this data folder.
    #[error("another Fazt{} already runs on {}; stop it with `fazt proc stop`, or use another --data", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), data.display())]
    Running {
        /// Process that holds the lock, where it is known.
        pid: Option<u32>,
        /// Data folder.
        data: PathBuf,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The launcher ended.
    #[error("{0}")]
    Launcher(String),
}

/// Checks the configuration, locks the data folder, binds the addresses, then becomes the launcher. When the
/// server serves, its supervisor announces so on standard output. Returns when the
/// server has ended, or nothing was started; must be called while the process has one thread.
///
/// # Errors
/// See [`StartError`].
pub fn start(options: StartOptions) -> Result<ExitCode, StartError> {
    let _ = crate::config::Config::load(&options.data)?;
    Err(StartError::Launcher("the launcher is not linked in".into()))
}

/// The supervisor: what the launcher runs in a second process. Takes what it inherits, confines itself and
/// serves until it is told to stop.
#[must_use]
pub fn supervise() -> ExitCode {
    ExitCode::FAILURE
}
