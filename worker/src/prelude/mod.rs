//! The JavaScript side of the runtime: ES modules that `build.rs` compiled to bytecode, served on demand.
//!
//! Nothing of it is loaded before it is touched: a global is an accessor until then (see [`globals`]), so an
//! app pays for what it uses. How to add to it: `README.md` in this folder.

pub mod globals;

include!(concat!(env!("OUT_DIR"), "/prelude.rs"));

/// The bytecode of a prelude module, or nothing if there is none of that name.
pub(crate) fn bytecode(name: &str) -> Option<&'static [u8]> {
    MODULES.binary_search_by_key(&name, |(name, _)| name).ok().map(|at| MODULES[at].1)
}

/// Hash of engine and prelude: bytecode of another build is not loaded.
#[must_use]
pub const fn engine_hash() -> u64 {
    ENGINE
}

/// Names of every prelude module.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}
