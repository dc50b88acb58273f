//! The system calls that a worker has open, on its own (even) streams.
//!
//! ```text
//! Call ──▶ open ──▶ answer sent ──END──▶ forgotten
//! LongCall ─▶ open, its arguments arrive ─┘
//! CancelCall: open still counts, until the END that follows
//! ```
//! A worker sends nothing after a call without credit, and none is granted before somebody reads.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fazt_ipc::limits::{CREDIT_BYTES, STREAMS_MAX};
use fazt_ipc::wire::WireError;

/// Calls remembered after their answer, because bytes for them may still be on the way.
const ANSWERED_KEPT: usize = 4 * STREAMS_MAX;

/// What follows when the worker does not move on in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// It has nothing to wait for: it is stuck or hostile.
    Fatal,
    /// The stream ends.
    Cut,
}

/// A call without a complete answer.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) stream: u32,
    /// What may be sent of the answer's bytes without new credit.
    pub(super) window: u32,
    /// The task that sends them.
    pub(super) waker: Option<Waker>,
    /// The worker wants no answer any more, or it has not moved for too long.
    pub(super) given_up: bool,
    /// When the worker must have moved on.
    pub(super) due: Option<(Instant, Late)>,
    incoming: Incoming,
    /// Bytes that came and nobody has taken.
    buffer: BytesMut,
    /// The task that reads them.
    reader: Option<Waker>,
}

/// What the worker may still send after a call.
#[derive(Debug, Clone, Copy)]
struct Incoming {
    window: u32,
    ended: bool,
}

/// What came after a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Bytes.
    Bytes(Bytes),
    /// All has been read.
    End,
    /// It will never be whole.
    Broken,
    /// Nothing yet; so much credit is to be granted.
    Nothing(u32),
}

/// All calls of one worker.
#[derive(Debug, Default)]
pub(super) struct CallTable {
    open: Vec<OpenCall>,
    answered: VecDeque<(u32, Incoming)>,
    /// Numbers only grow, so that none is used twice.
    last: u32,
}

impl OpenCall {
    fn wake(&mut self) {
        for waker in [self.waker.take(), self.reader.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.due = None;
        self.buffer = BytesMut::new();
        self.wake();
    }
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
        self.open.push(OpenCall {
            stream,
            window: CREDIT_BYTES,
            waker: None,
            given_up: false,
            due: None,
            incoming: Incoming { window: 0, ended: end },
            buffer: BytesMut::new(),
            reader: None,
        });
        Ok(())
    }

