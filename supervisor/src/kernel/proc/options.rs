//! What the server's configuration decides about workers. Each field has a default, a unit and a reason.

use std::path::PathBuf;
use std::time::Duration;

use super::bounds;

/// Settings of [`Proc`](super::Proc).
#[derive(Debug, Clone)]
pub struct ProcOptions {
    /// Data folder: logs go to `apps/<id>/log/` in it.
    pub data: PathBuf,
    /// Locked workers kept warm for the next wake.
    pub pool: usize,
    /// An idle worker goes after this time.
    pub idle: Duration,
    /// Memory of all workers together; none: 60 % of the machine's.
    pub budget_bytes: Option<u64>,
    /// The kernel's word that memory is short is heeded.
    pub heed_pressure: bool,
    /// Cores that workers may use; more than one allows several workers for one app and principal.
    pub cores: usize,
    /// Requests that may wait for one app and principal.
    pub queue: usize,
    /// A request waits this long for a worker.
    pub wake_deadline: Duration,
}

impl ProcOptions {
    /// The defaults over a data folder.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            pool: bounds::POOL_DEFAULT,
            idle: bounds::IDLE_DEFAULT,
            budget_bytes: None,
            heed_pressure: true,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            queue: bounds::QUEUE_DEFAULT,
            wake_deadline: bounds::WAKE_DEADLINE_DEFAULT,
        }
    }
}
