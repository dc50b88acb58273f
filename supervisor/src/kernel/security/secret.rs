//! Secrets that we hand out: sessions, links, codes, tokens. Each has 256 random bits, so a plain hash keeps it:
//! what is stored opens nothing. They are looked up by that hash, which tells a clock nothing of the secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

use super::World;

/// Letters of a secret: 32 bytes in base64url.
pub const SECRET_BYTES: usize = 43;

/// A secret in text, before it is given away. Never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    #[must_use]
    pub fn new(world: &dyn World) -> Self {
        let mut bytes = [0; 32];
        world.fill(&mut bytes);
        Self::of(&bytes)
    }

    /// Of bytes that were made to be one.
    pub(super) fn of(bytes: &[u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What somebody presents as one: only its form is looked at.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (text.len() == SECRET_BYTES && letters).then(|| Self(text.to_owned()))
    }

    /// The text, for whom it is made.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be stored.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark::of(&[b"fazt secret", self.0.as_bytes()])
    }

    /// A word that only the holder of this secret and we can say, for one purpose. What a form carries to show
    /// that it was ours.
    #[must_use]
    pub fn word(&self, purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(Mark::of(&[b"fazt word", purpose.as_bytes(), self.0.as_bytes()]).0)
    }

    /// Whether `said` is the word for this purpose, in constant time.
    #[must_use]
    pub fn said(&self, purpose: &str, said: &str) -> bool {
        same(self.word(purpose).as_bytes(), said.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// SHA-256 of a secret: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(pub [u8; 32]);

impl Mark {
    /// Of these parts. Each is preceded by its length, so that no two lists of parts give the same bytes.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// In text, for a URL.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// From that text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        (text.len() == SECRET_BYTES).then_some(())?;
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// Compares in a time that depends on the lengths alone.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    #[test]
    fn a_secret_survives_text_and_its_mark_tells_nothing_of_it() {
        let world = Fixed::at(0);
        let (one, two) = (Secret::new(&*world), Secret::new(&*world));
        assert_ne!(one, two);
        assert_eq!(Secret::read(one.expose()), Some(one.clone()));
        assert_ne!(one.mark(), two.mark());
        assert_eq!(one.expose().len(), SECRET_BYTES);
        assert!(!format!("{one:?} {:?}", one.mark()).contains(one.expose()));
        for bad in ["", "x", &one.expose()[1..], &one.expose().replace(&one.expose()[..1], "é")] {
            assert_eq!(Secret::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_word_is_of_one_secret_and_one_purpose() {
        let world = Fixed::at(0);
        let (one, two) = (Secret::new(&*world), Secret::new(&*world));
        assert!(one.said("form", &one.word("form")));
        assert!(!one.said("form", &two.word("form")));
        assert!(!one.said("form", &one.word("state")));
        assert!(!one.said("form", ""));
    }

    #[test]
    fn parts_cannot_be_moved_into_each_other() {
        assert_ne!(Mark::of(&[b"ab", b"c"]), Mark::of(&[b"a", b"bc"]));
        assert_ne!(Mark::of(&[b"ab"]), Mark::of(&[b"ab", b""]));
    }
}
