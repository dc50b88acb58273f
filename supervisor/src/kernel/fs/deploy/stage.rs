//! Contents on their way in: a file for each, checked against its hash while it is written.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sha2::Digest;

use super::super::asset::Sha256;
use super::super::error::FsError;
use super::super::shared::Shared;

/// Bytes collected before a blocking thread is asked to write them.
const WRITE_BYTES: usize = 256 * 1024;

/// A content half written.
struct Partial {
    path: PathBuf,
    file: fs::File,
    hash: sha2::Sha256,
    bytes: u64,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename it is not there any more, which is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes a content of `bytes` bytes into `folder`, under its hash.
pub(in crate::kernel::fs) async fn receive(
    shared: &Shared,
    folder: PathBuf,
    sha256: Sha256,
    bytes: u64,
    mut body: BoxStream<'_, Result<Bytes, std::io::Error>>,
) -> Result<(), FsError> {
    let part = folder.join(format!("{sha256}.{:016x}.part", rand::random::<u64>()));
    let mut pending: Vec<Bytes> = Vec::new();
    let mut pending_bytes = 0;
    let mut received = 0u64;
    let mut partial: Option<Partial> = None;
    loop {
        let chunk = body.next().await.transpose().map_err(FsError::io("receiving a file"))?;
        let end = chunk.is_none();
        if let Some(chunk) = chunk {
            received += chunk.len() as u64;
            if received > bytes {
                return Err(FsError::BadDeploy(format!(
                    "content {sha256} is longer than the {bytes} bytes planned"
                )));
            }
            pending_bytes += chunk.len();
            pending.push(chunk);
        }
        if !end && pending_bytes < WRITE_BYTES {
            continue;
        }
        let (chunks, before, path) = (std::mem::take(&mut pending), partial.take(), part.clone());
        pending_bytes = 0;
        let target = end.then(|| folder.join(sha256.to_string()));
        partial = shared
            .storage
            .long(move || {
                let mut partial = match before {
                    Some(partial) => partial,
                    None => start(path)?,
                };
                for chunk in &chunks {
                    partial.hash.update(chunk);
                    partial.file.write_all(chunk).map_err(FsError::io("keeping a file of the deploy"))?;
                    partial.bytes += chunk.len() as u64;
                }
                match target {
                    None => Ok(Some(partial)),
                    Some(target) => finish(partial, sha256, bytes, &target).map(|()| None),
                }
            })
            .await?;
        if end {
            return Ok(());
        }
    }
}

fn start(path: PathBuf) -> Result<Partial, FsError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(FsError::io("keeping a file of the deploy"))?;
    Ok(Partial { path, file, hash: sha2::Sha256::new(), bytes: 0 })
}

fn finish(mut partial: Partial, sha256: Sha256, bytes: u64, target: &Path) -> Result<(), FsError> {
    if partial.bytes != bytes {
        let got = partial.bytes;
        return Err(FsError::BadDeploy(format!("content {sha256} has {got} bytes; {bytes} were planned")));
    }
    let found = Sha256(std::mem::take(&mut partial.hash).finalize().into());
    if found != sha256 {
        return Err(FsError::BadDeploy(format!(
            "content {sha256} has the hash {found}: the file changed, or was damaged on the way"
        )));
    }
    fs::rename(&partial.path, target).map_err(FsError::io("keeping a file of the deploy"))
}

/// Reads a content that was received.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FsError> {
    fs::read(path).map_err(FsError::io("reading a file of the deploy"))
}
