//! Time and chance, injected.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Without a timer that notices when the clock is set: how often it is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// As far as a timer goes: the year 2100.
const FAR_UNIX_MS: u64 = 4_102_444_800_000;

/// Time of day, and chance.
pub(super) trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_unix_ms(&self) -> u64;
    /// Waits until it is so late, or until the clock was set; none: only for that.
    fn until(&self, unix_ms: Option<u64>) -> BoxFuture<'_, ()>;
    /// From 0 to below 1.
    fn jitter(&self) -> f64;
}

/// The machine's.
pub(super) struct Real {
    timer: Option<AsyncFd<OwnedFd>>,
}

impl Real {
    /// Must be made inside the runtime.
    pub(super) fn new() -> Self {
        let timer = Self::make().inspect_err(
            |error| tracing::warn!(%error, "no timer: schedules notice a clock that is set late"),
        );
        Self { timer: timer.ok() }
    }

    #[expect(
        deprecated,
        reason = "what takes its place is unsafe; the descriptor is owned and never replaced"
    )]
    fn make() -> io::Result<AsyncFd<OwnedFd>> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        AsyncFd::with_interest(timerfd_create(TimerfdClockId::Realtime, flags)?, Interest::READABLE)
    }

    async fn timer(timer: &AsyncFd<OwnedFd>, unix_ms: u64) -> io::Result<()> {
        let seconds = |ms: u64| i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
        // Zero would take the timer away.
        let at = unix_ms.clamp(1, FAR_UNIX_MS);
        let nanos = i64::try_from(at % 1_000).unwrap_or(0) * 1_000_000;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: seconds(at), tv_nsec: nanos };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(timer, flags, &Itimerspec { it_interval: zero, it_value: value })?;
        loop {
            let mut ready = timer.readable().await?;
            let read = ready.try_io(|timer| {
                let mut ticks = [0; 8];
                rustix::io::read(timer, &mut ticks).map_err(io::Error::from)
            });
            match read {
                // Not ready after all.
                Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // The clock was set: as good as the time itself.
                Ok(Err(error))
                    if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) =>
                {
                    return Ok(());
                }
                Ok(read) => return read.map(drop),
            }
        }
    }
}

impl Clock for Real {
    fn now_unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn until(&self, unix_ms: Option<u64>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let at = unix_ms.unwrap_or(FAR_UNIX_MS);
            if let Some(timer) = &self.timer
                && Self::timer(timer, at).await.is_ok()
            {
                return;
            }
            let left = Duration::from_millis(at.saturating_sub(self.now_unix_ms()));
            tokio::time::sleep(left.min(LOOK)).await;
        })
    }

    fn jitter(&self) -> f64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_until_the_time_has_come_and_not_for_one_that_has_passed() {
        let clock = Real::new();
        assert!(clock.timer.is_some(), "timers are there");
        clock.until(Some(0)).await;
        let then = clock.now_unix_ms() + 30;
        clock.until(Some(then)).await;
        assert!(clock.now_unix_ms() >= then);
        // A later wait takes the place of one that was given up.
        let given_up = tokio::time::timeout(Duration::from_millis(1), clock.until(None)).await;
        assert!(given_up.is_err());
        clock.until(Some(then)).await;
    }
}
