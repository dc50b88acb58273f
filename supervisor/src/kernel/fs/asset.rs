//! Which deployed file answers a path, without touching the disk.

use std::fmt;

/// SHA-256 of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Sha256 {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// From 64 digits of lowercase hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

/// How a content is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// As deployed.
    Identity,
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Encoding {
    /// Value of `Content-Encoding`; none for identity.
    #[must_use]
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }
}

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

/// Sizes of compressed forms; 0: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encodings {
    /// gzip
    pub gzip: u32,
    /// br
    pub brotli: u32,
    /// zstd
    pub zstd: u32,
}

impl Encodings {
    /// Size in this form, if there is one.
    #[must_use]
    pub const fn bytes(&self, encoding: Encoding) -> Option<u32> {
        let bytes = match encoding {
            Encoding::Identity => return None,
            Encoding::Gzip => self.gzip,
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
        };
        if bytes == 0 { None } else { Some(bytes) }
    }
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
