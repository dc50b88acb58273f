//! Modules: resolving, compiling, bytecode, evaluation.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::rc::Rc;

use rquickjs::{Ctx, Error, Object, Promise, Result, Value, qjs};

/// A module of the one context of an engine. The context keeps every module until it is freed itself, so the
/// pointer is good as long as there is a `Ctx` to use it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModuleHandle(NonNull<qjs::JSModuleDef>);

/// Answers the engine's questions about modules.
pub(crate) trait Modules {
    /// The full name of `name` as imported by the module `base`.
    fn resolve(&self, ctx: &Ctx<'_>, base: &str, name: &str) -> Result<String>;
    /// Makes the module of a full name, its imports unresolved.
    fn load(&self, ctx: &Ctx<'_>, name: &str) -> Result<ModuleHandle>;
    /// The default export of a module made by [`declare_native`], asked for when it is evaluated.
    fn native<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Result<Value<'js>>;
}

/// Has `modules` answer for this engine. The caller keeps it alive as long as the runtime.
pub(crate) fn set_modules<M: Modules + 'static>(ctx: &Ctx<'_>, modules: &Rc<M>) {
    // SAFETY: the runtime is alive; the opaque pointer is that of `modules`, whose owner (`Engine`) drops it
    // after the runtime, and the callbacks read it as the same `M`.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetModuleLoaderFunc2(
            runtime,
            Some(normalize::<M>),
            Some(load::<M>),
            None,
            Rc::as_ptr(modules).cast_mut().cast(),
        );
        qjs::JS_SetContextOpaque(ctx.as_raw().as_ptr(), evaluate_native::<M> as *mut _);
    }
}

pub(super) fn throw(ctx: &Ctx<'_>, error: &Error) {
    if !matches!(error, Error::Exception) {
        let _ = rquickjs::Exception::throw_internal(ctx, &error.to_string());
    }
}

unsafe extern "C" fn normalize<M: Modules>(
    ctx: *mut qjs::JSContext,
    base: *const c_char,
    name: *const c_char,
    opaque: *mut std::ffi::c_void,
) -> *mut c_char {
    // SAFETY: the engine passes its context, two C strings, and what `set_modules` gave it.
    let (ctx, base, name, modules) = unsafe {
        (
            Ctx::from_raw(NonNull::new_unchecked(ctx)),
            CStr::from_ptr(base),
            CStr::from_ptr(name),
            &*opaque.cast::<M>(),
        )
    };
    match modules.resolve(&ctx, &base.to_string_lossy(), &name.to_string_lossy()) {
        // SAFETY: the engine frees the copy; length and pointer are those of `full`.
        Ok(full) => unsafe { qjs::js_strndup(ctx.as_raw().as_ptr(), full.as_ptr().cast(), full.len() as _) },
        Err(error) => {
            throw(&ctx, &error);
            std::ptr::null_mut()
        }
    }
}

unsafe extern "C" fn load<M: Modules>(
    ctx: *mut qjs::JSContext,
    name: *const c_char,
    opaque: *mut std::ffi::c_void,
    _attributes: qjs::JSValue,
) -> *mut qjs::JSModuleDef {
    // SAFETY: as in `normalize`.
    let (ctx, name, modules) =
        unsafe { (Ctx::from_raw(NonNull::new_unchecked(ctx)), CStr::from_ptr(name), &*opaque.cast::<M>()) };
    match modules.load(&ctx, &name.to_string_lossy()) {
        Ok(module) => module.0.as_ptr(),
        Err(error) => {
            throw(&ctx, &error);
            std::ptr::null_mut()
        }
    }
}

/// Throws what no `catch` or `finally` sees.
pub(crate) fn throw_uncatchable(ctx: &Ctx<'_>, message: &str) -> Error {
    let _ = rquickjs::Exception::throw_internal(ctx, message);
    // SAFETY: the pending exception is taken, marked while it is owned, and thrown again, which takes it over.
    unsafe {
        let raw = ctx.as_raw().as_ptr();
        let exception = qjs::JS_GetException(raw);
        qjs::JS_SetUncatchableError(raw, exception);
        qjs::JS_Throw(raw, exception);
    }
    Error::Exception
}

