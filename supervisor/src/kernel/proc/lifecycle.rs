//! The life of one app for one principal, as a table: state and event give state and actions. No clock, no
//! process, no lock; `slot/` carries the actions out.
//!
//! ```text
//!                Wanted, Wake                 Loaded
//! hibernated ────────────────▶ starting ────────────────▶ running ⇄ idle
//!     ▲  ▲                        │ crash                    │ crash  │ IdleOver, Evict
//!     │  └────────────────────────┼──────────────────────────┼────────┘
//!     │ BackoffOver               ▼ too often                │
//!     └─────────────────────── backoff ◀─────────────────────┘
//! any ── Compromised, or hostile frames again and again ──▶ quarantined ── Wake by the owner ──▶ starting
//! ```

use std::time::Duration;

use fazt_ipc::control::State;

use super::bounds;

/// What the table remembers beside the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// State.
    pub(crate) state: State,
    /// Crashes in a row.
    pub(crate) crashes: u32,
    /// Hostile frames since the owner last said that the app is fine.
    pub(crate) violations: u32,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request waits and no worker can take it.
    Wanted,
    /// The workers are at their limit.
    Crowded,
    /// A worker has loaded the app.
    Loaded,
    /// A request is open.
    Busy,
    /// Nothing is open.
    Quiet,
    /// Nothing was open for the idle time.
    IdleOver,
    /// Memory is short, and this is the one to go.
    Evict,
    /// The worker that was to start could not be made.
    NoWorker,
    /// A worker ended as it should. `others`: some are left. `wanted`: requests wait.
    Ended {
        /// Other workers are left.
        others: bool,
        /// Requests wait.
        wanted: bool,
    },
    /// A worker crashed, overran a limit of the supervisor's, or could not load the app.
    Crashed {
        /// Other workers are left.
        others: bool,
        /// Requests wait.
        wanted: bool,
    },
    /// A worker sent what no honest worker sends.
    Violation {
        /// Other workers are left.
        others: bool,
        /// Requests wait.
        wanted: bool,
    },
    /// A worker tried a system call that honest JavaScript cannot make, or the app was quarantined elsewhere.
    Compromised,
    /// A worker has lived long enough to prove itself.
    GoodTime,
    /// The wait after crashes is over. `wanted`: requests wait.
    BackoffOver {
        /// Requests wait.
        wanted: bool,
    },
    /// The app has a new version. `wanted`: requests wait.
    Released {
        /// Requests wait.
        wanted: bool,
    },
    /// The owner wants it gone after what it does.
    Hibernate,
    /// The owner wants it gone now.
    Kill,
    /// The owner wants it there.
    Wake,
    /// The owner wants new workers.
    Restart,
    /// The server stops, or the app was removed.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give a worker the app.
    Start,
    /// One more, if the bounds and the cores allow it.
    StartAnother,
    /// Let all workers finish and go.
    DrainAll,
    /// Kill all workers.
    KillAll,
    /// Tell the requests that wait why they wait in vain.
    FailQueue(Why),
    /// Come back after this time.
    ArmBackoff(Duration),
    /// Tell the owner.
    Report,
}

/// Why requests wait in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It crashes.
    Backoff,
    /// It is compromised.
    Quarantined,
    /// No worker can be made.
    NoWorker,
    /// The server or the owner stopped it.
    Stopping,
}

impl Life {
    /// Nobody has asked for it yet.
    pub(crate) const NEW: Self = Self { state: State::Hibernated, crashes: 0, violations: 0 };

