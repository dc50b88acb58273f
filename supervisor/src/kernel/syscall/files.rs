//! `fazt.fs.*`: the app's own deployed files. A path that is not there and one that is not the app's are the
//! same answer, because there is nothing else to name.

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::limits::PATH_BYTES_MAX;
use fazt_ipc::syscall::{CallError, EntryKind, ErrorCode, Reply};
use futures_util::future::BoxFuture;

use super::{Answer, Source};
use crate::kernel::fs::{Encoding, File, FsError, Release};

/// `fazt.fs.read`
pub(super) async fn read(release: Arc<Release>, path: &str) -> Result<Answer, CallError> {
    check(path)?;
    let stat = release.stat(path).await.map_err(|error| outsider(&error, path))?;
    if stat.kind == EntryKind::Dir {
        return Err(CallError::new(
            ErrorCode::InvalidArgument,
            format!("`{path}` is a folder; use fazt.fs.list"),
        ));
    }
    let file = release.deployed(path).await.map_err(|error| outsider(&error, path))?;
    Ok(Answer::Bytes(Reply::FsRead(stat), Box::new(Content { release, file, offset: 0 })))
}

/// `fazt.fs.list`
pub(super) async fn list(release: &Release, path: &str) -> Result<Answer, CallError> {
    check(path)?;
    let entries = release.entries(path).await.map_err(|error| outsider(&error, path))?;
    Ok(Answer::Reply(Reply::FsList(entries)))
}

/// `fazt.fs.stat`
pub(super) async fn stat(release: &Release, path: &str) -> Result<Answer, CallError> {
    check(path)?;
    let stat = release.stat(path).await.map_err(|error| outsider(&error, path))?;
    Ok(Answer::Reply(Reply::FsStat(stat)))
}

/// A deployed file, read in pieces.
struct Content {
    release: Arc<Release>,
    file: File,
    offset: u64,
}

impl Source for Content {
    fn next(&mut self, bytes_max: u32) -> BoxFuture<'_, Result<Bytes, CallError>> {
        Box::pin(async move {
            if self.offset >= self.file.bytes {
                return Ok(Bytes::new());
            }
            let bytes = self
                .release
                .content_range(&self.file, Encoding::Identity, self.offset, bytes_max)
                .await
                .map_err(|error| outsider(&error, ""))?;
            self.offset += bytes.len() as u64;
            Ok(bytes)
        })
    }
}

fn check(path: &str) -> Result<(), CallError> {
    if path.len() <= PATH_BYTES_MAX {
        Ok(())
    } else {
        Err(CallError::new(ErrorCode::InvalidArgument, format!("a path has at most {PATH_BYTES_MAX} bytes")))
    }
}

/// What the app learns of an error; the operator's log has the rest.
fn outsider(error: &FsError, path: &str) -> CallError {
    match error {
        FsError::NoFile(_) | FsError::BadPath { .. } => CallError::new(
            ErrorCode::NotFound,
            format!("the app was deployed without `{}`", path.escape_debug()),
        ),
        other => {
            tracing::warn!(error = %other, "a file of an app cannot be read");
            CallError::new(ErrorCode::Unavailable, "the file cannot be read now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_not_found_and_a_broken_disk_says_nothing_of_itself() {
        let error = outsider(&FsError::NoFile("x".into()), "a\u{1b}b");
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(!error.message.contains('\u{1b}'), "{}", error.message);
        let io = FsError::Io { what: "/secret/path".into(), source: std::io::ErrorKind::Other.into() };
        let error = outsider(&io, "a");
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(!error.message.contains("secret"));
    }

    #[test]
    fn a_path_over_its_bound_is_refused_before_the_database_sees_it() {
        assert!(check(&"a".repeat(PATH_BYTES_MAX)).is_ok());
        assert_eq!(
            check(&"a".repeat(PATH_BYTES_MAX + 1)).map_err(|error| error.code),
            Err(ErrorCode::InvalidArgument)
        );
    }
}
