//! Apps from elsewhere are fetched one at a time: each holds a repository and its packages in memory, packed and then
//! unpacked, a hundred megabytes at worst. Others wait, within bounds.

use std::time::Duration;

use fazt_ipc::control::InstallLine;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Failed, Told};

/// Installs and updates that wait.
const WAITING_MAX: usize = 8;
/// Longer than the slowest that goes before it may take.
const WAIT: Duration = Duration::from_secs(15 * 60);
const _: () = assert!(WAIT.as_secs() > super::WALL.as_secs());

/// Whose turn it is.
pub(in super::super) struct Turns {
    turn: Semaphore,
    waiting: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Turns {
    /// Waits for the turn, which ends when the answer is dropped. Who gives up waiting leaves the queue.
    ///
    /// # Errors
    /// When the queue is full, or does not move.
    pub(super) async fn take(&self, told: &Told) -> Result<SemaphorePermit<'_>, Failed> {
        if let Ok(turn) = self.turn.try_acquire() {
            return Ok(turn);
        }
        let busy = |why: &str| Failed::Busy(format!("apps are fetched one after the other, and {why}"));
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(busy(&format!("{WAITING_MAX} wait already")));
        };
        // Those that wait, without this one, and the one whose turn it is.
        let before = WAITING_MAX - self.waiting.available_permits();
        told.say(InstallLine::Wait { before: before as u64 });
        match tokio::time::timeout(WAIT, self.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(busy(&format!("those before it took more than {} minutes", WAIT.as_secs() / 60))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use tokio::sync::mpsc;

    use super::*;

    /// Asks once whether there is an answer.
    async fn waits(mut one: Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(one.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_fetched_at_a_time_and_so_many_wait_for_so_long() {
        let turns = Turns::default();
        let (told, mut lines) = mpsc::channel(32);
        let told = Told(told);
        let first = turns.take(&told).await.expect("nobody else");
        assert!(lines.try_recv().is_err(), "nobody to wait for");
        let mut waiting = Vec::new();
        for before in 1..=WAITING_MAX as u64 {
            let mut next = Box::pin(turns.take(&told));
            assert!(waits(next.as_mut()).await, "{before}");
            assert_eq!(lines.try_recv(), Ok(InstallLine::Wait { before }));
            waiting.push(next);
        }
        let refused = turns.take(&told).await.err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("8 wait already")));
        // In the order in which they came; one that gives up makes room for another.
        drop(waiting.pop());
        drop(first);
        let second = waiting.remove(0).await.expect("its turn");
        let mut late = pin!(turns.take(&told));
        assert!(waits(late.as_mut()).await);
        drop(waiting);
        let refused = late.await.err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("15 minutes")));
        drop(second);
        assert!(turns.take(&told).await.is_ok());
    }
}
