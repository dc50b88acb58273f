//! A JavaScript value whose bytes wait for credit. It stays in the JavaScript heap, under its limit.

use rquickjs::{Ctx, Persistent, Value};

/// A string or bytes, sent up to `sent`.
pub(crate) struct Held {
    value: Persistent<Value<'static>>,
    pub(crate) sent: usize,
}

impl Held {
    pub(crate) fn new<'js>(ctx: &Ctx<'js>, value: &Value<'js>, sent: usize) -> Self {
        Self { value: Persistent::save(ctx, value.clone()), sent }
    }

    pub(crate) fn value<'js>(&self, ctx: &Ctx<'js>) -> Option<Value<'js>> {
        self.value.clone().restore(ctx).ok()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("sent", &self.sent).finish_non_exhaustive()
    }
}
