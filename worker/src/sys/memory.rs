//! The JavaScript heap: its allocator, its limit, and giving memory back.

use std::cell::Cell;
use std::rc::Rc;

use rquickjs::allocator::Allocator;

use crate::limits::UNWIND_BYTES;

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
