//! The slot's task: turns the table, carries its actions out, and looks at what only the clock tells.

use std::sync::Arc;
use std::time::Instant;

use fazt_ipc::control::State;
use fazt_ipc::limits::STREAMS_MAX;
use tokio::sync::{mpsc, oneshot};

use super::super::lifecycle::{Action, Event, Why};
use super::super::{DispatchError, bounds};
use super::Slot;

impl Slot {
    /// Turns the table for an event. A request's word while a worker starts goes unheard, and one that was heard
    /// may have counted on a worker that is gone now: whoever still waits is heard again.
    fn turn(self: &Arc<Self>, event: Event) {
        self.step(event);
        let news = matches!(
            event,
            Event::Loaded | Event::Ended { .. } | Event::Crashed { .. } | Event::Violation { .. }
        );
        if news {
            self.step(Event::Wanted);
        }
    }

    fn step(self: &Arc<Self>, event: Event) {
        let mut inner = self.inner();
        let before = inner.life;
        // A request may have found its place between its word and this turn, or its client has gone.
        if event == Event::Wanted && inner.queue.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        let (life, actions) = before.step(event);
        inner.life = life;
        if before.state != life.state {
            tracing::debug!(app = %inner.spec.name, from = ?before.state, to = ?life.state, ?event, "lifecycle");
        }
        for action in actions {
            match action {
                Action::Start => self.spawn_give(&mut inner),
                Action::StartAnother => {
                    let full =
                        inner.links.iter().all(|link| link.load().is_none_or(|load| load >= STREAMS_MAX));
                    let all = inner.links.len() + inner.starting;
                    if inner.starting == 0 && (all < self.workers_max() || (full && inner.links.is_empty())) {
                        self.spawn_give(&mut inner);
                    }
                }
                Action::DrainAll => {
                    inner.retire_all();
                }
                Action::KillAll => {
                    inner.retire_all();
                    inner.leaving.iter().for_each(|link| link.kill());
                }
                Action::FailQueue(why) => {
                    let error = match why {
                        Why::Backoff => inner.backoff(),
                        Why::Quarantined => DispatchError::Quarantined,
                        Why::NoWorker => DispatchError::NoWorker,
                        Why::Stopping => DispatchError::Stopping,
                    };
                    for waiting in inner.queue.drain(..) {
                        let _ = waiting.send(Err(error.clone()));
                    }
                }
                Action::ArmBackoff(wait) => inner.backoff_until = Instant::now() + wait,
                Action::Report => {
                    if inner.reason.is_empty() {
                        inner.reason = "another process of the app was taken over; its log says how".into();
                    }
                    let reason = &inner.reason;
                    tracing::warn!(app = %inner.spec.name, state = ?life.state, %reason, "an app is in trouble");
                    if life.state == State::Quarantined {
                        self.shared.quarantine(self.app, Some(self.principal), reason);
                    }
                }
            }
        }
        if event == Event::Stop {
            inner.stopped = true;
        }
        self.state.send_if_modified(|state| std::mem::replace(state, life.state) != life.state);
    }

    /// When the task must look again without being told.
    fn next_look(&self) -> Option<Instant> {
        let inner = self.inner();
        match inner.life.state {
            State::Backoff => Some(inner.backoff_until),
            State::Running | State::Idle => {
                let idle = self.shared.options.idle;
                let extra = inner.extra_idle_since();
                drop(inner);
                let all = self.idle_since().map_or_else(|| Instant::now() + idle, |since| since + idle);
                Some(extra.map_or(all, |since| all.min(since + idle)))
            }
            _ => None,
        }
    }

    /// Looks at what only the clock tells.
    fn look(self: &Arc<Self>) {
        let now = Instant::now();
        let (life, waits, proven) = {
            let inner = self.inner();
            let over = inner.life.state == State::Backoff && now >= inner.backoff_until;
            let proven = inner.links.iter().any(|link| now >= link.born() + bounds::GOOD_TIME);
            (inner.life, over.then_some(!inner.queue.is_empty()), proven)
        };
        if let Some(wanted) = waits {
            self.turn(Event::BackoffOver { wanted });
            return;
        }
        if proven && life.crashes > 0 {
            self.turn(Event::GoodTime);
        }
        if matches!(life.state, State::Running | State::Idle) {
            match self.idle_since() {
                None => self.turn(Event::Busy),
                Some(since) => {
                    self.turn(Event::Quiet);
                    if now >= since + self.shared.options.idle {
                        self.turn(Event::IdleOver);
                    }
                }
            }
            self.inner().retire_extra(now, self.shared.options.idle);
        }
    }
}

/// The slot's task: the only one that turns the table.
pub(super) async fn run(slot: Arc<Slot>, mut events: mpsc::UnboundedReceiver<Event>) {
    loop {
        let next = slot.next_look();
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                // Before an owner's or the budget's word counts, the state is what the workers do now.
                if event == Event::Evict {
                    slot.look();
                }
                slot.turn(event);
                let inner = slot.inner();
                if inner.stopped && inner.links.is_empty() && inner.leaving.is_empty() && inner.starting == 0 {
                    return;
                }
            }
            () = timer => slot.look(),
        }
    }
}
