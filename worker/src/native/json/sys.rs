//! The engine's C interface as far as JSON needs it, wrapped so that the parser and the writer hold no `unsafe`.
//!
//! Ownership follows Rust's: an [`Owned`] or an [`Atom`] holds one reference and gives it back when dropped, whatever
//! path an error takes. [`Thrown`] says that an exception is pending in the context. All memory that grows with the
//! input comes from the engine's allocator, so that the engine's memory limit counts it.

#![expect(unsafe_code, reason = "the engine's values are made and read through its C functions")]

use std::ffi::{c_char, c_int};
use std::ptr;

use rquickjs::qjs::{self, JSAtom, JSContext, JSValue};

/// An exception is pending in the context.
#[derive(Debug)]
pub(super) struct Thrown;

/// The context that values live in. Copied freely; it never outlives the call from the engine that made it.
#[derive(Clone, Copy)]
pub(super) struct Engine {
    ctx: *mut JSContext,
}

/// One reference to a value.
pub(super) struct Owned {
    raw: JSValue,
    ctx: *mut JSContext,
}

/// One reference to a property key.
pub(super) struct Atom {
    raw: JSAtom,
    ctx: *mut JSContext,
}

/// The bytes of a string: UTF-8, with lone surrogates as three bytes.
pub(super) struct Text {
    ptr: *const c_char,
    len: usize,
    ctx: *mut JSContext,
}

/// The enumerable string keys of an object, in order.
pub(super) struct Keys {
    tab: *mut qjs::JSPropertyEnum,
    len: u32,
    ctx: *mut JSContext,
}

/// What a value is, as far as JSON cares.
pub(super) enum Kind {
    Null,
    Undefined,
    Bool(bool),
    Int(i32),
    Float(f64),
    String,
    BigInt,
    Object,
    /// A symbol, which JSON leaves out.
    Other,
}

/// Classes of the engine that JSON treats in a way of its own. The numbers are the pinned engine's; a test probes them.
pub(super) mod class {
    pub(in super::super) const OBJECT: u32 = 1;
    pub(in super::super) const ARRAY: u32 = 2;
    pub(in super::super) const NUMBER: u32 = 4;
    pub(in super::super) const STRING: u32 = 5;
    pub(in super::super) const BOOLEAN: u32 = 6;
    pub(in super::super) const BIG_INT: u32 = 35;
    pub(in super::super) const RAW_JSON: u32 = 66;
}

impl Engine {
    fn owned(self, raw: JSValue) -> Result<Owned, Thrown> {
        if raw.tag == i64::from(qjs::JS_TAG_EXCEPTION) {
            Err(Thrown)
        } else {
            Ok(Owned { raw, ctx: self.ctx })
        }
    }

    pub(super) fn null(self) -> Owned {
        Owned { raw: qjs::JS_NULL, ctx: self.ctx }
    }

    pub(super) fn undefined(self) -> Owned {
        Owned { raw: qjs::JS_UNDEFINED, ctx: self.ctx }
    }

    pub(super) fn bool(self, value: bool) -> Owned {
        Owned { raw: qjs::JS_MKVAL(qjs::JS_TAG_BOOL, i32::from(value)), ctx: self.ctx }
    }

    pub(super) fn int(self, value: i32) -> Owned {
        Owned { raw: qjs::JS_MKVAL(qjs::JS_TAG_INT, value), ctx: self.ctx }
    }

    pub(super) fn float(self, value: f64) -> Owned {
        Owned { raw: qjs::JS_NewFloat64(value), ctx: self.ctx }
    }

    /// A string from valid UTF-8.
    pub(super) fn string(self, bytes: &[u8]) -> Result<Owned, Thrown> {
        // SAFETY: the engine copies `len` bytes from a live slice.
        self.owned(unsafe { qjs::JS_NewStringLen(self.ctx, bytes.as_ptr().cast(), bytes.len() as _) })
    }

    pub(super) fn string_utf16(self, units: &[u16]) -> Result<Owned, Thrown> {
        // SAFETY: the engine copies `len` units from a live slice.
        self.owned(unsafe { qjs::JS_NewStringUTF16(self.ctx, units.as_ptr(), units.len() as _) })
    }

    pub(super) fn object(self) -> Result<Owned, Thrown> {
        // SAFETY: the context is live for the length of the call that made this `Engine`.
        self.owned(unsafe { qjs::JS_NewObject(self.ctx) })
    }

