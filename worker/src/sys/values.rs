//! Bytes and texts of JavaScript values, lent without a copy.

use rquickjs::{Value, qjs};

/// Lends the UTF-8 of a string to `look`, lone surrogates replaced by U+FFFD. `None`: not a string, or memory
/// is short (an exception is pending then).
pub fn with_utf8<R>(value: &Value<'_>, look: impl FnOnce(&str) -> R) -> Option<R> {
    if !value.is_string() {
        return None;
    }
    let ctx = value.ctx().as_raw().as_ptr();
    let mut length = 0;
    // SAFETY: the value is a string of this context; the engine lends `length` bytes until they are freed, and
    // they are a copy of its own unless the text is plain ASCII, in which case nothing is written.
    unsafe {
        let pointer = qjs::JS_ToCStringLen2(ctx, &raw mut length, value.as_raw(), false);
        if pointer.is_null() {
            return None;
        }
        let bytes = slice(pointer.cast(), length as usize);
        let result = match std::str::from_utf8(bytes) {
            Ok(text) => look(text),
            Err(_) => look(&replace_surrogates(bytes)),
        };
        qjs::JS_FreeCString(ctx, pointer);
        Some(result)
    }
}

/// A lone surrogate is written as three bytes that are not UTF-8, just as long as U+FFFD.
fn replace_surrogates(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(2) {
        if bytes[at] == 0xed && bytes[at + 1] >= 0xa0 {
            bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Lends the bytes of an `ArrayBuffer` or a view on one (typed array) to `look`, which cannot run JavaScript
/// and so cannot detach or resize them meanwhile. `None`: it is neither, or is detached.
pub fn with_bytes<R>(value: &Value<'_>, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let (pointer, length) = bytes_at(value)?;
    // SAFETY: the engine just said that so many bytes lie there; nothing can change it while `look` runs.
    Some(look(unsafe { slice(pointer, length) }))
}

/// Like [`with_bytes`], for writing.
pub fn with_bytes_mut<R>(value: &Value<'_>, change: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
    let (pointer, length) = bytes_at(value)?;
    if length == 0 {
        return Some(change(&mut []));
    }
    // SAFETY: as in `with_bytes`; the worker has one thread and no shared buffers, so nobody else looks.
    Some(change(unsafe { std::slice::from_raw_parts_mut(pointer, length) }))
}

unsafe fn slice<'a>(pointer: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise; an empty buffer may have a null pointer.
    if length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(pointer, length) } }
}

fn bytes_at(value: &Value<'_>) -> Option<(*mut u8, usize)> {
    let ctx = value.ctx().as_raw().as_ptr();
    // SAFETY: the value lives in this context; sizes are written before they are read; the buffer that
    // JS_GetTypedArrayBuffer returns is owned and freed, the view keeps it alive.
    unsafe {
        let raw = value.as_raw();
        let mut whole = 0;
        if qjs::JS_IsArrayBuffer(raw) {
            let pointer = qjs::JS_GetArrayBuffer(ctx, &raw mut whole, raw);
            if pointer.is_null() && qjs::JS_HasException(ctx) {
                qjs::JS_FreeValue(ctx, qjs::JS_GetException(ctx));
                return None;
            }
            return Some((pointer, whole as usize));
        }
        if qjs::JS_GetTypedArrayType(raw) < 0 {
            return None;
        }
        let (mut offset, mut length) = (0, 0);
        let buffer =
            qjs::JS_GetTypedArrayBuffer(ctx, raw, &raw mut offset, &raw mut length, std::ptr::null_mut());
        if qjs::JS_IsException(buffer) {
            qjs::JS_FreeValue(ctx, qjs::JS_GetException(ctx));
            return None;
        }
        let pointer = qjs::JS_GetArrayBuffer(ctx, &raw mut whole, buffer);
        qjs::JS_FreeValue(ctx, buffer);
        if pointer.is_null() {
            if qjs::JS_HasException(ctx) {
                qjs::JS_FreeValue(ctx, qjs::JS_GetException(ctx));
            }
            return Some((pointer, 0));
        }
        let (offset, length, whole) = (offset as usize, length as usize, whole as usize);
        (offset.checked_add(length)? <= whole).then(|| (pointer.add(offset), length))
    }
}

/// The engine's class number of an object; 0 for other values.
pub(crate) fn class_id(value: &Value<'_>) -> u32 {
    // SAFETY: reads the header of a live object, and looks at the tag before.
    unsafe { qjs::JS_GetClassID(value.as_raw()) }
}

/// Target and handler of a proxy, without running its traps.
pub(crate) fn proxy_parts<'js>(value: &Value<'js>) -> Option<(Value<'js>, Value<'js>)> {
    let ctx = value.ctx();
    // SAFETY: the value lives in this context; both results are owned references.
    unsafe {
        if !qjs::JS_IsProxy(value.as_raw()) {
            return None;
        }
        let target = qjs::JS_GetProxyTarget(ctx.as_raw().as_ptr(), value.as_raw());
        let handler = qjs::JS_GetProxyHandler(ctx.as_raw().as_ptr(), value.as_raw());
        if qjs::JS_IsException(target) || qjs::JS_IsException(handler) {
            // A revoked proxy has neither.
            qjs::JS_FreeValue(ctx.as_raw().as_ptr(), qjs::JS_GetException(ctx.as_raw().as_ptr()));
            return Some((Value::new_null(ctx.clone()), Value::new_null(ctx.clone())));
        }
        Some((Value::from_raw(ctx.clone(), target), Value::from_raw(ctx.clone(), handler)))
    }
}
