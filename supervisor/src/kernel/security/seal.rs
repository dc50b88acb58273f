//! Values that lie in a database sealed: AES-256-GCM under a key that does not lie there. What a value belongs to
//! is bound into its seal, so that one copied to another place in the database does not open.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};

/// How a sealed value begins: the form of the rest.
const FORM: u8 = 1;
/// A nonce is random: the chance that two are equal stays under 2^-32 for 2^32 seals under one key.
const NONCE_BYTES: usize = 12;

/// Seals and opens.
pub struct Sealer(Aes256Gcm);

impl Sealer {
    /// Under this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Seals a value for `place`; `nonce` must be random. None: it is longer than the cipher takes (64 GiB).
    #[must_use]
    pub fn seal(&self, place: &[u8], nonce: [u8; NONCE_BYTES], value: &[u8]) -> Option<Vec<u8>> {
        let sealed = self.0.encrypt(&nonce.into(), Payload { msg: value, aad: place }).ok()?;
        Some([&[FORM][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for `place`. None: it was not, or not under this key, or was changed.
    #[must_use]
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (&FORM, sealed) = sealed.split_first()? else { return None };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.0.decrypt(nonce.into(), Payload { msg: sealed, aad: place }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_in_its_place_and_whole_alone() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(b"app_1 KEY", [3; 12], b"secret").expect("short");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(sealer.open(b"app_1 KEY", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(sealer.open(b"app_2 KEY", &sealed), None, "another app's");
        assert_eq!(Sealer::new(&[8; 32]).open(b"app_1 KEY", &sealed), None, "another server's");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(b"app_1 KEY", &changed), None, "byte {at}");
            assert_eq!(sealer.open(b"app_1 KEY", &sealed[..at]), None, "{at} bytes of it");
        }
    }

    /// Test case 16 of the cipher's specification (McGrew and Viega, 2004), in the frame that is stored.
    #[test]
    fn the_cipher_is_the_one_that_is_named() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
                .collect()
        };
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = hex("cafebabefacedbaddecaf888");
        let value = hex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let place = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let expect = hex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        );
        let sealer = Sealer::new(&key.try_into().expect("32 bytes"));
        let sealed = sealer.seal(&place, nonce.clone().try_into().expect("12 bytes"), &value).expect("short");
        assert_eq!(sealed, [vec![FORM], nonce, expect].concat());
    }
}
