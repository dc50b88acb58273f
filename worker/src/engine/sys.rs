//! Every `unsafe` line of the engine, behind safe functions: jobs, promises, modules, lazy globals.
//!
//! Called by the modules of this crate only. What they pass may be the app's own values; bytes of the wire do
//! not come here, except bytecode, which only a worker of this very build has made.
#![expect(unsafe_code, reason = "one of the places of this crate where it is allowed")]

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::rc::Rc;

use rquickjs::{Ctx, Error, JsLifetime, Object, Promise, Result, Value, qjs};

use crate::sys::Heap;

// ------------------------------------------------------------------------- interrupts, jobs, promises

/// What the engine asks every few thousand steps.
pub(crate) struct Watch {
    pub(crate) budget: Rc<crate::engine::Budget>,
    pub(crate) heap: Rc<Heap>,
}

/// Has `watch` decide whether scripts go on. The caller keeps it alive as long as the runtime.
pub(crate) fn set_watch(ctx: &Ctx<'_>, watch: &Rc<Watch>) {
    // SAFETY: the runtime is alive; `watch`, whose owner (`Engine`) drops it after the runtime, is read as what
    // it is.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetInterruptHandler(runtime, Some(interrupt), Rc::as_ptr(watch).cast_mut().cast());
    }
}

unsafe extern "C" fn interrupt(runtime: *mut qjs::JSRuntime, opaque: *mut std::ffi::c_void) -> c_int {
    // SAFETY: the engine passes its runtime and what `set_watch` gave it; the threshold is a plain number.
    unsafe {
        let watch = &*opaque.cast::<Watch>();
        let (limit, used) = (watch.heap.limit_bytes(), watch.heap.used_bytes());
        // Left alone, the engine lets the heap grow by half between collections, past the limit.
        let cap = (limit - limit / 8).max(used + limit.saturating_sub(used) / 2);
        if limit > 0 && qjs::JS_GetGCThreshold(runtime) as usize > cap {
            qjs::JS_SetGCThreshold(runtime, cap as _);
        }
        // Nothing goes on after the heap was full once: `catch` does not see this.
        c_int::from(watch.heap.is_exhausted() || watch.budget.tick())
    }
}

/// Runs the next promise job: whether there was one. An exception stays pending.
pub(crate) fn run_job(ctx: &Ctx<'_>) -> Result<bool> {
    let mut of = std::ptr::null_mut();
    // SAFETY: the runtime is that of a live context; the engine writes a context, the only one there is.
    match unsafe { qjs::JS_ExecutePendingJob(qjs::JS_GetRuntime(ctx.as_raw().as_ptr()), &raw mut of) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(Error::Exception),
    }
}

/// A function for the prelude: what a promise was fulfilled with, provided that no job waits which a reaction to
/// it would have to come after; undefined otherwise. Asking costs a tenth of such a reaction.
pub(crate) fn fulfilled_function<'js>(ctx: &Ctx<'js>) -> Result<Value<'js>> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the function has the signature of a generic C function and reads at most the one argument that
    // the engine always gives it; the result is owned.
    unsafe {
        let generic = qjs::JSCFunctionEnum_JS_CFUNC_generic;
        let made = qjs::JS_NewCFunction2(raw, Some(fulfilled), c"fulfilled".as_ptr(), 1, generic, 0);
        Ok(Value::from_raw(ctx.clone(), checked(ctx, made)?))
    }
}

unsafe extern "C" fn fulfilled(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: a function of length 1 is given one argument at least; it is borrowed, and the result is a
    // reference of the caller's own. What is no promise has no state.
    unsafe {
        let promise = *arguments;
        let state = qjs::JS_PromiseState(ctx, promise);
        if state == qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED
            && !qjs::JS_IsJobPending(qjs::JS_GetRuntime(ctx))
        {
            qjs::JS_PromiseResult(ctx, promise)
        } else {
            qjs::JS_UNDEFINED
        }
    }
}

/// What happens to a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromiseEvent {
    /// It was made; `derived`: by `then` of another one.
    Made { derived: bool },
    /// Something with `then` is about to be asked to settle it.
    Before,
    /// That was asked.
    After,
    /// It is fulfilled; its reactions are put into the queue next.
    Resolved,
}

/// Is told of every promise.
pub(crate) trait PromiseWatch {
    /// What happens to a promise. It may not throw.
    fn promise<'js>(&self, ctx: &Ctx<'js>, event: PromiseEvent, promise: Value<'js>);
}

/// Has `watch` told of every promise from now on. The caller keeps it alive as long as the runtime.
pub(crate) fn watch_promises<W: PromiseWatch>(ctx: &Ctx<'_>, watch: &Rc<W>) {
    // SAFETY: the runtime is alive; `watch`, whose owner (`Engine`) drops it after the runtime, is read as what
    // it is.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetPromiseHook(runtime, Some(promise_hook::<W>), Rc::as_ptr(watch).cast_mut().cast());
    }
}

unsafe extern "C" fn promise_hook<W: PromiseWatch>(
    ctx: *mut qjs::JSContext,
    kind: qjs::JSPromiseHookType,
    promise: qjs::JSValue,
    parent: qjs::JSValue,
    opaque: *mut std::ffi::c_void,
) {
    // SAFETY: the engine passes its context, lends two values, of which one is taken with a reference of its own,
    // and what `watch_promises` gave it.
    unsafe {
        let event = match kind {
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_INIT => {
                PromiseEvent::Made { derived: !qjs::JS_IsUndefined(parent) }
            }
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_BEFORE => PromiseEvent::Before,
            qjs::JSPromiseHookType_JS_PROMISE_HOOK_AFTER => PromiseEvent::After,
            _ => PromiseEvent::Resolved,
        };
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let promise = Value::from_raw(context.clone(), qjs::JS_DupValue(ctx, promise));
        (*opaque.cast::<W>()).promise(&context, event, promise);
    }
}

/// Puts a job into the queue that says which context the job after it has.
pub(crate) fn enqueue_lead<'js>(ctx: &Ctx<'js>, context: &Value<'js>) {
    let mut value = context.as_raw();
    // SAFETY: the context is alive; the engine takes a reference of its own to each of the arguments.
    let done = unsafe { qjs::JS_EnqueueJob(ctx.as_raw().as_ptr(), Some(lead), 1, &raw mut value) };
    if done < 0 {
        // Memory is short, which the next allocation finds out as well.
        ctx.catch();
    }
}

unsafe extern "C" fn lead(ctx: *mut qjs::JSContext, _: c_int, values: *mut qjs::JSValue) -> qjs::JSValue {
    // SAFETY: the engine passes its context and the one argument of `enqueue_lead`, which it lends.
    unsafe {
        let context = Ctx::from_raw(NonNull::new_unchecked(ctx));
        let value = Value::from_raw(context.clone(), qjs::JS_DupValue(ctx, *values));
        if let Some(shared) = context.userdata::<crate::engine::Shared>() {
            shared.contexts.lead_next(&context, &value);
        }
    }
    qjs::JS_UNDEFINED
}

// -------------------------------------------------------------------------------------------- modules

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

fn throw(ctx: &Ctx<'_>, error: &Error) {
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

fn checked(ctx: &Ctx<'_>, value: qjs::JSValue) -> Result<qjs::JSValue> {
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

// --------------------------------------------------------------------------------------- lazy globals

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
