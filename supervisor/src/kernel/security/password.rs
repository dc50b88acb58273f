//! Passwords: argon2id, as OWASP recommends it for little memory. Hashing takes tens of milliseconds and
//! [`MEMORY_KIB`]: on a blocking thread, few at a time.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use unicode_normalization::UnicodeNormalization as _;

use super::World;
use super::secret::same;

/// Memory of one hash: OWASP's smallest recommendation that needs no more than two passes. Two at once are
/// 38 MiB of a server of 1 GB.
pub const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Fewest letters of a password. There is no rule about which letters: they make passwords worse.
pub const LETTERS_MIN: usize = 10;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What is wrong with a password that somebody chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Short.
    #[error("a password has at least {LETTERS_MIN} characters")]
    Short,
    /// Long.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    Long,
    /// The user's name, or one character again and again.
    #[error("this password is too easy to guess")]
    Guessable,
}

/// Whether a password may be chosen by the user `name`.
///
/// # Errors
/// When not.
pub fn acceptable(password: &str, name: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::Long);
    }
    if password.chars().count() < LETTERS_MIN {
        return Err(PasswordError::Short);
    }
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    let varied = lower.chars().any(|letter| Some(letter) != first);
    // What is left without the name and digits must still be something.
    let rest: String = lower.replace(name, "").chars().filter(|letter| !letter.is_ascii_digit()).collect();
    if !varied || (lower.contains(name) && rest.chars().count() < 4) || COMMON.contains(&lower.as_str()) {
        return Err(PasswordError::Guessable);
    }
    Ok(())
}

/// Those of the most used passwords that are long enough to be chosen at all.
const COMMON: &[&str] = &[
    "1234567890",
    "12345678910",
    "123456789012",
    "0123456789",
    "0987654321",
    "password123",
    "password1234",
    "passwordpassword",
    "qwertyuiop",
    "qwerty12345",
    "qwertyuiop123",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "iloveyou123",
    "changeme123",
    "letmein1234",
    "adminadmin",
    "administrator",
    "welcome123",
    "abcdefghij",
    "1111111111",
    "passw0rd123",
    "p@ssw0rd123",
    "trustno1trustno1",
];

/// The hash to store, with its salt and parameters in text.
#[must_use]
pub fn hash(password: &str, world: &dyn World) -> String {
    let mut salt = [0; SALT_BYTES];
    world.fill(&mut salt);
    let hash = compute(password, &salt, MEMORY_KIB, PASSES).unwrap_or_default();
    format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(hash)
    )
}

/// A hash of no password: for a user who is not there, so that the answer takes as long.
#[must_use]
pub fn nobody() -> String {
    format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${}${}",
        STANDARD_NO_PAD.encode([0; SALT_BYTES]),
        STANDARD_NO_PAD.encode([0; HASH_BYTES])
    )
}

/// Whether `password` is what `stored` was made of.
#[must_use]
pub fn verify(password: &str, stored: &str) -> bool {
    let Some((memory, passes, salt, expected)) = read(stored) else { return false };
    let given: &str = if password.len() <= PASSWORD_BYTES_MAX { password } else { "" };
    compute(given, &salt, memory, passes).is_some_and(|hash| same(&hash, &expected)) && !given.is_empty()
}

fn compute(password: &str, salt: &[u8], memory: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, 1, Some(HASH_BYTES)).ok()?;
    // The same letters typed on another keyboard may come composed otherwise.
    let password: String = password.nfkc().collect();
    let mut out = [0; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, &mut out).ok()?;
    Some(out)
}

/// Memory, passes, salt and hash of a stored text. Bounded: a damaged database does not take the memory.
fn read(stored: &str) -> Option<(u32, u32, Vec<u8>, Vec<u8>)> {
    let mut parts = stored.strip_prefix("$argon2id$v=19$")?.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut costs = costs.split(',');
    let memory = costs.next()?.strip_prefix("m=")?.parse().ok().filter(|memory| *memory <= 65_536)?;
    let passes = costs.next()?.strip_prefix("t=")?.parse().ok().filter(|passes| *passes <= 10)?;
    (costs.next()? == "p=1" && costs.next().is_none() && parts.next().is_none()).then_some(())?;
    let salt = STANDARD_NO_PAD.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?;
    let hash = STANDARD_NO_PAD.decode(hash).ok().filter(|hash| hash.len() == HASH_BYTES)?;
    Some((memory, passes, salt, hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    #[test]
    fn a_password_opens_what_it_was_stored_for_and_nothing_else() {
        let world = Fixed::at(0);
        let stored = hash("correct horse", &*world);
        assert_ne!(stored, hash("correct horse", &*world), "salted");
        assert!(verify("correct horse", &stored));
        for wrong in ["correct horsf", "", "Correct horse", &"x".repeat(5_000)] {
            assert!(!verify(wrong, &stored), "{wrong:.20}");
        }
        // Composed and decomposed letters are the same password.
        assert!(verify("e\u{301}tage dix-neuf", &hash("étage dix-neuf", &*world)));
        assert!(!verify("", &nobody()) && !verify("anything", &nobody()));
    }

    #[test]
    fn a_damaged_hash_opens_nothing_and_takes_no_memory() {
        let good = hash("correct horse", &*Fixed::at(0));
        for bad in [
            "",
            "plain",
            &good.replace("m=19456", "m=4000000"),
            &good.replace("t=2", "t=4000000"),
            &good.replace("p=1", "p=8"),
            &good.replace("argon2id", "argon2i"),
            &good[..good.len() - 2],
            &format!("{good}$x"),
        ] {
            assert!(!verify("correct horse", bad), "{bad}");
        }
    }

    #[test]
    fn passwords_that_are_guessed_first_are_refused() {
        for (password, expect) in [
            ("short", Err(PasswordError::Short)),
            ("aaaaaaaaaaaa", Err(PasswordError::Guessable)),
            ("Password123", Err(PasswordError::Guessable)),
            ("annaanna1234", Err(PasswordError::Guessable)),
            ("correct horse battery", Ok(())),
            ("ñandú ñandú", Ok(())),
        ] {
            assert_eq!(acceptable(password, "anna"), expect, "{password}");
        }
        assert_eq!(acceptable(&"ab".repeat(600), "anna"), Err(PasswordError::Long));
    }
}