    /// The table.
    #[must_use]
    pub(crate) fn step(self, event: Event) -> (Self, Vec<Action>) {
        use Action as A;
        use Event as E;
        use State as S;
        let to = |state| Self { state, ..self };
        let fresh = |state| Self { state, ..Self::NEW };
        let renewed = |state| Self { state, crashes: 0, ..self };
        match (self.state, event) {
            // Compromise ends everything, from everywhere, and only the owner's word ends it.
            (S::Quarantined, E::Wake | E::Restart) => (fresh(S::Starting), vec![A::Start]),
            (S::Quarantined, E::Wanted | E::Released { wanted: true }) => {
                (self, vec![A::FailQueue(Why::Quarantined)])
            }
            (S::Quarantined, E::Stop) => (self, vec![A::KillAll, A::FailQueue(Why::Stopping)]),
            (S::Quarantined, _) => (self, vec![]),
            (_, E::Compromised) => self.quarantine(),
            (_, E::Violation { others, wanted }) => {
                let counted = Self { violations: self.violations + 1, ..self };
                if counted.violations >= bounds::VIOLATIONS_MAX {
                    counted.quarantine()
                } else {
                    counted.crashed(others, wanted)
                }
            }
            (_, E::Stop) => (to(S::Hibernated), vec![A::DrainAll, A::FailQueue(Why::Stopping)]),
            (_, E::GoodTime) => (Self { crashes: 0, ..self }, vec![]),

            (S::Hibernated, E::Wanted | E::Wake) => (to(S::Starting), vec![A::Start]),
            (S::Hibernated, E::Restart) => (fresh(S::Starting), vec![A::Start]),
            (S::Hibernated, E::Released { wanted: true }) => (to(S::Starting), vec![A::Start]),
            // A worker that drains may still crash; it counts, but nothing is to be replaced.
            (S::Hibernated, E::Crashed { wanted, .. }) => self.crashed(false, wanted),
            (S::Hibernated, _) => (self, vec![]),

            (S::Starting, E::Loaded) => (to(S::Running), vec![]),
            (S::Starting, E::NoWorker) => (to(S::Hibernated), vec![A::FailQueue(Why::NoWorker)]),
            (S::Starting, E::Released { .. }) => (renewed(S::Starting), vec![A::DrainAll, A::Start]),
            (S::Starting | S::Running | S::Idle, E::Restart) => {
                (fresh(S::Starting), vec![A::DrainAll, A::Start])
            }
            (S::Starting, E::Kill) => (to(S::Hibernated), vec![A::KillAll, A::FailQueue(Why::Stopping)]),
            (S::Starting, E::Hibernate) => {
                (to(S::Hibernated), vec![A::DrainAll, A::FailQueue(Why::Stopping)])
            }
            (S::Starting | S::Running | S::Idle, E::Crashed { others, wanted }) => {
                self.crashed(others, wanted)
            }
            (S::Starting | S::Running | S::Idle, E::Ended { others: true, .. }) => (self, vec![]),
            (S::Starting | S::Running | S::Idle, E::Ended { wanted: true, .. }) => {
                (to(S::Starting), vec![A::Start])
            }
            // What is being started is not what has ended.
            (S::Starting, E::Ended { .. }) => (self, vec![]),
            (S::Starting, _) => (self, vec![]),

            (S::Running | S::Idle, E::Wanted | E::Crowded) => (to(S::Running), vec![A::StartAnother]),
            (S::Running, E::Quiet) => (to(S::Idle), vec![]),
            (S::Idle, E::Busy) => (to(S::Running), vec![]),
            (S::Idle, E::IdleOver | E::Evict) => (to(S::Hibernated), vec![A::DrainAll]),
            (S::Running, E::Evict) => (to(S::Hibernated), vec![A::DrainAll]),
            (S::Running | S::Idle, E::Hibernate) => (to(S::Hibernated), vec![A::DrainAll]),
            (S::Running | S::Idle, E::Kill) => (to(S::Hibernated), vec![A::KillAll]),
            (S::Running | S::Idle, E::Released { wanted: false }) => {
                (renewed(S::Hibernated), vec![A::DrainAll])
            }
            (S::Running | S::Idle, E::Released { wanted: true }) => {
                (renewed(S::Starting), vec![A::DrainAll, A::Start])
            }
            (S::Running | S::Idle, E::Ended { .. }) => (to(S::Hibernated), vec![]),
            (S::Running | S::Idle, _) => (self, vec![]),

            (S::Backoff, E::Wanted) => (self, vec![A::FailQueue(Why::Backoff)]),
            (S::Backoff, E::BackoffOver { wanted: false } | E::Hibernate | E::Kill) => {
                (to(S::Hibernated), vec![])
            }
            (S::Backoff, E::BackoffOver { wanted: true }) => (to(S::Starting), vec![A::Start]),
            (S::Backoff, E::Wake | E::Restart) => (fresh(S::Starting), vec![A::Start]),
            // What crashed is not what runs from now on.
            (S::Backoff, E::Released { wanted: false }) => (renewed(S::Hibernated), vec![]),
            (S::Backoff, E::Released { wanted: true }) => (renewed(S::Starting), vec![A::Start]),
            (S::Backoff, _) => (self, vec![]),
        }
    }

