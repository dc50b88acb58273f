//! The build role: turns what others wrote into what Fazt can run, inside a `build` jail: packs into files,
//! TypeScript and JSX into JavaScript.
//!
//! The kernel spawns `fazt` again under the `build` profile; once locked it calls [`serve`] on its only
//! socket, which reads one job, answers it and returns. It opens no file, reads no environment, knows no app.
//! What comes back is data for the kernel to check like any other bytes from a jail; [`converse`] is the
//! kernel's side.
//!
//! What is done to a script depends on its extension:
//! - `.ts .mts .cts .tsx`: types go, `enum`, `namespace`, parameter properties and decorators (the
//!   `experimentalDecorators` kind) become JavaScript, `import type` and imports used only as types vanish.
//! - `.tsx .jsx`: JSX becomes calls. The automatic runtime, importing from `react/jsx-runtime`, unless the file
//!   says otherwise at its top (`@jsxImportSource hono/jsx`, `@jsxRuntime classic`, `@jsx h`, `@jsxFrag Fragment`), or
//!   the app does in [`Jsx`].
//! - everything else is only parsed, for its imports and its syntax errors.
//!
//! Specifiers stay as they are written: a stripped module keeps its own path, so `import "./a.ts"` means it.
//!
//! | file | what |
//! |---|---|
//! | `job.rs` | what it can be asked for |
//! | `strip.rs` | one script, a pure function |
//! | `map.rs` | positions, small on disk |
//! | `pack/` | a commit out of a pack of Git |
//! | `archive/` | files out of `.tar.gz` |
//! | `inspect.rs` | what a repository is, and what it needs |
//! | `wrangler/` | a manifest out of what a Worker has instead |
//! | `npm/` | packages, by lock file |
//! | `packages.rs`, `bundle/` | one script out of many |
//! | `pattern.rs` | patterns of paths |
//! | `tsconfig.rs`, `jsonc.rs` | settings of the compiler |
//! | `limits.rs` | how large what comes from elsewhere may be |
//! | `wire.rs` | what is said on the socket, both sides |

mod archive;
mod bundle;
mod fuzz;
mod inspect;
mod job;
mod jsonc;
pub mod limits;
mod map;
mod npm;
mod pack;
mod packages;
mod pattern;
mod strip;
pub(crate) mod tsconfig;
mod wire;
mod wrangler;

use serde::{Deserialize, Serialize};

pub use bundle::{BUNDLE, Bundle, CLOUDFLARE, Entry, NODE};
pub use fuzz::read_everything;
pub use inspect::{Inspect, Migrations, Plan};
pub use job::{Bundling, Refusal, RepoFile, Tree, Unpack};
pub use map::{MapError, Mapping, Positions};
pub use npm::Package;
#[cfg(test)]
pub(crate) use pack::unpack as unpack_here;
pub(crate) use pattern::like;
pub use strip::strip;
pub use wire::{WireError, bundle, converse, extract, inspect, serve, unpack};

/// What a build process does before its lock: it asks the system nothing afterwards.
pub fn prepare() {
    bundle::prepare();
}

/// Part of the name of everything that is built: raised when [`strip`] would give another answer.
pub const STRIP_VERSION: u32 = 1;

/// How JSX becomes calls where a script itself does not say. Empty names: React's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jsx {
    /// The classic runtime: calls of `factory`, which the script imports itself.
    pub classic: bool,
    /// What the automatic runtime imports from; `/jsx-runtime` is added.
    pub import_source: String,
    /// What is called for an element.
    pub factory: String,
    /// What stands for a fragment.
    pub fragment: String,
}

/// One script to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// Path inside the app; its extension decides the language.
    pub path: String,
    /// UTF-8 text.
    pub text: String,
    /// Of the app; looked at where there is JSX.
    pub jsx: Jsx,
    /// The source map that lies beside a script of plain JavaScript; may be empty.
    pub map: String,
}

/// A script as the engine can load it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stripped {
    /// JavaScript; empty when the source already is what the engine loads.
    pub code: String,
    /// Original positions, by position in the code; see [`Positions`]. Empty where there is no other source.
    pub map: Vec<u8>,
    /// Module specifiers of static `import` and `export … from`, and of `import("literal")`.
    pub imports: Vec<String>,
    /// Whether `imports` is all that it can import: there is no `import()` of an expression.
    pub complete: bool,
}

/// What is wrong with a script, for its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Path inside the app.
    pub path: String,
    /// From 1; 0 when unknown.
    pub line: u32,
    /// From 1; 0 when unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line with a mark under the place; may be empty.
    pub frame: String,
}

/// One script's outcome.
pub type StripResult = Result<Stripped, Vec<Diagnostic>>;

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)?;
        if self.frame.is_empty() { Ok(()) } else { write!(f, "\n{}", self.frame) }
    }
}

/// Whether a path names a script that must be stripped before an engine can load it.
#[must_use]
pub fn needs_stripping(path: &str) -> bool {
    matches!(extension(path), "ts" | "mts" | "cts" | "tsx" | "jsx")
}

/// Whether a path names a script that may hold JSX.
#[must_use]
pub fn may_hold_jsx(path: &str) -> bool {
    matches!(extension(path), "tsx" | "jsx")
}

/// Whether a path names a script.
#[must_use]
pub fn is_script(path: &str) -> bool {
    needs_stripping(path)
        && !path.ends_with(".d.ts")
        && !path.ends_with(".d.mts")
        && !path.ends_with(".d.cts")
        || matches!(extension(path), "js" | "mjs" | "cjs")
}

/// What stands behind the last dot of the file's name.
#[must_use]
pub fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(stem, extension)| if stem.is_empty() { "" } else { extension })
}
