//! What `prelude/main.js` and `prelude/fetch.js` do with the connection.
//!
//! Numbers of streams come from the prelude, never from an app.

use std::rc::Rc;

use fazt_ipc::limits::{CALL_BYTES_MAX, ERROR_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, STREAMS_MAX};
use fazt_ipc::syscall::{Call, TABLE};
use fazt_ipc::wire::worker::{Done, Response};
use fazt_ipc::wire::{Failure, FailureKind, WorkerKind};
use rquickjs::{Array, ArrayBuffer, Ctx, Exception, Function, Object, Result, String as JsString, Value};

use crate::engine::{Shared, convert};
use crate::link::{Held, Port, Wanted, cut};
use crate::sys;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    let port = Shared::of(ctx)?.port;
    let set = |name: &str, function: Result<Function<'js>>| natives.set(name, function?);
    macro_rules! bind {
        ($($name:literal => $function:ident($($argument:ident: $type:ty),*);)*) => {$({
            let port = Rc::clone(&port);
            set($name, Function::new(ctx.clone(), move |ctx: Ctx<'js>, $($argument: $type),*| {
                $function(&ctx, &port, $($argument),*)
            }))?;
        })*};
    }
    bind! {
        "respond" => respond(stream: u32, status: u16, fields: Value<'js>, body: Value<'js>, settled: bool);
        "startResponse" => start_response(stream: u32, status: u16, fields: Value<'js>);
        "send" => send(stream: u32, chunk: Value<'js>, end: bool);
        "fail" => fail(stream: u32, kind: u8, message: String, stack: String);
        "done" => done(stream: u32, retry: bool, delay_s: Value<'js>);
        "noRetry" => no_retry(stream: u32);
        "settle" => settle(stream: u32);
        "read" => read(stream: u32);
        "collect" => collect(stream: u32, text: bool);
        "stop" => stop(stream: u32);
        "call" => call(number: u32, arguments: Array<'js>, with_body: bool, owner: u32);
        "callable" => callable();
        "owner" => owner();
        "endCall" => end_call(stream: u32);
        "rows" => rows();
    }
    natives.set("fulfilled", crate::engine::sys::fulfilled_function(ctx)?)
}

/// Calls `f` with the fields of `name\nvalue\nname\nvalue…`; values hold characters up to U+00FF, one a byte.
fn with_fields<R>(fields: &Value<'_>, f: impl FnOnce(Vec<(&str, &[u8])>) -> R) -> Option<R> {
    if fields.is_undefined() {
        return Some(f(Vec::new()));
    }
    sys::with_utf8(fields, |text| {
        let latin1: Vec<u8>;
        let bytes = if text.is_ascii() {
            text.as_bytes()
        } else {
            latin1 = text.chars().map(|c| c as u32 as u8).collect();
            &latin1
        };
        let mut parts = bytes.split(|byte| *byte == b'\n');
        let mut list = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            list.push((std::str::from_utf8(name).unwrap_or_default(), value));
        }
        f(list)
    })
}

/// Sends the head. An error is the app's: too many or too long fields.
fn head(port: &Port, stream: u32, status: u16, fields: &Value<'_>, body_bytes: Option<u64>, end: bool) -> std::result::Result<(), String> {
    let sent = with_fields(fields, |fields| {
        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if fields.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(format!(
                "a response may have {HEADERS_MAX} header fields of {HEADER_BYTES_MAX} bytes together; this one has {} of {bytes}",
                fields.len()
            ));
        }
        let response = Response { status, fields, body_bytes };
        if port.typed(WorkerKind::Response, stream, end, &response) { Ok(()) } else { Err("response head too long".into()) }
    });
    sent.unwrap_or_else(|| Err("out of memory".into()))
}

fn answerable(port: &Port, stream: u32) -> bool {
    port.is_sound()
        && port.channel(stream, |channel| {
        let fresh = !channel.answered && !channel.aborted;
        channel.answered = true;
        fresh
    })
    .unwrap_or(false)
}

/// A whole response: status, fields, and a body of a known length (null, a string or bytes).
fn respond<'js>(
    ctx: &Ctx<'js>,
    port: &Port,
    stream: u32,
    status: u16,
    fields: Value<'js>,
    body: Value<'js>,
    settled: bool,
) -> Result<()> {
    if answerable(port, stream) {
        let whole = |bytes: &[u8]| -> std::result::Result<usize, String> {
            head(port, stream, status, &fields, Some(bytes.len() as u64), bytes.is_empty())?;
            Ok(port
                .channel(stream, |channel| {
                    channel.out_ended |= bytes.is_empty();
                    if bytes.is_empty() { 0 } else { port.send(channel, bytes, true) }
                })
                .unwrap_or(0))
        };
        let length = std::cell::Cell::new(0);
        let counted = |bytes: &[u8]| {
            length.set(bytes.len());
            whole(bytes)
        };
        let sent = if body.is_null() {
            whole(&[])
        } else if body.is_string() {
            sys::with_utf8(&body, |text| counted(text.as_bytes())).unwrap_or(Err("out of memory".into()))
        } else {
            sys::with_bytes(&body, counted).unwrap_or(Err("the body is detached".into()))
        };
        match sent {
            Ok(sent) if sent < length.get() => hold(ctx, port, stream, &body, sent, true)?,
            Ok(_) => {}
            Err(message) => return Err(fail_head(ctx, port, stream, &message)),
        }
    }
    if settled { settle(ctx, port, stream) } else { Ok(()) }
}

