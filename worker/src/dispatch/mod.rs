//! Calls into `prelude/main.js`: one method for each thing that can happen, each a turn with its budget.
//!
//! A turn runs one callback and every promise job that follows, then looks whether the engine is still whole.

mod failure;
mod setup;

use std::rc::Rc;

use fazt_ipc::wire::FailureKind;
use rquickjs::function::{Args, IntoArgs};
use rquickjs::{Ctx, Error, Function, Object, Result, Value};

use crate::engine::{Budget, Contexts, ModuleTable, modules};
use crate::limits::JOBS_PER_TICK;
use crate::link::Port;
use crate::sys::Heap;

pub(crate) use failure::{fatal, of_exception, of_value};

/// The engine is torn or wedged: every open request fails with this, and the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fatal {
    pub(crate) kind: FailureKind,
    /// Where the app was.
    pub(crate) stack: String,
}

impl From<FailureKind> for Fatal {
    fn from(kind: FailureKind) -> Self {
        Self { kind, stack: String::new() }
    }
}

/// The callbacks of `fazt:main`.
pub(crate) struct Dispatch<'js> {
    pub(crate) ctx: Ctx<'js>,
    port: Rc<Port>,
    budget: Rc<Budget>,
    heap: Rc<Heap>,
    contexts: Rc<Contexts>,
    main: Object<'js>,
    request: Function<'js>,
    event: Function<'js>,
    arrived: Function<'js>,
    drained: Function<'js>,
    answered: Function<'js>,
    abort: Function<'js>,
    describe: Function<'js>,
    flush_rejections: Function<'js>,
    uncaught: Function<'js>,
    fire: Option<Function<'js>>,
}

impl<'js> Dispatch<'js> {
    /// Loads `fazt:main`.
    pub(crate) fn new(
        ctx: &Ctx<'js>,
        table: &ModuleTable,
        port: Rc<Port>,
        budget: Rc<Budget>,
        heap: Rc<Heap>,
        contexts: Rc<Contexts>,
    ) -> Result<Self> {
        let main = modules::import_prelude(ctx, table, "fazt:main")?;
        Ok(Self {
            request: main.get("request")?,
            event: main.get("event")?,
            arrived: main.get("arrived")?,
            drained: main.get("drained")?,
            answered: main.get("answered")?,
            abort: main.get("abort")?,
            describe: main.get("describe")?,
            flush_rejections: main.get("flushRejections")?,
            uncaught: main.get("uncaught")?,
            fire: None,
            main,
            ctx: ctx.clone(),
            port,
            budget,
            heap,
            contexts,
        })
    }

