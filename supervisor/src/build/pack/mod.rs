//! A commit out of a pack of Git, in memory, inside the jail. Every byte is hostile.
//!
//! Each object is hashed, and objects are found by their hash alone: whatever comes out below a commit is what that
//! commit names. There is no archive that could differ from its commit, and no field of the pack that is believed.
//! The hash is SHA-1, which is what Git has; blocks that belong to a known collision attack are refused.
//!
//! | file | what |
//! |---|---|
//! | `read.rs` | the container: entries, inflated and hashed |
//! | `delta.rs` | an entry that is a change to another |
//! | `walk.rs` | commit, folders, files; what may not be there |

mod delta;
mod read;
#[cfg(test)]
mod tests;
mod walk;

use super::job::{Refusal, RepoFile, Tree, Unpack};

/// Name of an object: the SHA-1 of its kind, size and content.
type Id = [u8; 20];

/// Takes the files of one commit out of a pack.
///
/// # Errors
/// What is wrong with the pack, or what Fazt does not take, with the path.
pub(crate) fn unpack(pack: &[u8], job: &Unpack) -> Result<(Tree, Vec<RepoFile>), Refusal> {
    let commit = parse_id(job.commit.as_bytes())
        .ok_or_else(|| Refusal(format!("`{}` is not the name of a commit", job.commit)))?;
    let objects = read::read(pack)?;
    walk::walk(objects, commit, &job.folder)
}

fn parse_id(text: &[u8]) -> Option<Id> {
    let text: &[u8; 40] = text.try_into().ok()?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut id = [0; 20];
    for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id)
}

fn hex(id: &Id) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::with_capacity(40), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
