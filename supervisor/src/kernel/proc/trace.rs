//! `fazt proc trace APP`: the frames of an app's workers by name, for as long as somebody looks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fazt_ipc::control::TraceLine;
use fazt_ipc::ids::Generation;
use tokio::sync::broadcast;

use super::link::{Link, Tap};

/// Lines that a slow reader may be behind.
const LINES_KEPT: usize = 1024;

/// The trace of one slot.
#[derive(Default)]
pub(crate) struct Trace {
    live: Mutex<Option<(Instant, broadcast::Sender<TraceLine>)>>,
}

impl Trace {
    /// Joins the trace that runs, or begins one.
    pub(crate) fn join(&self) -> broadcast::Receiver<TraceLine> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match &*live {
            Some((_, lines)) if lines.receiver_count() > 0 => lines.subscribe(),
            _ => {
                let (lines, receiver) = broadcast::channel(LINES_KEPT);
                *live = Some((Instant::now(), lines));
                receiver
            }
        }
    }

    /// Puts a tap on a worker if somebody looks.
    pub(crate) fn attach(&self, link: &Arc<Link>) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((began, lines)) = &*live
            && lines.receiver_count() > 0
        {
            link.tap(Some(tap(link.generation, *began, lines.clone())));
        }
    }
}

fn tap(generation: Generation, began: Instant, lines: broadcast::Sender<TraceLine>) -> Tap {
    Box::new(move |direction, kind, header, detail| {
        if lines.receiver_count() == 0 {
            return;
        }
        let _ = lines.send(TraceLine {
            at_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            generation: generation.0,
            direction,
            kind: kind.to_owned(),
            stream: header.stream,
            bytes: header.body_bytes,
            detail: detail(),
        });
    })
}
