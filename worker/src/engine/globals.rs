//! Lazy globals: accessors that load the prelude module behind them at the first touch.

use std::ffi::CString;
use std::rc::Rc;

use rquickjs::object::Property;
use rquickjs::{Ctx, Exception, Result, Value};

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
    // Threads do not exist here, and a shared buffer with a counting thread is a fine clock.
    for name in ["SharedArrayBuffer", "Atomics"] {
        ctx.globals().remove(name)?;
    }
    Ok(())
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
