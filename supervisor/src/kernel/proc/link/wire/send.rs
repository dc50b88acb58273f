//! Frames to the worker: requests and their bodies, credit, answers to calls, and the deadlines of what is open.

use std::time::{Duration, Instant};

use fazt_ipc::codec::{self, CodecError};
use fazt_ipc::frame::Header;
use fazt_ipc::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, STREAMS_MAX};
use fazt_ipc::syscall::{CallError, Reply};
use fazt_ipc::wire::kernel::Request;
use fazt_ipc::wire::{KernelKind, WireError};
use serde::Serialize;

use super::super::super::{DispatchError, bounds};
use super::super::entry::Entry;
use super::{Begun, Came, Late, NotOpened, Opening, Sweep, Ticket, What, Window, Wire};

impl Wire {
    /// Sends a typed message.
    pub(crate) fn send<T: Serialize>(
        &mut self,
        kind: KernelKind,
        stream: u32,
        end: bool,
        body: &T,
    ) -> Result<(), WireError> {
        let phase = self.phase.sent_by_kernel(kind)?;
        let at = self.out.len();
        self.out.resize(at + FRAME_HEADER_BYTES, 0);
        if let Err(error) = codec::encode(body, &mut self.out) {
            self.out.truncate(at);
            return Err(error.into());
        }
        let bytes = self.out.len() - at - FRAME_HEADER_BYTES;
        self.head(at, kind, stream, end, bytes);
        self.phase = phase;
        Ok(())
    }

    /// Sends raw bytes, at most one frame's.
    pub(crate) fn send_raw(
        &mut self,
        kind: KernelKind,
        stream: u32,
        end: bool,
        body: &[u8],
    ) -> Result<(), WireError> {
        if body.len() > FRAME_BODY_BYTES_MAX {
            return Err(CodecError::TooLong(body.len()).into());
        }
        self.phase = self.phase.sent_by_kernel(kind)?;
        let at = self.out.len();
        self.out.resize(at + FRAME_HEADER_BYTES, 0);
        self.out.extend_from_slice(body);
        self.head(at, kind, stream, end, body.len());
        Ok(())
    }

