//! What the prelude's core needs of the worker: clocks and timers.

use rquickjs::{Ctx, Function, Object, Result};

use crate::sys;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    // Milliseconds since the process started counting, whole: a finer clock helps only attacks on caches.
    natives.set("now", Function::new(ctx.clone(), || (sys::monotonic_ns() / 1_000_000) as f64)?)
}
