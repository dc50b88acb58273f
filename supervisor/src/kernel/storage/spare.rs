//! Room on the disk that is held for opening databases. To read a file in WAL mode takes some shared memory beside
//! it; on a disk that somebody filled to the last block that room comes out of here, and goes back when it is free.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

use super::limits::{SPARE_BYTES_MAX, SPARE_PART, SPARE_PIECE_BYTES};

/// A file that only holds room.
pub(super) struct Spare(Mutex<Option<Held>>);

struct Held {
    file: File,
    /// Bytes that it should have.
    wanted: u64,
}

impl Spare {
    /// Holds room in this file: as much as it should, or as there is. One in which none can be held is no worse
    /// than none.
    pub(super) fn in_file(path: &Path) -> Self {
        let made = (|| {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
            let wanted = file.metadata()?.len().min(SPARE_BYTES_MAX);
            Ok::<_, io::Error>(Held { file, wanted })
        })();
        let made = made.inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "no room is held for a full disk");
        });
        let spare = Self(Mutex::new(made.ok()));
        spare.refill();
        spare
    }

    /// Gives some of the room free. Whether there was any.
    pub(super) fn give(&self) -> bool {
        self.with(|held| {
            let bytes = held.file.metadata()?.len();
            held.file.set_len(bytes.saturating_sub(SPARE_PIECE_BYTES))?;
            Ok(bytes > 0)
        })
    }

    /// Takes back what was given, as far as the disk has it.
    pub(super) fn refill(&self) {
        self.with(|held| {
            let mut bytes = held.file.metadata()?.len();
            let disk = fstatvfs(&held.file)?;
            let part = bytes.saturating_add(disk.f_bavail.saturating_mul(disk.f_frsize)) / SPARE_PART;
            held.wanted = held.wanted.max(part.min(SPARE_BYTES_MAX));
            while bytes + SPARE_PIECE_BYTES <= held.wanted {
                fallocate(&held.file, FallocateFlags::empty(), bytes, SPARE_PIECE_BYTES)?;
                bytes += SPARE_PIECE_BYTES;
            }
            Ok(true)
        });
    }

    fn with(&self, work: impl FnOnce(&mut Held) -> io::Result<bool>) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().is_some_and(|held| {
            work(held).unwrap_or_else(|error| {
                tracing::debug!(%error, "less room is held for a full disk than should be");
                false
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_held_given_and_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spare");
        let bytes = || std::fs::metadata(&path).expect("the file").len();
        let spare = Spare::in_file(&path);
        let all = bytes();
        assert!(all <= SPARE_BYTES_MAX && all.is_multiple_of(SPARE_PIECE_BYTES), "{all}");
        let pieces = (0..).take_while(|_| spare.give()).count() as u64;
        assert_eq!((pieces, bytes()), (all / SPARE_PIECE_BYTES, 0));
        spare.refill();
        assert_eq!(bytes(), all);
        drop(spare);
        drop(Spare::in_file(&path));
        assert_eq!(bytes(), all, "it is there at the next start");
        assert!(!Spare::in_file(&folder.path().join("none/spare")).give(), "none could be held");
    }
}
