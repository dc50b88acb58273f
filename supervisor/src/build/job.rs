//! What a build process may be asked for, and what it answers.

use fazt_ipc::limits::MODULE_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::bundle::Entry;
use super::inspect::Inspect;
use super::limits::{
    PACKAGE_BYTES_MAX, PACKAGES_BYTES_MAX, PACKAGES_MAX, PACKED_BYTES_MAX, PIECE_BYTES_MAX, PLAN_BYTES_MAX,
    REFUSAL_BYTES_MAX, REPOSITORY_BYTES_MAX, REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILES_MAX,
};
use super::wire::Bounds;

/// The first item of every job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// Sources follow; each is answered by a [`super::StripResult`].
    Strip,
    /// The bytes of a pack follow; see [`Unpack`].
    Unpack(Unpack),
    /// The bytes of an archive follow; the answer is a [`Tree`] without a hash, and its files.
    Extract,
    /// The files of a repository follow; the answer is a [`super::Plan`].
    Inspect(Inspect),
    /// So many files of a repository follow, then the packages as they came, in this order.
    Bundle { files: u32, bundling: Bundling },
}

/// What is to be bundled, beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bundling {
    /// The script, and how.
    pub entry: Entry,
    /// Places of the packages that are handed over.
    pub packages: Vec<String>,
    /// Folders of the repository that stand for packages: where, and which.
    pub links: Vec<(String, String)>,
}

/// Takes one commit out of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpack {
    /// The commit, 40 lowercase hexadecimal digits. What is unpacked hashes to it, or is refused.
    pub commit: String,
    /// Folder of the repository that is the app; empty: its top. No slash in front or behind.
    pub folder: String,
}

/// A file of a repository or package. Where it comes from a jail, the path is not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFile {
    /// Path inside the app.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What was in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Hash of the whole tree of the commit, 40 digits.
    pub tree: String,
    /// When the commit was made, as its author says.
    pub committed_unix_s: u64,
    /// How many files follow.
    pub files: u32,
}

/// Why what came from elsewhere is not taken, for a person. From a jail it may hold whatever stood there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    /// The text, fit to be shown: one line, no control character, bounded.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.0, REFUSAL_BYTES_MAX)
    }
}

/// Text from elsewhere on one line and without what moves a cursor or hides letters.
pub(super) fn shown(text: &str, bytes_max: usize) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(if hidden(c) { '\u{fffd}' } else { c });
    }
    out
}

/// A [`Job`] itself.
pub(super) const JOB: Bounds = Bounds { item_bytes: PLAN_BYTES_MAX, bytes: PLAN_BYTES_MAX, items: 1 };
/// A pack, in pieces.
pub(super) const PACK: Bounds = Bounds {
    item_bytes: PIECE_BYTES_MAX,
    bytes: PACKED_BYTES_MAX,
    items: PACKED_BYTES_MAX.div_ceil(PIECE_BYTES_MAX),
};
/// Files of a repository, and packages.
pub(super) const MATERIAL: Bounds = Bounds {
    item_bytes: PACKAGE_BYTES_MAX + 1024,
    bytes: FILES.bytes + PACKAGES_BYTES_MAX,
    items: FILES.items + PACKAGES_MAX,
};
/// A [`super::Plan`] or a [`Refusal`].
pub(super) const PLAN: Bounds = Bounds { item_bytes: PLAN_BYTES_MAX, bytes: PLAN_BYTES_MAX, items: 1 };
/// A [`super::Bundle`] or a [`Refusal`].
pub(super) const BUNDLE: Bounds =
    Bounds { item_bytes: 4 * MODULE_BYTES_MAX, bytes: 4 * MODULE_BYTES_MAX, items: 1 };
/// A [`Tree`] or a [`Refusal`], and the files.
pub(super) const FILES: Bounds = Bounds {
    item_bytes: REPOSITORY_FILE_BYTES_MAX + 1024,
    bytes: REPOSITORY_BYTES_MAX + REPOSITORY_FILES_MAX * 1024 + 8 * 1024,
    items: REPOSITORY_FILES_MAX + 1,
};
