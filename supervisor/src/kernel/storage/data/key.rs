//! Ordering keys: any JSON value as bytes that compare as the value does.
//!
//! ```text
//! missing < null < false < true < NaN < number < bigint < date < string < bytes < list < object
//! ```
//! A key is one tag byte and a payload. Index columns hold keys, so that one kind of comparison, of bytes,
//! serves every type, and a missing field is a value like any other.

use base64::Engine;
use sha2::{Digest, Sha256};

use super::json;
use super::limits::ORDER_KEY_BYTES;

/// Tags, in order. The gaps are room for types to come.
pub(super) mod tag {
    pub const MISSING: u8 = 0x00;
    pub const NULL: u8 = 0x10;
    pub const FALSE: u8 = 0x18;
    pub const TRUE: u8 = 0x20;
    pub const NAN: u8 = 0x26;
    pub const NUMBER: u8 = 0x28;
    pub const BIGINT: u8 = 0x30;
    pub const NO_DATE: u8 = 0x37;
    pub const DATE: u8 = 0x38;
    pub const STRING: u8 = 0x40;
    pub const BYTES: u8 = 0x48;
    pub const LIST: u8 = 0x50;
    pub const OBJECT: u8 = 0x58;
}

/// Key of a field that is not there.
pub(super) const MISSING: &[u8] = &[tag::MISSING];
/// Key of `null`.
pub(super) const NULL: &[u8] = &[tag::NULL];

/// Key of the value at a path; [`MISSING`] where there is none.
pub(super) fn at(body: &str, path: &[&str]) -> Vec<u8> {
    json::find(body, path).map_or_else(|| MISSING.to_vec(), of)
}

/// Key of a value that was checked. Long ones are cut: the order among values that share their first
/// [`ORDER_KEY_BYTES`] is that of a hash, and equal keys are equal values.
pub(super) fn of(value: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    write(value, &mut key);
    if key.len() > ORDER_KEY_BYTES {
        let hash: [u8; 32] = Sha256::digest(&key).into();
        key.truncate(ORDER_KEY_BYTES);
        key.extend_from_slice(&hash[..16]);
    }
    key
}

/// Smallest and first larger tag of the values that compare with one of this tag by size; none: such a value
/// is not smaller or larger than another.
pub(super) fn class(of: u8) -> Option<(u8, u8)> {
    match of {
        tag::FALSE | tag::TRUE => Some((tag::FALSE, tag::TRUE + 1)),
        tag::NUMBER | tag::BIGINT | tag::DATE | tag::STRING | tag::BYTES => Some((of, of + 1)),
        _ => None,
    }
}

/// The payload of a number: its bits, turned so that they compare as bytes.
pub(super) fn number(number: f64, key: &mut Vec<u8>) {
    if number.is_nan() {
        key.push(tag::NAN);
        return;
    }
    key.push(tag::NUMBER);
    // Adding zero turns -0 into 0.
    let bits = (number + 0.0).to_bits();
    let turned = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    key.extend_from_slice(&turned.to_be_bytes());
}

fn write(value: &str, key: &mut Vec<u8>) {
    match value.as_bytes().first() {
        Some(b'n') => key.push(tag::NULL),
        Some(b'f') => key.push(tag::FALSE),
        Some(b't') => key.push(tag::TRUE),
        Some(b'"') => {
            key.push(tag::STRING);
            key.extend_from_slice(json::unquote(value).unwrap_or_default().as_bytes());
        }
        Some(b'[') => {
            key.push(tag::LIST);
            for item in json::items(value).unwrap_or_default() {
                part(item, key);
            }
        }
        Some(b'{') => object(value, key),
        _ => number(value.parse().unwrap_or(f64::NAN), key),
    }
}

fn object(value: &str, key: &mut Vec<u8>) {
    let mut entries = json::entries(value).unwrap_or_default();
    if let [(name, inner)] = &entries[..]
        && json::special(name)
    {
        special(name, inner, key);
        return;
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    key.push(tag::OBJECT);
    for (name, inner) in entries {
        key.extend_from_slice(&length(name.len()));
        key.extend_from_slice(name.as_bytes());
        part(inner, key);
    }
}

/// A value inside another: its key with its length in front, so that no two different lists have one key.
fn part(value: &str, key: &mut Vec<u8>) {
    let start = key.len();
    key.extend_from_slice(&[0; 4]);
    write(value, key);
    let bytes = length(key.len() - start - 4);
    key[start..start + 4].copy_from_slice(&bytes);
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn special(name: &str, value: &str, key: &mut Vec<u8>) {
    let text = json::unquote(value).unwrap_or_default();
    match name {
        "$date" => match value.parse::<i64>() {
            Ok(ms) => {
                key.push(tag::DATE);
                key.extend_from_slice(&(ms.cast_unsigned() ^ 1 << 63).to_be_bytes());
            }
            Err(_) => key.push(tag::NO_DATE),
        },
        "$bytes" => {
            key.push(tag::BYTES);
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
            key.extend_from_slice(&bytes.unwrap_or_default());
        }
        "$bigint" => bigint(&text, key),
        _ => number(
            match &*text {
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                "-0" => 0.0,
                _ => f64::NAN,
            },
            key,
        ),
    }
}

/// More digits are larger, and smaller where the sign is negative.
fn bigint(text: &str, key: &mut Vec<u8>) {
    key.push(tag::BIGINT);
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let start = key.len();
    key.push(1);
    key.extend_from_slice(&u16::try_from(digits.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(digits.as_bytes());
    if negative {
        key[start] = 0;
        key[start + 1..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// The smallest key that is larger than every key that starts with this one.
pub(super) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    end
}

/// Whether a list holds the value of this key, or a text holds the text of this key.
pub(super) fn contains(body: &str, path: &[&str], wanted: &[u8]) -> bool {
    let Some(value) = json::find(body, path) else { return false };
    match value.as_bytes().first() {
        Some(b'[') => json::items(value).unwrap_or_default().into_iter().any(|item| of(item) == wanted),
        Some(b'"') if wanted.first() == Some(&tag::STRING) && wanted.len() <= ORDER_KEY_BYTES => {
            let text = json::unquote(value).unwrap_or_default();
            std::str::from_utf8(&wanted[1..]).is_ok_and(|part| text.contains(part))
        }
        _ => false,
    }
}