    /// A key from valid UTF-8.
    pub(super) fn atom(self, bytes: &[u8]) -> Result<Atom, Thrown> {
        // SAFETY: the engine copies `len` bytes from a live slice.
        let raw = unsafe { qjs::JS_NewAtomLen(self.ctx, bytes.as_ptr().cast(), bytes.len() as _) };
        if raw == qjs::JS_ATOM_NULL { Err(Thrown) } else { Ok(Atom { raw, ctx: self.ctx }) }
    }

    pub(super) fn type_error(self, message: &'static std::ffi::CStr) -> Thrown {
        // SAFETY: the format takes one string argument, which is static and ends in NUL.
        unsafe { qjs::JS_ThrowTypeError(self.ctx, c"%s".as_ptr(), message.as_ptr()) };
        Thrown
    }

    pub(super) fn range_error(self, message: &'static std::ffi::CStr) -> Thrown {
        // SAFETY: as above.
        unsafe { qjs::JS_ThrowRangeError(self.ctx, c"%s".as_ptr(), message.as_ptr()) };
        Thrown
    }

    fn out_of_memory(self) -> Thrown {
        // SAFETY: the context is live.
        unsafe { qjs::JS_ThrowOutOfMemory(self.ctx) };
        Thrown
    }

    /// The engine's own parser; it also makes the error for text that is not JSON.
    pub(super) fn engine_parse(self, text: &Text) -> Result<Owned, Thrown> {
        // SAFETY: the engine's strings end in NUL after `len` bytes, which its parser asks for.
        self.owned(unsafe { qjs::JS_ParseJSON(self.ctx, text.ptr, text.len as _, c"<input>".as_ptr()) })
    }

    /// The engine's own serialiser without replacer and indent.
    pub(super) fn engine_stringify(self, value: &Owned) -> Result<Owned, Thrown> {
        // SAFETY: the arguments are borrowed for the call.
        self.owned(unsafe {
            qjs::JS_JSONStringify(self.ctx, value.raw, qjs::JS_UNDEFINED, qjs::JS_UNDEFINED)
        })
    }
}

impl Owned {
    #[inline]
    pub(super) fn kind(&self) -> Kind {
        // SAFETY: the tag says which member of the union is set.
        unsafe {
            match self.raw.tag as c_int {
                qjs::JS_TAG_NULL => Kind::Null,
                qjs::JS_TAG_UNDEFINED => Kind::Undefined,
                qjs::JS_TAG_BOOL => Kind::Bool(qjs::JS_VALUE_GET_BOOL(self.raw)),
                qjs::JS_TAG_INT => Kind::Int(qjs::JS_VALUE_GET_INT(self.raw)),
                qjs::JS_TAG_FLOAT64 => Kind::Float(qjs::JS_VALUE_GET_FLOAT64(self.raw)),
                qjs::JS_TAG_STRING | qjs::JS_TAG_STRING_ROPE => Kind::String,
                qjs::JS_TAG_BIG_INT | qjs::JS_TAG_SHORT_BIG_INT => Kind::BigInt,
                qjs::JS_TAG_OBJECT => Kind::Object,
                _ => Kind::Other,
            }
        }
    }

    /// Identity of an object, for finding cycles.
    pub(super) fn address(&self) -> usize {
        // SAFETY: only compared, and only for objects, whose union member is the pointer.
        unsafe { qjs::JS_VALUE_GET_PTR(self.raw) as usize }
    }

    pub(super) fn class(&self) -> u32 {
        // SAFETY: reads the object's header; other values give the invalid class.
        unsafe { qjs::JS_GetClassID(self.raw) }
    }

    pub(super) fn is_function(&self) -> bool {
        // SAFETY: as above.
        unsafe { qjs::JS_IsFunction(self.ctx, self.raw) }
    }

    /// Whether JSON writes the value as an array: arrays, and proxies that stand for one.
    pub(super) fn is_array(&self) -> bool {
        // SAFETY: each step looks at a live object; the target's reference is given back when `target` is replaced.
        unsafe {
            if !qjs::JS_IsProxy(self.raw) {
                return qjs::JS_IsArray(self.raw);
            }
            let mut target = Owned { raw: qjs::JS_GetProxyTarget(self.ctx, self.raw), ctx: self.ctx };
            while qjs::JS_IsProxy(target.raw) {
                target = Owned { raw: qjs::JS_GetProxyTarget(self.ctx, target.raw), ctx: self.ctx };
            }
            qjs::JS_IsArray(target.raw)
        }
    }

