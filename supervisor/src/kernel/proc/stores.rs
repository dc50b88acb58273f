//! Locked processes for raw SQL: what `storage` needs of the launcher, what becomes of an app whose process was taken
//! over, and all of them in one list, so that they count in the memory for all processes and can be seen and ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use fazt_ipc::control::{Process, ProcessKind, State};
use fazt_ipc::ids::{AppId, Generation, UserId};
use fazt_ipc::launch::{Limits, Profile};
use fazt_ipc::wire::worker::LogLevel;
use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::launcher::{Exit, Launcher, Usage};
use super::slot::SIGSYS;
use super::{Proc, Shared, bounds, pressure};
use crate::kernel::storage::sql::{Ended, Jailed, Jails, Place, Tenant};

/// Makes them.
pub(super) struct StoreJails {
    pub(super) launcher: Arc<Launcher>,
    pub(super) shared: Weak<Shared>,
}

/// One that lives.
pub(super) struct Store {
    pub(super) tenant: Tenant,
    pub(super) generation: Generation,
    pid: u32,
    memory_bytes: AtomicU64,
    cpu_us: AtomicU64,
    /// Closed when it is gone.
    gone: watch::Receiver<()>,
}

impl Store {
    /// What it used when that was last counted; 0: never yet.
    pub(super) fn bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn note_usage(&self, usage: Usage) {
        self.memory_bytes.store(usage.memory_bytes, Ordering::Relaxed);
        self.cpu_us.store(usage.cpu_us, Ordering::Relaxed);
    }

    /// Returns when it is gone.
    pub(super) async fn gone(&self) {
        // It never says anything else.
        while self.gone.clone().changed().await.is_ok() {}
    }
}

impl Jails for StoreJails {
    fn store(&self, tenant: Tenant) -> BoxFuture<'static, Result<Jailed, String>> {
        let (launcher, shared) = (Arc::clone(&self.launcher), Weak::clone(&self.shared));
        Box::pin(async move {
            let shared = shared.upgrade().ok_or("the server is stopping")?;
            let place =
                pressure::room_of(&shared, bounds::STORE_BYTES_MAX, |_| bounds::STORE_BYTES_EXPECTED).await;
            // One CPU at most, and behind the workers that answer requests.
            let limits = Limits { memory_bytes: bounds::STORE_BYTES_MAX, cpu_permille: 1000, cpu_weight: 50 };
            let child =
                launcher.spawn_fresh(Profile::Store, limits).await.map_err(|error| error.to_string())?;
            drop(place);
            let generation = child.generation;
            let (alive, gone) = watch::channel(());
            let store = Store {
                tenant,
                generation,
                pid: child.pid,
                memory_bytes: AtomicU64::new(0),
                cpu_us: AtomicU64::new(0),
                gone,
            };
            shared.store_table().insert(generation.0, Arc::new(store));
            let (tell, exited) = oneshot::channel();
            tokio::spawn(async move {
                let exit = child.exited.await;
                shared.store_table().remove(&generation.0);
                drop(alive);
                // Nobody may want to know.
                let _ = tell.send(exit.map_or(Ended::Killed, ended));
            });
            Ok(Jailed { socket: child.socket, exited, kill: Box::new(move || launcher.kill(generation)) })
        })
    }

    fn compromised(&self, app: AppId, reason: &str) {
        if let Some(shared) = self.shared.upgrade() {
            let text = format!("quarantined: {reason}");
            shared.logs.add(app, LogLevel::Error, "", None, String::new(), text);
            shared.quarantine(app, None, reason);
        }
    }
}

impl Shared {
    /// Every process of raw SQL.
    pub(super) fn stores(&self) -> Vec<Arc<Store>> {
        self.store_table().values().cloned().collect()
    }

    /// Kills those of an app. How many there were.
    pub(super) fn kill_stores(&self, app: AppId) -> u64 {
        let of_app = self.stores().into_iter().filter(|store| store.tenant.app == app);
        of_app.map(|store| self.launcher.kill(store.generation)).count() as u64
    }

    /// Kills those that serve a user's own file, in one app or in all.
    pub(super) fn end_stores(&self, user: UserId, app: Option<AppId>) {
        for store in self.stores() {
            let Tenant { app: of, place, .. } = &store.tenant;
            if *place == Place::User(user) && app.is_none_or(|app| app == *of) {
                self.launcher.kill(store.generation);
            }
        }
    }

    /// Lets those of an app finish what they do, and go. How many there were.
    pub(super) fn hibernate_stores(&self, app: AppId) -> u64 {
        let of_app = self.stores().into_iter().filter(|store| store.tenant.app == app);
        of_app.map(|store| store.tenant.life.hibernate()).count() as u64
    }
}

impl Proc {
    /// Processes of raw SQL, for `ps` and `top`.
    pub(super) fn store_rows(&self) -> Vec<Process> {
        let fs = self.fs.get();
        let row = |store: Arc<Store>| {
            let Tenant { app, place, read_only, life } = &store.tenant;
            let busy = life.is_busy();
            let idle = if busy { std::time::Duration::ZERO } else { life.active().elapsed() };
            Process {
                app: fs.and_then(|fs| fs.name_of(*app)).unwrap_or_else(|| app.to_string()),
                principal: place.name(),
                kind: if *read_only { ProcessKind::SqlRead } else { ProcessKind::Sql },
                state: if busy { State::Running } else { State::Idle },
                pid: Some(store.pid),
                generation: Some(store.generation.0),
                mem_bytes: store.bytes(),
                cap_bytes: bounds::STORE_BYTES_MAX,
                cpu_ms: store.cpu_us.load(Ordering::Relaxed) / 1000,
                reqs: life.calls(),
                idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
            }
        };
        self.shared.stores().into_iter().map(row).collect()
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
