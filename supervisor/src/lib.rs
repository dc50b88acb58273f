//! The trusted side of Fazt: the launcher, which holds the capabilities, and the kernel, which holds none.
//!
//! Neither trusts a worker; the launcher trusts the kernel with four messages only. See the code map in the
//! README for what lives where.

pub mod build;
pub mod config;
pub mod confine;
mod egress;
pub mod entry;
pub mod jail;
pub mod kernel;
pub mod limits;
pub mod store;
mod sys;

pub use entry::{StartError, StartOptions, start, supervise};
