//! What apps store: keys and documents in spaces, each call confined to what its principal may see.
//!
//! Two walls. The compiler puts the space into every statement and binds every value; the connection of the
//! principal confines by itself whatever is run on it. A bug in one is caught by the other, and the tests run
//! raw SQL on the second as if there were no first. Everything in a call is an app's word but the
//! [`Actor`](crate::kernel::security::Actor) it comes with.
//!
//! | task | file |
//! |---|---|
//! | what may be asked and answered | `request.rs` |
//! | a bound | `limits.rs` |
//! | queues, threads; a turn of an app, group commit | `engine.rs`, `lanes.rs`, `turn.rs` |
//! | a disk that fails | `disk.rs` |
//! | an app's open connections; which space a call is about | `shelf.rs` |
//! | the connection that confines, the time that it has | `confine.rs`, `watch.rs` |
//! | `where`, `order` and cursors as SQL | `compile.rs`, `cursor.rs` |
//! | documents, keys, named spaces | `docs.rs`, `kv.rs`, `spaces.rs` |
//! | blobs | `blobs/` |
//! | JSON, and values as bytes that sort | `json.rs`, `key.rs` |
//! | tables, and how a deploy changes them | `schema.rs` |
//! | what operators see | `look.rs` |

pub mod blobs;
mod compile;
mod confine;
mod cursor;
mod disk;
mod docs;
mod engine;
mod error;
mod json;
mod key;
mod kv;
mod lanes;
pub mod limits;
pub(in crate::kernel::storage) mod look;
mod request;
pub(super) mod schema;
mod shelf;
mod spaces;
#[cfg(test)]
mod tests;
mod turn;
mod watch;

pub use engine::{Clock, Data};
pub use error::DataError;
pub(in crate::kernel::storage) use error::starved;
pub use look::{CollectionUse, Held, Owned, Reached};
pub use request::{
    DocCall, DocWrite, Entry, Find, KeyInfo, KvCall, KvKind, Request, Response, Role, SpaceCall, SpaceInfo,
    SpaceName,
};
pub use schema::{CollectionSchema, DataSchema, FieldKind};
