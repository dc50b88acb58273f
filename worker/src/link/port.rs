//! What JavaScript can reach of the connection: streams, the frames that wait to be written, log lines.
//!
//! Natives (`native/link.rs`) and the link share it. Nothing here calls JavaScript, so a borrow is short.
//!
//! ```text
//! channel  odd: a request (incoming = its body, outgoing = the response)
//!          even: a system call (incoming = bytes of the answer, outgoing = bytes of the call)
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fazt_ipc::frame::Header;
use fazt_ipc::limits::{CREDIT_BYTES, FRAME_BODY_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_PER_S_MAX};
use fazt_ipc::wire::worker::{Done, Log, LogLevel};
use fazt_ipc::wire::{Failure, WorkerKind};
use serde::Serialize;

use super::held::Held;
use crate::sys::{self, Heap};

/// How JavaScript waits for incoming bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wanted {
    /// Not at all: bytes wait under their credit.
    #[default]
    Nothing,
    /// For the next bytes.
    Chunk,
    /// For all of them together.
    Whole,
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) stream: u32,
    /// Bytes that have arrived and were not taken.
    pub(crate) inbox: Vec<u8>,
    /// The kernel has sent its last byte.
    pub(crate) in_ended: bool,
    /// Bytes are thrown away.
    pub(crate) in_stopped: bool,
    /// The reply to a call has come; what follows are its bytes.
    pub(crate) replied: bool,
    /// What follows is the reply itself, so many bytes.
    pub(crate) long_reply: Option<usize>,
    /// The kernel was told that nobody wants the call any more. It stays until its END.
    pub(crate) cancelled: bool,
    /// The request on whose behalf a call was made; 0: none.
    pub(crate) owner: u32,
    pub(crate) wanted: Wanted,
    /// Bytes that the kernel may be sent.
    pub(crate) credit: usize,
    /// Bytes that wait for credit.
    pub(crate) held: Option<Held>,
    /// END follows what is held.
    pub(crate) end_after_held: bool,
    /// END has been sent.
    pub(crate) out_ended: bool,
    /// The head of the response, or a failure, has been sent.
    pub(crate) answered: bool,
    /// The client is gone.
    pub(crate) aborted: bool,
    /// JavaScript has nothing more to do for it.
    pub(crate) settled: bool,
    /// CPU time used for it, as far as it was measured.
    pub(crate) cpu_ns: u64,
}

impl Channel {
    pub(crate) fn new(stream: u32, in_ended: bool) -> Self {
        // After a call nothing is sent before the kernel has made room for it.
        let credit = if stream % 2 == 1 { CREDIT_BYTES as usize } else { 0 };
        Self { stream, in_ended, credit, ..Self::default() }
    }

    const fn is_request(&self) -> bool {
        self.stream % 2 == 1
    }
}

/// The shared state.
#[derive(Debug, Default)]
pub struct Port {
    /// Frames to be written.
    pub(crate) out: RefCell<Vec<u8>>,
    pub(crate) channels: RefCell<Vec<Channel>>,
    /// Place of the channel that was looked for last: most questions are about the same one.
    last: Cell<usize>,
    /// Stream on whose behalf JavaScript runs now; 0: none.
    pub(crate) current: Cell<u32>,
    /// The request behind it, where it is a call.
    pub(crate) owner: Cell<u32>,
    /// The JavaScript heap: once it is exhausted, no answer of the app's counts.
    heap: Rc<Heap>,
    next_call: Cell<u32>,
    log: RefCell<LogLimit>,
    /// No log lines: there is no app yet, or no connection.
    pub(crate) detached: Cell<bool>,
    /// A promise was rejected that nobody had handled at that moment.
    pub(crate) rejected: Cell<bool>,
}

#[derive(Debug, Default)]
struct LogLimit {
    second: u64,
    lines: u32,
    dropped: u32,
}

impl Port {
    pub(crate) fn new(heap: Rc<Heap>) -> Self {
        Self { heap, detached: Cell::new(true), ..Self::default() }
    }

    /// Whether what the app says may still be believed to be what it meant.
    pub(crate) fn is_sound(&self) -> bool {
        !self.heap.is_exhausted()
    }

