//! Every `unsafe` line of the worker's engine and link, behind safe functions.
//!
//! Called by the modules of this crate only. What they pass may be the app's own values; bytes of the wire do
//! not come here, except bytecode, which only a worker of this very build has made.
//!
//! | task | file |
//! |---|---|
//! | the heap, its limit | `memory.rs` |
//! | interrupts, promise jobs, the promise hook | `jobs.rs` |
//! | modules and bytecode | `modules.rs` |
//! | lazy globals, Rust values in objects | `globals.rs` |
//! | bytes and texts of values | `values.rs` |
//! | clocks, randomness, the socket, the end | `process.rs` |
#![expect(unsafe_code, reason = "the one place of this crate where it is allowed")]

mod globals;
mod jobs;
mod memory;
mod modules;
mod process;
mod values;

pub(crate) use globals::{Held, define_lazy_global};
pub(crate) use jobs::{
    PromiseEvent, PromiseWatch, Watch, enqueue_lead, fulfilled_function, run_job, set_watch, watch_promises,
};
pub(crate) use memory::HeapAllocator;
pub use memory::{Heap, keep_heap_small, trim_heap};
pub(crate) use modules::{
    ModuleHandle, Modules, compile_module, declare_native, evaluate, namespace, read_module, resolve_imports,
    set_meta_url, set_modules, throw_uncatchable, write_module,
};
pub use process::{exit_now, kernel_socket, limit_reads, monotonic_ns, random, thread_cpu_ns, wait_readable};
pub(crate) use values::{class_id, proxy_parts};
pub use values::{with_bytes, with_bytes_mut, with_utf8};
