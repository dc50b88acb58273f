//! The protocol with one worker as a machine without sockets or clock of its own: bytes in, effects and bytes
//! out. Every byte that [`Wire::receive`] sees is hostile; an error from it means: kill the worker.
//!
//! Which message may come when is `fazt_ipc::wire::phase`; which may come on a stream is below.
//! ```text
//! request  ──Response──▶ answered ──Body*──▶ …  ──END──▶ ended ──Settled──▶ free (when the edge let go, too)
//!             Failed at any time before the end; after Abort anything still legal is dropped
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;
use fazt_ipc::codec::{self, CodecError};
use fazt_ipc::frame::{FrameError, Header, split};
use fazt_ipc::ids::RequestId;
use fazt_ipc::limits::{
    CREDIT_BYTES, ERROR_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, HEADER_BYTES_MAX, HEADERS_MAX,
    LOG_LINE_BYTES_MAX, PROTOCOL, STREAMS_MAX,
};
use fazt_ipc::syscall::{Call, CallError, ErrorCode, Reply};
use fazt_ipc::wire::kernel::Request;
use fazt_ipc::wire::worker::{Loaded, Log, LogLevel, Ready, Response};
use fazt_ipc::wire::{Failure, FailureKind, KernelKind, Phase, WireError, WorkerKind};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::super::{DispatchError, bounds};
use super::calls::CallTable;
use super::entry::{Entry, Head};

/// What a batch of frames asks of the supervisor beyond moving bytes.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Locked and warm.
    Ready(Ready),
    /// The app's top level ran.
    Loaded(Loaded),
    /// The app did not load.
    LoadFailed(Failure),
    /// A request failed.
    Failed(RequestId, Failure),
    /// A response that no client can be sent; the request has failed.
    BadResponse(RequestId, &'static str),
    /// A log line.
    Log(Option<RequestId>, Line),
    /// A system call to answer.
    Call(u32, Call),
}

/// A log line out of its frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Severity.
    pub(crate) level: LogLevel,
    /// Text.
    pub(crate) text: String,
    /// File and line in the app.
    pub(crate) origin: String,
    /// Lines that the worker left out before it.
    pub(crate) dropped: u32,
}

/// A request to open.
pub(crate) struct Opening<'a> {
    /// Its id.
    pub(crate) id: RequestId,
    /// Method.
    pub(crate) method: &'a str,
    /// Absolute URL.
    pub(crate) url: &'a str,
    /// Header fields.
    pub(crate) headers: &'a HeaderMap,
    /// A body follows.
    pub(crate) body: bool,
}

/// Why a request was not opened here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// This worker takes no more now.
    Full,
    /// Its head does not fit a frame.
    TooLarge,
}

/// A stream between the edge and this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    index: usize,
    stream: u32,
}

/// Told of each frame that passes, when somebody traces.
pub(crate) type Tap = Box<dyn Fn(char, &'static str, &Header, &dyn Fn() -> String) + Send + Sync>;

/// The machine.
pub(crate) struct Wire {
    phase: Phase,
    /// Bytes for the worker.
    out: Vec<u8>,
    entries: Vec<Entry>,
    /// Stream of each entry that the worker has not settled, else 0: what a frame's stream is looked up in.
    streams: Vec<u32>,
    /// Entries that are neither open nor held by the edge.
    spare: Vec<usize>,
    /// Streams that the worker has not settled.
    open: usize,
    next_stream: u32,
    calls: CallTable,
    effects: Vec<Effect>,
    accepting: bool,
    /// A stream was settled since this was last asked.
    freed: bool,
    answered: u64,
    tap: Option<Tap>,
}

impl Wire {
    /// For a worker that has said nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Booting,
            out: Vec::new(),
            entries: Vec::new(),
            streams: Vec::new(),
            spare: Vec::new(),
            open: 0,
            next_stream: 1,
            calls: CallTable::default(),
            effects: Vec::new(),
            accepting: false,
            freed: false,
            answered: 0,
            tap: None,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }
    pub(crate) const fn open_streams(&self) -> usize {
        self.open
    }
    /// Requests that this worker has settled.
    pub(crate) const fn answered(&self) -> u64 {
        self.answered
    }
    /// Whether it takes requests at all, free or not.
    pub(crate) const fn accepting(&self) -> bool {
        self.accepting
    }
    /// From now on it takes none.
    pub(crate) fn refuse_more(&mut self) {
        self.accepting = false;
    }
    pub(crate) fn set_tap(&mut self, tap: Option<Tap>) {
        self.tap = tap;
    }
    /// Bytes that wait to be written.
    pub(crate) fn out_bytes(&self) -> usize {
        self.out.len()
    }
    /// Takes the bytes to write; `empty` is given back room for the next.
    pub(crate) fn take_out(&mut self, empty: &mut Vec<u8>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut self.out, empty);
    }
    /// Takes what a batch asked for.
    pub(crate) fn take_effects(&mut self, into: &mut Vec<Effect>) {
        into.append(&mut self.effects);
    }
    /// Whether a stream became free since this was last asked.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }
}

