//! Which deployed file answers a path, without touching the disk.

pub use crate::kernel::storage::{Encoding, Encodings, Sha256};

/// A deployed file, as the index in memory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Content as deployed; also a strong ETag (with the encoding's name behind it for a coded answer).
    pub sha256: Sha256,
    /// Size as deployed.
    pub bytes: u64,
    /// `Content-Type`, with `charset=utf-8` for text.
    pub media_type: &'static str,
    /// Its name carries a hash: it may be cached for ever.
    pub immutable: bool,
    /// Sizes of the compressed forms that exist.
    pub encodings: Encodings,
}

/// What the assets say to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetMatch<'a> {
    /// This file.
    Found(&'a File),
    /// A folder with an `index.html`, asked for without the slash at its end: redirect to path + `/`, so that
    /// relative links work.
    Folder,
    /// No file, but the app is a single-page one and the path looks like navigation (no extension): this file
    /// with 200 when the client navigates (`GET`, accepts HTML); otherwise the app's server, or 404.
    Spa(&'a File),
    /// No file; the app's server if it has one, else this page with 404.
    NotFoundPage(&'a File),
    /// No file and no page.
    None,
}
