//! Locked processes for raw SQL: what `storage` needs of the launcher, and what becomes of an app whose process was
//! taken over.

use std::sync::{Arc, Weak};

use fazt_ipc::ids::AppId;
use fazt_ipc::launch::{Limits, Profile};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::launcher::{Exit, Launcher};
use super::slot::SIGSYS;
use super::{Shared, bounds};
use crate::kernel::storage::sql::{Ended, Jailed, Jails};

/// Makes them.
pub(super) struct StoreJails {
    pub(super) launcher: Arc<Launcher>,
    pub(super) shared: Weak<Shared>,
}

impl Jails for StoreJails {
    fn store(&self) -> BoxFuture<'static, Result<Jailed, String>> {
        let launcher = Arc::clone(&self.launcher);
        Box::pin(async move {
            // One CPU at most, and behind the workers that answer requests.
            let limits = Limits { memory_bytes: bounds::STORE_BYTES_MAX, cpu_permille: 1000, cpu_weight: 50 };
            let child =
                launcher.spawn_fresh(Profile::Store, limits).await.map_err(|error| error.to_string())?;
            let generation = child.generation;
            let (tell, exited) = oneshot::channel();
            tokio::spawn(async move {
                // Nobody may want to know.
                let _ = tell.send(child.exited.await.map_or(Ended::Killed, ended));
            });
            Ok(Jailed { socket: child.socket, exited, kill: Box::new(move || launcher.kill(generation)) })
        })
    }

    fn compromised(&self, app: AppId, reason: &str) {
        if let Some(shared) = self.shared.upgrade() {
            shared.quarantine(app, None, reason);
        }
    }
}

fn ended(exit: Exit) -> Ended {
    match exit {
        Exit { oom: true, .. } => Ended::Memory,
        Exit { signal: SIGSYS, .. } => Ended::Forbidden,
        Exit { signal: 0, code, .. } => Ended::Code(code),
        Exit { .. } => Ended::Killed,
    }
}
