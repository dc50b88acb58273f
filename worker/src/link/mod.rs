//! The connection to the kernel: reads every frame there is, runs JavaScript, writes once.
//!
//! Bytes from the kernel are trusted (it can kill this process), but a frame that is malformed or out of place
//! means that the two sides disagree, and the worker ends.
//!
//! ```text
//!        ┌─▶ read what there is ─▶ take frames apart ─▶ run events, each a turn ─▶ fire due timers ─▶ write ─┐
//!        └────────────────────────────── wait: ppoll until the next timer, or read ◀────────────────────────┘
//!                      nothing came for a while and nothing is open: collect garbage, give memory back
//! ```

mod compile;
mod frames;
mod held;
mod port;
mod timers;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::rc::Rc;

use fazt_ipc::limits::PROTOCOL;
use fazt_ipc::wire::kernel::{Configure, ModuleKind, ReplyBody};
use fazt_ipc::wire::worker::Ready;
use fazt_ipc::wire::{Failure, FailureKind, Phase, WireError, WorkerKind};
use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Object, Promise, Value};

use crate::dispatch::{self, Dispatch, Fatal, PendingEvent, PendingRequest};
use crate::engine::Engine;
use crate::limits::{LONG_TURN_NS, READ_BYTES_HIGH, READ_BYTES_MIN, REST_AFTER_MS, WRITE_BYTES_HIGH};
use crate::sys;
pub(crate) use held::Held;
pub use port::Port;
pub(crate) use port::{Channel, Wanted, cut};
pub use timers::Timers;

/// How a worker's life ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The engine could not be built.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The prelude does not run.
    #[error("the prelude does not run: {0}")]
    Prelude(String),
    /// The lock-down failed; nothing was said to the kernel.
    #[error("not locked down: {0}")]
    Lock(String),
    /// A frame that is malformed or out of place.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The app cannot go on; the kernel has been told.
    #[error("recycled: {0:?}")]
    Recycled(FailureKind),
}

impl From<fazt_ipc::codec::CodecError> for LinkError {
    fn from(error: fazt_ipc::codec::CodecError) -> Self {
        Self::Wire(error.into())
    }
}

/// Builds an engine, warms it up, locks the process down with `lock` (which answers with the Landlock ABI in
/// force), and serves until the kernel hangs up or the work is done.
///
/// # Errors
/// When the worker cannot start, or had to end before its work was done.
pub fn serve(socket: &File, lock: impl FnOnce() -> Result<u8, String>) -> Result<(), LinkError> {
    let engine = Engine::new()?;
    engine.watch_rejections();
    engine.with(|ctx| {
        let prelude = |error: rquickjs::Error| LinkError::Prelude(exception_text(&ctx, &error));
        let dispatch = Dispatch::new(
            &ctx,
            engine.modules(),
            Rc::clone(engine.port()),
            engine.budget_handle(),
            engine.heap_handle(),
            Rc::clone(engine.contexts()),
        )
        .map_err(prelude)?;
        dispatch.warm_up().map_err(prelude)?;
        engine.port().reset();
        ctx.run_gc();
        sys::trim_heap();
        sys::limit_reads(socket, REST_AFTER_MS)?;
        let landlock_abi = lock().map_err(LinkError::Lock)?;
        let mut link = Link {
            engine: &engine,
            port: Rc::clone(engine.port()),
            dispatch,
            socket,
            phase: Phase::Booting,
            input: Input::default(),
            configure: None,
            incoming: None,
            scripts: Vec::new(),
            events: VecDeque::new(),
            requests: VecDeque::new(),
            starting: None,
            last_request: 0,
            rested: false,
        };
        link.send(
            WorkerKind::Ready,
            &Ready { protocol: PROTOCOL, landlock_abi, engine: crate::engine_hash() },
        )?;
        let ended = link.run();
        // Values that wait for credit must not outlive the engine.
        link.port.reset();
        ended
    })
}

fn exception_text(ctx: &Ctx<'_>, error: &rquickjs::Error) -> String {
    if !matches!(error, rquickjs::Error::Exception) {
        return error.to_string();
    }
    let value = ctx.catch();
    value.as_exception().map_or_else(|| format!("{value:?}"), ToString::to_string)
}

/// Something that JavaScript must hear of.
enum Event<'js> {
    Arrived(u32),
    Drained(u32),
    Abort(u32),
    Answered(u32, bool, Value<'js>),
}

/// What the kernel asks, before its turn.
enum Waiting<'js> {
    Request(PendingRequest<'js>),
    Event(PendingEvent<'js>),
}

impl Waiting<'_> {
    const fn stream(&self) -> u32 {
        match self {
            Self::Request(request) => request.stream,
            Self::Event(event) => event.stream,
        }
    }
}

/// A module whose bytes are arriving.
struct IncomingModule {
    path: String,
    kind: ModuleKind,
    bytes: Vec<u8>,
    length: usize,
}

