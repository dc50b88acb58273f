//! What only the engine knows about a value: the kind of object it is.

use rquickjs::{Ctx, Function, Object, Result, Value};

use crate::sys;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("classOf", Function::new(ctx.clone(), |value: Value<'_>| sys::class_id(&value))?)
}