/// Nothing has been sent: the request can still fail properly.
fn fail_head(ctx: &Ctx<'_>, port: &Port, stream: u32, message: &str) -> rquickjs::Error {
    port.channel(stream, |channel| channel.answered = false);
    Exception::throw_type(ctx, message)
}

/// Keeps the rest of a body until there is credit. Text is kept as bytes: they are asked for piece by piece.
fn hold<'js>(ctx: &Ctx<'js>, port: &Port, stream: u32, body: &Value<'js>, sent: usize, end: bool) -> Result<()> {
    let bytes = match sys::with_utf8(body, |text| ArrayBuffer::new_copy(ctx.clone(), text.as_bytes())) {
        Some(copy) => copy?.into_value(),
        None => body.clone(),
    };
    let held = Held::new(ctx, &bytes, sent);
    port.channel(stream, |channel| {
        channel.held = Some(held);
        channel.end_after_held = end;
    });
    Ok(())
}

/// The head of a response whose body is streamed.
fn start_response<'js>(ctx: &Ctx<'js>, port: &Port, stream: u32, status: u16, fields: Value<'js>) -> Result<()> {
    if !answerable(port, stream) {
        return Ok(());
    }
    head(port, stream, status, &fields, None, false).map_err(|message| fail_head(ctx, port, stream, &message))
}

/// Sends a chunk. 1: go on; 0: wait for `onDrain`; -1: nobody wants it any more.
fn send<'js>(ctx: &Ctx<'js>, port: &Port, stream: u32, chunk: Value<'js>, end: bool) -> Result<i32> {
    let put = |bytes: &[u8]| {
        port.channel(stream, |channel| {
            if channel.aborted || channel.out_ended || channel.cancelled {
                return (-1, 0, 0);
            }
            (0, port.send(channel, bytes, end), bytes.len())
        })
    };
    let done = if chunk.is_undefined() { Some(put(&[])) } else { sys::with_bytes(&chunk, put) };
    match done.flatten() {
        None | Some((-1, ..)) => Ok(-1),
        Some((_, sent, length)) if sent < length => {
            // The stream may still change the chunk: keep a copy of what is left.
            let rest = sys::with_bytes(&chunk, |bytes| ArrayBuffer::new_copy(ctx.clone(), &bytes[sent..]));
            if let Some(rest) = rest {
                hold(ctx, port, stream, &rest?.into_value(), 0, end)?;
            }
            Ok(0)
        }
        Some(_) => {
            if end {
                port.close_if_done(stream);
            }
            Ok(1)
        }
    }
}

fn fail(_: &Ctx<'_>, port: &Port, stream: u32, kind: u8, message: String, stack: String) -> Result<()> {
    let kind = if kind == 1 { FailureKind::BadReturn } else { FailureKind::Exception };
    let message = cut(&message, ERROR_BYTES_MAX / 2).to_owned();
    let stack = cut(&stack, ERROR_BYTES_MAX / 2).to_owned();
    if port.is_sound() {
        port.fail(stream, &Failure { kind, message, stack });
    }
    Ok(())
}

/// An event is over and its handler did not throw.
fn done(_: &Ctx<'_>, port: &Port, stream: u32, retry: bool, delay_s: Value<'_>) -> Result<()> {
    // A cast of a number that is none, negative or endless is in range.
    let delay_s = delay_s.as_number().map(|delay| delay as u32);
    if port.is_sound() {
        port.done(stream, Done { retry, delay_s });
    }
    Ok(())
}

/// Whatever comes of an event, it is not to be tried again.
fn no_retry(_: &Ctx<'_>, port: &Port, stream: u32) -> Result<()> {
    if port.is_sound() {
        port.no_retry(stream);
    }
    Ok(())
}

/// JavaScript is done with the request.
fn settle(_: &Ctx<'_>, port: &Port, stream: u32) -> Result<()> {
    if !port.is_sound() {
        return Ok(());
    }
    port.channel(stream, |channel| channel.settled = true);
    port.end_calls_of(stream);
    port.close_if_done(stream);
    Ok(())
}

/// Bytes that have arrived; null: there are no more; undefined: wait for `onReadable`.
fn read<'js>(ctx: &Ctx<'js>, port: &Port, stream: u32) -> Result<Value<'js>> {
    let taken = port.channel(stream, |channel| {
        if channel.aborted {
            // It will be told why; until then there is no end.
            return Err(false);
        }
        if channel.inbox.is_empty() {
            let over = channel.in_ended || channel.cancelled;
            if !over {
                channel.wanted = Wanted::Chunk;
            }
            return Err(over);
        }
        let bytes = std::mem::take(&mut channel.inbox);
        port.grant(channel, bytes.len());
        Ok(bytes)
    });
    match taken {
        Some(Ok(bytes)) => Ok(ArrayBuffer::new_copy(ctx.clone(), bytes)?.into_value()),
        Some(Err(false)) => Ok(Value::new_undefined(ctx.clone())),
        Some(Err(true)) | None => Ok(Value::new_null(ctx.clone())),
    }
}

