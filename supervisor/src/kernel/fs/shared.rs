//! What all apps share: databases, jails, caches.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fazt_ipc::ids::AppId;

use super::asset::{Encoding, File, Sha256};
use super::builder::{Builder, Prepare, Trial};
use super::cache::Cache;
use super::code::Code;
use super::error::FsError;
use super::outbound::Outbound;
use super::timetable::Timetable;
use super::{CONTENT_WHOLE_BYTES_MAX, Fs, FsOptions, grants};
use crate::kernel::storage::{GrantRow, Storage};

/// Code of recently woken apps, ready to be sent.
const CODE_CACHE_BYTES_MAX: usize = 8 << 20;

pub(super) struct Shared {
    pub(super) storage: Arc<Storage>,
    pub(super) timetable: Arc<Timetable>,
    pub(super) builder: Arc<dyn Builder>,
    pub(super) options: FsOptions,
    /// By hash alone: equal bytes of two apps are one entry, and only an index that names the hash asks.
    pub(super) contents: Cache<(Sha256, Encoding), Bytes>,
    pub(super) grants: grants::Book,
    pub(super) codes: Cache<(AppId, u64), Arc<Code>>,
    /// The way to servers elsewhere.
    pub(super) outbound: OnceLock<Arc<dyn Outbound>>,
    /// All apps: for those who are asked about another one.
    pub(super) fs: OnceLock<Weak<Fs>>,
    /// Jails for what comes from elsewhere.
    pub(super) prepare: OnceLock<Arc<dyn Prepare>>,
    /// Whoever tries what comes from elsewhere.
    pub(super) trial: OnceLock<Arc<dyn Trial>>,
}

impl Shared {
    pub(super) fn new(
        storage: Arc<Storage>,
        builder: Arc<dyn Builder>,
        options: FsOptions,
        grants: Vec<(AppId, GrantRow)>,
    ) -> Self {
        Self {
            timetable: Arc::new(Timetable::new(Arc::clone(&storage))),
            storage,
            builder,
            contents: Cache::new(options.content_cache_bytes_max),
            codes: Cache::new(CODE_CACHE_BYTES_MAX),
            grants: grants::Book::new(grants),
            options,
            outbound: OnceLock::new(),
            fs: OnceLock::new(),
            prepare: OnceLock::new(),
            trial: OnceLock::new(),
        }
    }

    pub(super) async fn content(
        &self,
        app: AppId,
        file: &File,
        encoding: Encoding,
    ) -> Result<Bytes, FsError> {
        let key = (file.sha256, encoding);
        if let Some(bytes) = self.contents.get(&key) {
            return Ok(bytes);
        }
        let bytes = self.range(app, file, encoding, 0, usize::MAX).await?;
        if bytes.len() as u64 <= CONTENT_WHOLE_BYTES_MAX {
            self.contents.put(key, bytes.clone(), bytes.len() + 128);
        }
        Ok(bytes)
    }

    pub(super) async fn range(
        &self,
        app: AppId,
        file: &File,
        encoding: Encoding,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Bytes, FsError> {
        let sha256 = file.sha256;
        let found = self
            .storage
            .read(app, move |cartridge| cartridge.content(sha256, encoding, offset, bytes_max))
            .await?;
        found.map(Bytes::from).ok_or_else(|| FsError::NoFile(sha256.to_string()))
    }
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