/// To the worker.
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
        let mut fields = Vec::with_capacity(opening.headers.len());
        fields.extend(opening.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let request = Request { id: opening.id, method: opening.method, url: opening.url, fields };
        self.send(KernelKind::Request, stream, !opening.body, &request).map_err(|_| NotOpened::TooLarge)?;
        // Numbers are used once. A worker that has used all of them up serves what it has and goes.
        match self.next_stream.checked_add(2) {
            Some(next) => self.next_stream = next,
            None => self.accepting = false,
        }
        let Some(index) = self.spare.pop() else { return Err(NotOpened::Full) };
        self.entries[index].open(stream, opening.id, opening.body, deadline);
        self.streams[index] = stream;
        self.open += 1;
        Ok(Ticket { index, stream })
    }

    /// The entry behind a ticket. Present as long as the edge has not released it.
    pub(super) fn entry(&mut self, ticket: Ticket) -> &mut Entry {
        let entry = &mut self.entries[ticket.index];
        debug_assert_eq!(entry.stream, ticket.stream);
        entry
    }

    /// Sends bytes of a request's body, as many as credit and the buffer allow. How many went.
    pub(super) fn send_body(&mut self, ticket: Ticket, bytes: &[u8]) -> usize {
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
    pub(super) fn end_body(&mut self, ticket: Ticket) {
        if !std::mem::replace(&mut self.entry(ticket).sent, true) {
            let _ = self.send_raw(KernelKind::Body, ticket.stream, true, &[]);
        }
    }

    /// Notes that the edge has taken bytes, and gives credit back in steps.
    pub(super) fn taken(&mut self, ticket: Ticket, bytes: usize) {
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
    pub(super) fn release(&mut self, ticket: Ticket, deadline: Instant) -> bool {
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
    pub(super) fn give_up(&mut self, ticket: Ticket, deadline: Instant) {
        let entry = self.entry(ticket);
        entry.fail(DispatchError::Died);
        if !entry.settled && !entry.aborted {
            self.abort(ticket.index, deadline);
        }
    }

    /// No request could be opened now for want of streams.
    pub(super) fn full(&self) -> bool {
        self.spare.len() <= 1 && self.entries.len() >= STREAMS_MAX
    }

    fn abort(&mut self, index: usize, deadline: Instant) {
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
        let mut sweep = Sweep::default();
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

    /// Starts an answer to a call. False: the worker is gone.
    pub(crate) fn reply(&mut self, stream: u32, outcome: Result<Reply, CallError>, more: bool) -> bool {
        if self.calls.find(stream).is_none() {
            return false;
        }
        let sent = self.send(KernelKind::Reply, stream, !more, &outcome);
        if matches!(sent, Err(WireError::Codec(_))) {
            // A folder with thousands of entries does not fit one frame.
            let error = CallError::new(ErrorCode::TooLarge, "the answer does not fit one message");
            let _ = self.send(KernelKind::Reply, stream, true, &Err::<Reply, _>(error));
        }
        let go_on = sent.is_ok() && more;
        if !go_on {
            self.calls.end(stream);
        }
        go_on
    }

    /// How many bytes of an answer may be sent now; none: the worker is gone.
    pub(crate) fn reply_window(&mut self, stream: u32, waker: &std::task::Waker) -> Option<u32> {
        let full = self.out.len() >= bounds::WRITE_BYTES_HIGH;
        let call = self.calls.find(stream)?;
        if call.window == 0 || full {
            call.waker = Some(waker.clone());
            return Some(0);
        }
        Some(call.window.min(FRAME_BODY_BYTES_MAX as u32))
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

/// What [`Wire::sweep`] found.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Requests that have just failed by their wall limit.
    pub(crate) late: Vec<RequestId>,
    /// Streams that should have been settled after their abort.
    pub(crate) stuck: usize,
}

/// From the worker.
impl Wire {
    /// Takes every whole frame at the start of `buffer`. How many bytes they were.
    ///
    /// # Errors
    /// When a frame is malformed or not legal: the worker must be killed.
    pub(crate) fn receive(&mut self, buffer: &[u8], now: Instant) -> Result<usize, WireError> {
        let mut used = 0;
        while let Some((header, body)) = split(&buffer[used..])? {
            self.frame(&header, body, now)?;
            used += FRAME_HEADER_BYTES + body.len();
        }
        Ok(used)
    }

    fn frame(&mut self, header: &Header, body: &[u8], now: Instant) -> Result<(), WireError> {
        use WorkerKind as W;
        let kind = W::try_from(header.kind)?;
        self.phase = self.phase.sent_by_worker(kind)?;
        if let Some(tap) = &self.tap {
            tap('<', kind.name(), header, &|| detail(kind, body));
        }
        let stream = header.stream;
        let refused = || WireError::Stream { kind: kind.name(), stream };
        if header.end && !matches!(kind, W::Response | W::Body | W::Call | W::CallBody) {
            return Err(FrameError::Reserved.into());
        }
        match kind {
            W::Ready | W::Loaded | W::LoadFailed if stream != 0 => return Err(refused()),
            W::Settled | W::StopBody if !body.is_empty() => {
                return Err(CodecError::Trailing(body.len()).into());
            }
            _ => {}
        }
        match kind {
            W::Ready => {
                let ready: Ready = codec::decode(body)?;
                if ready.protocol != PROTOCOL {
                    return Err(WireError::Bound("protocol version"));
                }
                self.effects.push(Effect::Ready(ready));
            }
            W::Loaded => self.effects.push(Effect::Loaded(codec::decode(body)?)),
            W::LoadFailed => {
                self.accepting = false;
                self.effects.push(Effect::LoadFailed(failure(body)?));
            }
            W::Response => self.response(header, body, now)?,
            W::Body => self.body(header, body, now)?,
            W::Failed => {
                let failure = failure(body)?;
                let entry = self.of_worker(kind, stream)?;
                let request = entry.request;
                entry.fail(match failure.kind {
                    FailureKind::Exception | FailureKind::BadReturn => DispatchError::Exception,
                    FailureKind::CpuExceeded => DispatchError::CpuExceeded,
                    FailureKind::OutOfMemory => DispatchError::OutOfMemory,
                    FailureKind::Load => DispatchError::LoadFailed,
                });
                entry.sent = true;
                if failure.kind.recycles() {
                    self.accepting = false;
                }
                self.effects.push(Effect::Failed(request, failure));
            }
            W::Settled => {
                let index = self.index(kind, stream)?;
                let entry = &mut self.entries[index];
                if !entry.over() && !entry.aborted {
                    return Err(refused());
                }
                entry.settled = true;
                entry.sent = true;
                if entry.released {
                    self.spare.push(index);
                }
                self.streams[index] = 0;
                self.open -= 1;
                self.answered += 1;
                self.freed = true;
            }
            W::Credit => {
                let credit: u32 = codec::decode(body)?;
                let entry = self.of_worker(kind, stream)?;
                entry.send_window = entry
                    .send_window
                    .checked_add(credit)
                    .filter(|&window| window <= CREDIT_BYTES)
                    .ok_or(WireError::Bound("credit"))?;
                entry.wake();
            }
            W::StopBody => {
                let entry = self.of_worker(kind, stream)?;
                entry.sent = true;
                entry.wake();
            }
            W::Call => {
                let call = codec::decode(body)?;
                self.calls.begin(stream, header.end)?;
                self.effects.push(Effect::Call(stream, call));
            }
            W::CallBody => self.calls.body(stream, header.body_bytes, header.end)?,
            W::CallCredit => self.calls.credit(stream, codec::decode(body)?)?,
            W::Log => {
                let log: Log<'_> = codec::decode(body)?;
                // A promise may still write when its request is over: then the line belongs to no request.
                let request = self.index(kind, stream).ok().map(|index| self.entries[index].request);
                let line = Line {
                    level: log.level,
                    text: cut(log.text, LOG_LINE_BYTES_MAX).to_owned(),
                    origin: cut(log.origin, 1024).to_owned(),
                    dropped: log.dropped,
                };
                self.effects.push(Effect::Log(request, line));
            }
            // The phase table lets these pass only while compiling, and no link leads there.
            W::Bytecode | W::BytecodeData | W::Compiled => return Err(refused()),
        }
        Ok(())
    }

    /// The stream that a message of the worker is about.
    fn of_worker(&mut self, kind: WorkerKind, stream: u32) -> Result<&mut Entry, WireError> {
        let index = self.index(kind, stream)?;
        Ok(&mut self.entries[index])
    }

    fn index(&self, kind: WorkerKind, stream: u32) -> Result<usize, WireError> {
        match self.streams.iter().position(|&open| open == stream) {
            Some(index) if stream != 0 => Ok(index),
            _ => Err(WireError::Stream { kind: kind.name(), stream }),
        }
    }

    fn response(&mut self, header: &Header, body: &[u8], now: Instant) -> Result<(), WireError> {
        let response: Response<'_> = codec::decode(body)?;
        let entry = self.of_worker(WorkerKind::Response, header.stream)?;
        if entry.answered || (entry.over() && !entry.aborted) {
            return Err(WireError::Stream { kind: "Response", stream: header.stream });
        }
        entry.answered = true;
        entry.left = response.body_bytes;
        let head = match head(&response) {
            Ok(head) => head,
            Err(Fault::Hostile(what)) => return Err(WireError::Bound(what)),
            Err(Fault::Careless(why)) => {
                let (request, aborted) = (entry.request, entry.aborted);
                entry.fail(DispatchError::Exception);
                self.effects.push(Effect::BadResponse(request, why));
                if !aborted {
                    let index = self.index(WorkerKind::Response, header.stream)?;
                    self.abort(index, now + bounds::BACKGROUND_MAX);
                }
                return self.ended(header, now);
            }
        };
        if !entry.released && !entry.over() {
            entry.head = Some(head);
        }
        entry.wake();
        self.ended(header, now)
    }

    fn body(&mut self, header: &Header, body: &[u8], now: Instant) -> Result<(), WireError> {
        let entry = self.of_worker(WorkerKind::Body, header.stream)?;
        if !entry.answered || entry.ended || (entry.failed.is_some() && !entry.aborted) {
            return Err(WireError::Stream { kind: "Body", stream: header.stream });
        }
        entry.window = entry
            .window
            .checked_sub(header.body_bytes)
            .ok_or(WireError::Bound("bytes of a response without credit"))?;
        if let Some(left) = &mut entry.left {
            *left = left
                .checked_sub(u64::from(header.body_bytes))
                .ok_or(WireError::Bound("length of a response"))?;
        }
        if !entry.released && entry.failed.is_none() {
            if header.end && entry.buffer.is_empty() {
                entry.last = Some(Bytes::copy_from_slice(body));
            } else {
                entry.buffer.extend_from_slice(body);
            }
            entry.wake();
        }
        self.ended(header, now)
    }

    /// Closes the response's direction if the frame says so.
    fn ended(&mut self, header: &Header, now: Instant) -> Result<(), WireError> {
        if !header.end {
            return Ok(());
        }
        let entry = self.of_worker(WorkerKind::Response, header.stream)?;
        // An aborted response may be cut short; a whole one is held to its word.
        if entry.left.is_some_and(|left| left != 0) && !entry.aborted {
            return Err(WireError::Bound("length of a response"));
        }
        entry.ended = true;
        if !entry.aborted {
            entry.deadline = now + bounds::BACKGROUND_MAX;
        }
        Ok(())
    }
}

fn failure(body: &[u8]) -> Result<Failure, WireError> {
    let failure: Failure = codec::decode(body)?;
    if failure.message.len() + failure.stack.len() > ERROR_BYTES_MAX {
        return Err(WireError::Bound("text of an error"));
    }
    Ok(failure)
}

/// What is wrong with a response's head.
enum Fault {
    /// No honest worker sends it.
    Hostile(&'static str),
    /// An app's mistake that the runtime lets through.
    Careless(&'static str),
}

fn head(response: &Response<'_>) -> Result<Head, Fault> {
    if !(200..=599).contains(&response.status) {
        return Err(Fault::Hostile("status"));
    }
    let status = StatusCode::from_u16(response.status).map_err(|_| Fault::Hostile("status"))?;
    let bytes: usize = response.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if response.fields.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Fault::Careless("the response has more than 64 header fields or 16 KiB of them"));
    }
    let mut headers = HeaderMap::with_capacity(response.fields.len());
    for (name, value) in &response.fields {
        let name = HeaderName::from_lowercase(name.as_bytes())
            .map_err(|_| Fault::Hostile("name of a header field"))?;
        if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(Fault::Hostile("value of a header field"));
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| Fault::Careless("the response has a control character in a header field"))?;
        headers.append(name, value);
    }
    Ok(Head { status, headers })
}

/// The longest start of `text` that fits and is whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A frame in short, for traces; never a body.
fn detail(kind: WorkerKind, body: &[u8]) -> String {
    match kind {
        WorkerKind::Response => codec::decode::<Response<'_>>(body)
            .map(|response| format!("{} {} fields", response.status, response.fields.len())),
        WorkerKind::Call => codec::decode::<Call>(body).map(|call| {
            let row = call.row();
            format!("{}.{}", row.noun, row.verb)
        }),
        WorkerKind::Failed | WorkerKind::LoadFailed => {
            codec::decode::<Failure>(body).map(|failure| format!("{:?}", failure.kind))
        }
        _ => Ok(String::new()),
    }
    .unwrap_or_default()
}