    /// Forgets streams and frames: what warming up left.
    pub(crate) fn reset(&self) {
        *self.out.borrow_mut() = Vec::new();
        *self.channels.borrow_mut() = Vec::new();
    }

    /// Requests that are open.
    pub(crate) fn open_requests(&self) -> usize {
        self.channels.borrow().iter().filter(|channel| channel.is_request()).count()
    }

    /// Calls that are open.
    pub(crate) fn open_calls(&self) -> usize {
        self.channels.borrow().iter().filter(|channel| !channel.is_request()).count()
    }

    /// Streams of the requests that are open.
    pub(crate) fn request_streams(&self) -> Vec<u32> {
        self.channels.borrow().iter().filter(|c| c.is_request()).map(|c| c.stream).collect()
    }

    /// Appends a frame.
    pub(crate) fn frame(&self, kind: WorkerKind, stream: u32, end: bool, body: &[u8]) {
        let mut out = self.out.borrow_mut();
        let header = Header { body_bytes: body.len() as u32, kind: kind as u8, end, stream };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(body);
    }

    /// Appends a frame with a typed body. A body that does not fit is the caller's mistake and is not sent.
    pub(crate) fn typed<T: Serialize>(&self, kind: WorkerKind, stream: u32, end: bool, body: &T) -> bool {
        let mut out = self.out.borrow_mut();
        let start = out.len();
        out.extend_from_slice(&[0; fazt_ipc::limits::FRAME_HEADER_BYTES]);
        let head = out.len();
        if fazt_ipc::codec::encode(body, &mut out).is_err() {
            out.truncate(start);
            return false;
        }
        let header = Header { body_bytes: (out.len() - head) as u32, kind: kind as u8, end, stream };
        out[start..head].copy_from_slice(&header.encode());
        true
    }

    /// Runs `f` on an open stream.
    pub(crate) fn channel<R>(&self, stream: u32, f: impl FnOnce(&mut Channel) -> R) -> Option<R> {
        let mut channels = self.channels.borrow_mut();
        let at = self.place(&channels, stream)?;
        channels.get_mut(at).map(f)
    }

    fn place(&self, channels: &[Channel], stream: u32) -> Option<usize> {
        let last = self.last.get();
        if channels.get(last).is_some_and(|channel| channel.stream == stream) {
            return Some(last);
        }
        let at = channels.iter().position(|channel| channel.stream == stream)?;
        self.last.set(at);
        Some(at)
    }

    /// Opens a stream for a call on behalf of a request.
    pub(crate) fn open_call(&self, owner: u32) -> Option<u32> {
        let mut channels = self.channels.borrow_mut();
        let open = channels.iter().filter(|channel| !channel.is_request()).count();
        if open >= fazt_ipc::limits::STREAMS_MAX {
            return None;
        }
        let stream = self.next_call.get() + 2;
        self.next_call.set(stream);
        channels.push(Channel { owner, ..Channel::new(stream, false) });
        Some(stream)
    }

    /// Forgets a call, or tells the kernel that nobody wants the rest of it.
    pub(crate) fn end_call(&self, stream: u32) {
        let mut channels = self.channels.borrow_mut();
        let Some(at) = channels.iter().position(|channel| channel.stream == stream) else { return };
        let channel = &mut channels[at];
        if channel.in_ended {
            channels.swap_remove(at);
            return;
        }
        channel.inbox = Vec::new();
        channel.held = None;
        channel.in_stopped = true;
        if !std::mem::replace(&mut channel.cancelled, true) {
            self.frame(WorkerKind::CancelCall, stream, false, &[]);
        }
    }

    /// Whether JavaScript is done with a request.
    pub(crate) fn is_settled(&self, request: u32) -> bool {
        self.channel(request, |channel| channel.settled).unwrap_or(true)
    }

    /// A request is over: what its calls still have to tell and nobody has begun to collect is not wanted.
    pub(crate) fn end_calls_of(&self, request: u32) {
        let unread = |channel: &&Channel| {
            channel.owner == request
                && channel.replied
                && !channel.cancelled
                && channel.wanted == Wanted::Nothing
        };
        let streams: Vec<u32> =
            self.channels.borrow().iter().filter(unread).map(|channel| channel.stream).collect();
        streams.into_iter().for_each(|stream| self.end_call(stream));
    }