/// Bytes read and not yet taken apart: the first `filled` of the buffer.
#[derive(Default)]
struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Input {
    /// Where to read to. A buffer that was filled to the end grows: there is more to come.
    fn space(&mut self) -> &mut [u8] {
        if self.buffer.len() < self.filled + READ_BYTES_MIN {
            let larger =
                (self.buffer.len() * 2).max(self.filled + READ_BYTES_MIN).next_multiple_of(READ_BYTES_MIN);
            self.buffer.resize(larger, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Gives the memory of a long frame or a large batch back.
    fn shrink(&mut self) {
        if self.filled == 0 && self.buffer.len() > READ_BYTES_HIGH {
            self.buffer = Vec::new();
        }
    }
}

struct Link<'a, 'js> {
    engine: &'a Engine,
    port: Rc<Port>,
    dispatch: Dispatch<'js>,
    socket: &'a File,
    phase: Phase,
    input: Input,
    configure: Option<Configure>,
    incoming: Option<IncomingModule>,
    /// Paths of script modules in order of arrival: what `Compile` compiles.
    scripts: Vec<String>,
    events: VecDeque<Event<'js>>,
    requests: VecDeque<Waiting<'js>>,
    starting: Option<(Object<'js>, Promise<'js>)>,
    last_request: u32,
    /// Memory was given back, and nothing has come since.
    rested: bool,
}

impl<'js> Link<'_, 'js> {
    fn run(&mut self) -> Result<(), LinkError> {
        loop {
            self.flush()?;
            if self.phase == Phase::Draining && self.idle() {
                return Ok(());
            }
            if self.wait()? && !self.read()? {
                return Ok(());
            }
            self.take_frames()?;
            if self.phase == Phase::Compiling {
                let done = self.compile();
                self.flush()?;
                return done;
            }
            if let Err(fatal) = self.run_events() {
                return self.recycle(&fatal);
            }
        }
    }

    /// Whether nothing is open and nothing can happen by itself.
    fn idle(&self) -> bool {
        self.requests.is_empty() && self.starting.is_none() && self.port.open_requests() == 0
    }

    /// Waits until there is something to read (true) or a timer is due (false).
    fn wait(&mut self) -> Result<bool, LinkError> {
        let Some(next) = self.engine.timers().next_ns() else {
            // A read would end again and again.
            return Ok(!self.rested || sys::wait_readable(self.socket, u64::MAX)?);
        };
        let now = sys::monotonic_ns();
        Ok(sys::wait_readable(self.socket, next.saturating_sub(now))?)
    }

    /// Reads what there is. False: the kernel hung up.
    fn read(&mut self) -> Result<bool, LinkError> {
        let space = self.input.space();
        let read = loop {
            match (&*self.socket).read(space) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.rest();
                    return Ok(true);
                }
                other => break other,
            }
        };
        self.rested = false;
        match read {
            Ok(0) => Ok(false),
            Ok(bytes) => {
                self.input.filled += bytes;
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing came for a while. If nothing is open either, an idle worker takes no more memory than it must.
    fn rest(&mut self) {
        if !self.idle() {
            return;
        }
        self.rested = true;
        // Before it has an app there is nothing to give back: that was done before the lock-down.
        if self.phase == Phase::Running {
            self.input.buffer = Vec::new();
            *self.port.out.borrow_mut() = Vec::new();
            self.dispatch.ctx.run_gc();
            sys::trim_heap();
        }
    }

    fn flush(&self) -> Result<(), LinkError> {
        let mut out = self.port.out.borrow_mut();
        if !out.is_empty() {
            (&*self.socket).write_all(&out)?;
            out.clear();
            if out.capacity() > WRITE_BYTES_HIGH {
                *out = Vec::new();
            }
        }
        Ok(())
    }

    /// Sends a message of the connection itself.
    fn send<T: serde::Serialize>(&mut self, kind: WorkerKind, body: &T) -> Result<(), LinkError> {
        self.phase = self.phase.sent_by_worker(kind)?;
        self.port.typed(kind, 0, false, body);
        Ok(())
    }

    fn run_events(&mut self) -> Result<(), Fatal> {
        loop {
            self.finish_starting()?;
            if let Some(event) = self.events.pop_front() {
                match event {
                    Event::Arrived(stream) => self.dispatch.arrived(stream)?,
                    Event::Drained(stream) => self.dispatch.drained(stream)?,
                    Event::Abort(stream) => self.dispatch.abort(stream)?,
                    Event::Answered(stream, ok, value) => self.dispatch.answered(stream, ok, value)?,
                }
            } else if self.starting.is_none()
                && let Some(waiting) = self.requests.pop_front()
            {
                match waiting {
                    Waiting::Request(request) => self.dispatch.request(request)?,
                    Waiting::Event(event) => self.dispatch.event(event)?,
                }
            } else if let Some(id) = self.due_timer() {
                self.dispatch.fire(self.engine.modules(), id)?;
            } else {
                return Ok(());
            }
            // After a long turn the answers that are ready do not wait for the rest of the batch.
            let waiting = self.port.out.borrow().len();
            let long = || self.engine.budget_handle().turn_ns() > LONG_TURN_NS;
            if (waiting > WRITE_BYTES_HIGH || (waiting > 0 && long())) && self.flush().is_err() {
                return Ok(());
            }
        }
    }

    fn due_timer(&self) -> Option<u32> {
        self.engine.timers().next_ns()?;
        self.engine.timers().take_due(sys::monotonic_ns())
    }

    /// Evaluates the main module.
    fn start(&mut self, main: &str) -> Result<(), LinkError> {
        let Some(configure) = self.configure.take() else { return Ok(()) };
        self.engine.heap().set_limit_bytes(usize::try_from(configure.memory_bytes).unwrap_or(usize::MAX));
        self.engine.budget_handle().set_limit_ms(configure.cpu_ms);
        self.port.detached.set(false);
        let evaluated = self.dispatch.turn(0, || {
            let evaluated = self
                .dispatch
                .configure(&configure)
                .and_then(|()| self.dispatch.evaluate(self.engine.modules(), main));
            Ok(evaluated.map_err(|error| dispatch::of_exception(&self.dispatch, FailureKind::Load, &error)))
        });
        match evaluated {
            Ok(Some(Ok(starting))) => {
                self.starting = Some(starting);
                Ok(())
            }
            Ok(Some(Err(failure))) => self.load_failed(failure),
            Ok(None) => self.load_failed(Failure {
                kind: FailureKind::Load,
                message: "the app's main module could not be evaluated".into(),
                stack: String::new(),
            }),
            Err(fatal) => self.recycle(&fatal),
        }
    }

    /// Goes on from `Starting` when the top level has run.
    fn finish_starting(&mut self) -> Result<(), Fatal> {
        let Some((namespace, promise)) = &self.starting else { return Ok(()) };
        let failure = match promise.state() {
            PromiseState::Pending => {
                let hopeless = self.events.is_empty()
                    && self.engine.timers().next_ns().is_none()
                    && self.port.open_calls() == 0;
                if !hopeless {
                    return Ok(());
                }
                Failure {
                    kind: FailureKind::Load,
                    message: "the top level of the app awaits a promise that nothing can settle".into(),
                    stack: String::new(),
                }
            }
            PromiseState::Rejected => {
                let error = promise.result::<Value<'js>>();
                let _ = error;
                let value = self.dispatch.ctx.catch();
                dispatch::of_value(&self.dispatch, FailureKind::Load, value)
            }
            PromiseState::Resolved => {
                let namespace = namespace.clone();
                self.starting = None;
                let loaded = self.dispatch.turn(0, || self.dispatch.start(namespace))?;
                let sent = match loaded {
                    Some(loaded) => self.send(WorkerKind::Loaded, &loaded),
                    None => Ok(()),
                };
                return sent.map_err(|_| FailureKind::Load.into());
            }
        };
        self.starting = None;
        let _ = self.send(WorkerKind::LoadFailed, &failure);
        Err(FailureKind::Load.into())
    }

    fn load_failed(&mut self, failure: Failure) -> Result<(), LinkError> {
        self.send(WorkerKind::LoadFailed, &failure)?;
        self.flush()?;
        Err(LinkError::Recycled(failure.kind))
    }

    /// Tells the kernel for every open request why there is no more to come.
    fn recycle(&mut self, fatal: &Fatal) -> Result<(), LinkError> {
        let failure =
            dispatch::fatal(fatal, self.engine.budget_handle().limit_ms(), self.engine.heap().limit_bytes());
        // Answering must not run into the limit again.
        self.engine.heap().set_limit_bytes(0);
        if matches!(self.phase, Phase::Starting) && fatal.kind != FailureKind::Load {
            return self.load_failed(failure);
        }
        if fatal.kind != FailureKind::Load {
            for stream in self.port.request_streams() {
                self.port.fail(stream, &failure);
            }
        }
        self.flush()?;
        Err(LinkError::Recycled(fatal.kind))
    }

    fn answer(&mut self, stream: u32, body: &ReplyBody) -> Result<(), LinkError> {
        let ctx = &self.dispatch.ctx;
        let (ok, value) = match body {
            Ok(reply) => (true, crate::engine::convert::write(ctx, reply)),
            Err(error) => (false, crate::engine::convert::write(ctx, error)),
        };
        if let Ok(value) = value {
            // The name of an error is its code as declared, not in lower case.
            if let (Err(error), Some(object)) = (body, value.as_object()) {
                let _ = object.set("code", error.code.to_string());
            }
            self.events.push_back(Event::Answered(stream, ok, value));
        }
        Ok(())
    }
}