pub(super) fn checked(ctx: &Ctx<'_>, value: qjs::JSValue) -> Result<qjs::JSValue> {
    // SAFETY: looks at the tag only.
    if unsafe { qjs::JS_IsException(value) } { Err(ctx_error(ctx)) } else { Ok(value) }
}

fn ctx_error(_: &Ctx<'_>) -> Error {
    Error::Exception
}

fn module_of(ctx: &Ctx<'_>, value: qjs::JSValue) -> Result<ModuleHandle> {
    let value = checked(ctx, value)?;
    // SAFETY: looks at the tag, then takes the pointer that the tag promises.
    unsafe {
        if qjs::JS_VALUE_GET_TAG(value) != qjs::JS_TAG_MODULE {
            qjs::JS_FreeValue(ctx.as_raw().as_ptr(), value);
            return Err(rquickjs::Exception::throw_internal(ctx, "this bytecode is not a module"));
        }
        NonNull::new(qjs::JS_VALUE_GET_PTR(value).cast()).map(ModuleHandle).ok_or(Error::Unknown)
    }
}

/// Reads a module from bytecode. Its imports are not resolved yet.
///
/// The bytes must be what an engine of this very build has written: the prelude (part of this program) and
/// the app's modules of kind `Bytecode`, which the kernel stores under [`crate::engine_hash`] and never takes
/// from an app. Even so a mistake there gives an app native code inside the sandbox and nothing more, which
/// is what the sandbox is built for.
pub(crate) fn read_module(ctx: &Ctx<'_>, bytecode: &[u8]) -> Result<ModuleHandle> {
    // SAFETY: pointer and length are those of a slice; the content is trusted, see above.
    let value = unsafe {
        qjs::JS_ReadObject(
            ctx.as_raw().as_ptr(),
            bytecode.as_ptr(),
            bytecode.len() as _,
            qjs::JS_READ_OBJ_BYTECODE as c_int,
        )
    };
    module_of(ctx, value)
}

/// Compiles a module; the engine resolves its imports.
pub(crate) fn compile_module(ctx: &Ctx<'_>, name: &CStr, source: &CStr) -> Result<ModuleHandle> {
    let flags = qjs::JS_EVAL_TYPE_MODULE | qjs::JS_EVAL_FLAG_STRICT | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
    // SAFETY: both strings end with a zero byte, which the length does not count.
    let value = unsafe {
        qjs::JS_Eval(
            ctx.as_raw().as_ptr(),
            source.as_ptr(),
            source.count_bytes() as _,
            name.as_ptr(),
            flags as c_int,
        )
    };
    module_of(ctx, value)
}

/// The bytecode of a module, with line numbers and without source.
pub(crate) fn write_module(ctx: &Ctx<'_>, module: ModuleHandle) -> Result<Vec<u8>> {
    let mut length = 0;
    let flags = qjs::JS_WRITE_OBJ_BYTECODE | qjs::JS_WRITE_OBJ_STRIP_SOURCE;
    // SAFETY: the module lives in this context; the engine gives a block of `length` bytes to be freed.
    unsafe {
        let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.0.as_ptr().cast());
        let bytes = qjs::JS_WriteObject(ctx.as_raw().as_ptr(), &raw mut length, value, flags as c_int);
        if bytes.is_null() {
            return Err(Error::Exception);
        }
        let copy = std::slice::from_raw_parts(bytes, length as usize).to_vec();
        qjs::js_free(ctx.as_raw().as_ptr(), bytes.cast());
        Ok(copy)
    }
}

