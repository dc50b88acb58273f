//! Percent-encode sets of the URL standard.

use std::fmt::Write as _;

/// Which ASCII characters beyond the C0 controls and U+007F are encoded; what is not ASCII always is.
#[derive(Clone, Copy)]
pub(super) struct Set(&'static str);

pub(super) const C0: Set = Set("");
pub(super) const FRAGMENT: Set = Set(" \"<>`");
pub(super) const QUERY: Set = Set(" \"#<>");
pub(super) const SPECIAL_QUERY: Set = Set(" \"#<>'");
pub(super) const PATH: Set = Set(" \"#<>?`{}");
pub(super) const USERINFO: Set = Set(" \"#<>?^`{}/:;=@[\\]|");

impl Set {
    fn holds(self, byte: u8) -> bool {
        !(0x20..0x7f).contains(&byte) || self.0.as_bytes().contains(&byte)
    }
}

/// Appends `text` in UTF-8 with the bytes of `set` encoded.
pub(super) fn encode(text: &str, set: Set, out: &mut String) {
    for byte in text.bytes() {
        if set.holds(byte) {
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(char::from(byte));
        }
    }
}

/// Percent-decodes; what is not UTF-8 afterwards becomes U+FFFD.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}