    pub(super) fn length(&self) -> Result<i64, Thrown> {
        let mut length = 0;
        // SAFETY: `length` is a place for the result.
        if unsafe { qjs::JS_GetLength(self.ctx, self.raw, &raw mut length) } < 0 {
            Err(Thrown)
        } else {
            Ok(length)
        }
    }

    #[inline]
    pub(super) fn element(&self, index: i64) -> Result<Owned, Thrown> {
        // SAFETY: the object is live; getters and proxies run and may throw.
        Engine { ctx: self.ctx }.owned(unsafe { qjs::JS_GetPropertyInt64(self.ctx, self.raw, index) })
    }

    #[inline]
    pub(super) fn get(&self, key: &Atom) -> Result<Owned, Thrown> {
        // SAFETY: as above.
        Engine { ctx: self.ctx }.owned(unsafe { qjs::JS_GetProperty(self.ctx, self.raw, key.raw) })
    }

    /// Makes or replaces an own property that is writable, enumerable and configurable.
    #[inline]
    pub(super) fn define(&self, key: &Atom, value: Owned) -> Result<(), Thrown> {
        let raw = value.into_raw();
        // SAFETY: the engine takes the reference of `raw`, on failure too.
        let made = unsafe {
            qjs::JS_DefinePropertyValue(self.ctx, self.raw, key.raw, raw, qjs::JS_PROP_C_W_E as c_int)
        };
        if made < 0 { Err(Thrown) } else { Ok(()) }
    }

    pub(super) fn keys(&self) -> Result<Keys, Thrown> {
        let (mut tab, mut len) = (ptr::null_mut(), 0);
        let flags = (qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_ENUM_ONLY) as c_int;
        // SAFETY: on success `tab` and `len` are an allocation that `Keys` gives back.
        let made =
            unsafe { qjs::JS_GetOwnPropertyNames(self.ctx, &raw mut tab, &raw mut len, self.raw, flags) };
        if made < 0 { Err(Thrown) } else { Ok(Keys { tab, len, ctx: self.ctx }) }
    }

    /// Calls `self` as a function.
    pub(super) fn call(&self, this: &Owned, argument: &Owned) -> Result<Owned, Thrown> {
        let mut argv = [argument.raw];
        // SAFETY: arguments are borrowed for the call.
        Engine { ctx: self.ctx }
            .owned(unsafe { qjs::JS_Call(self.ctx, self.raw, this.raw, 1, argv.as_mut_ptr()) })
    }

    pub(super) fn to_text(&self) -> Result<Text, Thrown> {
        let mut len = 0;
        // SAFETY: on success the pointer is valid for `len` bytes and a NUL until it is freed by `Text`.
        let ptr = unsafe { qjs::JS_ToCStringLen2(self.ctx, &raw mut len, self.raw, false) };
        if ptr.is_null() { Err(Thrown) } else { Ok(Text { ptr, len: len as usize, ctx: self.ctx }) }
    }

    pub(super) fn to_number(&self) -> Result<Owned, Thrown> {
        // SAFETY: the value is borrowed for the call.
        Engine { ctx: self.ctx }.owned(unsafe { qjs::JS_ToNumber(self.ctx, self.raw) })
    }

    pub(super) fn to_key(&self) -> Result<Atom, Thrown> {
        // SAFETY: the value is borrowed for the call.
        let raw = unsafe { qjs::JS_ValueToAtom(self.ctx, self.raw) };
        if raw == qjs::JS_ATOM_NULL { Err(Thrown) } else { Ok(Atom { raw, ctx: self.ctx }) }
    }

    fn into_raw(self) -> JSValue {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }
}

impl Drop for Owned {
    #[inline]
    fn drop(&mut self) {
        if self.raw.tag < 0 {
            // SAFETY: this is the one reference that the value holds.
            unsafe { qjs::JS_FreeValue(self.ctx, self.raw) }
        }
    }
}

impl Atom {
    pub(super) fn id(&self) -> u32 {
        self.raw
    }

    pub(super) fn to_text(&self) -> Result<Text, Thrown> {
        let mut len = 0;
        // SAFETY: as for a value's text.
        let ptr = unsafe { qjs::JS_AtomToCStringLen(self.ctx, &raw mut len, self.raw) };
        if ptr.is_null() { Err(Thrown) } else { Ok(Text { ptr, len: len as usize, ctx: self.ctx }) }
    }

