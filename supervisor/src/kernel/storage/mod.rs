//! Databases: the only place that names a rusqlite type.
//!
//! `fs` and `syscall` call it. The bytes in a cartridge are the app's and hostile; its structure is the kernel's, but a
//! damaged file must not hurt more than its own app.
//!
//! | file | what |
//! |---|---|
//! | `db.rs` | opening, hardening, migration, errors of any SQLite file |
//! | `kernel.rs` | `kernel.db` |
//! | `keys.rs` | secrets of the server, beside the databases |
//! | `certificates.rs` | `kernel.db`: certificates of the server and its accounts for them, sealed |
//! | `env.rs` | `kernel.db`: variables of apps, sealed |
//! | `grants.rs` | `kernel.db`: what the owner said to what apps ask for |
//! | `jobs/` | `kernel.db`: schedules, runs and jobs of apps |
//! | `pins.rs` | `kernel.db`: which commit a tag was |
//! | `people/` | `kernel.db`: users, sessions, links, tokens, the audit log |
//! | `cartridge/` | `app.fazt`: schema, reading, the one transaction of a deploy |
//! | `data/` | what apps store in it, confined to whoever asks |
//! | `sql/` | files of raw SQL, each behind a locked process |
//! | `quota.rs` | what files of raw SQL take of an app's quota |
//! | `folder.rs` | folders of apps, and clearing up after an interruption |
//! | `spare.rs` | room on the disk for opening them when it is full |
//! | `pool.rs` | which files are open; everything runs on blocking threads |

mod cartridge;
mod certificates;
pub mod data;
mod db;
mod env;
mod error;
mod folder;
mod grants;
pub mod jobs;
mod kernel;
mod keys;
mod limits;
mod people;
mod pins;
mod pool;
mod quota;
mod spare;
pub mod sql;
mod value;

pub use cartridge::{
    Built, Cartridge, Change, FileRow, NewBuilt, NewContent, NewFile, NewVersion, Usage, VersionRow,
};
pub use certificates::{CertificateRow, account_place, certificate_place};
pub(crate) use db::private_folder;
pub use env::{EnvRow, env_place};
pub use error::StorageError;
pub use grants::GrantRow;
pub use kernel::{AppRow, KernelDb};
pub(crate) use keys::secret;
pub use pool::Storage;
pub use value::{Encoding, Encodings, Sha256};
