//! Every `unsafe` line of the worker outside the engine's and the sandbox's, behind safe functions: memory, the
//! process, and bytes of JavaScript values.
//!
//! Called by the modules of this crate only. What they pass may be the app's own values.
#![expect(unsafe_code, reason = "one of the places of this crate where it is allowed")]

use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::rc::Rc;

use rquickjs::allocator::Allocator;
use rquickjs::{Ctx, JsLifetime, Result, Value, qjs};

use crate::limits::UNWIND_BYTES;

// --------------------------------------------------------------------------------------------- memory

/// Accounts for the JavaScript heap and refuses what is over its limit.
#[derive(Debug, Default)]
pub struct Heap {
    used: Cell<usize>,
    limit: Cell<usize>,
    exhausted: Cell<bool>,
}

impl Heap {
    /// Bytes in use, with what the allocator adds.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used.get()
    }

    /// Sets the limit; 0 is none.
    pub fn set_limit_bytes(&self, bytes: usize) {
        self.limit.set(bytes);
    }

    /// The limit; 0 is none.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit.get()
    }

    /// Whether an allocation was refused that leaves the engine in doubt. One large request that is refused
    /// while there is room for everything else is an ordinary exception to the app and does not count.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// Declares it full: something of the app's outside of it would not fit.
    pub(crate) fn exhaust(&self) {
        self.exhausted.set(true);
    }

    /// Whether so many bytes more would fit now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.limit.get() == 0 || self.used.get().saturating_add(bytes) <= self.limit.get()
    }

    /// Counts bytes that lie outside of the heap on behalf of a script. False: there is no room for them.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let admitted = self.admits(bytes);
        if admitted {
            self.used.set(self.used.get() + bytes);
        }
        admitted
    }

    /// Takes a charge back.
    pub(crate) fn discharge(&self, bytes: usize) {
        self.used.set(self.used.get() - bytes);
    }

    fn admits(&self, bytes: usize) -> bool {
        let limit = self.limit.get();
        let used = self.used.get();
        if limit == 0 || used.saturating_add(bytes) <= limit {
            return true;
        }
        if self.exhausted.get() {
            // The engine aborts when it cannot even settle a promise: leave it enough to unwind.
            return used.saturating_add(bytes) <= limit + UNWIND_BYTES;
        }
        const LARGE: usize = 1024 * 1024;
        if bytes < LARGE || limit.saturating_sub(used) < LARGE {
            self.exhausted.set(true);
        }
        false
    }
}

/// libc's allocator under a [`Heap`]. It gives memory back to the system, which the engine's own habits and
/// the size of an idle worker depend on.
pub(crate) struct HeapAllocator(pub(crate) Rc<Heap>);

impl HeapAllocator {
    fn count(&self, pointer: *mut u8) -> *mut u8 {
        if !pointer.is_null() {
            // SAFETY: the pointer came from malloc, calloc or realloc just now.
            self.0.used.set(self.0.used.get() + unsafe { libc::malloc_usable_size(pointer.cast()) });
        }
        pointer
    }
}

// SAFETY: all functions are libc's, which keep the promises of the trait (alignment to 16 bytes is more than
// a usize's); usable_size is libc's own answer.
unsafe impl Allocator for HeapAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        if !self.0.admits(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: malloc has no precondition.
        self.count(unsafe { libc::malloc(size) }.cast())
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        if !self.0.admits(count.saturating_mul(size)) {
            return std::ptr::null_mut();
        }
        // SAFETY: calloc has no precondition and checks the product itself.
        self.count(unsafe { libc::calloc(count, size) }.cast())
    }

    unsafe fn dealloc(&mut self, pointer: *mut u8) {
        if pointer.is_null() {
            return;
        }
        // SAFETY: the engine frees what this allocator gave it, once.
        unsafe {
            self.0.used.set(self.0.used.get() - libc::malloc_usable_size(pointer.cast()));
            libc::free(pointer.cast());
        }
    }

    unsafe fn realloc(&mut self, pointer: *mut u8, new_size: usize) -> *mut u8 {
        // SAFETY: null or a live block of this allocator, as the trait demands; usable_size of null is 0.
        let old = unsafe { libc::malloc_usable_size(pointer.cast()) };
        if new_size > old && !self.0.admits(new_size - old) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        let moved: *mut u8 = unsafe { libc::realloc(pointer.cast(), new_size) }.cast();
        if !moved.is_null() || new_size == 0 {
            self.0.used.set(self.0.used.get() - old);
        }
        self.count(moved)
    }

    unsafe fn usable_size(pointer: *mut u8) -> usize {
        // SAFETY: a live block of this allocator, as the trait demands.
        unsafe { libc::malloc_usable_size(pointer.cast()) }
    }
}

/// Gives free pages of the heap back to the system.
pub fn trim_heap() {
    // SAFETY: no precondition.
    unsafe { libc::malloc_trim(0) };
}

/// Makes the allocator keep little free memory at the top of the heap.
pub fn keep_heap_small() {
    // SAFETY: no precondition; called before other threads could exist (there are none).
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, 16 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024);
    }
}

// -------------------------------------------------------------------------------------------- process

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CPU time that this thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Monotonic time in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Ends the process at once, without anything that might write or signal.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(code) }
}

/// The socket to the kernel: descriptor 3, put there by the launcher.
///
/// Call it once: two owners of one descriptor would close it under each other.
#[must_use]
pub fn kernel_socket() -> File {
    // SAFETY: the launcher leaves exactly one end of the socket pair open there; nothing else owns it.
    unsafe { File::from_raw_fd(3) }
}

/// Has a read from `socket` for which nothing comes in so many milliseconds end with `WouldBlock`. Unlike a wait
/// before each read it costs no system call.
///
/// # Errors
/// When the system refuses.
pub fn limit_reads(socket: &File, ms: u32) -> std::io::Result<()> {
    let time = libc::timeval {
        tv_sec: libc::time_t::from(ms / 1000),
        tv_usec: libc::suseconds_t::from(ms % 1000) * 1000,
    };
    let bytes = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `time`.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            bytes,
        )
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Waits until `socket` can be read, at most `timeout_ns`. False: the time is over.
///
/// # Errors
/// When the system refuses to wait.
pub fn wait_readable(socket: &File, timeout_ns: u64) -> std::io::Result<bool> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: one valid pollfd, a valid timespec, no signal mask.
    match unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match std::io::Error::last_os_error() {
            error if error.kind() == std::io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// Fills `into` from the kernel's generator by its system call alone: there is no file to open in the sandbox.
pub fn random(into: &mut [u8]) {
    for chunk in into.chunks_mut(256) {
        // Up to 256 bytes come whole and uninterrupted once the kernel's pool is ready, which it is when a
        // server runs.
        // SAFETY: the pointer and length are the chunk's.
        let got = unsafe { libc::getrandom(chunk.as_mut_ptr().cast(), chunk.len(), 0) };
        assert_eq!(usize::try_from(got), Ok(chunk.len()), "the kernel gives random bytes");
    }
}

// --------------------------------------------------------------------------------------------- values

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