    pub(super) fn to_value(&self) -> Result<Owned, Thrown> {
        // SAFETY: the atom is live.
        Engine { ctx: self.ctx }.owned(unsafe { qjs::JS_AtomToString(self.ctx, self.raw) })
    }
}

impl Clone for Atom {
    fn clone(&self) -> Self {
        // SAFETY: the atom is live; the new reference is the clone's.
        Self { raw: unsafe { qjs::JS_DupAtom(self.ctx, self.raw) }, ctx: self.ctx }
    }
}

impl Drop for Atom {
    fn drop(&mut self) {
        // SAFETY: this is the one reference that the atom holds.
        unsafe { qjs::JS_FreeAtom(self.ctx, self.raw) }
    }
}

impl Text {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the engine keeps `len` bytes at `ptr` until the text is freed.
        unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.len) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { qjs::JS_FreeCString(self.ctx, self.ptr) }
    }
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Lends the key at `index` for the length of `f`.
    #[inline]
    pub(super) fn with<R>(&self, index: usize, f: impl FnOnce(&Atom) -> R) -> R {
        debug_assert!(index < self.len());
        // SAFETY: `index` is within the table.
        let raw = unsafe { (*self.tab.add(index.min(self.len() - 1))).atom };
        // The reference stays the table's: the view is not dropped.
        f(&std::mem::ManuallyDrop::new(Atom { raw, ctx: self.ctx }))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // SAFETY: the table came from `JS_GetOwnPropertyNames` of this context, with this length.
        unsafe { qjs::JS_FreePropertyEnum(self.ctx, self.tab, self.len) }
    }
}

/// A growing buffer of plain data in memory that the engine counts.
pub(super) struct Buffer<T: Copy> {
    ptr: *mut T,
    len: usize,
    capacity: usize,
    engine: Engine,
}

impl<T: Copy> Buffer<T> {
    pub(super) fn new(engine: Engine) -> Self {
        Self { ptr: ptr::null_mut(), len: 0, capacity: 0, engine }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the first `len` elements are written.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), Thrown> {
        let wanted = self.len.checked_add(more).ok_or(Thrown)?;
        let capacity = wanted.max(self.capacity + self.capacity / 2).max(256);
        let bytes = capacity.checked_mul(size_of::<T>()).ok_or(Thrown)?;
        // SAFETY: `ptr` is null or this buffer's allocation; on failure it stays valid.
        let grown = unsafe { qjs::js_realloc(self.engine.ctx, self.ptr.cast(), bytes as _) };
        if grown.is_null() {
            return Err(self.engine.out_of_memory());
        }
        self.ptr = grown.cast();
        self.capacity = capacity;
        Ok(())
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) -> Result<(), Thrown> {
        if self.len == self.capacity {
            self.grow(1)?;
        }
        // SAFETY: there is room for one more.
        unsafe { self.ptr.add(self.len).write(value) };
        self.len += 1;
        Ok(())
    }

    /// Appends a copy of the elements from `start` to `end`, which are written.
    #[inline]
    pub(super) fn repeat(&mut self, start: usize, end: usize) -> Result<(), Thrown> {
        let (end, count) = (end.min(self.len), end.min(self.len).saturating_sub(start));
        if count > self.capacity - self.len {
            self.grow(count)?;
        }
        // SAFETY: the source ends at or before `len`, the destination starts there and has room.
        unsafe { ptr::copy_nonoverlapping(self.ptr.add(end - count), self.ptr.add(self.len), count) };
        self.len += count;
        Ok(())
    }

    #[inline]
    pub(super) fn extend(&mut self, values: &[T]) -> Result<(), Thrown> {
        if values.len() > self.capacity - self.len {
            self.grow(values.len())?;
        }
        // SAFETY: there is room; the slices cannot overlap, `self` being borrowed mutably.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.ptr.add(self.len), values.len()) };
        self.len += values.len();
        Ok(())
    }
}

impl<T: Copy> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: null or this buffer's allocation.
        unsafe { qjs::js_free(self.engine.ctx, self.ptr.cast()) }
    }
}

/// Values on their way into arrays. Gives their references back when dropped.
pub(super) struct Pile {
    values: Buffer<JSValue>,
}

