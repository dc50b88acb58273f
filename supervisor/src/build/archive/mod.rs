//! Archives from elsewhere, in memory, inside the jail: packages of npm, apps in one file. Every byte is hostile. Only
//! regular files and folders come out; whatever else stands in an archive refuses it.
//!
//! | file | what |
//! |---|---|
//! | `gzip.rs` | inflating within bounds |
//! | `tar.rs` | `.tar` and `.tar.gz` |
//! | `zip.rs` | `.zip` |

mod gzip;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

pub(super) use tar::{tar, tar_gz};
pub(super) use zip::zip;

use fazt_ipc::limits::PATH_BYTES_MAX;

use super::job::{Refusal, RepoFile};
use super::limits::{
    DEPTH_MAX, FOLDERS_MAX, NAME_BYTES_MAX, REPOSITORY_BYTES_MAX, REPOSITORY_FILE_BYTES_MAX,
    REPOSITORY_FILES_MAX,
};

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Files and folders.
    pub(super) entries: usize,
    /// One file.
    pub(super) file_bytes: usize,
    /// All files, and all that is between them.
    pub(super) bytes: usize,
}

/// Files of an app in one file, `.tar.gz` or `.zip`, whichever the bytes say it is. A single folder at its top goes, as
/// archives of repositories have one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn app(bytes: &[u8]) -> Result<Vec<RepoFile>, Refusal> {
    let room = Room {
        entries: REPOSITORY_FILES_MAX + FOLDERS_MAX,
        file_bytes: REPOSITORY_FILE_BYTES_MAX,
        bytes: REPOSITORY_BYTES_MAX,
    };
    let mut files = match bytes {
        [0x1f, 0x8b, ..] => tar_gz(bytes, room, false)?,
        [b'P', b'K', ..] => zip(bytes, room)?,
        _ => return Err(Refusal("it is neither a .tar.gz nor a .zip".into())),
    };
    if files.len() > REPOSITORY_FILES_MAX {
        return Err(Refusal(format!("more than {REPOSITORY_FILES_MAX} files")));
    }
    let top = files.first().and_then(|file| file.path.split_once('/')).map(|(top, _)| format!("{top}/"));
    if let Some(top) = top.filter(|top| files.iter().all(|file| file.path.starts_with(top))) {
        for file in &mut files {
            file.path.drain(..top.len());
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn wrong(what: &str) -> Refusal {
    Refusal(format!("the archive is damaged: {what}"))
}

/// Whether an entry is a file that may come out; a folder is none, and is only looked at.
fn is_file(folder: bool, path: &str, size: usize, room: Room) -> Result<bool, Refusal> {
    match (folder, path) {
        (true, _) if size == 0 => Ok(false),
        (true, _) => Err(wrong("a folder has a content")),
        (false, "") => Err(wrong("a file has no name")),
        (false, _) if size > room.file_bytes => {
            let max = room.file_bytes >> 20;
            Err(Refusal(format!("`{path}` has {size} bytes; a file may have {max} MiB")))
        }
        (false, _) => Ok(true),
    }
}

/// Checks a path and makes it relative: what no path may be, whatever the rules for a deploy say of it later.
fn path(text: &[u8]) -> Result<String, Refusal> {
    let shown = || text.iter().take(200).copied().collect::<Vec<_>>().escape_ascii().to_string();
    let path =
        std::str::from_utf8(text).map_err(|_| Refusal(format!("the name `{}` is not UTF-8", shown())))?;
    let plain = path.strip_prefix("./").unwrap_or(path);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let why = if plain.len() > PATH_BYTES_MAX {
        "it is too long"
    } else if plain.starts_with('/') {
        "it is absolute"
    } else if plain.contains(['\\', '\0']) {
        "it has a backslash or a NUL"
    } else if plain.split('/').any(|name| matches!(name, "" | "." | "..")) && !plain.is_empty() {
        "it leads elsewhere"
    } else if plain.split('/').any(|name| name.len() > NAME_BYTES_MAX) || plain.split('/').count() > DEPTH_MAX
    {
        "it is too long or too deep"
    } else {
        return Ok(plain.to_owned());
    };
    Err(Refusal(format!("`{}` is refused: {why}", shown())))
}
