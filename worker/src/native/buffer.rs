//! Bytes to text and back for `Buffer` and for keys in JSON: base64, hex, Latin-1, UTF-16. Also searching.

use rquickjs::{ArrayBuffer, Ctx, Function, Object, Result, String as JsString, Value};

use crate::sys;

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("toText", Function::new(ctx.clone(), to_text)?)?;
    natives.set("fromText", Function::new(ctx.clone(), from_text)?)?;
    natives.set("find", Function::new(ctx.clone(), find)?)?;
    natives.set("compare", Function::new(ctx.clone(), compare)?)
}

/// The text of some bytes. Nothing for an unknown encoding or what is no buffer.
fn to_text<'js>(ctx: Ctx<'js>, bytes: Value<'js>, encoding: String) -> Result<Option<JsString<'js>>> {
    let text = sys::with_bytes(&bytes, |bytes| match encoding.as_str() {
        "base64" => Some(base64(bytes, STANDARD, true)),
        "base64url" => Some(base64(bytes, URL_SAFE, false)),
        "hex" => Some(bytes.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()),
        "latin1" => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        "ascii" => Some(bytes.iter().map(|&byte| char::from(byte & 0x7f)).collect()),
        "utf8" => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    });
    text.flatten().map(|text| JsString::from_str(ctx, &text)).transpose()
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

fn base64(bytes: &[u8], alphabet: &[u8; 64], pad: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(alphabet[(word >> (18 - 6 * place) & 63) as usize]));
        }
        if pad {
            text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
        }
    }
    text
}

/// The bytes of a text, as Node reads it: both alphabets of base64, other characters passed over, the rest after `=`
/// left; hex up to the first pair that is none.
fn from_text<'js>(ctx: Ctx<'js>, text: JsString<'js>, encoding: String) -> Result<Option<ArrayBuffer<'js>>> {
    let text = text.to_cstring()?;
    let text = text.as_str();
    let bytes = match encoding.as_str() {
        "base64" | "base64url" => unbase64(text),
        "hex" => text
            .as_bytes()
            .chunks_exact(2)
            .map_while(|pair| {
                let digit = |at: usize| char::from(pair[at]).to_digit(16);
                u8::try_from(digit(0)? << 4 | digit(1)?).ok()
            })
            .collect(),
        #[expect(clippy::cast_possible_truncation, reason = "the low byte is what Latin-1 keeps")]
        "latin1" => text.encode_utf16().map(|unit| unit as u8).collect(),
        "utf8" => text.as_bytes().to_vec(),
        _ => return Ok(None),
    };
    ArrayBuffer::new_copy(ctx, bytes).map(Some)
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        word = word << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            #[expect(clippy::cast_possible_truncation, reason = "eight bits at a time")]
            bytes.push((word >> bits) as u8);
        }
    }
    bytes
}

/// Where `needle` starts at or after `from`, or -1.
fn find<'js>(haystack: Value<'js>, needle: Value<'js>, from: usize) -> f64 {
    let found = sys::with_bytes(&haystack, |haystack| {
        sys::with_bytes(&needle, |needle| {
            let rest = haystack.get(from..)?;
            memchr::memmem::find(rest, needle).map(|at| at + from)
        })
    });
    #[expect(clippy::cast_precision_loss, reason = "a buffer is far shorter than 2^53")]
    found.flatten().flatten().map_or(-1.0, |at| at as f64)
}

fn compare<'js>(a: Value<'js>, b: Value<'js>) -> i32 {
    let order = sys::with_bytes(&a, |a| sys::with_bytes(&b, |b| a.cmp(b) as i32));
    order.flatten().unwrap_or(0)
}
