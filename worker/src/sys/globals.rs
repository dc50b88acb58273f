//! Lazy globals, and Rust values inside JavaScript objects.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use rquickjs::{Ctx, Error, JsLifetime, Result, Value, qjs};

use super::modules::throw;

/// Defines the `index`th lazy global: an accessor, not enumerable, that [`crate::engine::globals`] replaces by
/// a value at the first touch. C functions with a number are a quarter of the size of closures.
pub(crate) fn define_lazy_global(ctx: &Ctx<'_>, index: usize, name: &CStr) -> Result<()> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the function pointers have the signatures that the two kinds name (getter_magic, setter_magic);
    // JS_DefinePropertyGetSet takes over getter and setter; atom and global are freed.
    unsafe {
        let getter: qjs::JSCFunction = std::mem::transmute(lazy_get as *const ());
        let setter: qjs::JSCFunction = std::mem::transmute(lazy_set as *const ());
        let magic = index as c_int;
        let get = qjs::JS_NewCFunction2(
            raw,
            getter,
            name.as_ptr(),
            0,
            qjs::JSCFunctionEnum_JS_CFUNC_getter_magic,
            magic,
        );
        let set = qjs::JS_NewCFunction2(
            raw,
            setter,
            name.as_ptr(),
            1,
            qjs::JSCFunctionEnum_JS_CFUNC_setter_magic,
            magic,
        );
        let atom = qjs::JS_NewAtom(raw, name.as_ptr());
        let global = qjs::JS_GetGlobalObject(raw);
        let flags = qjs::JS_PROP_CONFIGURABLE as c_int;
        let done = qjs::JS_DefinePropertyGetSet(raw, global, atom, get, set, flags);
        qjs::JS_FreeValue(raw, global);
        qjs::JS_FreeAtom(raw, atom);
        if done < 0 { Err(Error::Exception) } else { Ok(()) }
    }
}

unsafe extern "C" fn lazy_get(ctx: *mut qjs::JSContext, _this: qjs::JSValue, magic: c_int) -> qjs::JSValue {
    // SAFETY: the engine passes its context.
    let context = unsafe { Ctx::from_raw(NonNull::new_unchecked(ctx)) };
    match crate::engine::globals::touch(&context, magic as usize) {
        // SAFETY: the caller gets a reference of its own.
        Ok(value) => unsafe { qjs::JS_DupValue(ctx, value.as_raw()) },
        Err(error) => {
            throw(&context, &error);
            qjs::JS_EXCEPTION
        }
    }
}

unsafe extern "C" fn lazy_set(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    value: qjs::JSValue,
    magic: c_int,
) -> qjs::JSValue {
    // SAFETY: the engine passes its context and a value that it lends; the duplicate is owned.
    let (context, value) = unsafe {
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let value = Value::from_raw(context.clone(), qjs::JS_DupValue(ctx, value));
        (context, value)
    };
    match crate::engine::globals::replace(&context, magic as usize, value) {
        Ok(()) => qjs::JS_UNDEFINED,
        Err(error) => {
            throw(&context, &error);
            qjs::JS_EXCEPTION
        }
    }
}

// SAFETY: `Shared` holds no JavaScript lifetime.
unsafe impl<'js> JsLifetime<'js> for crate::engine::Shared {
    type Changed<'to> = Self;
}

/// A Rust value inside a JavaScript object: the state behind a streaming native.
pub(crate) struct Held<T: 'static>(pub(crate) T);

// SAFETY: `Held` holds no JavaScript lifetime, since `T` is 'static.
unsafe impl<'js, T: 'static> JsLifetime<'js> for Held<T> {
    type Changed<'to> = Self;
}

impl<'js, T: 'static> rquickjs::class::Trace<'js> for Held<T> {
    fn trace<'a>(&self, _: rquickjs::class::Tracer<'a, 'js>) {}
}

impl<'js, T: 'static> rquickjs::class::JsClass<'js> for Held<T> {
    const NAME: &'static str = "Native";
    type Mutable = rquickjs::class::Writable;

    fn constructor(_: &Ctx<'js>) -> Result<Option<rquickjs::function::Constructor<'js>>> {
        Ok(None)
    }
}
