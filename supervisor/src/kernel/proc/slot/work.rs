//! What one worker says to its slot, and what follows from its end. Called from the link's task.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::ids::{Generation, RequestId};
use fazt_ipc::limits::LOG_LINES_PER_S_MAX;
use fazt_ipc::wire::Failure;
use fazt_ipc::wire::worker::{Loaded, LogLevel, Ready};

use super::super::launcher::Exit;
use super::super::lifecycle::Event;
use super::super::link::{End, Line, Owner};
use super::super::metrics::count;
use super::Slot;
use super::ending::{SIGSYS, describe, first_place};
use crate::kernel::fs::Code;
use crate::kernel::security::Actor;
use crate::kernel::syscall::Calls;

/// One worker's work for the slot.
pub(super) struct Work {
    slot: Arc<Slot>,
    calls: Arc<dyn Calls>,
    code: Arc<Code>,
    /// Start of the second, and lines in it.
    said: Mutex<(Instant, u32)>,
}

impl Work {
    pub(super) fn new(slot: Arc<Slot>, calls: Arc<dyn Calls>, code: Arc<Code>) -> Self {
        Self { slot, calls, code, said: Mutex::new((Instant::now(), 0)) }
    }

    fn failure(&self, request: Option<RequestId>, failure: &Failure) -> String {
        let mut text = failure.message.clone();
        if !failure.stack.is_empty() {
            text.push('\n');
            text.push_str(&self.code.map_text(&failure.stack));
        }
        let origin = first_place(&text);
        self.slot.log(LogLevel::Error, request, origin, text.clone());
        text
    }
}

impl Owner for Work {
    fn ready(&self, _: Ready) {}

    fn loaded(&self, _: Generation, loaded: Loaded) {
        if loaded == Loaded::default() {
            let text =
                "the app's main module exports no handler: no `fetch`, `scheduled`, `queue` or `message`";
            self.slot.log(LogLevel::Warn, None, String::new(), text.into());
        }
        self.slot.shared.room.settle();
        self.slot.tell(Event::Loaded);
        self.slot.serve_queue();
    }

    fn load_failed(&self, failure: Failure) {
        let text = self.failure(None, &failure);
        self.slot.inner().reason = format!("does not load: {}", text.lines().next().unwrap_or_default());
    }

    fn failed(&self, request: RequestId, failure: Failure) {
        count(&self.slot.shared.metrics.failures);
        self.failure(Some(request), &failure);
    }

    fn fault(&self, request: Option<RequestId>, text: String) {
        count(&self.slot.shared.metrics.failures);
        self.slot.log(LogLevel::Error, request, String::new(), text);
    }

    fn log(&self, request: Option<RequestId>, line: Line) {
        // The worker keeps to the same bound; a hostile one does not.
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.0.elapsed() >= Duration::from_secs(1) {
                *said = (Instant::now(), 0);
            }
            said.1 += 1;
            if said.1 > 2 * LOG_LINES_PER_S_MAX {
                return;
            }
        }
        if line.dropped > 0 {
            let text = format!("{} lines were dropped: at most {LOG_LINES_PER_S_MAX} a second", line.dropped);
            self.slot.log(LogLevel::Warn, None, String::new(), text);
        }
        self.slot.log(line.level, request, self.code.map_text(&line.origin), line.text);
    }

    fn freed(&self) {
        self.slot.serve_queue();
    }

    fn crowded(&self) {
        self.slot.tell(Event::Crowded);
    }

    fn retired(&self, generation: Generation) {
        let mut inner = self.slot.inner();
        if let Some(at) = inner.links.iter().position(|link| link.generation == generation) {
            let link = inner.links.remove(at);
            inner.leaving.push(link);
        }
        let (others, wanted) = (!inner.links.is_empty() || inner.starting > 0, !inner.queue.is_empty());
        drop(inner);
        self.slot.tell(Event::Ended { others, wanted });
    }

    fn ended(&self, generation: Generation, end: End, exit: Option<Exit>) {
        let slot = &self.slot;
        let mut inner = slot.inner();
        let current = inner.links.iter().any(|link| link.generation == generation);
        inner.links.retain(|link| link.generation != generation);
        inner.leaving.retain(|link| link.generation != generation);
        let (others, wanted) = (!inner.links.is_empty() || inner.starting > 0, !inner.queue.is_empty());
        let compromised = exit.is_some_and(|exit| exit.signal == SIGSYS);
        let event = match &end {
            _ if compromised => Event::Compromised,
            End::Violation(_) => Event::Violation { others, wanted },
            End::Deadline(_) | End::LoadFailed => Event::Crashed { others, wanted },
            End::Closed if current || exit.is_none_or(|exit| exit.code != 0) => {
                Event::Crashed { others, wanted }
            }
            End::Closed | End::Torn | End::Ordered => Event::Ended { others, wanted },
        };
        let text = describe(&end, exit);
        if !matches!(event, Event::Ended { .. }) && end != End::LoadFailed {
            inner.reason.clone_from(&text);
        }
        drop(inner);
        match event {
            Event::Ended { .. } => {}
            Event::Violation { .. } => count(&slot.shared.metrics.violations),
            _ => count(&slot.shared.metrics.crashes),
        }
        if !matches!(event, Event::Ended { .. }) {
            tracing::warn!(app = %slot.name(), %generation, %text, "a worker ended");
            if end != End::LoadFailed {
                slot.log(LogLevel::Error, None, String::new(), format!("the worker ended: {text}"));
            }
        }
        slot.tell(event);
        slot.gone.notify_waiters();
        slot.shared.room.settle();
    }

    fn calls(&self) -> Arc<dyn Calls> {
        Arc::clone(&self.calls)
    }

    fn actor(&self) -> Actor {
        Actor::of_worker(self.slot.app, self.slot.principal)
    }
}
