//! What becomes of a run or job after an attempt. Pure.

use fazt_ipc::limits::{ATTEMPTS_MAX, JOB_DELAY_S_MAX};

use super::super::DispatchError;
use super::super::link::Ended;
use crate::kernel::storage::jobs::{Finish, JobKind, JobRow};

/// Wait after the first attempt that failed.
pub(super) const BACKOFF_FIRST_MS: u64 = 1_000;
/// Each wait is so many times the one before: 1 s, 8 s, about a minute, eight minutes and a half.
const BACKOFF_FACTOR: u64 = 8;
/// So much of a wait is added at most, so that what failed together does not come together again.
const JITTER: f64 = 0.25;
/// An app that its owner has to see to is asked again after this time; such attempts do not count.
pub(super) const HELD_MS: u64 = 60_000;
/// No wait is longer, unless the app asks for one.
pub(super) const BACKOFF_MAX_MS: u64 =
    BACKOFF_FIRST_MS * BACKOFF_FACTOR.pow(ATTEMPTS_MAX - 1) * 5 / 4 + HELD_MS;

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) finish: Finish,
    /// In a word, for the history: `ok`, `failed`, `retry`, `dead`, `held`, `interrupted`.
    pub(super) outcome: &'static str,
    /// Empty unless it failed.
    pub(super) error: String,
}

/// The wait after attempt number `attempt`, from 1. `jitter` is from 0 to below 1.
pub(super) fn backoff_ms(attempt: u32, jitter: f64) -> u64 {
    let steps = attempt.clamp(1, ATTEMPTS_MAX) - 1;
    let wait = BACKOFF_FIRST_MS.saturating_mul(BACKOFF_FACTOR.saturating_pow(steps));
    wait + (wait as f64 * JITTER * jitter.clamp(0.0, 1.0)) as u64
}

/// Judges an attempt that ended now.
pub(super) fn judge(job: &JobRow, ended: &Ended, now_unix_ms: u64, jitter: f64) -> Verdict {
    let verdict = |finish, outcome, error: &str| Verdict { finish, outcome, error: error.into() };
    let again = |wait_ms: u64, free| Finish::Again { due_unix_ms: now_unix_ms + wait_ms, free };
    let wait_ms = backoff_ms(job.attempts, jitter);
    let is_last = job.attempts >= ATTEMPTS_MAX;
    let given_up = |error: &str| match job.kind {
        JobKind::Cron => verdict(Finish::Gone, "failed", error),
        JobKind::Once | JobKind::Queue => verdict(Finish::Dead, "dead", error),
    };
    let reason = ended.reason.as_str();
    match &ended.outcome {
        Ok(done) if !done.retry => verdict(Finish::Gone, "ok", ""),
        Ok(_) if is_last => given_up("the app asked to try again, too often"),
        Ok(done) => {
            let asked_ms = done.delay_s.map(|delay| u64::from(delay).min(JOB_DELAY_S_MAX) * 1_000);
            verdict(again(asked_ms.unwrap_or(wait_ms), false), "retry", "the app asked to try again")
        }
        Err(DispatchError::Stopping) => verdict(again(0, true), "interrupted", reason),
        // Nothing that trying again soon would mend.
        Err(DispatchError::Quarantined | DispatchError::NotSetUp) => match job.kind {
            JobKind::Cron => given_up(reason),
            JobKind::Once | JobKind::Queue => verdict(again(HELD_MS, true), "held", reason),
        },
        // The app never heard of it.
        Err(
            error @ (DispatchError::Overloaded
            | DispatchError::WakeTimeout
            | DispatchError::NoWorker
            | DispatchError::Backoff(_)),
        ) if !is_last => {
            let told_ms = match error {
                DispatchError::Backoff(wait) => {
                    u64::try_from(wait.as_millis()).unwrap_or(HELD_MS).min(HELD_MS)
                }
                _ => 0,
            };
            verdict(again(wait_ms.max(told_ms), false), "retry", reason)
        }
        Err(_) if is_last || ended.no_retry || job.kind == JobKind::Cron => given_up(reason),
        Err(_) => verdict(again(wait_ms, false), "retry", reason),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fazt_ipc::ids::JobId;
    use fazt_ipc::wire::worker::Done;

    use super::*;
    use crate::kernel::storage::jobs::JobState;

    #[test]
    fn waits_grow_and_jitter_only_adds() {
        for jitter in [0.0, 0.5, 0.999] {
            let waits: Vec<_> = (1..=ATTEMPTS_MAX).map(|attempt| backoff_ms(attempt, jitter)).collect();
            assert!(waits.is_sorted_by(|a, b| a * 2 < *b), "{waits:?}");
            assert!(waits.iter().all(|wait| *wait >= BACKOFF_FIRST_MS && *wait <= BACKOFF_MAX_MS));
        }
        assert_eq!([1, 2, 3, 4].map(|attempt| backoff_ms(attempt, 0.0)), [1_000, 8_000, 64_000, 512_000]);
        assert_eq!(backoff_ms(9_999, f64::NAN), backoff_ms(ATTEMPTS_MAX, 0.0));
    }

    #[test]
    fn the_table_of_verdicts() {
        use DispatchError as E;
        use JobKind::{Cron, Once, Queue};
        let done = |retry, delay_s| Ok(Done { retry, delay_s });
        let again = |wait, free| Finish::Again { due_unix_ms: 1_000_000 + wait, free };
        let last = ATTEMPTS_MAX;
        for (kind, attempts, outcome, no_retry, finish, word) in [
            (Queue, 1, done(false, None), false, Finish::Gone, "ok"),
            (Queue, 2, done(true, None), false, again(8_000, false), "retry"),
            (Queue, 2, done(true, Some(0)), false, again(0, false), "retry"),
            (Queue, 2, done(true, Some(u32::MAX)), false, again(JOB_DELAY_S_MAX * 1_000, false), "retry"),
            (Queue, last, done(true, Some(0)), false, Finish::Dead, "dead"),
            (Queue, 1, Err(E::Exception), false, again(1_000, false), "retry"),
            (Once, 1, Err(E::Exception), true, Finish::Dead, "dead"),
            (Once, last, Err(E::Died), false, Finish::Dead, "dead"),
            (Cron, 1, Err(E::Exception), false, Finish::Gone, "failed"),
            (Cron, 1, done(false, None), true, Finish::Gone, "ok"),
            (Cron, 1, Err(E::Overloaded), false, again(1_000, false), "retry"),
            (Cron, last, Err(E::Overloaded), false, Finish::Gone, "failed"),
            (Queue, last, Err(E::WakeTimeout), false, Finish::Dead, "dead"),
            (Queue, 1, Err(E::Backoff(Duration::from_secs(30))), false, again(30_000, false), "retry"),
            (Queue, last, Err(E::Quarantined), false, again(HELD_MS, true), "held"),
            (Cron, 1, Err(E::NotSetUp), false, Finish::Gone, "failed"),
            (Cron, last, Err(E::Stopping), false, again(0, true), "interrupted"),
        ] {
            let job = JobRow {
                id: JobId::new(1, 1),
                kind,
                name: "x".into(),
                state: JobState::Runs,
                at_unix_ms: 0,
                due_unix_ms: 0,
                attempts,
                error: String::new(),
                bytes: 0,
            };
            let ended = Ended { outcome: outcome.clone(), no_retry, reason: "why".into() };
            let verdict = judge(&job, &ended, 1_000_000, 0.0);
            assert_eq!((verdict.finish, verdict.outcome), (finish, word), "{kind:?} {attempts} {outcome:?}");
            assert_eq!(verdict.error.is_empty(), word == "ok");
        }
    }
}