/// Makes a module whose default export [`Modules::native`] gives.
pub(crate) fn declare_native(ctx: &Ctx<'_>, name: &CStr) -> Result<ModuleHandle> {
    // SAFETY: the context opaque is the `evaluate_native` that `set_modules` stored, of this very type.
    unsafe {
        let evaluate: unsafe extern "C" fn(*mut qjs::JSContext, *mut qjs::JSModuleDef) -> c_int =
            std::mem::transmute(qjs::JS_GetContextOpaque(ctx.as_raw().as_ptr()));
        let module = qjs::JS_NewCModule(ctx.as_raw().as_ptr(), name.as_ptr(), Some(evaluate));
        let module = NonNull::new(module).ok_or(Error::Exception)?;
        if qjs::JS_AddModuleExport(ctx.as_raw().as_ptr(), module.as_ptr(), c"default".as_ptr()) < 0 {
            return Err(Error::Exception);
        }
        Ok(ModuleHandle(module))
    }
}

unsafe extern "C" fn evaluate_native<M: Modules + 'static>(
    ctx: *mut qjs::JSContext,
    module: *mut qjs::JSModuleDef,
) -> c_int {
    // SAFETY: the engine passes its context and a module that `declare_native` made there.
    unsafe {
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let atom = qjs::JS_GetModuleName(ctx, module);
        let text = qjs::JS_AtomToCStringLen(ctx, std::ptr::null_mut(), atom);
        qjs::JS_FreeAtom(ctx, atom);
        if text.is_null() {
            return -1;
        }
        let name = CStr::from_ptr(text).to_string_lossy().into_owned();
        qjs::JS_FreeCString(ctx, text);
        let Some(modules) =
            context.userdata::<crate::engine::Shared>().map(|shared| Rc::clone(&shared.modules))
        else {
            return -1;
        };
        match modules.native(&context, &name) {
            Ok(value) => {
                let raw = qjs::JS_DupValue(ctx, value.as_raw());
                qjs::JS_SetModuleExport(ctx, module, c"default".as_ptr(), raw)
            }
            Err(error) => {
                throw(&context, &error);
                -1
            }
        }
    }
}

/// Sets `import.meta.url`.
pub(crate) fn set_meta_url(ctx: &Ctx<'_>, module: ModuleHandle, url: &CStr) -> Result<()> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the module lives in this context; the meta object is owned and freed, the string given away.
    unsafe {
        let meta = checked(ctx, qjs::JS_GetImportMeta(raw, module.0.as_ptr()))?;
        let text = qjs::JS_NewStringLen(raw, url.as_ptr(), url.count_bytes() as _);
        let done = qjs::JS_SetPropertyStr(raw, meta, c"url".as_ptr(), text);
        qjs::JS_FreeValue(raw, meta);
        if done < 0 { Err(Error::Exception) } else { Ok(()) }
    }
}

/// Resolves the imports of a module, which loads them.
pub(crate) fn resolve_imports(ctx: &Ctx<'_>, module: ModuleHandle) -> Result<()> {
    // SAFETY: the module lives in this context; the engine borrows the value.
    let done = unsafe {
        let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.0.as_ptr().cast());
        qjs::JS_ResolveModule(ctx.as_raw().as_ptr(), value)
    };
    if done < 0 { Err(Error::Exception) } else { Ok(()) }
}

/// Evaluates a module whose imports are resolved, or gives the promise of its earlier evaluation.
pub(crate) fn evaluate<'js>(ctx: &Ctx<'js>, module: ModuleHandle) -> Result<Promise<'js>> {
    // SAFETY: the module lives in this context; JS_EvalFunction consumes one reference, taken before.
    let value = unsafe {
        let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.0.as_ptr().cast());
        let value = qjs::JS_DupValue(ctx.as_raw().as_ptr(), value);
        let promise = checked(ctx, qjs::JS_EvalFunction(ctx.as_raw().as_ptr(), value))?;
        Value::from_raw(ctx.clone(), promise)
    };
    value.into_promise().ok_or(Error::Unknown)
}

/// The namespace object of an evaluated module.
pub(crate) fn namespace<'js>(ctx: &Ctx<'js>, module: ModuleHandle) -> Result<Object<'js>> {
    // SAFETY: the module lives in this context; the engine returns an owned value.
    let value = unsafe {
        let value = checked(ctx, qjs::JS_GetModuleNamespace(ctx.as_raw().as_ptr(), module.0.as_ptr()))?;
        Value::from_raw(ctx.clone(), value)
    };
    value.into_object().ok_or(Error::Unknown)
}
