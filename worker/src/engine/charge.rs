//! Memory outside of the JavaScript heap that a script made the worker take: codecs, parsers. It counts against the
//! heap's limit, so that a thousand of them end as a full heap does and not as a process that the system kills.

use std::rc::Rc;

use rquickjs::{Ctx, Exception, Result};

use super::Shared;
use crate::sys::Heap;

/// Bytes that are counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    heap: Rc<Heap>,
    bytes: usize,
}

impl Charge {
    /// Counts `bytes`.
    ///
    /// # Errors
    /// When they do not fit even after garbage was collected; the heap is exhausted then.
    pub(crate) fn new(ctx: &Ctx<'_>, bytes: usize) -> Result<Self> {
        let heap = Shared::of(ctx)?.heap;
        if !heap.has_room(bytes) {
            ctx.run_gc();
        }
        if heap.charge(bytes) {
            Ok(Self { heap, bytes })
        } else {
            Err(Exception::throw_range(ctx, "out of memory"))
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.heap.discharge(self.bytes);
    }
}
