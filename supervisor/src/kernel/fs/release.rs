//! One immutable version of an app in memory: its manifest, the index of its files, its code on demand.

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::control::Access;
use fazt_ipc::ids::{AppId, VersionId};

use super::asset::{AssetMatch, Encoding, File};
use super::code::Code;
use super::error::FsError;
use super::manifest::Manifest;

/// An active version. Requests in flight keep theirs while a deploy puts another in its place.
pub struct Release {
    /// The app.
    pub app: AppId,
    /// The name that routes to it.
    pub name: String,
    /// This version.
    pub version: VersionId,
    /// Counts the deploys from 1.
    pub number: u64,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Who may reach it, the default of the server filled in.
    pub access: Access,
}

impl Release {
    /// What the assets say to this path. `path` starts with `/`, is percent-decoded once, and carries no
    /// query.
    #[must_use]
    pub fn asset(&self, path: &str) -> AssetMatch<'_> {
        let _ = path;
        AssetMatch::None
    }

    /// Whether there is code to run.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.manifest.main.is_some()
    }

    /// A content that is in memory already: the hot path.
    #[must_use]
    pub fn content_cached(&self, file: &File, encoding: Encoding) -> Option<Bytes> {
        let _ = (file, encoding);
        None
    }

    /// A whole content. Small ones stay in memory for a while; for one over
    /// [`CONTENT_WHOLE_BYTES_MAX`](super::CONTENT_WHOLE_BYTES_MAX) use [`Self::content_range`].
    ///
    /// # Errors
    /// When the cartridge cannot be read, or has no such content.
    pub async fn content(&self, file: &File, encoding: Encoding) -> Result<Bytes, FsError> {
        let _ = encoding;
        Err(FsError::NoFile(file.sha256.to_string()))
    }

    /// Some bytes of a content, at most `bytes_max` from `offset`; fewer at its end.
    ///
    /// # Errors
    /// When the cartridge cannot be read, or has no such content.
    pub async fn content_range(
        &self,
        file: &File,
        encoding: Encoding,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Bytes, FsError> {
        let _ = (encoding, offset, bytes_max);
        Err(FsError::NoFile(file.sha256.to_string()))
    }

    /// The modules as a worker is sent them.
    ///
    /// # Errors
    /// When the app has no code, or the cartridge cannot be read.
    pub async fn code(&self) -> Result<Arc<Code>, FsError> {
        Err(FsError::NoVersion(self.name.clone()))
    }
}
