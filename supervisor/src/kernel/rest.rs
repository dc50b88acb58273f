//! Gives memory back when there is little to do: deploys and bursts of requests leave free pages behind that the
//! allocator would keep for the next one, and code that is not needed now.
//!
//! Judged by the CPU time of the process, so that nothing that is busy has to tell.

use std::time::Duration;

use crate::sys;

/// How often the CPU time is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Less between two looks is quiet.
const QUIET_MS: u64 = 20;
/// What was done since the last time must be worth the walk over the free memory.
const WORTH_MS: u64 = 100;

/// Runs as long as the server.
pub(super) async fn run() {
    let (mut before, mut at_last) = (0, 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = sys::cpu_ms();
        if now - before < QUIET_MS && now - at_last >= WORTH_MS {
            // Not on this thread: a large heap takes some milliseconds. Starting and deploying run much code that
            // serving does not.
            let rested = tokio::task::spawn_blocking(|| {
                sys::trim_heap();
                sys::forget_code();
            });
            let _ = rested.await;
            at_last = sys::cpu_ms();
        }
        before = now;
    }
}
