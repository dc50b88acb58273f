//! Workers that are locked and warm before anybody needs them: waking an app is then sending it its code.
//!
//! `slot/` takes from the pool. Nothing that is in it has seen an app's byte, and what has left it never
//! comes back. A network namespace, the slow part of a jail, is the launcher's business and not in the way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Limits, Profile, Refusal};
use fazt_ipc::wire::{Phase, WireError};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};

use super::bounds;
use super::launcher::{Child, Exit, Launcher, SpawnError};
use super::link::{Effect, Wire};

/// After a wake the pool waits so long before it makes the next worker, if none is left: the one that was woken
/// comes first.
const REFILL_AFTER: Duration = Duration::from_millis(10);
/// While a worker is left it waits until no app was woken for so long: making one takes a core for some
/// milliseconds, and wakes come in groups.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait after a worker could not be made.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A locked worker without an app.
pub(crate) struct Warm {
    /// Its number.
    pub(crate) generation: Generation,
    /// As the host sees it.
    pub(crate) pid: u32,
    /// Its socket.
    pub(crate) socket: UnixStream,
    /// The protocol with it, just after `Ready`.
    pub(crate) wire: Wire,
    /// How it ended, once it has.
    pub(crate) exited: oneshot::Receiver<Exit>,
    /// Hash of its engine and prelude.
    pub(crate) engine: u64,
}

/// No worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    /// The launcher could not make it.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It did not say that it is ready.
    #[error("the worker did not become ready: {0}")]
    NotReady(String),
}

/// The pool.
pub(crate) struct Pool {
    launcher: Arc<Launcher>,
    warm: Mutex<VecDeque<Warm>>,
    target: usize,
    /// Memory is short: keep one at most.
    small: AtomicBool,
    refill: Notify,
    /// When a worker was last taken.
    taken: Mutex<Option<Instant>>,
    engine: OnceLock<u64>,
    stopped: AtomicBool,
}

impl Pool {
    /// Starts filling.
    pub(crate) fn start(launcher: Arc<Launcher>, target: usize) -> Arc<Self> {
        let pool = Arc::new(Self {
            launcher,
            warm: Mutex::default(),
            target,
            small: AtomicBool::new(false),
            refill: Notify::new(),
            taken: Mutex::new(None),
            engine: OnceLock::new(),
            stopped: AtomicBool::new(false),
        });
        let task = Arc::clone(&pool);
        tokio::spawn(async move { task.fill().await });
        pool
    }

    /// A warm worker; made on the spot when none is left.
    pub(crate) async fn take(&self) -> Result<Warm, PoolError> {
        let kept = loop {
            let Some(mut warm) = self.lock().pop_front() else { break None };
            // One that died while it waited is of no use.
            if matches!(warm.exited.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                break Some(warm);
            }
        };
        if kept.is_some() {
            // Not when there is none: under many wakes at once the next would never be due.
            *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.refill.notify_one();
        match kept {
            Some(warm) => Ok(warm),
            None => self.make(Profile::Worker, bounds::LEAF_BYTES_MAX).await,
        }
    }

    /// How many are warm.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Engine build of the workers, once a first one was ready.
    pub(crate) fn engine(&self) -> Option<u64> {
        self.engine.get().copied()
    }

    /// Keeps fewer while memory is short.
    pub(crate) fn set_small(&self, small: bool) {
        self.small.store(small, Ordering::Relaxed);
        if small {
            let excess = {
                let mut warm = self.lock();
                let keep = warm.len().min(1);
                warm.split_off(keep)
            };
            self.kill(excess);
        } else {
            self.refill.notify_one();
        }
    }

    /// Kills what is warm and makes no more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let all = std::mem::take(&mut *self.lock());
        self.kill(all);
    }

    /// Makes a worker outside the pool.
    pub(crate) async fn make(&self, profile: Profile, memory_bytes: u64) -> Result<Warm, PoolError> {
        let limits = Limits { memory_bytes, cpu_permille: 0, cpu_weight: 0 };
        let child = self.launcher.spawn_fresh(profile, limits).await?;
        let generation = child.generation;
        match tokio::time::timeout(bounds::LAUNCHER_DEADLINE, ready(child)).await {
            Ok(Ok(warm)) => {
                let _ = self.engine.set(warm.engine);
                Ok(warm)
            }
            Ok(Err(why)) => {
                self.launcher.kill(generation);
                Err(PoolError::NotReady(why))
            }
            Err(_) => {
                self.launcher.kill(generation);
                Err(PoolError::NotReady("it said nothing in time".into()))
            }
        }
    }

    fn kill(&self, warm: VecDeque<Warm>) {
        for warm in warm {
            self.launcher.kill(warm.generation);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Warm>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next worker may be made; none: at once.
    fn due(&self) -> Option<Instant> {
        let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = if self.len() == 0 { REFILL_AFTER } else { QUIET };
        taken.map(|taken| taken + wait)
    }

    async fn fill(&self) {
        let mut retry = Duration::from_millis(250);
        while !self.stopped.load(Ordering::Relaxed) {
            let target = if self.small.load(Ordering::Relaxed) { self.target.min(1) } else { self.target };
            if self.len() >= target {
                self.refill.notified().await;
                continue;
            }
            if let Some(due) = self.due()
                && Instant::now() < due
            {
                // A worker that is taken meanwhile changes when the next is due.
                let _ = tokio::time::timeout_at(due.into(), self.refill.notified()).await;
                continue;
            }
            match self.make(Profile::Worker, bounds::LEAF_BYTES_MAX).await {
                Ok(warm) => {
                    retry = Duration::from_millis(250);
                    self.lock().push_back(warm);
                    if self.stopped.load(Ordering::Relaxed) {
                        self.stop();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "no worker for the pool");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }
}

/// Reads the one message that a fresh worker sends.
async fn ready(child: Child) -> Result<Warm, String> {
    let mut socket = UnixStream::from_std(child.socket).map_err(|error| error.to_string())?;
    let mut wire = Wire::new();
    let mut buffer = [0; 256];
    let mut filled = 0;
    while wire.phase() == Phase::Booting {
        if filled == buffer.len() {
            return Err("its first message is too long".into());
        }
        match socket.read(&mut buffer[filled..]).await {
            Ok(0) => return Err("it ended".into()),
            Ok(bytes) => filled += bytes,
            Err(error) => return Err(error.to_string()),
        }
        let used =
            wire.receive(&buffer[..filled], Instant::now()).map_err(|error: WireError| error.to_string())?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
    if filled != 0 {
        return Err("it sent more than it may".into());
    }
    let mut effects = Vec::new();
    wire.take_effects(&mut effects);
    match effects.as_slice() {
        [Effect::Ready(ready)] => Ok(Warm {
            generation: child.generation,
            pid: child.pid,
            engine: ready.engine,
            socket,
            wire,
            exited: child.exited,
        }),
        _ => Err("it sent something else than that it is ready".into()),
    }
}

impl Launcher {
    /// Like `spawn`, for a supervisor that was restarted and does not know which generations its launcher has
    /// seen: it leaps until it is past them.
    pub(crate) async fn spawn_fresh(&self, profile: Profile, limits: Limits) -> Result<Child, SpawnError> {
        loop {
            match self.spawn(profile, limits).await {
                Err(SpawnError::Refused { refusal: Refusal::Reused, .. }) if self.leap() => {}
                outcome => return outcome,
            }
        }
    }
}
