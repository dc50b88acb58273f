//! The system calls that a worker has open, on its own (even) streams.

use std::collections::VecDeque;
use std::task::Waker;

use fazt_ipc::limits::{CREDIT_BYTES, STREAMS_MAX};
use fazt_ipc::wire::WireError;

/// Calls remembered after their answer, because bytes for them may still be on the way.
const ANSWERED_KEPT: usize = 4 * STREAMS_MAX;

/// A call without a complete answer.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) stream: u32,
    /// What may be sent of the answer's bytes without new credit.
    pub(super) window: u32,
    /// The task that sends them.
    pub(super) waker: Option<Waker>,
    incoming: Incoming,
}

/// The bytes that a worker sends after a call. No call of today takes any, so they are counted and dropped.
#[derive(Debug, Clone, Copy)]
struct Incoming {
    window: u32,
    ended: bool,
}

/// All calls of one worker.
#[derive(Debug, Default)]
pub(super) struct CallTable {
    open: Vec<OpenCall>,
    answered: VecDeque<(u32, Incoming)>,
    /// Numbers only grow, so that none is used twice.
    last: u32,
}

impl CallTable {
    /// A call arrives. `end`: no bytes follow.
    pub(super) fn begin(&mut self, stream: u32, end: bool) -> Result<(), WireError> {
        if stream == 0 || !stream.is_multiple_of(2) || stream <= self.last {
            return Err(WireError::Stream { kind: "Call", stream });
        }
        if self.open.len() >= STREAMS_MAX {
            return Err(WireError::Bound("calls in flight"));
        }
        self.last = stream;
        let incoming = Incoming { window: CREDIT_BYTES, ended: end };
        self.open.push(OpenCall { stream, window: CREDIT_BYTES, waker: None, incoming });
        Ok(())
    }

    /// Bytes for a call arrive.
    pub(super) fn body(&mut self, stream: u32, bytes: u32, end: bool) -> Result<(), WireError> {
        let incoming = match self.open.iter_mut().find(|call| call.stream == stream) {
            Some(call) => &mut call.incoming,
            None => match self.answered.iter_mut().find(|(answered, _)| *answered == stream) {
                Some((_, incoming)) => incoming,
                None => return Err(WireError::Stream { kind: "CallBody", stream }),
            },
        };
        if incoming.ended {
            return Err(WireError::Stream { kind: "CallBody", stream });
        }
        incoming.window =
            incoming.window.checked_sub(bytes).ok_or(WireError::Bound("bytes of a call without credit"))?;
        incoming.ended = end;
        Ok(())
    }

    /// Credit for an answer arrives; it may come after the answer's end.
    pub(super) fn credit(&mut self, stream: u32, bytes: u32) -> Result<(), WireError> {
        if stream == 0 || !stream.is_multiple_of(2) || stream > self.last {
            return Err(WireError::Stream { kind: "CallCredit", stream });
        }
        let Some(call) = self.find(stream) else { return Ok(()) };
        call.window = call
            .window
            .checked_add(bytes)
            .filter(|&window| window <= CREDIT_BYTES)
            .ok_or(WireError::Bound("credit"))?;
        if let Some(waker) = call.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    pub(super) fn find(&mut self, stream: u32) -> Option<&mut OpenCall> {
        self.open.iter_mut().find(|call| call.stream == stream)
    }

    /// The answer is complete.
    pub(super) fn end(&mut self, stream: u32) {
        let Some(at) = self.open.iter().position(|call| call.stream == stream) else { return };
        let call = self.open.swap_remove(at);
        if !call.incoming.ended {
            if self.answered.len() == ANSWERED_KEPT {
                self.answered.pop_front();
            }
            self.answered.push_back((stream, call.incoming));
        }
    }

    /// There is room in the write buffer again.
    pub(super) fn wake_all(&mut self) {
        for waker in self.open.iter_mut().filter_map(|call| call.waker.take()) {
            waker.wake();
        }
    }

    /// The worker is gone: whoever sends an answer learns it.
    pub(super) fn clear(&mut self) {
        for mut call in self.open.drain(..) {
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_once_and_is_even() {
        let mut calls = CallTable::default();
        assert!(calls.begin(2, true).is_ok());
        for stream in [0, 1, 2, 3] {
            assert!(calls.begin(stream, true).is_err(), "{stream}");
        }
        calls.end(2);
        assert!(calls.begin(2, true).is_err(), "used before");
        assert!(calls.begin(4, true).is_ok());
    }

    #[test]
    fn more_calls_than_may_be_open_are_a_violation() {
        let mut calls = CallTable::default();
        let last = 2 * u32::try_from(STREAMS_MAX).expect("small");
        for stream in (2..=last).step_by(2) {
            assert!(calls.begin(stream, true).is_ok());
        }
        assert!(calls.begin(last + 2, true).is_err());
        calls.end(2);
        assert!(calls.begin(last + 2, true).is_ok());
    }

    #[test]
    fn bytes_for_a_call_keep_to_their_credit_even_after_the_answer() {
        let mut calls = CallTable::default();
        assert!(calls.begin(2, false).is_ok());
        assert!(calls.body(2, CREDIT_BYTES - 1, false).is_ok());
        calls.end(2);
        assert!(calls.body(2, 1, false).is_ok(), "they were on the way");
        assert!(calls.body(2, 1, false).is_err(), "without credit");
        assert!(calls.body(2, 0, true).is_ok());
        assert!(calls.body(2, 0, true).is_err(), "after the end");
        assert!(calls.body(4, 0, true).is_err(), "never opened");
    }

    #[test]
    fn credit_beyond_the_window_is_a_violation_and_late_credit_is_not() {
        let mut calls = CallTable::default();
        assert!(calls.begin(2, true).is_ok());
        assert!(calls.credit(2, 1).is_err());
        calls.end(2);
        assert!(calls.credit(2, 1).is_ok());
        assert!(calls.credit(4, 1).is_err());
    }
}
