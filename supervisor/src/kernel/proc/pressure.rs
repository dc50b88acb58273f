//! Who goes when memory is short: the worker that was idle longest, one at a time; a running one only when no
//! idle one is left and the budget is still overrun.
//!
//! Two signs: the sum of what all workers use against the budget, and the kernel's own word that tasks wait
//! for memory (PSI). The files are opened before the supervisor confines itself.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::lifecycle::Event;
use super::metrics::count;
use super::slot::Slot;
use super::{Shared, bounds};

/// How often the workers are counted while the budget is nearly used up.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// How often otherwise: each count asks the launcher about every worker.
const COUNT_EVERY_CALM: Duration = Duration::from_secs(12);
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
    let mut sum = 0;
    loop {
        let near = sum >= shared.budget_bytes / 2;
        tokio::time::sleep(if near { COUNT_EVERY } else { COUNT_EVERY_CALM }).await;
        sum = total(&shared).await;
        shared.workers_bytes.store(sum, Ordering::Relaxed);
        // One at a time: each is given the time to go before the next is chosen.
        while sum > shared.budget_bytes {
            let Some(freed) = evict(&shared, true) else { break };
            sum = sum.saturating_sub(freed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Counts every worker.
pub(crate) async fn total(shared: &Shared) -> u64 {
    let mut sum = 0;
    for slot in shared.slots() {
        for link in slot.view().links {
            if let Some(usage) = shared.launcher.stat(link.generation).await {
                link.note_usage(usage);
                sum += usage.memory_bytes;
            }
        }
    }
    sum
}

/// Lets one go: the one idle longest, or, with `running`, the one that was given nothing longest. What that
/// frees, as last counted.
fn evict(shared: &Shared, running: bool) -> Option<u64> {
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
    Some(freed(chosen))
}

fn freed(slot: &Slot) -> u64 {
    slot.view().links.iter().map(|link| link.usage().0.max(1)).sum()
}

/// Budget of all workers together.
pub(crate) fn budget_bytes(configured: Option<u64>) -> u64 {
    configured.unwrap_or_else(|| machine_bytes() / 100 * bounds::BUDGET_PERCENT)
}
