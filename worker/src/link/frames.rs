//! Frames from the kernel, one by one.

use fazt_ipc::codec::decode;
use fazt_ipc::frame::{Header, split};
use fazt_ipc::limits::{CREDIT_BYTES, MODULES_BYTES_MAX, REPLY_BYTES_MAX, STREAMS_MAX};
use fazt_ipc::wire::WireError;
use fazt_ipc::wire::kernel::{
    Configure, Event as KernelEvent, EventKind, KernelKind, Module, ModuleKind, ReplyBody, Request, Start,
};
use rquickjs::{Object, String as JsString};
use std::fmt::Write as _;

use super::{Channel, Event, IncomingModule, Link, LinkError, PendingEvent, PendingRequest, Waiting, Wanted};
use crate::sys;

impl<'js> Link<'_, 'js> {
    /// Takes every whole frame out of the input.
    pub(super) fn take_frames(&mut self) -> Result<(), LinkError> {
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some((header, body)) = split(&input.buffer[at..input.filled]).map_err(WireError::from)? {
            at += fazt_ipc::limits::FRAME_HEADER_BYTES + body.len();
            self.frame(header, body)?;
        }
        input.buffer.copy_within(at..input.filled, 0);
        input.filled -= at;
        input.shrink();
        self.input = input;
        Ok(())
    }

    fn frame(&mut self, header: Header, body: &[u8]) -> Result<(), LinkError> {
        let kind = KernelKind::try_from(header.kind)?;
        self.phase = self.phase.sent_by_kernel(kind)?;
        let stream = header.stream;
        let misplaced = WireError::Stream { kind: kind.name(), stream };
        let connection = matches!(
            kind,
            KernelKind::Configure
                | KernelKind::Module
                | KernelKind::ModuleData
                | KernelKind::Start
                | KernelKind::Compile
                | KernelKind::Drain
        );
        if connection != (stream == 0) {
            return Err(misplaced.into());
        }
        match kind {
            KernelKind::Configure => {
                self.configure = Some(decode::<Configure>(body)?);
                Ok(())
            }
            KernelKind::Module => self.module(&decode::<Module<'_>>(body)?),
            KernelKind::ModuleData => self.module_data(body),
            KernelKind::Start => {
                let start: Start<'_> = decode(body)?;
                self.whole_modules()?;
                self.start(start.main)
            }
            KernelKind::Compile => self.whole_modules(),
            KernelKind::Request => self.request(header, body),
            KernelKind::Event => self.event(header, body),
            KernelKind::Body | KernelKind::ReplyBody => self.bytes(kind, header, body),
            KernelKind::Abort if stream.is_multiple_of(2) => {
                self.broke_off(stream);
                Ok(())
            }
            KernelKind::Abort => {
                let open = self.port.channel(stream, |channel| {
                    channel.aborted = true;
                    channel.in_ended = true;
                    channel.inbox = Vec::new();
                    channel.held = None;
                });
                let waiting = self.requests.iter().position(|waiting| waiting.stream() == stream);
                if let Some(at) = waiting {
                    // The app never hears of it.
                    self.requests.remove(at);
                    self.port.channel(stream, |channel| channel.settled = true);
                }
                self.port.close_if_done(stream);
                if open.is_some() && waiting.is_none() {
                    self.events.push_back(Event::Abort(stream));
                }
                Ok(())
            }
            KernelKind::Credit => {
                let bytes: u32 = decode(body)?;
                self.credit(stream, bytes as usize);
                Ok(())
            }
            KernelKind::Reply => {
                let reply: ReplyBody = decode(body)?;
                let wanted = self.port.channel(stream, |channel| {
                    channel.in_ended |= header.end;
                    channel.replied = true;
                    !channel.cancelled
                });
                if wanted == Some(true) {
                    self.answer(stream, &reply)?;
                }
                self.forget(stream);
                Ok(())
            }
            KernelKind::LongReply => {
                let length: u32 = decode(body)?;
                if length as usize > REPLY_BYTES_MAX {
                    return Err(WireError::Bound("answer").into());
                }
                self.port.channel(stream, |channel| channel.long_reply = Some(length as usize));
                Ok(())
            }
            KernelKind::Drain => Ok(()),
        }
    }

    fn module(&mut self, module: &Module<'_>) -> Result<(), LinkError> {
        self.whole_modules()?;
        let length = module.bytes as usize;
        if length > MODULES_BYTES_MAX {
            return Err(WireError::Bound("module bytes").into());
        }
        self.incoming = Some(IncomingModule {
            path: module.path.to_owned(),
            kind: module.kind,
            bytes: Vec::with_capacity(length),
            length,
        });
        if length == 0 { self.module_data(&[]) } else { Ok(()) }
    }

    fn module_data(&mut self, body: &[u8]) -> Result<(), LinkError> {
        let Some(mut module) = self.incoming.take() else {
            return Err(WireError::Stream { kind: "ModuleData", stream: 0 }.into());
        };
        if module.bytes.len() + body.len() > module.length {
            return Err(WireError::Bound("module bytes").into());
        }
        module.bytes.extend_from_slice(body);
        if module.bytes.len() < module.length {
            self.incoming = Some(module);
            return Ok(());
        }
        if module.kind == ModuleKind::Script {
            self.scripts.push(module.path.clone());
        }
        self.engine.modules().add(&module.path, module.kind, module.bytes);
        Ok(())
    }

    fn whole_modules(&self) -> Result<(), LinkError> {
        match &self.incoming {
            Some(_) => Err(WireError::Stream { kind: "Module", stream: 0 }.into()),
            None => Ok(()),
        }
    }

    /// The kernel may open this stream.
    fn opens(&mut self, kind: &'static str, stream: u32) -> Result<(), LinkError> {
        if stream.is_multiple_of(2) || stream <= self.last_request {
            return Err(WireError::Stream { kind, stream }.into());
        }
        if self.port.open_requests() >= STREAMS_MAX {
            return Err(WireError::Bound("streams").into());
        }
        self.last_request = stream;
        Ok(())
    }

    fn event(&mut self, header: Header, body: &[u8]) -> Result<(), LinkError> {
        let stream = header.stream;
        self.opens("Event", stream)?;
        let event: KernelEvent<'_> = decode(body)?;
        self.port.channels.borrow_mut().push(Channel::new(stream, header.end));
        let make = || -> rquickjs::Result<Object<'js>> {
            let object = Object::new(self.dispatch.ctx.clone())?;
            object.set("handler", if event.kind == EventKind::Queue { "queue" } else { "scheduled" })?;
            object.set("requestId", event.id.to_string())?;
            object.set("name", event.name)?;
            object.set("cron", event.cron)?;
            object.set("id", event.job)?;
            object.set("time", event.unix_ms as f64)?;
            object.set("attempts", event.attempt)?;
            object.set("hasPayload", !header.end)?;
            Ok(object)
        };
        // Otherwise the heap is full: the next turn finds out and recycles.
        if let Ok(event) = make() {
            self.requests.push_back(Waiting::Event(PendingEvent { stream, event }));
        }
        Ok(())
    }

    fn request(&mut self, header: Header, body: &[u8]) -> Result<(), LinkError> {
        let stream = header.stream;
        self.opens("Request", stream)?;
        let request: Request<'_> = decode(body)?;
        let mut head = String::with_capacity(32 + body.len());
        let _ = write!(head, "{}", request.id);
        for (name, value) in &request.fields {
            head.push('\n');
            head.push_str(name);
            head.push('\n');
            match std::str::from_utf8(value) {
                Ok(text) if text.is_ascii() => head.push_str(text),
                // Each byte is a character (a ByteString).
                _ => head.extend(value.iter().map(|byte| char::from(*byte))),
            }
        }
        let ctx = &self.dispatch.ctx;
        let text = |text: &str| JsString::from_str(ctx.clone(), text);
        let strings = (text(request.method), text(request.url), text(&head));
        self.port.channels.borrow_mut().push(Channel::new(stream, header.end));
        let (Ok(method), Ok(url), Ok(head)) = strings else {
            // The heap is full: the next turn finds out and recycles.
            return Ok(());
        };
        let has_body = !header.end;
        self.requests.push_back(Waiting::Request(PendingRequest { stream, method, url, head, has_body }));
        Ok(())
    }

    fn bytes(&mut self, kind: KernelKind, header: Header, body: &[u8]) -> Result<(), LinkError> {
        let stream = header.stream;
        let used = self.engine.heap().used_bytes();
        let limit = self.engine.heap().limit_bytes();
        let port = std::rc::Rc::clone(&self.port);
        let mut long_reply = None;
        let tell = port.channel(stream, |channel| {
            if channel.in_ended {
                // After Abort the rest may still be on its way.
                return if channel.aborted {
                    Ok(false)
                } else {
                    Err(WireError::Stream { kind: kind.name(), stream })
                };
            }
            if channel.in_stopped {
                channel.in_ended = header.end;
                return Ok(false);
            }
            channel.inbox.extend_from_slice(body);
            channel.in_ended = header.end;
            if let Some(length) = channel.long_reply {
                if channel.inbox.len() > length || (header.end && channel.inbox.len() < length) {
                    return Err(WireError::Bound("announced answer"));
                }
                port.grant(channel, body.len());
                if header.end {
                    channel.replied = true;
                    long_reply = Some(std::mem::take(&mut channel.inbox));
                }
                return Ok(false);
            }
            match channel.wanted {
                Wanted::Whole => {
                    if limit > 0 && channel.inbox.len() * 2 + used > limit {
                        // It would not fit when it is whole: the next turn finds the heap full.
                        self.engine.heap().exhaust();
                        return Ok(true);
                    }
                    port.grant(channel, body.len());
                    Ok(header.end)
                }
                _ if channel.inbox.len() > CREDIT_BYTES as usize => Err(WireError::Bound("credit")),
                Wanted::Chunk => {
                    channel.wanted = Wanted::Nothing;
                    Ok(true)
                }
                Wanted::Nothing => Ok(false),
            }
        });
        if let Some(encoded) = long_reply {
            let reply: ReplyBody = decode(&encoded)?;
            return self.answer(stream, &reply);
        }
        if header.end {
            self.forget(stream);
        }
        match tell {
            // The stream is closed on this side; the kernel will see that.
            None | Some(Ok(false)) => Ok(()),
            Some(Ok(true)) => {
                self.events.push_back(Event::Arrived(stream));
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// The rest of an answer will never come.
    fn broke_off(&mut self, stream: u32) {
        let wanted = self.port.channel(stream, |channel| {
            channel.aborted = true;
            channel.in_ended = true;
            channel.inbox = Vec::new();
            channel.held = None;
            !channel.cancelled
        });
        if wanted == Some(true) {
            self.events.push_back(Event::Abort(stream));
        }
        self.forget(stream);
    }

    /// The last of a call that was given up: another may take its place.
    fn forget(&mut self, stream: u32) {
        if self.port.forget_if_cancelled(stream) {
            self.events.push_back(Event::Drained(stream));
        }
    }

    /// More bytes may go out on a stream.
    fn credit(&mut self, stream: u32, bytes: usize) {
        let ctx = self.dispatch.ctx.clone();
        let port = std::rc::Rc::clone(&self.port);
        let held = port.channel(stream, |channel| {
            channel.credit = channel.credit.saturating_add(bytes);
            channel.held.take()
        });
        let Some(Some(mut held)) = held else { return };
        let Some(value) = held.value(&ctx) else { return };
        let done = port.channel(stream, |channel| {
            let end = channel.end_after_held;
            let sent = sys::with_bytes(&value, |all| {
                let rest = &all[held.sent.min(all.len())..];
                (port.send(channel, rest, end), rest.len())
            });
            let (sent, length) = sent.unwrap_or((0, 0));
            held.sent += sent;
            let done = sent == length;
            if !done {
                channel.held = Some(held);
            }
            done
        });
        if done == Some(true) {
            self.port.close_if_done(stream);
            self.events.push_back(Event::Drained(stream));
        }
    }
}
