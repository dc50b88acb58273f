//! Packages of npm, inside the jail: which ones an app's scripts lead to, as its lock file says. Nothing is chosen here
//! that the author has not locked: a version, where it is, and the hash of what must come from there.
//!
//! No script of a package is ever run, when installing or otherwise; packages are files that imports find.
//!
//! | file | what |
//! |---|---|
//! | `graph.rs` | from names that are imported to packages, whichever file they are locked in |
//! | `hoist.rs` | places for packages of lock files that know none |
//! | `package_lock.rs` | `package-lock.json`, `npm-shrinkwrap.json` |
//! | `bun_lock.rs` | `bun.lock` |
//! | `pnpm_lock.rs` | `pnpm-lock.yaml` |
//! | `yarn_lock.rs` | `yarn.lock` of yarn 1 |

mod bun_lock;
mod graph;
mod hoist;
mod package_lock;
mod pnpm_lock;
#[cfg(test)]
mod tests;
mod yarn_lock;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::job::{Refusal, RepoFile};
use super::limits::{LOCK_BYTES_MAX, PACKAGES_MAX};

/// A package to be fetched and put at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Where it belongs: `node_modules/hono`.
    pub path: String,
    /// Its name, for people.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// Where it is, below the registry.
    pub url: String,
    /// `sha512-` and the hash of what must come, in base 64.
    pub integrity: String,
}

impl Package {
    /// Whether what came is what the lock file says.
    #[must_use]
    pub fn matches(&self, pieces: &[Bytes]) -> bool {
        use sha2::Digest as _;
        let mut sha512 = sha2::Sha512::new();
        for piece in pieces {
            sha512.update(piece);
        }
        self.hash().is_some_and(|hash| hash.as_slice() == sha512.finalize().as_slice())
    }

    /// The SHA-512 of what must come.
    pub(crate) fn hash(&self) -> Option<Vec<u8>> {
        let text = self.integrity.strip_prefix("sha512-").filter(|text| text.len() == 88)?;
        let hash = STANDARD.decode(text).ok()?;
        (hash.len() == 64).then_some(hash)
    }
}

/// What has to be there for the scripts to be bundled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needs {
    pub(super) packages: Vec<Package>,
    /// Folders of the repository that stand for packages: (place, folder).
    pub(super) links: Vec<(String, String)>,
}

/// Lock files that are read, the first that is there.
const READ: [&str; 5] =
    ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "bun.lock", "yarn.lock"];
/// Lock files that are not.
const UNREAD: [&str; 2] = ["bun.lockb", "deno.lock"];

/// Finds the packages that `names` lead to. `registry`: where all of them come from, without a slash at its end.
/// What is committed in `node_modules` is there already.
///
/// # Errors
/// Why the lock file is of no use, and what the author can do.
pub(super) fn needs(files: &[RepoFile], names: &BTreeSet<String>, registry: &str) -> Result<Needs, Refusal> {
    let has = |path: &str| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    let missing: BTreeSet<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !has(&format!("node_modules/{name}/package.json")))
        .collect();
    if missing.is_empty() {
        return Ok(Needs::default());
    }
    if missing.len() > PACKAGES_MAX {
        return Err(Refusal(format!("the app imports more than {PACKAGES_MAX} packages")));
    }
    let find = |name: &&str| files.iter().find(|file| file.path == **name);
    let Some(lock) = READ.iter().find_map(&find) else {
        let declared = declared(files);
        let wanted: Vec<_> = missing.iter().filter(|name| declared.contains_key(**name)).copied().collect();
        if wanted.is_empty() {
            return Ok(Needs::default());
        }
        let other = UNREAD.iter().find(|name| find(name).is_some());
        let why = match other {
            Some(other) => format!("`{other}` is not read"),
            None => "there is no lock file".into(),
        };
        return Err(Refusal(format!(
            "the app needs packages ({}), and {why}: its author can run `npm install --package-lock-only` and commit package-lock.json",
            wanted.join(", ")
        )));
    };
    if lock.bytes.len() > LOCK_BYTES_MAX {
        return Err(Refusal(format!(
            "`{}` has {} bytes; at most {LOCK_BYTES_MAX}",
            lock.path,
            lock.bytes.len()
        )));
    }
    let text =
        std::str::from_utf8(&lock.bytes).map_err(|_| Refusal(format!("`{}` is not UTF-8", lock.path)))?;
    let graph = match lock.path.as_str() {
        "bun.lock" => bun_lock::read(text),
        "pnpm-lock.yaml" => pnpm_lock::read(text, &missing),
        "yarn.lock" => yarn_lock::read(text, &missing, &declared(files)),
        _ => package_lock::read(text),
    };
    let graph = graph.map_err(|Refusal(why)| Refusal(format!("`{}`: {why}", lock.path)))?;
    graph.needs(&missing, registry)
}

/// Names that `package.json` asks for, and which versions.
fn declared(files: &[RepoFile]) -> BTreeMap<String, String> {
    let file = files.iter().find(|file| file.path == "package.json" && file.bytes.len() <= LOCK_BYTES_MAX);
    let value: serde_json::Value =
        file.and_then(|file| serde_json::from_slice(&file.bytes).ok()).unwrap_or_default();
    // The first of these is what counts.
    ["optionalDependencies", "peerDependencies", "devDependencies", "dependencies"]
        .iter()
        .filter_map(|key| value[key].as_object())
        .flatten()
        .map(|(name, range)| (name.clone(), range.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// The package that a specifier is in: `@scope/name/deep` is in `@scope/name`.
pub(super) fn package_of(specifier: &str) -> Option<&str> {
    if specifier.starts_with(['.', '/', '#', '\0']) || specifier.contains([':', '\\']) {
        return None;
    }
    let mut slashes = specifier.match_indices('/').map(|(at, _)| at);
    let end = if specifier.starts_with('@') { slashes.nth(1) } else { slashes.next() };
    let name = &specifier[..end.unwrap_or(specifier.len())];
    is_name(name).then_some(name)
}

/// Whether a text can be the name of a package: it becomes part of a path and of a URL.
fn is_name(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    name.len() <= 214
        && match name.strip_prefix('@') {
            Some(rest) => rest.split_once('/').is_some_and(|(scope, name)| plain(scope) && plain(name)),
            None => plain(name) && name != "node_modules",
        }
}

/// Whether a text can be a version: it becomes part of a URL.
fn is_version(version: &str) -> bool {
    !version.is_empty()
        && version.len() <= 128
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

/// Where a registry keeps a version.
fn usual_url(registry: &str, name: &str, version: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    format!("{registry}/{name}/-/{last}-{version}.tgz")
}
