//! What values are underneath, for printing and comparing them: brands, proxies, promises. Runs no JavaScript.

use rquickjs::promise::PromiseState;
use rquickjs::{Array, Ctx, Function, Object, Promise, Result, Value};

use crate::sys;

/// The engine's classes that have a name here, by the pinned engine's numbers; a test probes them.
const CLASSES: &[(u32, &str)] = &[
    (3, "Error"),
    (4, "Number"),
    (5, "String"),
    (6, "Boolean"),
    (7, "Symbol"),
    (8, "Arguments"),
    (9, "Arguments"),
    (10, "Date"),
    (11, "Module"),
    (17, "GeneratorFunction"),
    (19, "RegExp"),
    (20, "ArrayBuffer"),
    (21, "SharedArrayBuffer"),
    (34, "DataView"),
    (35, "BigInt"),
    (36, "Map"),
    (37, "Set"),
    (38, "WeakMap"),
    (39, "WeakSet"),
    (44, "Map Iterator"),
    (45, "Set Iterator"),
    (49, "Generator"),
    (51, "Proxy"),
    (52, "Promise"),
    (55, "AsyncFunction"),
    (59, "AsyncGeneratorFunction"),
    (60, "AsyncGenerator"),
    (62, "WeakRef"),
];

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    let class_of = |value: Value<'js>| {
        let class = sys::class_id(&value);
        CLASSES.iter().find(|(id, _)| *id == class).map(|(_, name)| *name)
    };
    natives.set("classOf", Function::new(ctx.clone(), class_of)?)?;
    natives.set(
        "isProxy",
        Function::new(ctx.clone(), |value: Value<'js>| sys::proxy_parts(&value).is_some())?,
    )?;
    natives.set("proxyParts", Function::new(ctx.clone(), proxy_parts)?)?;
    natives.set("promiseState", Function::new(ctx.clone(), promise_state)?)
}

/// `[target, handler]` of a proxy, undefined for other values.
fn proxy_parts<'js>(ctx: Ctx<'js>, value: Value<'js>) -> Result<Option<Array<'js>>> {
    let Some((target, handler)) = sys::proxy_parts(&value) else { return Ok(None) };
    let parts = Array::new(ctx)?;
    parts.set(0, target)?;
    parts.set(1, handler)?;
    Ok(Some(parts))
}

/// `["pending"]`, `["fulfilled", value]` or `["rejected", reason]`; undefined for what is not a promise.
fn promise_state<'js>(ctx: Ctx<'js>, value: Value<'js>) -> Result<Option<Array<'js>>> {
    let Some(promise) = Promise::from_value(value).ok() else { return Ok(None) };
    let parts = Array::new(ctx.clone())?;
    match promise.state() {
        PromiseState::Pending => parts.set(0, "pending")?,
        PromiseState::Resolved => {
            parts.set(0, "fulfilled")?;
            parts.set(1, promise.result::<Value<'js>>().transpose()?)?;
        }
        PromiseState::Rejected => {
            parts.set(0, "rejected")?;
            let _ = promise.result::<Value<'js>>();
            parts.set(1, ctx.catch())?;
        }
    }
    Ok(Some(parts))
}