/// Everything, as text or bytes; undefined: wait for `onWhole` and ask again.
fn collect<'js>(ctx: &Ctx<'js>, port: &Port, stream: u32, text: bool) -> Result<Value<'js>> {
    let whole = port.channel(stream, |channel| {
        if channel.aborted {
            return None;
        }
        if channel.in_ended || channel.cancelled {
            return Some(std::mem::take(&mut channel.inbox));
        }
        if channel.wanted != Wanted::Whole {
            channel.wanted = Wanted::Whole;
            port.grant(channel, channel.inbox.len());
        }
        None
    });
    match whole.unwrap_or(Some(Vec::new())) {
        None => Ok(Value::new_undefined(ctx.clone())),
        Some(bytes) if text => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
            Ok(JsString::from_str(ctx.clone(), &String::from_utf8_lossy(bytes))?.into_value())
        }
        Some(bytes) => Ok(ArrayBuffer::new_copy(ctx.clone(), bytes)?.into_value()),
    }
}

/// The rest of the bytes is not wanted.
fn stop(_: &Ctx<'_>, port: &Port, stream: u32) -> Result<()> {
    if stream.is_multiple_of(2) {
        port.end_call(stream);
        return Ok(());
    }
    let tell = port.channel(stream, |channel| {
        channel.inbox = Vec::new();
        let tell = !channel.in_ended && !channel.in_stopped && !channel.aborted;
        channel.in_stopped = true;
        tell
    });
    if tell == Some(true) {
        port.frame(WorkerKind::StopBody, stream, false, &[]);
    }
    Ok(())
}

/// Whether another call may be open.
fn callable(_: &Ctx<'_>, port: &Port) -> Result<bool> {
    Ok(port.open_calls() < STREAMS_MAX)
}

/// The request on whose behalf JavaScript runs now; 0: none.
fn owner(_: &Ctx<'_>, port: &Port) -> Result<u32> {
    Ok(port.owner.get())
}

/// Sends a system call on behalf of a request; gives its stream.
fn call<'js>(
    ctx: &Ctx<'js>,
    port: &Port,
    number: u32,
    arguments: Array<'js>,
    with_body: bool,
    owner: u32,
) -> Result<u32> {
    let call: Call = convert::read_variant(number, &arguments)
        .map_err(|error| Exception::throw_type(ctx, &error.to_string()))?;
    let Some(stream) = port.open_call(owner) else {
        return Err(Exception::throw_range(ctx, "too many calls at once"));
    };
    if port.typed(WorkerKind::Call, stream, !with_body, &call) {
        port.channel(stream, |channel| channel.out_ended = !with_body);
        return Ok(stream);
    }
    let sent = if with_body { Err("the arguments of the call are too long") } else { long_call(ctx, port, stream, call)? };
    if let Err(message) = sent {
        port.channels.borrow_mut().retain(|channel| channel.stream != stream);
        return Err(Exception::throw_range(ctx, message));
    }
    Ok(stream)
}

/// Announces a call that does not fit a frame, and keeps it until there is credit: in the JavaScript heap, under
/// its limit.
fn long_call<'js>(
    ctx: &Ctx<'js>,
    port: &Port,
    stream: u32,
    call: Call,
) -> Result<std::result::Result<(), &'static str>> {
    let Ok(bytes) = fazt_ipc::codec::encode_long(&call, CALL_BYTES_MAX) else {
        return Ok(Err("the arguments of the call are too long"));
    };
    drop(call);
    let heap = Shared::of(ctx)?.heap;
    if !heap.has_room(bytes.len()) {
        ctx.run_gc();
    }
    if !heap.has_room(bytes.len()) {
        return Ok(Err("there is no memory left for the arguments of the call"));
    }
    let kept = ArrayBuffer::new_copy(ctx.clone(), &bytes)?.into_value();
    port.typed(WorkerKind::LongCall, stream, false, &(bytes.len() as u32));
    let held = Held::new(ctx, &kept, 0);
    port.channel(stream, |channel| {
        channel.held = Some(held);
        channel.end_after_held = true;
    });
    Ok(Ok(()))
}

/// Forgets a call.
fn end_call(_: &Ctx<'_>, port: &Port, stream: u32) -> Result<()> {
    port.end_call(stream);
    Ok(())
}

/// The table of calls: `[number, noun, verb, returns bytes, bound]`.
fn rows<'js>(ctx: &Ctx<'js>, _: &Port) -> Result<Array<'js>> {
    let rows = Array::new(ctx.clone())?;
    for (at, row) in TABLE.iter().enumerate() {
        let list = Array::new(ctx.clone())?;
        list.set(0, row.number)?;
        list.set(1, row.noun)?;
        list.set(2, row.verb)?;
        list.set(3, row.returns_body)?;
        list.set(4, row.bound)?;
        rows.set(at, list)?;
    }
    Ok(rows)
}
