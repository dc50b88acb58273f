//! The scheduler: has apps do what is due, as themselves, whether or not anybody asks.
//!
//! What is due, and what was begun, is in `kernel.db` (`storage/jobs/`) before it happens: a run that the server does not
//! see to its end is run again after the start. So everything runs at least once, and what fails may run again. One task
//! decides; it sleeps until something is due, rings (`fs/timetable.rs`), changes or ends, and looks at nothing meanwhile.
//!
//! | task | file |
//! |---|---|
//! | what becomes of an attempt | `policy.rs` |
//! | which app is next, how many at once | `agenda.rs` |
//! | time, also when the clock is set | `clock.rs` |
//! | apps, and handing them what is due | `stage.rs` |
//! | what waits, runs and is dead, on disk | `storage/jobs/` |
//! | when an entry of `cron` comes next | `fs/cron.rs` |

mod agenda;
mod clock;
mod keeper;
mod policy;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fazt_ipc::ids::AppId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Proc;
use crate::kernel::fs::Fs;
use crate::kernel::storage::StorageError;
use crate::kernel::storage::jobs::RunRow;
use keeper::{Keeper, Order};

/// What ended while the server drained is put away within this time.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Why an entry was not run by somebody's word.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// There is no such app, or nothing of it is live.
    #[error("the app has no version that is live")]
    NoApp,
    /// Not granted, or no longer.
    #[error("the app may do nothing without a request: permission `schedule` is not granted")]
    NotGranted,
    /// The live version has no such entry.
    #[error("the app has no entry of that name in `cron`")]
    NoEntry(Vec<String>),
    /// It runs or is about to.
    #[error("it runs already, and does not run twice at once")]
    Running,
    /// The app has too much that waits.
    #[error("the app has too many runs and jobs that wait")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// What waits could not be written down.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The scheduler, as others hold it.
pub struct Scheduler {
    orders: mpsc::UnboundedSender<Order>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Scheduler {
    /// Starts it. Must run inside the runtime.
    #[must_use]
    pub fn start(proc: &Arc<Proc>, fs: &Arc<Fs>) -> Self {
        let stage = stage::Kernel { proc: Arc::clone(proc), fs: Arc::clone(fs) };
        let changes = fs.changes();
        let timetable = Arc::clone(fs.timetable());
        let (orders, receiver) = mpsc::unbounded_channel();
        let keeper = Keeper::new(Arc::new(stage), timetable, Arc::new(clock::Real::new()), receiver, changes);
        Self { orders, task: Mutex::new(Some(tokio::spawn(keeper.run()))) }
    }

    /// Runs an entry of `cron` now, and waits for what becomes of it. It runs on if nobody waits.
    ///
    /// # Errors
    /// When it is not run.
    pub async fn run_now(&self, app: AppId, name: String) -> Result<RunRow, NotRun> {
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::Run { app, name, tell }).map_err(|_| NotRun::Stopping)?;
        told.await.map_err(|_| NotRun::Stopping)?
    }

    /// Begins nothing more.
    pub fn rest(&self) {
        let _ = self.orders.send(Order::Stop);
    }

    /// Returns when what went on is put away, or could have been: what is not is run again after the next start. To be
    /// called when `proc` has drained.
    pub async fn stop(&self) {
        self.rest();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = tokio::time::timeout(STOP_MAX, task).await;
        }
    }
}
