//! Who goes when memory is short: the process of raw SQL that was idle longest, then the worker that was, one at a
//! time; a running worker only when nobody idle is left and the budget is still overrun.
//!
//! Two signs: the sum of what all of them use against the budget, and the kernel's own word that tasks wait
//! for memory (PSI). The files are opened before the supervisor confines itself.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::lifecycle::Event;
use super::metrics::count;
use super::slot::Slot;
use super::stores::Store;
use super::{Shared, bounds};

/// How often the workers are counted while the budget is nearly used up.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// How often otherwise: each count asks the launcher about every worker.
const COUNT_EVERY_CALM: Duration = Duration::from_secs(12);
/// A worker that had to do within this time may use more than when it was last counted.
const LATELY: Duration = Duration::from_secs(2);
/// Questions that are on their way to the launcher at once.
const ASKED_AT_ONCE: usize = 64;
/// Longest wait for other workers to load: half of what a request waits for its own.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// A worker that loads for longer is not waited for: it counts with what it uses now.
const LOADING: Duration = Duration::from_secs(1);
/// After the kernel's word nothing more is done for so long: memory comes back with a delay.
const PAUSE: Duration = Duration::from_millis(500);
/// The pool stays small for so long after the kernel's word.
const SMALL_FOR: Duration = Duration::from_secs(30);
/// Tasks that wait for memory for 150 ms out of 2 s. Windows of whole 2 s need no privilege.
const TRIGGER: &[u8] = b"some 150000 2000000\0";

/// The kernel's word, where there is one.
pub(crate) fn trigger() -> Option<File> {
    ["/sys/fs/cgroup/memory.pressure", "/proc/pressure/memory"].into_iter().find_map(|path| {
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?;
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
        file.write_all(TRIGGER).ok()?;
        Some(file)
    })
}

/// Memory of the machine, or of the cgroup if that is less.
pub(crate) fn machine_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(1 << 30, |kib| kib << 10);
    let cap = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    total.min(cap.unwrap_or(u64::MAX))
}

/// Watches both signs for as long as the server runs.
pub(crate) async fn watch(shared: Arc<Shared>, trigger: Option<File>) {
    let budget = budget(Arc::clone(&shared));
    #[expect(deprecated, reason = "unsound only for types that do not own their descriptor")]
    let fd = trigger.and_then(|file| AsyncFd::with_interest(file, Interest::PRIORITY).ok());
    match fd {
        Some(fd) => {
            tokio::join!(budget, pressed(shared, fd));
        }
        None => budget.await,
    }
}

async fn pressed(shared: Arc<Shared>, fd: AsyncFd<File>) {
    loop {
        let Ok(mut guard) = fd.ready(Interest::PRIORITY).await else { return };
        guard.clear_ready();
        shared.pool.set_small(true);
        evict(&shared, false);
        tokio::time::sleep(PAUSE).await;
        let pool = Arc::downgrade(&shared.pool);
        tokio::spawn(async move {
            tokio::time::sleep(SMALL_FOR).await;
            if let Some(pool) = pool.upgrade() {
                pool.set_small(false);
            }
        });
    }
}

async fn budget(shared: Arc<Shared>) {
    loop {
        let near = shared.workers_bytes.load(Ordering::Relaxed) >= shared.budget_bytes / 2;
        tokio::time::sleep(if near { COUNT_EVERY } else { COUNT_EVERY_CALM }).await;
        let _turn = shared.room.turn.lock().await;
        let mut used = count_workers(&shared, Which::All).await.bytes;
        while used > shared.budget_bytes {
            let Some(freed) = evict_and_wait(&shared, true).await else { break };
            used = used.saturating_sub(freed);
        }
    }
}

/// What is known of the workers' memory between two counts.
#[derive(Default)]
pub(crate) struct Room {
    /// The most that all workers can use now: as counted, and the caps of those that were given an app since.
    most_bytes: AtomicU64,
    /// Caps of those that have their room and are not given the app yet.
    promised_bytes: AtomicU64,
    /// One at a time makes room.
    turn: tokio::sync::Mutex<()>,
    /// A worker has loaded its app, or has gone: its cap need not be reckoned with any more.
    settled: Notify,
}

impl Room {
    /// A worker has loaded its app, or has gone.
    pub(crate) fn settle(&self) {
        self.settled.notify_waiters();
    }
}

/// Room for one more worker, until it has the app and is counted itself.
#[must_use]
pub(crate) struct Place<'a> {
    room: &'a Room,
    cap_bytes: u64,
}

impl Room {
    fn promise(&self, cap_bytes: u64) -> Place<'_> {
        self.most_bytes.fetch_add(cap_bytes, Ordering::Relaxed);
        self.promised_bytes.fetch_add(cap_bytes, Ordering::Relaxed);
        Place { room: self, cap_bytes }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.promised_bytes.fetch_sub(self.cap_bytes, Ordering::Relaxed);
    }
}

/// Returns when one more worker of this slot fits the budget: at once while all workers could grow to their caps;
/// else when those that are loading have shown what they use, and enough idle ones have gone. A burst of waking
/// so overshoots the budget by what one app grows beyond what is expected of it, not by all of them. Nobody is
/// refused: when nothing idle is left, the machine's own limit on all workers is the wall.
pub(crate) async fn room_for<'a>(shared: &'a Shared, slot: &Slot) -> Place<'a> {
    room_of(shared, slot.cap_bytes(), |mean| slot.expected_bytes(mean)).await
}

