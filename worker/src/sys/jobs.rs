//! Interrupts, promise jobs, and the hook that sees every promise.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::rc::Rc;

use rquickjs::{Ctx, Error, Result, Value, qjs};

use super::memory::Heap;
use super::modules::checked;

/// What the engine asks every few thousand steps.
pub(crate) struct Watch {
    pub(crate) budget: Rc<crate::engine::Budget>,
    pub(crate) heap: Rc<Heap>,
}

/// Has `watch` decide whether scripts go on. The caller keeps it alive as long as the runtime.
pub(crate) fn set_watch(ctx: &Ctx<'_>, watch: &Rc<Watch>) {
    // SAFETY: the runtime is alive; `watch`, whose owner (`Engine`) drops it after the runtime, is read as what
    // it is.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetInterruptHandler(runtime, Some(interrupt), Rc::as_ptr(watch).cast_mut().cast());
    }
}

unsafe extern "C" fn interrupt(runtime: *mut qjs::JSRuntime, opaque: *mut std::ffi::c_void) -> c_int {
    // SAFETY: the engine passes its runtime and what `set_watch` gave it; the threshold is a plain number.
    unsafe {
        let watch = &*opaque.cast::<Watch>();
        let (limit, used) = (watch.heap.limit_bytes(), watch.heap.used_bytes());
        // Left alone, the engine lets the heap grow by half between collections, past the limit.
        let cap = (limit - limit / 8).max(used + limit.saturating_sub(used) / 2);
        if limit > 0 && qjs::JS_GetGCThreshold(runtime) as usize > cap {
            qjs::JS_SetGCThreshold(runtime, cap as _);
        }
        // Nothing goes on after the heap was full once: `catch` does not see this.
        c_int::from(watch.heap.is_exhausted() || watch.budget.tick())
    }
}

/// Runs the next promise job: whether there was one. An exception stays pending.
pub(crate) fn run_job(ctx: &Ctx<'_>) -> Result<bool> {
    let mut of = std::ptr::null_mut();
    // SAFETY: the runtime is that of a live context; the engine writes a context, the only one there is.
    match unsafe { qjs::JS_ExecutePendingJob(qjs::JS_GetRuntime(ctx.as_raw().as_ptr()), &raw mut of) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(Error::Exception),
    }
}

/// A function for the prelude: what a promise was fulfilled with, provided that no job waits which a reaction to
/// it would have to come after; undefined otherwise. Asking costs a tenth of such a reaction.
pub(crate) fn fulfilled_function<'js>(ctx: &Ctx<'js>) -> Result<Value<'js>> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the function has the signature of a generic C function and reads at most the one argument that
    // the engine always gives it; the result is owned.
    unsafe {
        let generic = qjs::JSCFunctionEnum_JS_CFUNC_generic;
        let made = qjs::JS_NewCFunction2(raw, Some(fulfilled), c"fulfilled".as_ptr(), 1, generic, 0);
        Ok(Value::from_raw(ctx.clone(), checked(ctx, made)?))
    }
}

unsafe extern "C" fn fulfilled(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: a function of length 1 is given one argument at least; it is borrowed, and the result is a
    // reference of the caller's own. What is no promise has no state.
    unsafe {
        let promise = *arguments;
        let state = qjs::JS_PromiseState(ctx, promise);
        if state == qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED
            && !qjs::JS_IsJobPending(qjs::JS_GetRuntime(ctx))
        {
            qjs::JS_PromiseResult(ctx, promise)
        } else {
            qjs::JS_UNDEFINED
        }
    }
}

/// What happens to a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromiseEvent {
    /// It was made; `derived`: by `then` of another one.
    Made { derived: bool },
    /// Something with `then` is about to be asked to settle it.
    Before,
    /// That was asked.
    After,
    /// It is fulfilled; its reactions are put into the queue next.
    Resolved,
}

/// Is told of every promise.
pub(crate) trait PromiseWatch {
    /// What happens to a promise. It may not throw.
    fn promise<'js>(&self, ctx: &Ctx<'js>, event: PromiseEvent, promise: Value<'js>);
}

/// Has `watch` told of every promise from now on. The caller keeps it alive as long as the runtime.
pub(crate) fn watch_promises<W: PromiseWatch>(ctx: &Ctx<'_>, watch: &Rc<W>) {
    // SAFETY: the runtime is alive; `watch`, whose owner (`Engine`) drops it after the runtime, is read as what
    // it is.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetPromiseHook(runtime, Some(promise_hook::<W>), Rc::as_ptr(watch).cast_mut().cast());
    }
}

unsafe extern "C" fn promise_hook<W: PromiseWatch>(
    ctx: *mut qjs::JSContext,
    kind: qjs::JSPromiseHookType,
    promise: qjs::JSValue,
    parent: qjs::JSValue,
    opaque: *mut std::ffi::c_void,
) {
    // SAFETY: the engine passes its context, lends two values, of which one is taken with a reference of its own,
    // and what `watch_promises` gave it.
    unsafe {
        let event = match kind {
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_INIT => {
                PromiseEvent::Made { derived: !qjs::JS_IsUndefined(parent) }
            }
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_BEFORE => PromiseEvent::Before,
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_AFTER => PromiseEvent::After,
            _ => PromiseEvent::Resolved,
        };
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let promise = Value::from_raw(context.clone(), qjs::JS_DupValue(ctx, promise));
        (*opaque.cast::<W>()).promise(&context, event, promise);
    }
}

/// Puts a job into the queue that says which context the job after it has.
pub(crate) fn enqueue_lead<'js>(ctx: &Ctx<'js>, context: &Value<'js>) {
    let mut value = context.as_raw();
    // SAFETY: the context is alive; the engine takes a reference of its own to each of the arguments.
    let done = unsafe { qjs::JS_EnqueueJob(ctx.as_raw().as_ptr(), Some(lead), 1, &raw mut value) };
    if done < 0 {
        // Memory is short, which the next allocation finds out as well.
        ctx.catch();
    }
}

unsafe extern "C" fn lead(ctx: *mut qjs::JSContext, _: c_int, values: *mut qjs::JSValue) -> qjs::JSValue {
    // SAFETY: the engine passes its context and the one argument of `enqueue_lead`, which it lends.
    unsafe {
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let value = Value::from_raw(context.clone(), qjs::JS_DupValue(ctx, *values));
        if let Some(shared) = context.userdata::<crate::engine::Shared>() {
            shared.contexts.lead_next(&context, &value);
        }
    }
    qjs::JS_UNDEFINED
}