    /// Runs one callback on behalf of a stream (0: of none), then all promise jobs.
    pub(crate) fn turn<R>(
        &self,
        stream: u32,
        callback: impl FnOnce() -> Result<R>,
    ) -> std::result::Result<Option<R>, Fatal> {
        let before = if stream == 0 { 0 } else { self.port.channel(stream, |c| c.cpu_ns).unwrap_or(0) };
        self.port.current.set(stream);
        let owner = if stream.is_multiple_of(2) {
            self.port.channel(stream, |c| c.owner).unwrap_or(0)
        } else {
            stream
        };
        self.port.owner.set(owner);
        self.contexts.begin();
        self.budget.begin(before);
        let result = callback();
        let result = match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.check()?;
                self.report(&error);
                None
            }
        };
        self.run_jobs()?;
        if owner != 0 && owner != stream && self.port.is_settled(owner) {
            // An answer that came after its request was over, and nobody began to read it.
            self.port.end_calls_of(owner);
        }
        if self.budget.has_started() && stream != 0 {
            let used = self.budget.used_ns();
            self.port.channel(stream, |channel| channel.cpu_ns = used);
        }
        self.port.current.set(0);
        self.port.owner.set(0);
        Ok(result)
    }

    fn run_jobs(&self) -> std::result::Result<(), Fatal> {
        let mut jobs = 0_u32;
        loop {
            loop {
                self.contexts.job_ended(&self.ctx);
                self.contexts.job_begins();
                match crate::engine::sys::run_job(&self.ctx) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => {
                        self.check()?;
                        self.ctx.catch();
                    }
                }
                jobs = jobs.wrapping_add(1);
                // An endless chain of short jobs never reaches the engine's own check.
                if jobs.is_multiple_of(JOBS_PER_TICK) {
                    self.budget.tick();
                }
                if self.budget.is_exceeded() || self.heap.is_exhausted() {
                    break;
                }
            }
            self.check()?;
            if !self.port.rejected.replace(false) {
                return Ok(());
            }
            self.contexts.begin();
            let _ = self.call(&self.flush_rejections, ());
        }
    }

    fn check(&self) -> std::result::Result<(), Fatal> {
        let kind = if self.heap.is_exhausted() {
            FailureKind::OutOfMemory
        } else if self.budget.is_exceeded() {
            FailureKind::CpuExceeded
        } else {
            return Ok(());
        };
        Err(Fatal { kind, stack: failure::pending_stack(&self.ctx) })
    }

    /// An exception that came out of a callback belongs to no request: it goes to the log.
    fn report(&self, error: &Error) {
        if matches!(error, Error::Exception) {
            let value = self.ctx.catch();
            let _ = self.call(&self.uncaught, (value,));
        }
    }

    fn call<A: IntoArgs<'js>>(&self, function: &Function<'js>, arguments: A) -> Result<()> {
        let mut args = Args::new(self.ctx.clone(), arguments.num_args());
        arguments.into_args(&mut args)?;
        function.call_arg::<Value<'js>>(args).map(drop)
    }

    /// A request from the wire.
    pub(crate) fn request(&self, request: PendingRequest<'js>) -> std::result::Result<(), Fatal> {
        let PendingRequest { stream, method, url, head, has_body } = request;
        self.turn(stream, || self.call(&self.request, (stream, method, url, head, has_body))).map(drop)
    }

    /// An event from the wire.
    pub(crate) fn event(&self, event: PendingEvent<'js>) -> std::result::Result<(), Fatal> {
        let PendingEvent { stream, event } = event;
        self.turn(stream, || self.call(&self.event, (stream, event))).map(drop)
    }

    /// Bytes wait that somebody asked for.
    pub(crate) fn arrived(&self, stream: u32) -> std::result::Result<(), Fatal> {
        self.turn(stream, || self.call(&self.arrived, (stream,))).map(drop)
    }

    /// What was held back has been sent.
    pub(crate) fn drained(&self, stream: u32) -> std::result::Result<(), Fatal> {
        self.turn(stream, || self.call(&self.drained, (stream,))).map(drop)
    }

    /// The client is gone.
    pub(crate) fn abort(&self, stream: u32) -> std::result::Result<(), Fatal> {
        self.turn(stream, || self.call(&self.abort, (stream,))).map(drop)
    }

    /// A system call was answered.
    pub(crate) fn answered(
        &self,
        stream: u32,
        ok: bool,
        value: Value<'js>,
    ) -> std::result::Result<(), Fatal> {
        self.turn(stream, || self.call(&self.answered, (stream, ok, value))).map(drop)
    }

    /// A timer is due.
    pub(crate) fn fire(&mut self, table: &ModuleTable, id: u32) -> std::result::Result<(), Fatal> {
        if self.fire.is_none() {
            let timers = modules::import_prelude(&self.ctx, table, "fazt:timers");
            self.fire = timers.and_then(|timers| timers.get("fire")).ok();
        }
        let Some(fire) = &self.fire else { return Ok(()) };
        self.turn(0, || self.call(fire, (id,))).map(drop)
    }
}

/// An event that waits for its turn.
pub(crate) struct PendingEvent<'js> {
    pub(crate) stream: u32,
    /// What `prelude/scheduled.js` is told of it.
    pub(crate) event: Object<'js>,
}

/// A request that waits for its turn.
pub(crate) struct PendingRequest<'js> {
    pub(crate) stream: u32,
    pub(crate) method: rquickjs::String<'js>,
    pub(crate) url: rquickjs::String<'js>,
    /// The request's id, then its fields: `id\nname\nvalue…`.
    pub(crate) head: rquickjs::String<'js>,
    pub(crate) has_body: bool,
}
