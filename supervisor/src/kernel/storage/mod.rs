//! Databases: the only place that names a rusqlite type.
//!
//! `fs` calls it. The bytes in a cartridge are the app's and hostile; its structure is the kernel's, but a
//! damaged file must not hurt more than its own app.

mod error;

pub use error::StorageError;
