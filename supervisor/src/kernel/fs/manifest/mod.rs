//! `app.json`: what an app says of itself. Hostile text; refused whole with the line that is wrong.

//!
//! | file | what |
//! |---|---|
//! | `shape.rs` | the grammar as a table: add a key there, then read it in `read.rs` |
//! | `json.rs` | JSON with places |
//! | `form.rs` | forms of text: hosts, dates, schedules |
//! | `read.rs` | from a checked text to a [`Manifest`], and what follows from the app's files |

mod form;
mod json;
mod read;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use fazt_ipc::control::Access;
use fazt_ipc::limits;
use fazt_ipc::wire::kernel::BindingKind;

pub use read::json_schema;
pub(super) use read::relative;

/// A checked manifest. An app without `app.json` has the default one.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Suggested name; the route is the kernel's business.
    pub name: Option<String>,
    /// Version for people.
    pub version: String,
    /// One line for people.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Where the app comes from.
    pub homepage: String,
    /// Path of an image.
    pub icon: Option<String>,
    /// Path of the main module; none for a static app.
    pub main: Option<String>,
    /// Folder that is served as it is. Empty: the top of the app.
    pub assets: Option<String>,
    /// Unknown navigation paths get the assets' `index.html`.
    pub spa: bool,
    /// Paths that the server answers before its assets do; with `!` in front, those that it does not.
    pub server_first: Vec<String>,
    /// `YYYY-MM-DD`.
    pub compatibility_date: String,
    /// Who may reach it; none: the server's default.
    pub access: Option<Access>,
    /// Collections by name.
    pub collections: BTreeMap<String, Collection>,
    /// What the app asks for.
    pub permissions: Permissions,
    /// What other apps may have of it, as the same person.
    pub exports: Exports,
    /// Scheduled runs.
    pub cron: Vec<Cron>,
    /// Variables that the owner sets.
    pub env: Vec<EnvVar>,
    /// Names in `env` for storage in a shape of Cloudflare's; none: the usual names, see [`Manifest::bindings`].
    pub bindings: Option<BTreeMap<String, BindingKind>>,
    /// Limits of its workers and data.
    pub limits: Limits,
}

/// A collection of documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collection {
    /// Field lists.
    pub indexes: Vec<Vec<String>>,
    /// Type of each field.
    pub schema: BTreeMap<String, FieldType>,
}

/// Type of a document's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the types")]
pub enum FieldType {
    String,
    Integer,
    Number,
    Boolean,
    Json,
}

/// Permissions asked for; everything is off by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Hosts, `*.` in front for any one below.
    pub net: Vec<String>,
    /// Runs without a request.
    pub schedule: bool,
    /// Push messages.
    pub push: bool,
    /// Raw SQL.
    pub sql: bool,
    /// The `app` space and named spaces.
    pub spaces: bool,
    /// Other apps' data, by name.
    pub apps: BTreeMap<String, AppAccess>,
    /// Why, by permission; `net` and `apps` for all hosts and apps.
    pub reasons: BTreeMap<String, String>,
}

/// What other apps may have, where the owner grants it to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exports {
    /// Collections by name.
    pub collections: BTreeMap<String, AppAccess>,
    /// Blobs by what their keys begin with.
    pub blobs: BTreeMap<String, AppAccess>,
}

impl Exports {
    /// Whether a collection may be read, or written.
    #[must_use]
    pub fn collection(&self, name: &str, write: bool) -> bool {
        self.collections.get(name).is_some_and(|access| access.allows(write))
    }

    /// Whether all blobs whose keys begin so may be read, or written.
    #[must_use]
    pub fn blob(&self, key: &str, write: bool) -> bool {
        self.blobs.iter().any(|(prefix, access)| key.starts_with(prefix) && access.allows(write))
    }
}

impl AppAccess {
    const fn allows(self, write: bool) -> bool {
        !write || matches!(self, Self::Write)
    }
}

/// How far another app's data is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the levels")]
pub enum AppAccess {
    Read,
    Write,
}

/// A scheduled run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Name, for `fazt proc run`.
    pub name: String,
    /// Five fields.
    pub schedule: String,
    /// What the app is told that it is.
    pub event: String,
    /// IANA name.
    pub timezone: String,
    /// A run that was missed is made up for once.
    pub run_missed_once: bool,
    /// A run starts while the one before it goes on.
    pub overlaps: bool,
    /// Once as each member who opted in.
    pub per_user: bool,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// The app does not start without it.
    pub required: bool,
    /// Never shown again.
    pub secret: bool,
    /// Hosts that it is for. Where there are some, the app never sees it: it is filled in on its way to them.
    pub inject: Vec<String>,
    /// For the owner.
    pub description: String,
    /// Where the owner sets none.
    pub default: Option<String>,
    /// The value is JSON, and the app sees what it says.
    pub json: bool,
}

/// Limits, inside those of [`fazt_ipc::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// JavaScript heap.
    pub memory_mib: u32,
    /// CPU time of one request.
    pub cpu_ms: u32,
    /// Wall time of one request.
    pub wall_s: u32,
    /// Data.
    pub storage_mib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: limits::MEMORY_MIB_DEFAULT,
            cpu_ms: limits::CPU_MS_DEFAULT,
            wall_s: limits::WALL_S_DEFAULT,
            storage_mib: limits::STORAGE_MIB_DEFAULT,
        }
    }
}

/// Where and why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("app.json:{line}:{column}: {message}")]
pub struct ManifestError {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What is wrong and what would be right.
    pub message: String,
}
