//! What the prelude's core needs of the worker: clocks, timers, log lines, other prelude modules.

use fazt_ipc::wire::worker::LogLevel;
use rquickjs::{ArrayBuffer, Ctx, Exception, Function, Object, Result, String as JsString, Value};

use crate::engine::{Shared, modules};
use crate::prelude::globals;
use crate::sys;

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    let function = |name: &str, function: Result<Function<'js>>| natives.set(name, function?);
    // Whole milliseconds of monotonic time: a finer clock helps only attacks on caches.
    function("now", Function::new(ctx.clone(), || (sys::monotonic_ns() / 1_000_000) as f64))?;
    function("use", Function::new(ctx.clone(), r#use))?;
    function("load", Function::new(ctx.clone(), load))?;
    function("peek", Function::new(ctx.clone(), peek))?;
    function("log", Function::new(ctx.clone(), log))?;
    function("encode", Function::new(ctx.clone(), encode))?;
    function("decode", Function::new(ctx.clone(), decode))?;
    function("makeRoom", Function::new(ctx.clone(), make_room))?;
    let timers = Shared::of(ctx)?.timers;
    let cleared = timers.clone();
    function("clearTimer", Function::new(ctx.clone(), move |id: u32| cleared.clear(id)))?;
    function(
        "setTimer",
        Function::new(ctx.clone(), move |id: u32, delay_ms: f64| {
            // Casting saturates: what is not a number is 0.
            timers.set(id, sys::monotonic_ns().saturating_add((delay_ms as u64).saturating_mul(1_000_000)))
        }),
    )
}

fn module_of(name: &str) -> Option<&'static str> {
    globals::all().find(|(global, _)| *global == name).map(|(_, module)| module)
}

/// The module that exports a global, loaded. The app's own idea of the global does not matter.
fn r#use<'js>(ctx: Ctx<'js>, name: String) -> Result<Value<'js>> {
    let Some(module) = module_of(&name) else { return Ok(Value::new_undefined(ctx)) };
    Ok(modules::import_prelude(&ctx, &Shared::of(&ctx)?.modules, module)?.into_value())
}

/// A prelude module, loaded now and not with the module that may want it.
fn load<'js>(ctx: Ctx<'js>, module: String) -> Result<Object<'js>> {
    modules::import_prelude(&ctx, &Shared::of(&ctx)?.modules, &module)
}

/// The module that exports a global, if it is loaded: without it nobody has an instance of its classes.
fn peek<'js>(ctx: Ctx<'js>, name: String) -> Result<Value<'js>> {
    let shared = Shared::of(&ctx)?;
    match module_of(&name).filter(|module| shared.modules.is_loaded(module)) {
        Some(module) => Ok(modules::import_prelude(&ctx, &shared.modules, module)?.into_value()),
        None => Ok(Value::new_undefined(ctx)),
    }
}

/// Collects garbage if `bytes` more would not fit beside it: the engine itself would only find that they do not.
fn make_room(ctx: Ctx<'_>, bytes: f64) -> Result<()> {
    let heap = Shared::of(&ctx)?.heap;
    if !heap.has_room(bytes as usize) {
        ctx.run_gc();
    }
    Ok(())
}

/// UTF-8 of a string.
fn encode<'js>(ctx: Ctx<'js>, text: Value<'js>) -> Result<ArrayBuffer<'js>> {
    let bytes = sys::with_utf8(&text, |text| ArrayBuffer::new_copy(ctx.clone(), text));
    bytes.unwrap_or(Err(rquickjs::Error::Exception))
}

/// A string of UTF-8 as the Encoding standard decodes it: no byte order mark, U+FFFD for what is malformed.
fn decode<'js>(ctx: Ctx<'js>, bytes: Value<'js>) -> Result<JsString<'js>> {
    let text = sys::with_bytes(&bytes, |bytes| {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        JsString::from_str(ctx.clone(), &String::from_utf8_lossy(bytes))
    });
    text.unwrap_or_else(|| Err(Exception::throw_type(&ctx, "the buffer is detached")))
}

fn log<'js>(ctx: Ctx<'js>, level: u8, text: Value<'js>, origin: Value<'js>) -> Result<()> {
    let level = match level {
        0 => LogLevel::Debug,
        1 => LogLevel::Info,
        2 => LogLevel::Warn,
        _ => LogLevel::Error,
    };
    let port = Shared::of(&ctx)?.port;
    sys::with_utf8(&text, |text| sys::with_utf8(&origin, |origin| port.log(level, text, origin)));
    Ok(())
}