    /// Bytes for a call arrive.
    pub(super) fn body(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<(), WireError> {
        let mut open = self.open.iter_mut().find(|call| call.stream == stream);
        let incoming = match &mut open {
            Some(call) => &mut call.incoming,
            None => match self.answered.iter_mut().find(|(answered, _)| *answered == stream) {
                Some((_, incoming)) => incoming,
                None => return Err(WireError::Stream { kind: "CallBody", stream }),
            },
        };
        if incoming.ended {
            return Err(WireError::Stream { kind: "CallBody", stream });
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        incoming.window =
            incoming.window.checked_sub(length).ok_or(WireError::Bound("bytes of a call without credit"))?;
        incoming.ended = end;
        if let Some(call) = open
            && !call.given_up
        {
            call.buffer.extend_from_slice(bytes);
            if let Some(reader) = call.reader.take() {
                reader.wake();
            }
        }
        Ok(())
    }

    /// The app gives a call up. It may have been answered meanwhile.
    pub(super) fn cancel(&mut self, stream: u32) -> Result<(), WireError> {
        if stream == 0 || !stream.is_multiple_of(2) || stream > self.last {
            return Err(WireError::Stream { kind: "CancelCall", stream });
        }
        if let Some((_, incoming)) = self.answered.iter_mut().find(|(answered, _)| *answered == stream) {
            incoming.ended = true;
        }
        if let Some(call) = self.find(stream) {
            call.incoming.ended = true;
            call.give_up();
        }
        Ok(())
    }

    /// Takes what has come after a call, up to `window` bytes being on their way.
    pub(super) fn read(&mut self, stream: u32, window: u32, waker: &Waker) -> Came {
        let Some(call) = self.find(stream).filter(|call| !call.given_up) else { return Came::Broken };
        if !call.buffer.is_empty() {
            call.due = None;
            return Came::Bytes(call.buffer.split().freeze());
        }
        if call.incoming.ended {
            call.due = None;
            return Came::End;
        }
        call.reader = Some(waker.clone());
        // In steps, to save frames.
        let missing = window.saturating_sub(call.incoming.window);
        let grant = if missing > window / 2 { missing } else { 0 };
        call.incoming.window += grant;
        Came::Nothing(grant)
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

    /// Whether no call is open that came before this one.
    pub(super) fn is_first(&self, stream: u32) -> bool {
        self.open.iter().all(|call| call.stream >= stream)
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

    /// Whether a deadline runs.
    pub(super) fn has_due(&self) -> bool {
        self.open.iter().any(|call| call.due.is_some())
    }

    /// Ends the streams that have not moved in time. True: the worker should be ended too.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let mut fatal = false;
        for call in &mut self.open {
            if let Some((due, late)) = call.due
                && now >= due
            {
                fatal |= late == Late::Fatal;
                call.give_up();
            }
        }
        fatal
    }

    /// There is room in the write buffer again.
    pub(super) fn wake_all(&mut self) {
        for waker in self.open.iter_mut().filter_map(|call| call.waker.take()) {
            waker.wake();
        }
    }

    /// The worker is gone: whoever sends an answer or reads what follows a call learns it.
    pub(super) fn clear(&mut self) {
        self.open.drain(..).for_each(|mut call| call.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(calls: &mut CallTable, stream: u32) -> Came {
        calls.read(stream, 100, Waker::noop())
    }

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
    fn a_call_is_first_when_those_before_it_have_ended() {
        let mut calls = CallTable::default();
        for stream in [2, 4, 6] {
            assert!(calls.begin(stream, true).is_ok());
        }
        assert!(calls.is_first(2) && !calls.is_first(4) && !calls.is_first(6));
        calls.end(2);
        assert!(calls.is_first(4) && !calls.is_first(6));
        calls.end(4);
        assert!(calls.is_first(6));
    }

    #[test]
    fn more_calls_than_may_be_open_are_a_violation_even_when_they_are_given_up() {
        let mut calls = CallTable::default();
        let last = 2 * u32::try_from(STREAMS_MAX).expect("small");
        for stream in (2..=last).step_by(2) {
            assert!(calls.begin(stream, true).is_ok());
            assert!(calls.cancel(stream).is_ok());
        }
        assert!(calls.begin(last + 2, true).is_err());
        calls.end(2);
        assert!(calls.begin(last + 2, true).is_ok());
    }

    #[test]
    fn nothing_comes_before_somebody_reads_and_no_more_than_was_granted() {
        let mut calls = CallTable::default();
        assert!(calls.begin(2, false).is_ok());
        assert!(calls.body(2, b"x", false).is_err(), "nobody reads");
        assert_eq!(read(&mut calls, 2), Came::Nothing(100));
        assert_eq!(read(&mut calls, 2), Came::Nothing(0), "it was granted already");
        assert!(calls.body(2, &[7; 60], false).is_ok());
        assert_eq!(read(&mut calls, 2), Came::Bytes(Bytes::from(vec![7; 60])));
        assert_eq!(read(&mut calls, 2), Came::Nothing(60));
        assert!(calls.body(2, &[7; 101], false).is_err());
        assert!(calls.body(2, &[7; 100], true).is_ok());
        assert!(matches!(read(&mut calls, 2), Came::Bytes(_)));
        assert_eq!(read(&mut calls, 2), Came::End);
        assert!(calls.body(2, b"", true).is_err(), "after the end");
    }

    #[test]
    fn bytes_for_a_call_keep_to_their_credit_even_after_the_answer() {
        let mut calls = CallTable::default();
        assert!(calls.begin(2, false).is_ok());
        assert_eq!(read(&mut calls, 2), Came::Nothing(100));
        calls.end(2);
        assert!(calls.body(2, &[0; 100], false).is_ok(), "they were on the way");
        assert!(calls.body(2, b"x", false).is_err(), "without credit");
        assert!(calls.body(2, b"", true).is_ok());
        assert!(calls.body(2, b"", true).is_err(), "after the end");
        assert!(calls.body(4, b"", true).is_err(), "never opened");
        assert_eq!(read(&mut calls, 2), Came::Broken);
    }

    #[test]
    fn a_call_that_is_given_up_takes_nothing_more() {
        let mut calls = CallTable::default();
        assert!(calls.cancel(2).is_err(), "never opened");
        assert!(calls.begin(2, false).is_ok());
        assert_eq!(read(&mut calls, 2), Came::Nothing(100));
        assert!(calls.body(2, b"x", false).is_ok());
        assert!(calls.cancel(2).is_ok());
        assert_eq!(read(&mut calls, 2), Came::Broken);
        assert!(calls.body(2, b"x", false).is_err(), "it said so itself");
        calls.end(2);
        assert!(calls.cancel(2).is_ok(), "the END was on its way");
    }

    #[test]
    fn what_does_not_move_in_time_is_ended() {
        let mut calls = CallTable::default();
        let now = Instant::now();
        for (stream, late) in [(2, Late::Cut), (4, Late::Fatal)] {
            assert!(calls.begin(stream, false).is_ok());
            assert!(!calls.sweep(now));
            calls.find(stream).expect("open").due = Some((now, late));
            assert_eq!(calls.sweep(now), late == Late::Fatal);
            assert!(calls.find(stream).expect("until its END").given_up && !calls.has_due());
        }
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
