//! What a build process may be asked for, and what it answers.

use serde::{Deserialize, Serialize};

use super::limits::{
    PACKED_BYTES_MAX, PIECE_BYTES_MAX, REFUSAL_BYTES_MAX, REPOSITORY_BYTES_MAX, REPOSITORY_FILE_BYTES_MAX,
    REPOSITORY_FILES_MAX,
};
use super::wire::Bounds;

/// The first item of every job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// Sources follow; each is answered by a [`super::StripResult`].
    Strip,
    /// The bytes of a pack follow; see [`Unpack`].
    Unpack(Unpack),
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
pub(super) const JOB: Bounds = Bounds { item_bytes: 4 * 1024, bytes: 4 * 1024, items: 1 };
/// A pack, in pieces.
pub(super) const PACK: Bounds = Bounds {
    item_bytes: PIECE_BYTES_MAX,
    bytes: PACKED_BYTES_MAX,
    items: PACKED_BYTES_MAX.div_ceil(PIECE_BYTES_MAX),
};
/// A [`Tree`] or a [`Refusal`], and the files.
pub(super) const FILES: Bounds = Bounds {
    item_bytes: REPOSITORY_FILE_BYTES_MAX + 1024,
    bytes: REPOSITORY_BYTES_MAX + REPOSITORY_FILES_MAX * 1024 + 8 * 1024,
    items: REPOSITORY_FILES_MAX + 1,
};
