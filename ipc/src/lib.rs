//! The contract between Fazt's processes: what may be said, by whom, when, and how large it may be.
//!
//! Used by the worker (untrusted side), the supervisor, the launcher and the command line. It knows no
//! sockets, no files, no database and no clock: it turns bytes into checked values and back. Every byte that
//! the decoders see is hostile; they check a length before they allocate for it and demand that a message
//! consumes every byte.
//!
//! | task | file |
//! |---|---|
//! | change a bound | `limits.rs` |
//! | add a message between kernel and worker | `wire/kernel.rs`, `wire/worker.rs`, then `wire/phase.rs` |
//! | add a system call | `syscall/` (binding, dispatch, types and the API page follow from it) |
//! | change what the launcher is told | `launch.rs` |
//! | change what is asked of the process that runs an app's SQL, and its bounds | `store/` |
//! | change what is asked of the process that opens connections to elsewhere, and its bounds | `egress/` |
//! | change what the command line and the server say to each other | `control/` |
//! | make an identifier | `ids.rs` |
#![forbid(unsafe_code)]

pub mod codec;
pub mod control;
pub mod egress;
pub mod frame;
pub mod ids;
pub mod launch;
pub mod limits;
pub mod store;
pub mod syscall;
pub mod wire;