    fn crashed(self, others: bool, wanted: bool) -> (Self, Vec<Action>) {
        let life = Self { crashes: self.crashes.saturating_add(1), ..self };
        if others {
            return (life, vec![]);
        }
        let Some(over) = life.crashes.checked_sub(bounds::CRASHES_FREE + 1) else {
            return if wanted {
                (Self { state: State::Starting, ..life }, vec![Action::Start])
            } else {
                (Self { state: State::Hibernated, ..life }, vec![])
            };
        };
        let wait = bounds::BACKOFF_FIRST.saturating_mul(1 << over.min(16)).min(bounds::BACKOFF_MAX);
        let actions = vec![Action::ArmBackoff(wait), Action::FailQueue(Why::Backoff), Action::Report];
        (Self { state: State::Backoff, ..life }, actions)
    }

    fn quarantine(self) -> (Self, Vec<Action>) {
        let actions = vec![Action::KillAll, Action::FailQueue(Why::Quarantined), Action::Report];
        (Self { state: State::Quarantined, ..self }, actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] =
        [State::Hibernated, State::Starting, State::Running, State::Idle, State::Backoff, State::Quarantined];

    fn events() -> Vec<Event> {
        let mut events = vec![
            Event::Wanted,
            Event::Crowded,
            Event::Loaded,
            Event::Busy,
            Event::Quiet,
            Event::IdleOver,
            Event::Evict,
            Event::NoWorker,
            Event::Compromised,
            Event::GoodTime,
            Event::Hibernate,
            Event::Kill,
            Event::Wake,
            Event::Restart,
            Event::Stop,
        ];
        for wanted in [false, true] {
            events.extend([Event::BackoffOver { wanted }, Event::Released { wanted }]);
            for others in [false, true] {
                events.extend([
                    Event::Ended { others, wanted },
                    Event::Crashed { others, wanted },
                    Event::Violation { others, wanted },
                ]);
            }
        }
        events
    }

    fn lives() -> Vec<Life> {
        let mut lives = Vec::new();
        for state in STATES {
            for crashes in [0, 1, bounds::CRASHES_FREE, bounds::CRASHES_FREE + 1, 40, u32::MAX] {
                for violations in 0..bounds::VIOLATIONS_MAX {
                    lives.push(Life { state, crashes, violations });
                }
            }
        }
        lives
    }

    /// Every state with every event.
    fn all(check: impl Fn(Life, Event, Life, &[Action])) {
        for life in lives() {
            for event in events() {
                let (after, actions) = life.step(event);
                check(life, event, after, &actions);
            }
        }
    }

    #[test]
    fn a_start_always_leads_to_starting_and_only_a_start_does() {
        all(|before, event, after, actions| {
            let starts = actions.contains(&Action::Start);
            if starts {
                assert_eq!(after.state, State::Starting, "{before:?} {event:?}");
            }
            if after.state == State::Starting && before.state != State::Starting {
                assert!(starts, "{before:?} {event:?}");
            }
        });
    }

    #[test]
    fn only_the_owner_leads_out_of_quarantine() {
        all(|before, event, after, _| {
            if before.state == State::Quarantined && after.state != State::Quarantined {
                assert!(matches!(event, Event::Wake | Event::Restart), "{event:?}");
            }
        });
    }

    #[test]
    fn proof_of_compromise_quarantines_from_every_state() {
        for life in lives() {
            let (after, actions) = life.step(Event::Compromised);
            assert_eq!(after.state, State::Quarantined);
            if life.state != State::Quarantined {
                assert!(actions.contains(&Action::KillAll) && actions.contains(&Action::Report));
            }
        }
    }

    #[test]
    fn a_request_that_waits_is_served_or_told_why_not() {
        for life in lives() {
            let (after, actions) = life.step(Event::Wanted);
            let told = actions.iter().any(|action| matches!(action, Action::FailQueue(_)));
            let served = matches!(after.state, State::Starting | State::Running);
            assert!(told != served, "{life:?} {actions:?}");
        }
    }

    #[test]
    fn nobody_waits_for_a_worker_that_will_not_come() {
        all(|before, event, after, actions| {
            let wanted = matches!(
                event,
                Event::Ended { wanted: true, others: false }
                    | Event::Crashed { wanted: true, others: false }
                    | Event::Violation { wanted: true, others: false }
                    | Event::Released { wanted: true }
                    | Event::BackoffOver { wanted: true }
            );
            let alive = matches!(before.state, State::Starting | State::Running | State::Idle);
            if wanted && alive && !matches!(after.state, State::Starting | State::Running | State::Idle) {
                let told = actions.iter().any(|action| matches!(action, Action::FailQueue(_)));
                assert!(told, "{before:?} {event:?} {after:?}");
            }
        });
    }

    #[test]
    fn waits_after_crashes_grow_to_their_cap_and_good_time_resets_them() {
        let mut life = Life { state: State::Running, ..Life::NEW };
        let mut waits = Vec::new();
        for _ in 0..40 {
            let (after, actions) = life.step(Event::Crashed { others: false, wanted: false });
            waits.extend(actions.iter().filter_map(|action| match action {
                Action::ArmBackoff(wait) => Some(*wait),
                _ => None,
            }));
            life = Life { state: State::Running, ..after };
        }
        assert_eq!(waits.len(), 40 - bounds::CRASHES_FREE as usize);
        assert_eq!(waits[0], bounds::BACKOFF_FIRST);
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&bounds::BACKOFF_MAX));
        let (life, _) = life.step(Event::GoodTime);
        let (after, _) = life.step(Event::Crashed { others: false, wanted: true });
        assert_eq!(after.state, State::Starting, "forgiven");
    }

    #[test]
    fn hostile_frames_quarantine_after_a_few() {
        let mut life = Life { state: State::Running, ..Life::NEW };
        for _ in 0..bounds::VIOLATIONS_MAX {
            assert_ne!(life.state, State::Quarantined);
            life = life.step(Event::Violation { others: false, wanted: true }).0;
            life = life.step(Event::GoodTime).0;
        }
        assert_eq!(life.state, State::Quarantined, "good time does not make hostile frames good");
    }

    #[test]
    fn a_busy_app_is_not_reaped_and_a_quiet_one_is() {
        let running = Life { state: State::Running, ..Life::NEW };
        assert_eq!(running.step(Event::IdleOver).0.state, State::Running);
        let (idle, _) = running.step(Event::Quiet);
        let (gone, actions) = idle.step(Event::IdleOver);
        assert_eq!((gone.state, actions), (State::Hibernated, vec![Action::DrainAll]));
    }

    #[test]
    fn a_new_version_drains_the_old_workers_and_forgives_the_old_code() {
        for state in [State::Running, State::Idle] {
            let life = Life { state, crashes: 9, violations: 1 };
            let (after, actions) = life.step(Event::Released { wanted: false });
            assert_eq!((after.state, after.crashes), (State::Hibernated, 0));
            assert_eq!(actions, [Action::DrainAll]);
        }
        let backoff = Life { state: State::Backoff, crashes: 9, violations: 0 };
        assert_eq!(backoff.step(Event::Released { wanted: false }).0.state, State::Hibernated);
    }
}
