//! The context of `AsyncLocalStorage` across promise jobs. Nothing here costs anything until an app makes its first
//! storage.
//!
//! A job begins without a context. What `then` registers is bound to its context by `node:async_hooks`; but the
//! continuation of an `await` is the engine's own, and nobody can bind it. So a job of ours, a *lead*, is put directly
//! before it, which says which context the next job has. Where it goes:
//!
//! | awaited | how it is known | where the lead goes |
//! |---|---|---|
//! | a promise | the engine reads its `constructor`, an accessor by then | the queue, or a reaction on it |
//! | no object, or one without `then` | the promise that stands for it is made and resolved in one go | the queue |
//! | something with `then` | its promise is made, and later settled by a job that calls `then` | the queue, when it is settled |
//!
//! A lead that turns out to precede nothing must not reach the job of another request: whatever may put a job
//! behind it puts a second lead there first, to no context ([`Contexts::close`]).

use std::cell::{Cell, RefCell};

use rquickjs::{Ctx, Function, Object, Persistent, Result, Value};

use super::sys::{self, PromiseEvent};

type Kept = Persistent<Value<'static>>;
type Slot<T> = RefCell<Option<Persistent<T>>>;

/// Which context holds now, and which will.
#[derive(Default)]
pub(crate) struct Contexts {
    on: Cell<bool>,
    /// Of what runs now.
    current: Slot<Value<'static>>,
    /// Of the next job.
    next: Slot<Value<'static>>,
    /// The promise that was made last, with the context of that moment.
    last: RefCell<Option<(Kept, Kept)>>,
    /// A lead is the last job in the queue, and what comes next may not be what it is for.
    open: Cell<bool>,
    /// Promises that are not settled yet → context in which they were made. A `WeakMap`.
    made: Slot<Object<'static>>,
    /// Those of them that something with `then` settles.
    borrowed: Slot<Object<'static>>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").field("on", &self.on.get()).finish_non_exhaustive()
    }
}

impl Contexts {
    /// The first storage was made.
    pub(crate) fn start(&self, ctx: &Ctx<'_>) -> Result<()> {
        for slot in [&self.made, &self.borrowed] {
            let map = ctx.eval::<Object<'_>, _>("new WeakMap()")?;
            *slot.borrow_mut() = Some(Persistent::save(ctx, map));
        }
        self.on.set(true);
        Ok(())
    }

    /// Lets go of every value: the engine ends.
    pub(crate) fn end(&self) {
        self.on.set(false);
        self.begin();
        *self.last.borrow_mut() = None;
        *self.made.borrow_mut() = None;
        *self.borrowed.borrow_mut() = None;
    }

    /// A callback from outside is about to run: it has no context.
    pub(crate) fn begin(&self) {
        self.current.take();
        self.next.take();
    }

    /// A job is about to run.
    pub(crate) fn job_begins(&self) {
        if self.on.get() {
            self.current.replace(self.next.take());
        }
    }

    /// A callback or a job has run.
    pub(crate) fn job_ended(&self, ctx: &Ctx<'_>) {
        if self.on.get() {
            self.remember_last(ctx);
            self.close(ctx);
        }
    }

