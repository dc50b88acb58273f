//! Browsers that somebody signed in with before. Such a browser keeps a word that only this server can have
//! made, for one name; what strangers do to that account does not hold it up. It opens nothing: the password is
//! asked for all the same, and its wrong tries are counted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::World;
use super::secret::{Mark, Secret, same};

/// Half random, half the server's word for it: 128 bits each.
const HALF_BYTES: usize = 16;

/// Makes and knows such words.
pub struct Devices {
    key: [u8; 32],
}

impl Devices {
    /// With this key, the same at every start.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn word(&self, name: &str, random: &[u8]) -> [u8; 32] {
        use hmac::{KeyInit as _, Mac as _};
        let Ok(mut mac) = hmac::Hmac::<sha2::Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(random);
        mac.update(name.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// For a browser in which `name` has signed in.
    #[must_use]
    pub fn make(&self, name: &str, world: &dyn World) -> Secret {
        let mut bytes = [0; 2 * HALF_BYTES];
        world.fill(&mut bytes[..HALF_BYTES]);
        let word = self.word(name, &bytes[..HALF_BYTES]);
        bytes[HALF_BYTES..].copy_from_slice(&word[..HALF_BYTES]);
        Secret::of(&bytes)
    }

    /// What tries of this browser at the account `name` are counted by; none: it is a stranger to it.
    #[must_use]
    pub fn knows(&self, shown: &Secret, name: &str) -> Option<Mark> {
        let bytes = URL_SAFE_NO_PAD.decode(shown.expose()).ok()?;
        let (random, said) = bytes.split_at_checked(HALF_BYTES)?;
        same(&self.word(name, random)[..HALF_BYTES], said).then(|| Mark::of(&[b"device", random]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    #[test]
    fn a_browser_is_known_for_one_name_on_one_server() {
        let world = Fixed::at(0);
        let devices = Devices::new([1; 32]);
        let annas = devices.make("anna", &*world);
        assert!(devices.knows(&annas, "anna").is_some());
        assert_ne!(devices.knows(&annas, "anna"), devices.knows(&devices.make("anna", &*world), "anna"));
        assert!(devices.knows(&annas, "berta").is_none());
        assert!(Devices::new([2; 32]).knows(&annas, "anna").is_none());
        assert!(devices.knows(&Secret::new(&*world), "anna").is_none());
    }
}