/// As [`room_for`], for a process with this cap, of which so much is expected when workers use that on average.
pub(super) async fn room_of(shared: &Shared, cap: u64, expected: impl FnOnce(u64) -> u64) -> Place<'_> {
    let budget = shared.budget_bytes;
    let room = &shared.room;
    if room.most_bytes.load(Ordering::Relaxed).saturating_add(cap) <= budget {
        return room.promise(cap);
    }
    let patience = Instant::now() + ROOM_WAIT;
    let _turn = room.turn.lock().await;
    let count = loop {
        let mut settled = pin!(room.settled.notified());
        settled.as_mut().enable();
        let count = count_workers(shared, Which::Changed).await;
        if count.bytes + count.loading_bytes + cap <= budget {
            return room.promise(cap);
        }
        if count.loading_bytes == 0 || Instant::now() >= patience {
            break count;
        }
        // One of those that load may have been at it for too long by then.
        let look_again = patience.min(Instant::now() + LOADING / 4);
        let _ = tokio::time::timeout_at(look_again.into(), settled).await;
    };
    let mean = count.bytes / count.workers.max(1);
    let expected = expected(mean);
    let mut used = count.bytes;
    while used + expected > budget {
        let Some(freed) = evict_and_wait(shared, false).await else { break };
        used = used.saturating_sub(freed);
    }
    room.promise(cap)
}

/// Which workers' memory is asked for; the others' is as last counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that were never counted or had to do lately: idle ones do not grow.
    Changed,
}

struct Count {
    /// Workers that have loaded their app.
    workers: u64,
    /// What they use, and the processes of raw SQL.
    bytes: u64,
    /// Caps of those that have not, or are about to be given it.
    loading_bytes: u64,
}

async fn count_workers(shared: &Shared, which: Which) -> Count {
    let mut count =
        Count { workers: 0, bytes: 0, loading_bytes: shared.room.promised_bytes.load(Ordering::Relaxed) };
    let mut asked = Vec::new();
    for slot in shared.slots() {
        let (links, loading) = slot.living(LOADING);
        count.loading_bytes += loading as u64 * slot.cap_bytes();
        count.workers += links.len() as u64;
        for link in links {
            let known = link.usage().0;
            if which == Which::All || known == 0 || link.active().elapsed() < LATELY {
                asked.push((Arc::clone(&slot), link));
            } else {
                count.bytes += known;
            }
        }
    }
    let mut asked_stores = Vec::new();
    for store in shared.stores() {
        let known = store.bytes();
        if which == Which::All || known == 0 || store.tenant.life.active().elapsed() < LATELY {
            asked_stores.push(store);
        } else {
            count.bytes += known;
        }
    }
    let stats = asked.into_iter().map(|(slot, link)| async move {
        let usage = shared.launcher.stat(link.generation).await?;
        link.note_usage(usage);
        slot.note_bytes(usage.memory_bytes);
        Some(usage.memory_bytes)
    });
    let counted = futures_util::stream::iter(stats).buffer_unordered(ASKED_AT_ONCE);
    count.bytes += counted.fold(0, |sum, bytes| async move { sum + bytes.unwrap_or(0) }).await;
    let stats = asked_stores.into_iter().map(|store| async move {
        let usage = shared.launcher.stat(store.generation).await?;
        store.note_usage(usage);
        Some(usage.memory_bytes)
    });
    let counted = futures_util::stream::iter(stats).buffer_unordered(ASKED_AT_ONCE);
    count.bytes += counted.fold(0, |sum, bytes| async move { sum + bytes.unwrap_or(0) }).await;
    shared.workers_bytes.store(count.bytes, Ordering::Relaxed);
    shared.room.most_bytes.store(count.bytes + count.loading_bytes, Ordering::Relaxed);
    count
}

/// Counts every worker and every process of raw SQL.
pub(crate) async fn total(shared: &Shared) -> u64 {
    count_workers(shared, Which::All).await.bytes
}

/// Lets one go and gives it the time: the next is chosen when it is gone. What that frees.
async fn evict_and_wait(shared: &Shared, running: bool) -> Option<u64> {
    let freed = match evict(shared, running)? {
        Gone::Store(store) => {
            let _ = tokio::time::timeout(bounds::GRACE, store.gone()).await;
            store.bytes()
        }
        Gone::Slot(slot) => {
            let freed = slot.living(Duration::ZERO).0.iter().map(|link| link.usage().0.max(1)).sum();
            let _ = tokio::time::timeout(bounds::GRACE, slot.emptied()).await;
            freed
        }
    };
    Some(freed.max(1))
}

/// Who was let go.
enum Gone {
    Store(Arc<Store>),
    Slot(Arc<Slot>),
}

/// Lets one go: the one idle longest, or, with `running`, the one that was given nothing longest. Processes of raw SQL
/// go first: a worker takes longer to come back.
fn evict(shared: &Shared, running: bool) -> Option<Gone> {
    let resting =
        shared.stores().into_iter().filter_map(|store| Some((store.tenant.life.idle_since()?, store)));
    if let Some((_, store)) = resting.min_by_key(|(since, _)| *since) {
        count(&shared.metrics.evictions);
        store.tenant.life.hibernate();
        return Some(Gone::Store(store));
    }
    let slots = shared.slots();
    let idle =
        slots.iter().filter_map(|slot| Some((slot.idle_since()?, slot))).min_by_key(|(since, _)| *since);
    let chosen = match idle {
        Some((_, slot)) => slot,
        None if running => {
            slots.iter().filter_map(|slot| Some((slot.active()?, slot))).min_by_key(|(since, _)| *since)?.1
        }
        None => return None,
    };
    count(&shared.metrics.evictions);
    chosen.tell(Event::Evict);
    Some(Gone::Slot(Arc::clone(chosen)))
}

/// Budget of all workers together.
pub(crate) fn budget_bytes(configured: Option<u64>) -> u64 {
    configured.unwrap_or_else(|| machine_bytes() / 100 * bounds::BUDGET_PERCENT)
}
