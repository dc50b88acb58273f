//! The store role: runs SQL that an app wrote, on one database file, inside a `store` jail.
//!
//! The kernel spawns `fazt` again under the `store` profile. Once locked it calls [`serve`] on its only socket, over
//! which it is handed two descriptors: a database and its WAL. It has no path, no folder, no network, knows no app and
//! no person; SQLite reads and writes those two files through a file system of ours that opens nothing
//! (`sys.rs`). A folder's descriptor would need `openat` and `unlink` in the policy and files that the jail's user may
//! open; two descriptors need neither. One process serves one file, so that a hole in SQLite shows an app's user
//! nothing of its next one.
//!
//! ```text
//! kernel  ─spawn─▶ locked ─READY─▶ looked at from outside ─two descriptors─▶ ┌─▶ request ─▶ answer ─┐ ─socket closed─▶ WAL moved, exit
//!                                                                            └──────────────────────┘
//! ```
//! A request is complete in itself: no transaction, cursor or temporary table outlives it. So the process may be
//! killed at any time, and nothing that was answered is lost: `synchronous=FULL` has brought it to the disk.
//!
//! What comes back is data for the kernel to check like any other bytes from a jail; `fazt_ipc::store` is both sides of it.
//!
//! | file | what |
//! |---|---|
//! | `serve.rs` | the role's loop |
//! | `engine.rs` | one connection: settings, transactions, rows |
//! | `policy.rs` | what a statement may do |
//! | `fault.rs` | what SQLite's errors are called |
//! | `sys.rs` | a file system of two descriptors, and the timer that ends the process |

mod engine;
mod fault;
mod limited;
mod policy;
mod serve;
mod sys;
#[cfg(test)]
mod tests;

pub(crate) use serve::{DATABASE, WAL};
pub use serve::{ServeError, prepare, serve};
