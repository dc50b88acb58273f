//! The kernel: security, storage, fs, syscall, proc, net. Each may use those left of it, never right.

pub mod fs;
pub mod net;
pub mod proc;
mod rest;
mod run;
pub mod security;
pub mod storage;
pub mod syscall;

pub use run::RunError;
pub(crate) use run::{Announce, run};