    fn head(&mut self, at: usize, kind: KernelKind, stream: u32, end: bool, bytes: usize) {
        let body_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let header = Header { body_bytes, kind: kind as u8, end, stream };
        self.out[at..at + FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        if let Some(tap) = &self.tap {
            tap('>', kind.name(), &header, &String::new);
        }
    }

    /// The worker may be sent requests: `Start` is on its way.
    pub(crate) fn accept(&mut self) {
        self.accepting = true;
    }

    /// Opens a request.
    pub(crate) fn open(&mut self, opening: &Opening<'_>, deadline: Instant) -> Result<Ticket, NotOpened> {
        if !self.accepting || self.open >= STREAMS_MAX {
            return Err(NotOpened::Full);
        }
        if self.spare.is_empty() {
            if self.entries.len() >= STREAMS_MAX {
                return Err(NotOpened::Full);
            }
            self.spare.push(self.entries.len());
            self.entries.push(Entry::free(deadline));
            self.streams.push(0);
        }
        let stream = self.next_stream;
        let sent = match &opening.what {
            What::Request { method, url, headers } => {
                let mut fields = Vec::with_capacity(headers.len());
                fields.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
                let request = Request { id: opening.id, method, url, fields };
                self.send(KernelKind::Request, stream, !opening.body, &request)
            }
            What::Event(event) => self.send(KernelKind::Event, stream, !opening.body, event),
        };
        sent.map_err(|_| NotOpened::TooLarge)?;
        // Numbers are used once. A worker that has used all of them up serves what it has and goes.
        match self.next_stream.checked_add(2) {
            Some(next) => self.next_stream = next,
            None => self.accepting = false,
        }
        let Some(index) = self.spare.pop() else { return Err(NotOpened::Full) };
        self.entries[index].open(stream, opening.id, opening.body, deadline);
        if matches!(opening.what, What::Event(_)) {
            self.entries[index].event = Some(Box::default());
        }
        self.streams[index] = stream;
        self.open += 1;
        Ok(Ticket { index, stream })
    }

    /// The entry behind a ticket. Present as long as the edge has not released it.
    pub(in super::super) fn entry(&mut self, ticket: Ticket) -> &mut Entry {
        let entry = &mut self.entries[ticket.index];
        debug_assert_eq!(entry.stream, ticket.stream);
        entry
    }

    /// Sends bytes of a request's body, as many as credit and the buffer allow. How many went.
    pub(in super::super) fn send_body(&mut self, ticket: Ticket, bytes: &[u8]) -> usize {
        if self.out.len() >= bounds::WRITE_BYTES_HIGH || self.entry(ticket).sent {
            return 0;
        }
        let count = bytes.len().min(self.entry(ticket).send_window as usize).min(FRAME_BODY_BYTES_MAX);
        if count == 0 || self.send_raw(KernelKind::Body, ticket.stream, false, &bytes[..count]).is_err() {
            return 0;
        }
        self.entry(ticket).send_window -= u32::try_from(count).unwrap_or(u32::MAX);
        count
    }

    /// The request's body is complete.
    pub(in super::super) fn end_body(&mut self, ticket: Ticket) {
        if !std::mem::replace(&mut self.entry(ticket).sent, true) {
            let _ = self.send_raw(KernelKind::Body, ticket.stream, true, &[]);
        }
    }

    /// Notes that the edge has taken bytes, and gives credit back in steps.
    pub(in super::super) fn taken(&mut self, ticket: Ticket, bytes: usize) {
        let entry = self.entry(ticket);
        if entry.over() {
            return;
        }
        entry.owed += u32::try_from(bytes).unwrap_or(u32::MAX);
        if entry.owed >= bounds::CREDIT_STEP {
            let credit = std::mem::take(&mut entry.owed);
            entry.window += credit;
            let _ = self.send(KernelKind::Credit, ticket.stream, false, &credit);
        }
    }

    /// The edge lets go of a stream. Whether the worker was told that the client is gone.
    pub(in super::super) fn release(&mut self, ticket: Ticket, deadline: Instant) -> bool {
        let entry = self.entry(ticket);
        entry.waker = None;
        entry.released = true;
        entry.head = None;
        entry.last = None;
        if entry.buffer.capacity() > 0 {
            entry.buffer = bytes::BytesMut::new();
        }
        let abort = !entry.settled && !entry.over() && !entry.aborted;
        if abort {
            self.abort(ticket.index, deadline);
        } else if entry.settled {
            self.spare.push(ticket.index);
            self.freed = true;
        }
        abort
    }

    /// The client broke off in the middle of the request's body.
    pub(in super::super) fn give_up(&mut self, ticket: Ticket, deadline: Instant) {
        let entry = self.entry(ticket);
        entry.fail(DispatchError::Died);
        if !entry.settled && !entry.aborted {
            self.abort(ticket.index, deadline);
        }
    }

    /// No request could be opened now for want of streams.
    pub(in super::super) fn full(&self) -> bool {
        self.spare.len() <= 1 && self.entries.len() >= STREAMS_MAX
    }

    pub(super) fn abort(&mut self, index: usize, deadline: Instant) {
        let entry = &mut self.entries[index];
        entry.aborted = true;
        entry.sent = true;
        entry.deadline = deadline;
        let stream = entry.stream;
        let _ = self.send_raw(KernelKind::Abort, stream, false, &[]);
    }

    /// Looks at deadlines. A request that is late fails and is aborted; one that was aborted and is late again
    /// is stuck.
    pub(crate) fn sweep(&mut self, now: Instant, grace: Duration) -> Sweep {
        let mut sweep = Sweep { idle_call: self.calls.sweep(now), ..Sweep::default() };
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            if entry.settled || now < entry.deadline {
                continue;
            }
            if entry.aborted {
                sweep.stuck += 1;
            } else {
                if !entry.over() {
                    sweep.late.push(entry.request);
                }
                entry.fail(DispatchError::WallExceeded);
                self.abort(index, now + grace);
            }
        }
        sweep
    }

    /// Starts an answer to a call.
    pub(crate) fn reply(&mut self, stream: u32, outcome: &Result<Reply, CallError>, more: bool) -> Begun {
        let Some(call) = self.calls.find(stream) else { return Begun::Done };
        let more = more && !call.given_up;
        match self.send(KernelKind::Reply, stream, !more, outcome) {
            Err(WireError::Codec(CodecError::TooLong(_))) if !more => return Begun::TooLong,
            Ok(()) if more => return Begun::Bytes,
            // Only a worker that is going lets nothing be sent.
            Ok(()) | Err(_) => {}
        }
        self.calls.end(stream);
        Begun::Done
    }

