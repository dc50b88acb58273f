//! Values that databases and the layers above them share.

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

/// How a content is coded. The numbers are those of the cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// As deployed.
    Identity = 0,
    /// `gzip`
    Gzip = 1,
    /// `br`
    Brotli = 2,
    /// `zstd`
    Zstd = 3,
}

impl Encoding {
    /// Those that compress.
    pub const COMPRESSED: [Self; 3] = [Self::Gzip, Self::Brotli, Self::Zstd];

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
    /// Size in this form, if there is one. Identity is not asked here.
    #[must_use]
    pub const fn bytes(&self, encoding: Encoding) -> Option<u32> {
        let bytes = match encoding {
            Encoding::Identity => 0,
            Encoding::Gzip => self.gzip,
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
        };
        if bytes == 0 { None } else { Some(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_text_and_nothing_else_is_one() {
        let hash = Sha256::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Sha256::parse(&hash.to_string()), Some(hash));
        assert_eq!(Sha256::parse(&hash.to_string().to_uppercase()), None);
        assert_eq!(Sha256::parse("ba78"), None);
    }
}
