//! Frames from the worker: each is decoded, judged against the state of its stream, and refused whole if a part
//! of it is wrong.

use std::time::Instant;

use bytes::Bytes;
use fazt_ipc::codec::{self, CodecError};
use fazt_ipc::frame::{FrameError, Header, split};
use fazt_ipc::limits::{
    CALL_BYTES_MAX, CREDIT_BYTES, ERROR_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES,
    HEADER_BYTES_MAX, HEADERS_MAX, LOG_LINE_BYTES_MAX, PROTOCOL,
};
use fazt_ipc::syscall::Call;
use fazt_ipc::wire::worker::{Done, Log, Ready, Response};
use fazt_ipc::wire::{Failure, FailureKind, WireError, WorkerKind};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::super::super::{DispatchError, bounds};
use super::super::entry::{Entry, Head};
use super::{Effect, Line, Wire};

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
            W::Settled | W::StopBody | W::NoRetry if !body.is_empty() => {
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
                if let Some(event) = &mut entry.event {
                    event.reason =
                        cut(failure.message.lines().next().unwrap_or_default(), REASON_BYTES_MAX).into();
                }
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
            W::Done => {
                let done: Done = codec::decode(body)?;
                let entry = self.of_worker(kind, stream)?;
                let (over, aborted) = (entry.over(), entry.aborted);
                match &mut entry.event {
                    Some(event) if !over => event.done = Some(done),
                    Some(_) if aborted => {}
                    _ => return Err(refused()),
                }
                entry.ended = true;
                entry.sent = true;
                if !aborted {
                    entry.deadline = now + bounds::BACKGROUND_MAX;
                }
                entry.wake();
            }
            W::NoRetry => {
                let entry = self.of_worker(kind, stream)?;
                let over = entry.over() && !entry.aborted;
                match &mut entry.event {
                    Some(event) if !over => event.no_retry = true,
                    _ => return Err(refused()),
                }
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
            W::LongCall => {
                let bytes: u32 = codec::decode(body)?;
                // A call that fits a frame comes in one: nobody pays for pieces without need.
                if !(FRAME_BODY_BYTES_MAX + 1..=CALL_BYTES_MAX).contains(&(bytes as usize)) {
                    return Err(WireError::Bound("arguments of a call"));
                }
                self.calls.begin(stream, false)?;
                self.effects.push(Effect::LongCall(stream, bytes as usize));
            }
            W::CallBody => self.calls.body(stream, body, header.end)?,
            W::CancelCall => {
                if !body.is_empty() {
                    return Err(CodecError::Trailing(body.len()).into());
                }
                self.calls.cancel(stream)?;
            }
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

    fn index(&mut self, kind: WorkerKind, stream: u32) -> Result<usize, WireError> {
        if stream != 0 && self.streams.get(self.last) == Some(&stream) {
            return Ok(self.last);
        }
        match self.streams.iter().position(|&open| open == stream) {
            Some(index) if stream != 0 => {
                self.last = index;
                Ok(index)
            }
            _ => Err(WireError::Stream { kind: kind.name(), stream }),
        }
    }

    fn response(&mut self, header: &Header, body: &[u8], now: Instant) -> Result<(), WireError> {
        let response: Response<'_> = codec::decode(body)?;
        let entry = self.of_worker(WorkerKind::Response, header.stream)?;
        if entry.event.is_some() || entry.answered || (entry.over() && !entry.aborted) {
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

/// What is kept of what an event threw; the app's log has all of it.
const REASON_BYTES_MAX: usize = 500;
/// Fields that the edge adds to a response: room for them is made once.
const FIELDS_ADDED: usize = 2;
/// Room for fields at least: a connection's next request is read into what the response before it leaves.
const FIELDS_MIN: usize = 12;

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
    let mut headers = HeaderMap::with_capacity((response.fields.len() + FIELDS_ADDED).max(FIELDS_MIN));
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
