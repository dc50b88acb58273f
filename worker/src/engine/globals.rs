//! Lazy globals: accessors that load the prelude module behind them at the first touch.

use std::ffi::CString;
use std::rc::Rc;

use rquickjs::function::{Rest, This};
use rquickjs::object::Property;
use rquickjs::{Ctx, Exception, Function, Object, Result, Value};

use super::sys;
use super::{Shared, modules};
use crate::prelude::globals;

/// Puts every lazy global in place and takes away what apps do not get.
pub(crate) fn install(ctx: &Ctx<'_>) -> Result<()> {
    for (index, (name, _)) in globals::all().enumerate() {
        sys::define_lazy_global(ctx, index, &CString::new(name)?)?;
    }
    // The names of the global object itself, as Workers and Node have them.
    for name in ["self", "global"] {
        let globals = ctx.globals();
        globals.prop(name, Property::from(globals.clone()).writable().configurable())?;
    }
    methods(ctx)?;
    // Threads do not exist here, and a shared buffer with a counting thread is a fine clock.
    for name in ["SharedArrayBuffer", "Atomics"] {
        ctx.globals().remove(name)?;
    }
    Ok(())
}

/// Methods of the language that want `Intl`, which is loaded when one of them is called.
fn methods(ctx: &Ctx<'_>) -> Result<()> {
    type Method<'js> = (&'static str, &'static str, Function<'js>);
    let made: [Method<'_>; 5] = [
        ("Date", "toLocaleString", Function::new(ctx.clone(), date_and_time)?),
        ("Date", "toLocaleDateString", Function::new(ctx.clone(), date_only)?),
        ("Date", "toLocaleTimeString", Function::new(ctx.clone(), time_only)?),
        ("Number", "toLocaleString", Function::new(ctx.clone(), number)?),
        ("BigInt", "toLocaleString", Function::new(ctx.clone(), number)?),
    ];
    for (class, name, method) in made {
        method.set_name(name)?;
        method.set_length(0)?;
        let class: Object<'_> = ctx.globals().get(class)?;
        let prototype: Object<'_> = class.get("prototype")?;
        prototype.prop(name, Property::from(method).writable().configurable())?;
    }
    Ok(())
}

type Called<'js> = (This<Value<'js>>, Rest<Value<'js>>);

fn date_and_time<'js>(ctx: Ctx<'js>, this: This<Value<'js>>, rest: Rest<Value<'js>>) -> Result<Value<'js>> {
    intl(&ctx, "dateAndTime", (this, rest))
}

fn date_only<'js>(ctx: Ctx<'js>, this: This<Value<'js>>, rest: Rest<Value<'js>>) -> Result<Value<'js>> {
    intl(&ctx, "dateOnly", (this, rest))
}

fn time_only<'js>(ctx: Ctx<'js>, this: This<Value<'js>>, rest: Rest<Value<'js>>) -> Result<Value<'js>> {
    intl(&ctx, "timeOnly", (this, rest))
}

fn number<'js>(ctx: Ctx<'js>, this: This<Value<'js>>, rest: Rest<Value<'js>>) -> Result<Value<'js>> {
    intl(&ctx, "number", (this, rest))
}

/// Calls what `fazt:intl` exports, with the receiver in front.
fn intl<'js>(ctx: &Ctx<'js>, name: &str, (this, rest): Called<'js>) -> Result<Value<'js>> {
    let table = ctx.userdata::<Shared>().map(|shared| Rc::clone(&shared.modules));
    let table = table.ok_or_else(|| Exception::throw_internal(ctx, "the engine is not set up"))?;
    let function: Function<'js> = modules::import_prelude(ctx, &table, "fazt:intl")?.get(name)?;
    function.call((this.0, rest))
}

/// Loads the global and makes it a plain property.
pub(crate) fn touch<'js>(ctx: &Ctx<'js>, index: usize) -> Result<Value<'js>> {
    let (name, module) =
        globals::global(index).ok_or_else(|| Exception::throw_internal(ctx, "no such global"))?;
    let table = ctx.userdata::<Shared>().map(|shared| Rc::clone(&shared.modules));
    let table = table.ok_or_else(|| Exception::throw_internal(ctx, "the engine is not set up"))?;
    let value: Value<'js> = modules::import_prelude(ctx, &table, module)?.get(name)?;
    replace(ctx, index, value.clone())?;
    Ok(value)
}

/// Makes the global a plain property with this value.
pub(crate) fn replace<'js>(ctx: &Ctx<'js>, index: usize, value: Value<'js>) -> Result<()> {
    let (name, _) = globals::global(index).ok_or_else(|| Exception::throw_internal(ctx, "no such global"))?;
    ctx.globals().prop(name, Property::from(value).writable().configurable())
}
