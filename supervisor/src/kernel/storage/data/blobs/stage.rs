//! Bytes on their way in: hashed and counted as they come, in memory as long as they are few, else in a file that
//! has no name yet that anyone looks for. Dropped before its end, it leaves nothing.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fazt_ipc::syscall::ErrorCode;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::sync::Semaphore;

use super::super::error::{DataError, Result};
use super::super::limits::{BLOB_INLINE_BYTES_MAX, BLOB_WRITE_BYTES};

/// Where staged files lie, inside the folder of an app's blobs.
const STAGE: &str = ".stage";

/// Checksums of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// Always there.
    pub md5: Vec<u8>,
    /// If it was asked for.
    pub sha1: Option<Vec<u8>>,
    /// See [`Self::sha1`].
    pub sha256: Option<Vec<u8>>,
    /// See [`Self::sha1`].
    pub sha384: Option<Vec<u8>>,
    /// See [`Self::sha1`].
    pub sha512: Option<Vec<u8>>,
}

/// Whole bytes, ready to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// How many.
    pub size: u64,
    /// What is known of them.
    pub sums: Sums,
    /// The etag, where it is not the MD5.
    pub etag: Option<String>,
    pub(super) kept: Kept,
}

/// Where whole bytes are.
#[derive(Debug, Clone)]
pub enum Kept {
    /// In memory.
    Memory(Arc<Vec<u8>>),
    /// In a staged file, synced.
    File(Arc<Staged>),
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(one), Self::Memory(two)) => one == two,
            (Self::File(one), Self::File(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

/// A staged file. It goes with this value, unless it has been moved to where it is kept.
#[derive(Debug)]
pub struct Staged {
    pub(super) path: PathBuf,
    /// SHA-256 of the bytes, which its name will follow from.
    pub(super) sha256: [u8; 32],
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Which checksums to make.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) sha1: bool,
    pub(super) sha384: bool,
    pub(super) sha512: bool,
    pub(super) sha256: bool,
}

struct Hashes {
    md5: Md5,
    sha256: Sha256,
    sha1: Option<Sha1>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl Hashes {
    fn new(wanted: Wanted) -> Self {
        Self {
            md5: Md5::new(),
            sha256: Sha256::new(),
            sha1: wanted.sha1.then(Sha1::new),
            sha384: wanted.sha384.then(Sha384::new),
            sha512: wanted.sha512.then(Sha512::new),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha256.update(bytes);
        if let Some(hash) = &mut self.sha1 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.sha384 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.sha512 {
            hash.update(bytes);
        }
    }

    fn done(self, wanted: Wanted) -> ([u8; 32], Sums) {
        let sha256: [u8; 32] = self.sha256.finalize().into();
        let sums = Sums {
            md5: self.md5.finalize().to_vec(),
            sha1: self.sha1.map(|hash| hash.finalize().to_vec()),
            sha256: wanted.sha256.then(|| sha256.to_vec()),
            sha384: self.sha384.map(|hash| hash.finalize().to_vec()),
            sha512: self.sha512.map(|hash| hash.finalize().to_vec()),
        };
        (sha256, sums)
    }
}

/// Takes bytes in.
pub struct Stager {
    folder: PathBuf,
    wanted: Wanted,
    hashes: Option<Hashes>,
    file: Option<(File, Staged)>,
    buffer: Vec<u8>,
    size: u64,
    /// Bytes that may come.
    room: u64,
    /// Bytes of the app that are staged now, these among them.
    staging: Arc<AtomicU64>,
    /// Threads that write and hash, of all apps.
    threads: Arc<Semaphore>,
}

impl Stager {
    /// Into the folder of an app's blobs. `room`: what its quota leaves; `sums`: names of checksums wanted beside
    /// MD5.
    pub(in super::super) fn new(
        folder: PathBuf,
        room: u64,
        sums: &[&str],
        staging: Arc<AtomicU64>,
        threads: Arc<Semaphore>,
    ) -> Self {
        let has = |name: &str| sums.contains(&name);
        let wanted =
            Wanted { sha1: has("sha1"), sha256: has("sha256"), sha384: has("sha384"), sha512: has("sha512") };
        let hashes = Some(Hashes::new(wanted));
        Self { folder, wanted, hashes, file: None, buffer: Vec::new(), size: 0, room, staging, threads }
    }

    /// Takes more bytes. They are on the disk when enough have come.
    ///
    /// # Errors
    /// `QuotaExceeded` when they are more than there is room for; `Unavailable` when the disk is full.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        let others = self.staging.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if others + bytes.len() as u64 > self.room {
            return Err(DataError::new(
                ErrorCode::QuotaExceeded,
                "the app's storage has no room for this blob: delete something, or ask the owner for more (limits.storageMiB in app.json)",
            ));
        }
        self.buffer.extend_from_slice(bytes);
        // Few bytes stay in memory; many go to the file in large pieces.
        let flush_at = if self.file.is_some() { BLOB_WRITE_BYTES } else { BLOB_INLINE_BYTES_MAX };
        if self.buffer.len() > flush_at { self.flush(false).await } else { Ok(()) }
    }

    /// Makes what has come whole.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails or is full.
    pub async fn finish(mut self) -> Result<Content> {
        let size = self.size;
        if self.file.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            let mut hashes = Hashes::new(self.wanted);
            hashes.update(&bytes);
            let (_, sums) = hashes.done(self.wanted);
            return Ok(Content { size, sums, etag: None, kept: Kept::Memory(Arc::new(bytes)) });
        }
        self.flush(true).await?;
        let hashes = self.hashes.take().unwrap_or_else(|| Hashes::new(self.wanted));
        let (sha256, sums) = hashes.done(self.wanted);
        let (_, mut staged) = self.file.take().ok_or_else(failed)?;
        staged.sha256 = sha256;
        Ok(Content { size, sums, etag: None, kept: Kept::File(Arc::new(staged)) })
    }

    async fn flush(&mut self, sync: bool) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let mut hashes = self.hashes.take().ok_or_else(failed)?;
        let file = self.file.take();
        let folder = self.folder.clone();
        let _permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| failed())?;
        let work = move || {
            let (mut file, staged) = match file {
                Some(open) => open,
                None => make(&folder).map_err(|error| disk(&error))?,
            };
            file.write_all(&bytes).map_err(|error| disk(&error))?;
            hashes.update(&bytes);
            if sync {
                file.sync_all().map_err(|error| disk(&error))?;
            }
            Ok((file, staged, hashes))
        };
        let done: Result<_> = tokio::task::spawn_blocking(work).await.map_err(|_| failed())?;
        let (file, staged, hashes) = done?;
        self.file = Some((file, staged));
        self.hashes = Some(hashes);
        Ok(())
    }
}

impl Drop for Stager {
    fn drop(&mut self) {
        self.staging.fetch_sub(self.size, Ordering::Relaxed);
    }
}

fn failed() -> DataError {
    DataError::unavailable("the server cannot keep this blob now; try again")
}

fn disk(error: &std::io::Error) -> DataError {
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return DataError::unavailable("there is no room on the server's disk; reading goes on");
    }
    tracing::error!(%error, "a blob could not be staged");
    failed()
}

fn make(folder: &Path) -> std::io::Result<(File, Staged)> {
    let stage = folder.join(STAGE);
    super::files::private(&stage)?;
    let path = stage.join(format!("{:032x}", rand::random::<u128>()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((file, Staged { path, sha256: [0; 32] }))
}

/// What was staged when the server stopped is nobody's.
pub(in crate::kernel::storage) fn clear(folder: &Path) {
    let _ = fs::remove_dir_all(folder.join(STAGE));
}