impl Pile {
    pub(super) fn new(engine: Engine) -> Self {
        Self { values: Buffer::new(engine) }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(super) fn push(&mut self, value: Owned) -> Result<(), Thrown> {
        if self.values.len == self.values.capacity {
            self.values.grow(1)?;
        }
        self.values.push(value.into_raw())
    }

    /// Makes an array of the values from `start` on and takes them off the pile.
    pub(super) fn take_array(&mut self, start: usize) -> Result<Owned, Thrown> {
        let engine = self.values.engine;
        let count = c_int::try_from(self.values.len() - start).map_err(|_| engine.out_of_memory())?;
        let first = if count == 0 { ptr::null() } else { self.values.as_slice()[start..].as_ptr() };
        // SAFETY: the engine takes the references of `count` values, on failure too; the pile forgets them.
        let array = unsafe { qjs::JS_NewArrayFrom(engine.ctx, count, first) };
        self.values.truncate(start);
        engine.owned(array)
    }
}

impl Drop for Pile {
    fn drop(&mut self) {
        for &raw in self.values.as_slice() {
            drop(Owned { raw, ctx: self.values.engine.ctx });
        }
    }
}

type Data = *mut JSValue;

/// Borrows argument `index` as an owned reference.
///
/// # Safety
/// `argv` holds more than `index` values: the engine pads to the declared length of the function.
unsafe fn argument(engine: Engine, argv: *mut JSValue, index: usize) -> Owned {
    // SAFETY: by the contract above; the duplicate is this reference's own.
    unsafe { Owned { raw: qjs::JS_DupValue(engine.ctx, *argv.add(index)), ctx: engine.ctx } }
}

unsafe extern "C" fn parse(
    ctx: *mut JSContext,
    this: JSValue,
    argc: c_int,
    argv: *mut JSValue,
    _magic: c_int,
    data: Data,
) -> JSValue {
    let engine = Engine { ctx };
    // SAFETY: declared with two arguments and one datum, the engine's own function.
    unsafe {
        if qjs::JS_IsFunction(ctx, *argv.add(1)) {
            return qjs::JS_Call(ctx, *data, this, argc.max(2), argv);
        }
        finish(super::parse(engine, &argument(engine, argv, 0)))
    }
}

unsafe extern "C" fn stringify(
    ctx: *mut JSContext,
    this: JSValue,
    argc: c_int,
    argv: *mut JSValue,
    _magic: c_int,
    data: Data,
) -> JSValue {
    let engine = Engine { ctx };
    // SAFETY: declared with three arguments and one datum, the engine's own function.
    unsafe {
        let plain = |value: JSValue| qjs::JS_IsUndefined(value) || qjs::JS_IsNull(value);
        if !qjs::JS_IsUndefined(*argv.add(1)) && qjs::JS_IsObject(*argv.add(1)) || !plain(*argv.add(2)) {
            return qjs::JS_Call(ctx, *data, this, argc.max(3), argv);
        }
        finish(super::stringify(engine, argument(engine, argv, 0)))
    }
}

fn finish(result: Result<Owned, Thrown>) -> JSValue {
    match result {
        Ok(value) => value.into_raw(),
        Err(Thrown) => qjs::JS_EXCEPTION,
    }
}

/// Puts the two functions in place of the engine's own, which they keep for what they do not do themselves.
pub(super) fn install(context: &rquickjs::Ctx<'_>) -> Result<(), Thrown> {
    let engine = Engine { ctx: context.as_raw().as_ptr() };
    // SAFETY: the context is live and entered; every value is owned by an `Owned` or handed to the engine.
    unsafe {
        let global = Owned { raw: qjs::JS_GetGlobalObject(engine.ctx), ctx: engine.ctx };
        let json = global.get(&engine.atom(b"JSON")?)?;
        let functions: [(_, qjs::JSCFunctionData, _); 2] =
            [(c"parse", Some(parse), 2), (c"stringify", Some(stringify), 3)];
        for (name, function, length) in functions {
            let key = engine.atom(name.to_bytes())?;
            let mut own = json.get(&key)?;
            let made = engine.owned(qjs::JS_NewCFunctionData2(
                engine.ctx,
                function,
                name.as_ptr(),
                length,
                0,
                1,
                &raw mut own.raw,
            ))?;
            let flags = (qjs::JS_PROP_CONFIGURABLE | qjs::JS_PROP_WRITABLE) as c_int;
            if qjs::JS_DefinePropertyValue(engine.ctx, json.raw, key.raw, made.into_raw(), flags) < 0 {
                return Err(Thrown);
            }
        }
    }
    Ok(())
}