    /// The kernel has sent the last of a call that was given up. True: there is room for another.
    pub(crate) fn forget_if_cancelled(&self, stream: u32) -> bool {
        let mut channels = self.channels.borrow_mut();
        let before = channels.len();
        channels.retain(|channel| channel.stream != stream || !channel.cancelled || !channel.in_ended);
        channels.len() < before
    }

    /// Sends the known-length body after its head, as far as credit reaches.
    pub(crate) fn send(&self, channel: &mut Channel, bytes: &[u8], end: bool) -> usize {
        let kind = if channel.is_request() { WorkerKind::Body } else { WorkerKind::CallBody };
        let now = bytes.len().min(channel.credit);
        channel.credit -= now;
        let whole = now == bytes.len();
        let mut rest = &bytes[..now];
        while rest.len() > FRAME_BODY_BYTES_MAX {
            let (head, tail) = rest.split_at(FRAME_BODY_BYTES_MAX);
            self.frame(kind, channel.stream, false, head);
            rest = tail;
        }
        if !rest.is_empty() || (whole && end) {
            self.frame(kind, channel.stream, whole && end, rest);
        }
        channel.out_ended |= whole && end;
        now
    }

    /// Grants credit for bytes that were taken.
    pub(crate) fn grant(&self, channel: &Channel, bytes: usize) {
        if bytes > 0 && !channel.in_ended && !channel.in_stopped {
            let kind = if channel.is_request() { WorkerKind::Credit } else { WorkerKind::CallCredit };
            self.typed(kind, channel.stream, false, &(bytes as u32));
        }
    }

    /// Reports a failed request.
    pub(crate) fn fail(&self, stream: u32, failure: &Failure) {
        let open = self.channel(stream, |channel| {
            let silent = channel.aborted || channel.out_ended;
            channel.held = None;
            channel.answered = true;
            channel.out_ended = true;
            !silent
        });
        if open == Some(true) {
            self.typed(WorkerKind::Failed, stream, false, failure);
        }
    }

    /// Reports what came of an event.
    pub(crate) fn done(&self, stream: u32, done: Done) {
        let open = self.channel(stream, |channel| {
            channel.answered = true;
            !std::mem::replace(&mut channel.out_ended, true) && !channel.aborted
        });
        if open == Some(true) {
            self.typed(WorkerKind::Done, stream, false, &done);
        }
    }

    /// Says that an event is not to be tried again, as long as nothing has come of it.
    pub(crate) fn no_retry(&self, stream: u32) {
        if self.channel(stream, |channel| !channel.aborted && !channel.out_ended) == Some(true) {
            self.frame(WorkerKind::NoRetry, stream, false, &[]);
        }
    }

    /// Closes a request whose response is complete and whose promises have settled.
    pub(crate) fn close_if_done(&self, stream: u32) {
        let mut channels = self.channels.borrow_mut();
        let Some(at) = self.place(&channels, stream) else { return };
        let channel = &channels[at];
        if !(channel.settled && (channel.out_ended || channel.aborted)) {
            return;
        }
        if !channel.in_ended && !channel.in_stopped && !channel.aborted {
            self.frame(WorkerKind::StopBody, stream, false, &[]);
        }
        self.frame(WorkerKind::Settled, stream, false, &[]);
        channels.swap_remove(at);
    }

    /// Writes a log line on behalf of the current request.
    pub(crate) fn log(&self, level: LogLevel, text: &str, origin: &str) {
        if self.detached.get() {
            return;
        }
        let mut limit = self.log.borrow_mut();
        let second = sys::monotonic_ns() / 1_000_000_000;
        if second != limit.second {
            (limit.second, limit.lines) = (second, 0);
        }
        if limit.lines >= LOG_LINES_PER_S_MAX {
            limit.dropped = limit.dropped.saturating_add(1);
            return;
        }
        limit.lines += 1;
        let dropped = std::mem::take(&mut limit.dropped);
        let log = Log { level, text: cut(text, LOG_LINE_BYTES_MAX), origin: cut(origin, 512), dropped };
        let stream = self.current.get();
        // Calls have no log of their own.
        self.typed(WorkerKind::Log, if stream % 2 == 1 { stream } else { 0 }, false, &log);
    }
}

/// At most `bytes_max` bytes of `text`, ending between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
