//! Codes of an authenticator app: TOTP as RFC 6238 has it, with what every such app can do (SHA-1, 30 seconds,
//! 6 digits). Beside them recovery codes, for whoever lost the device.

use hmac::{KeyInit as _, Mac as _};

use super::World;
use super::secret::{Mark, same};

/// Bytes of a secret: what RFC 4226 recommends for SHA-1.
pub const SECRET_BYTES: usize = 20;
/// Seconds of a step.
const STEP_S: u64 = 30;
/// Steps that a clock may be ahead or behind.
const DRIFT_STEPS: u64 = 1;
const DIGITS: usize = 6;
/// Recovery codes of one user.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of one: 80 bits, so a plain hash keeps it.
const RECOVERY_BYTES: usize = 10;
/// Letters of one, without the hyphens.
const RECOVERY_LETTERS: usize = 16;

/// The code of a step.
fn code(secret: &[u8], step: u64) -> Option<[u8; DIGITS]> {
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(secret).ok()?;
    mac.update(&step.to_be_bytes());
    let hash: [u8; 20] = mac.finalize().into_bytes().into();
    let at = usize::from(hash[19] & 0x0f);
    let word = hash.get(at..at + 4)?.try_into().ok()?;
    let mut number = u32::from_be_bytes(word) & 0x7fff_ffff;
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    Some(digits)
}

/// The step whose code this is, among those around now that come after `last`, the latest that was used. Every
/// candidate is compared in full.
#[must_use]
pub fn step_of(said: &str, secret: &[u8], last: u64, now_ms: u64) -> Option<u64> {
    let now = now_ms / 1_000 / STEP_S;
    let mut found = None;
    for step in now.saturating_sub(DRIFT_STEPS)..=now + DRIFT_STEPS {
        let right = code(secret, step).is_some_and(|code| same(&code, said.as_bytes()));
        if right && step > last {
            found = Some(step);
        }
    }
    found
}

/// What somebody typed as a code of their app: digits, with or without spaces.
#[must_use]
pub fn digits(typed: &str) -> Option<String> {
    let text: String = typed.chars().filter(|letter| !letter.is_whitespace()).take(DIGITS + 1).collect();
    (text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// The code of now, for a test that plays the app.
#[cfg(test)]
pub(crate) fn code_at(secret: &[u8], now_ms: u64) -> String {
    let code = code(secret, now_ms / 1_000 / STEP_S).expect("a code");
    String::from_utf8_lossy(&code).into_owned()
}

/// What an authenticator app reads from a picture.
#[must_use]
pub fn uri(secret: &[u8], host: &str, name: &str) -> String {
    let secret = base32(secret);
    let host: String = form_urlencoded::byte_serialize(host.as_bytes()).collect();
    format!("otpauth://totp/{host}:{name}?secret={secret}&issuer={host}")
}

/// RFC 4648 without padding: what people type in.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut held, mut bits) = (String::new(), 0u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(LETTERS[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(LETTERS[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// Recovery codes as they are shown, and what is stored of each. `of`: whose they are.
#[must_use]
pub fn recovery_codes(of: &str, world: &dyn World) -> Vec<(String, Mark)> {
    let one = |_| {
        let mut bytes = [0; RECOVERY_BYTES];
        world.fill(&mut bytes);
        let letters = base32(&bytes).to_lowercase();
        let mark = recovery_mark(&letters, of);
        let shown = [&letters[..4], &letters[4..8], &letters[8..12], &letters[12..]].join("-");
        (shown, mark)
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// What would be stored of what somebody typed as a recovery code.
#[must_use]
pub fn recovery(typed: &str, of: &str) -> Option<Mark> {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    let letters: String =
        letters.take(RECOVERY_LETTERS + 1).map(|letter| letter.to_ascii_lowercase()).collect();
    let plain = letters.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    (letters.len() == RECOVERY_LETTERS && plain).then(|| recovery_mark(&letters, of))
}

fn recovery_mark(letters: &str, of: &str) -> Mark {
    Mark::of(&[b"recovery", of.as_bytes(), letters.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    /// RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn the_codes_of_the_standard() {
        let secret = b"12345678901234567890";
        for (seconds, expect) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(secret, seconds * 1_000), expect, "{seconds}");
            assert_eq!(step_of(expect, secret, 0, seconds * 1_000), Some(seconds / STEP_S));
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn the_codes_of_the_counter() {
        let expect = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, expect) in expect.iter().enumerate() {
            assert_eq!(
                code(b"12345678901234567890", step as u64).as_ref().map(|c| &c[..]),
                Some(expect.as_bytes())
            );
        }
    }

    #[test]
    fn a_clock_may_be_a_step_off_and_a_code_is_good_once() {
        let secret = [7; SECRET_BYTES];
        let now = 1_000_000 * STEP_S * 1_000;
        for (drift_s, expect) in [(0i64, true), (30, true), (-30, true), (60, false), (-60, false)] {
            let said = code_at(&secret, now.saturating_add_signed(drift_s * 1_000));
            assert_eq!(step_of(&said, &secret, 0, now).is_some(), expect, "{drift_s} s");
        }
        let said = code_at(&secret, now);
        let step = step_of(&said, &secret, 0, now).expect("good");
        assert_eq!(step_of(&said, &secret, step, now), None, "twice");
        let earlier = code_at(&secret, now - 30_000);
        assert_eq!(step_of(&earlier, &secret, step, now), None, "one before it");
        for bad in ["", "12345", "1234567", "abcdef", "٠٠٠٠٠٠"] {
            assert_eq!(step_of(bad, &secret, 0, now), None, "{bad}");
            assert_eq!(digits(bad), None, "{bad}");
        }
        assert_eq!(digits(" 123 456 ").as_deref(), Some("123456"));
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        for (bytes, expect) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), expect);
        }
        assert_eq!(
            uri(b"12345678901234567890", "cloud.example:8443", "anna"),
            "otpauth://totp/cloud.example%3A8443:anna?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=cloud.example%3A8443"
        );
    }

    #[test]
    fn a_recovery_code_may_be_typed_in_any_way_and_is_of_one_user() {
        let codes = recovery_codes("user_1", &*Fixed::at(0));
        assert_eq!(codes.len(), RECOVERY_CODES);
        let (shown, mark) = &codes[0];
        assert_eq!(shown.len(), 19, "{shown}");
        for typed in [shown.clone(), shown.to_uppercase(), shown.replace('-', " "), shown.replace('-', "")] {
            assert_eq!(recovery(&typed, "user_1"), Some(*mark), "{typed}");
        }
        assert_ne!(recovery(shown, "user_2"), Some(*mark));
        for bad in ["", "123456", &shown[1..], &format!("{shown}a"), "aaaa-aaaa-aaaa-aaa1"] {
            assert_eq!(recovery(bad, "user_1"), None, "{bad}");
        }
    }
}