    /// Whether a call may be answered before others are: none is open that came before it, so that nothing is
    /// read that an earlier call is about to change; and the buffer is not full.
    pub(in super::super) fn may_answer_at_once(&self, stream: u32) -> bool {
        self.calls.is_first(stream) && self.out.len() < bounds::WRITE_BYTES_HIGH
    }

    /// Sends an answer with all the bytes that follow it. False: they are too many for one frame, and nothing was
    /// sent.
    pub(in super::super) fn reply_whole(
        &mut self,
        stream: u32,
        outcome: &Result<Reply, CallError>,
        bytes: Option<&[u8]>,
    ) -> bool {
        let Some(bytes) = bytes else { return self.reply(stream, outcome, false) == Begun::Done };
        if bytes.len() > FRAME_BODY_BYTES_MAX {
            return false;
        }
        if self.reply(stream, outcome, true) == Begun::Bytes {
            self.reply_bytes(stream, bytes, true);
        }
        true
    }

    /// Announces an answer that follows in pieces.
    pub(crate) fn reply_long(&mut self, stream: u32, bytes: u32) {
        let _ = self.send(KernelKind::LongReply, stream, false, &bytes);
    }

    /// How many bytes of an answer may be sent now. `due`: when the worker must have made room for more, and
    /// what follows if not.
    pub(in super::super) fn reply_window(
        &mut self,
        stream: u32,
        due: (Instant, Late),
        waker: &std::task::Waker,
    ) -> Window {
        let full = self.out.len() >= bounds::WRITE_BYTES_HIGH;
        let Some(call) = self.calls.find(stream) else { return Window::Gone };
        if call.given_up {
            return Window::GivenUp;
        }
        if call.window == 0 || full {
            call.due = Some(due);
            call.waker = Some(waker.clone());
            return Window::Shut;
        }
        call.due = None;
        Window::Open(call.window.min(FRAME_BODY_BYTES_MAX as u32))
    }

    /// Sends bytes of an answer that [`Self::reply_window`] allowed; empty and `end`: the last.
    pub(crate) fn reply_bytes(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let Some(call) = self.calls.find(stream) else { return };
        call.window = call.window.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let _ = self.send_raw(KernelKind::ReplyBody, stream, end, bytes);
        if end {
            self.calls.end(stream);
        }
    }

    /// Whether somebody still wants the answer to a call; if so, `waker` is woken when nobody does.
    pub(in super::super) fn is_wanted(&mut self, stream: u32, waker: &std::task::Waker) -> bool {
        let Some(call) = self.calls.find(stream).filter(|call| !call.given_up) else { return false };
        call.waker = Some(waker.clone());
        true
    }

    /// The rest of an answer will never come.
    pub(in super::super) fn break_off(&mut self, stream: u32) {
        if self.calls.find(stream).is_some() {
            let _ = self.send_raw(KernelKind::Abort, stream, false, &[]);
            self.calls.end(stream);
        }
    }

    /// Takes what has come after a call, and grants credit for up to `window` bytes more. `due`: when something
    /// must have come, and what follows if not.
    pub(in super::super) fn call_bytes(
        &mut self,
        stream: u32,
        window: u32,
        due: (Instant, Late),
        waker: &std::task::Waker,
    ) -> Came {
        let came = self.calls.read(stream, window, waker);
        if let Came::Nothing(grant) = came {
            if let Some(call) = self.calls.find(stream) {
                call.due.get_or_insert(due);
            }
            if grant > 0 {
                let _ = self.send(KernelKind::Credit, stream, false, &grant);
            }
        }
        came
    }

    /// Wakes whoever waited for room in the write buffer.
    pub(crate) fn wake_writers(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| !entry.settled && !entry.sent) {
            entry.wake();
        }
        self.calls.wake_all();
    }

    /// The worker is gone: everything open fails.
    pub(crate) fn close(&mut self, error: &DispatchError) {
        self.accepting = false;
        for (index, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.settled) {
            entry.settled = true;
            entry.sent = true;
            entry.fail(error.clone());
            if entry.released {
                self.spare.push(index);
            }
            self.streams[index] = 0;
        }
        self.open = 0;
        self.calls.clear();
        self.out = Vec::new();
        self.freed = true;
    }
}
