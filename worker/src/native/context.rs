//! Contexts of `AsyncLocalStorage`, for `node:async_hooks`.

use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Function, Object, Promise, Result, Value};

use crate::engine::Shared;
use crate::sys;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("start", Function::new(ctx.clone(), start)?)?;
    natives.set("now", Function::new(ctx.clone(), now)?)?;
    natives.set("enter", Function::new(ctx.clone(), enter)?)?;
    natives.set("follow", Function::new(ctx.clone(), follow)?)?;
    natives.set("lead", Function::new(ctx.clone(), lead)?)?;
    natives.set("leadNext", Function::new(ctx.clone(), lead_next)?)?;
    natives.set("isLike", Function::new(ctx.clone(), is_like)?)
}

fn start(ctx: Ctx<'_>) -> Result<()> {
    let contexts = Shared::of(&ctx)?.contexts;
    crate::engine::sys::watch_promises(&ctx, &contexts);
    contexts.start(&ctx)
}

fn now<'js>(ctx: Ctx<'js>) -> Result<Value<'js>> {
    Ok(Shared::of(&ctx)?.contexts.current(&ctx))
}

fn enter<'js>(ctx: Ctx<'js>, context: Value<'js>) -> Result<()> {
    Shared::of(&ctx)?.contexts.enter(&ctx, &context);
    Ok(())
}

/// A promise is being awaited. True: it is pending, and a reaction on it has to call `leadNext`.
fn follow<'js>(ctx: Ctx<'js>, promise: Value<'js>) -> Result<bool> {
    let Some(state) = promise.as_promise().map(Promise::state) else { return Ok(false) };
    let contexts = Shared::of(&ctx)?.contexts;
    let context = contexts.current(&ctx);
    if context.is_undefined() || state == PromiseState::Pending {
        return Ok(!context.is_undefined());
    }
    contexts.lead(&ctx, &context);
    Ok(false)
}

/// The job that is about to be put into the queue has this context.
fn lead<'js>(ctx: Ctx<'js>, context: Value<'js>) -> Result<()> {
    Shared::of(&ctx)?.contexts.lead(&ctx, &context);
    Ok(())
}

/// The next job has this context.
fn lead_next<'js>(ctx: Ctx<'js>, context: Value<'js>) -> Result<()> {
    Shared::of(&ctx)?.contexts.lead_next(&ctx, &context);
    Ok(())
}

/// Whether the engine knows two values as of one class.
fn is_like(one: Value<'_>, other: Value<'_>) -> bool {
    sys::class_id(&one) == sys::class_id(&other)
}