    /// The context of what runs now; `undefined`: none.
    pub(crate) fn current<'js>(&self, ctx: &Ctx<'js>) -> Value<'js> {
        restore(ctx, &self.current)
    }

    /// Sets the context of what runs now.
    pub(crate) fn enter<'js>(&self, ctx: &Ctx<'js>, context: &Value<'js>) {
        self.current.replace(keep(ctx, context));
    }

    /// Sets the context of the next job: what a lead does.
    pub(crate) fn lead_next<'js>(&self, ctx: &Ctx<'js>, context: &Value<'js>) {
        self.next.replace(keep(ctx, context));
    }

    /// Puts a lead into the queue, for the job that comes next.
    pub(crate) fn lead<'js>(&self, ctx: &Ctx<'js>, context: &Value<'js>) {
        sys::enqueue_lead(ctx, context);
        self.open.set(true);
    }

    /// What may come next into the queue is not what the last lead is for.
    fn close(&self, ctx: &Ctx<'_>) {
        if self.open.replace(false) {
            sys::enqueue_lead(ctx, &Value::new_undefined(ctx.clone()));
        }
    }

    /// The promise that was made last is not settled in the same go: perhaps something with `then` will do it.
    fn remember_last(&self, ctx: &Ctx<'_>) {
        let Some((promise, context)) = self.last.take() else { return };
        let (Ok(promise), Ok(context)) = (promise.restore(ctx), context.restore(ctx)) else { return };
        let pending = promise.as_promise().map(rquickjs::Promise::state);
        if pending == Some(rquickjs::promise::PromiseState::Pending) {
            put(ctx, &self.made, promise, context);
        }
    }

    fn is_last<'js>(&self, ctx: &Ctx<'js>, promise: &Value<'js>) -> bool {
        let last = self.last.borrow().as_ref().map(|(last, _)| last.clone());
        last.and_then(|last| last.restore(ctx).ok()).is_some_and(|last| last == *promise)
    }
}

impl sys::PromiseWatch for Contexts {
    fn promise<'js>(&self, ctx: &Ctx<'js>, event: PromiseEvent, promise: Value<'js>) {
        if !self.on.get() {
            return;
        }
        match event {
            PromiseEvent::Made { derived } => {
                self.remember_last(ctx);
                if derived {
                    // What is derived from a settled promise is a job at once.
                    self.close(ctx);
                } else {
                    let context = self.current.borrow().clone();
                    self.last.replace(context.map(|context| (Persistent::save(ctx, promise), context)));
                }
            }
            PromiseEvent::Resolved => {
                if self.is_last(ctx, &promise) {
                    let context = self.last.take().and_then(|(_, context)| context.restore(ctx).ok());
                    if let Some(context) = context {
                        return self.lead(ctx, &context);
                    }
                }
                self.remember_last(ctx);
                match get(ctx, &self.borrowed, &promise) {
                    Some(context) => self.lead(ctx, &context),
                    None => self.close(ctx),
                }
            }
            PromiseEvent::Before => {
                if let Some(context) = get(ctx, &self.made, &promise) {
                    self.enter(ctx, &context);
                    put(ctx, &self.borrowed, promise, context);
                }
            }
            PromiseEvent::After => {
                // If its `then` has thrown, the promise is rejected next.
                let context = self.current(ctx);
                if !context.is_undefined() {
                    self.lead(ctx, &context);
                }
            }
        }
    }
}

fn keep<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Option<Kept> {
    (!value.is_undefined()).then(|| Persistent::save(ctx, value.clone()))
}

fn restore<'js>(ctx: &Ctx<'js>, slot: &Slot<Value<'static>>) -> Value<'js> {
    let kept = slot.borrow().clone();
    kept.and_then(|kept| kept.restore(ctx).ok()).unwrap_or_else(|| Value::new_undefined(ctx.clone()))
}

/// Calls a method of one of the two maps. What it throws for want of memory is found out by the next allocation.
fn call<'js>(
    ctx: &Ctx<'js>,
    slot: &Slot<Object<'static>>,
    method: &str,
    key: Value<'js>,
    value: Option<Value<'js>>,
) -> Option<Value<'js>> {
    let map = slot.borrow().clone()?.restore(ctx).ok()?;
    let run = || -> Result<Value<'js>> {
        let method: Function<'js> = map.get(method)?;
        let this = rquickjs::function::This(map.clone());
        match value {
            Some(value) => method.call((this, key, value)),
            None => method.call((this, key)),
        }
    };
    match run() {
        Ok(value) => Some(value),
        Err(_) => {
            ctx.catch();
            None
        }
    }
}

fn put<'js>(ctx: &Ctx<'js>, slot: &Slot<Object<'static>>, key: Value<'js>, value: Value<'js>) {
    call(ctx, slot, "set", key, Some(value));
}

fn get<'js>(ctx: &Ctx<'js>, slot: &Slot<Object<'static>>, key: &Value<'js>) -> Option<Value<'js>> {
    call(ctx, slot, "get", key.clone(), None).filter(|value| !value.is_undefined())
}
