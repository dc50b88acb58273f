//! Packages as they came from a registry are unpacked and put beside the files of a repository; then all is bundled.

use fazt_ipc::limits::MODULE_BYTES_MAX;

use super::archive::{self, Room};
use super::bundle::{self, Bundle};
use super::job::{Bundling, Refusal, RepoFile};
use super::limits::{PACKAGE_FILES_MAX, PACKAGE_UNPACKED_BYTES_MAX, PACKAGES_UNPACKED_BYTES_MAX};

const ROOM: Room = Room {
    entries: PACKAGE_FILES_MAX,
    file_bytes: PACKAGE_UNPACKED_BYTES_MAX,
    bytes: PACKAGE_UNPACKED_BYTES_MAX,
};

/// Bundles `files` with `packages`, which are in the order of their places.
///
/// # Errors
/// What is wrong with a package, or with the scripts.
pub(super) fn bundle(
    bundling: &Bundling,
    mut files: Vec<RepoFile>,
    packages: Vec<Vec<u8>>,
) -> Result<Bundle, Refusal> {
    let mut left = PACKAGES_UNPACKED_BYTES_MAX;
    let mut spend = |bytes: usize| {
        left = left.checked_sub(bytes).ok_or_else(|| {
            let max = PACKAGES_UNPACKED_BYTES_MAX >> 20;
            Refusal(format!("the packages have more than {max} MiB together"))
        })?;
        Ok(())
    };
    for (place, packed) in bundling.packages.iter().zip(packages) {
        let unpacked = archive::tar_gz(&packed, ROOM, true)
            .map_err(|Refusal(why)| Refusal(format!("the package at {place}: {why}")))?;
        for file in unpacked.into_iter().filter(is_needed) {
            spend(file.bytes.len())?;
            files.push(RepoFile { path: format!("{place}/{}", file.path), bytes: file.bytes });
        }
    }
    for (place, folder) in &bundling.links {
        let mut linked = Vec::new();
        for file in &files {
            let below = file.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            let below = below.filter(|below| !below.split('/').any(|name| name == "node_modules"));
            if let Some(below) = below {
                // The same folder may stand for many packages.
                spend(file.bytes.len())?;
                linked.push(RepoFile { path: format!("{place}/{below}"), bytes: file.bytes.clone() });
            }
        }
        if linked.is_empty() {
            return Err(Refusal(format!(
                "the package at {place} is the folder `{folder}`, which is not there"
            )));
        }
        files.extend(linked);
    }
    bundle::bundle(&bundling.entry, files)
}

/// What no script imports is not kept: declarations, source maps, pages for people.
fn is_needed(file: &RepoFile) -> bool {
    let declares = [".d.ts", ".d.mts", ".d.cts", ".map", ".md", ".flow", ".node"];
    !declares.iter().any(|ending| file.path.ends_with(ending)) && file.bytes.len() <= MODULE_BYTES_MAX
}
