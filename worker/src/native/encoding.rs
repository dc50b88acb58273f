//! Text to bytes and back: the encodings of the Encoding standard and forgiving base64.
//!
//! Strings arrive well-formed (the prelude sees to lone surrogates); bytes are hostile.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use rquickjs::{Class, Ctx, Exception, Function, Object, Result, String as JsString, TypedArray, Value};

use crate::sys::{Held, with_bytes, with_bytes_mut};

struct TextDecoder {
    encoding: &'static Encoding,
    fatal: bool,
    ignore_bom: bool,
    /// Gone at the end of a stream; the next call makes a fresh one.
    decoder: Option<Decoder>,
}

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("encode", Function::new(ctx.clone(), encode)?)?;
    natives.set("encodeInto", Function::new(ctx.clone(), encode_into)?)?;
    natives.set("name", Function::new(ctx.clone(), name)?)?;
    natives.set("utf8", Function::new(ctx.clone(), utf8)?)?;
    natives.set("decoder", Function::new(ctx.clone(), decoder)?)?;
    natives.set("decode", Function::new(ctx.clone(), decode)?)?;
    natives.set("atob", Function::new(ctx.clone(), atob)?)?;
    natives.set("btoa", Function::new(ctx.clone(), btoa)?)
}

fn encode<'js>(ctx: Ctx<'js>, text: JsString<'js>) -> Result<TypedArray<'js, u8>> {
    let text = text.to_cstring()?;
    TypedArray::new_copy(ctx, text.as_str().as_bytes())
}

/// Writes as much as fits (nothing where the memory is gone); `counts` (a Uint32Array of 2) takes UTF-16 units read and bytes written.
fn encode_into<'js>(text: JsString<'js>, into: Value<'js>, counts: Value<'js>) -> Result<()> {
    let text = text.to_cstring()?;
    let text = text.as_str();
    let (read, written) = with_bytes_mut(&into, |bytes| {
        let mut end = text.len().min(bytes.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        (text[..end].encode_utf16().count(), end)
    })
    .unwrap_or_default();
    with_bytes_mut(&counts, |out| {
        if let Some(out) = out.first_chunk_mut::<8>() {
            out[..4].copy_from_slice(&(read as u32).to_ne_bytes());
            out[4..].copy_from_slice(&(written as u32).to_ne_bytes());
        }
    });
    Ok(())
}

/// The name of the encoding behind a label, lower case; nothing for unknown labels and the replacement.
fn name(label: String) -> Option<String> {
    Encoding::for_label_no_replacement(label.as_bytes()).map(|encoding| encoding.name().to_ascii_lowercase())
}

/// UTF-8 at one go. Nothing: `fatal` and malformed.
fn utf8<'js>(
    ctx: Ctx<'js>,
    bytes: Value<'js>,
    fatal: bool,
    ignore_bom: bool,
) -> Result<Option<JsString<'js>>> {
    let text = with_bytes(&bytes, |bytes| {
        let bytes = if ignore_bom { bytes } else { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) };
        match std::str::from_utf8(bytes) {
            Ok(text) => JsString::from_str(ctx.clone(), text).map(Some),
            Err(_) if fatal => Ok(None),
            Err(_) => {
                let text = UTF_8.decode_without_bom_handling(bytes).0;
                JsString::from_str(ctx.clone(), &text).map(Some)
            }
        }
    });
    text.unwrap_or_else(|| JsString::from_str(ctx.clone(), "").map(Some))
}

fn decoder<'js>(
    ctx: Ctx<'js>,
    label: String,
    fatal: bool,
    ignore_bom: bool,
) -> Result<Class<'js, Held<TextDecoder>>> {
    let encoding = Encoding::for_label(label.as_bytes())
        .ok_or_else(|| Exception::throw_range(&ctx, "there is no such encoding"))?;
    Class::instance(ctx, Held(TextDecoder { encoding, fatal, ignore_bom, decoder: None }))
}

/// The next piece of a stream. Nothing: `fatal` and malformed; the decoder starts anew.
fn decode<'js>(
    ctx: Ctx<'js>,
    state: Class<'js, Held<TextDecoder>>,
    bytes: Value<'js>,
    last: bool,
) -> Result<Option<JsString<'js>>> {
    let mut state = state.try_borrow_mut()?;
    let state = &mut state.0;
    let (encoding, ignore_bom) = (state.encoding, state.ignore_bom);
    let mut decoder = state.decoder.take().unwrap_or_else(|| {
        if ignore_bom {
            encoding.new_decoder_without_bom_handling()
        } else {
            encoding.new_decoder_with_bom_removal()
        }
    });
    let fatal = state.fatal;
    let text = with_bytes(&bytes, |bytes| run(&mut decoder, bytes, fatal, last)).unwrap_or_else(|| {
        // A detached buffer has no bytes.
        run(&mut decoder, &[], fatal, last)
    });
    let Some(text) = text else { return Ok(None) };
    if !last {
        state.decoder = Some(decoder);
    }
    JsString::from_str(ctx, &text).map(Some)
}

fn run(decoder: &mut Decoder, bytes: &[u8], fatal: bool, last: bool) -> Option<String> {
    let room = if fatal {
        decoder.max_utf8_buffer_length_without_replacement(bytes.len())
    } else {
        decoder.max_utf8_buffer_length(bytes.len())
    };
    let mut text = String::with_capacity(room?);
    if fatal {
        match decoder.decode_to_string_without_replacement(bytes, &mut text, last).0 {
            DecoderResult::InputEmpty => Some(text),
            DecoderResult::Malformed(..) | DecoderResult::OutputFull => None,
        }
    } else {
        let _ = decoder.decode_to_string(bytes, &mut text, last);
        Some(text)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn value_of(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Forgiving base64 decode; nothing when it is not base64.
fn atob<'js>(ctx: Ctx<'js>, text: JsString<'js>) -> Result<Option<JsString<'js>>> {
    let text = text.to_cstring()?;
    let mut data: Vec<u8> = text
        .as_str()
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'))
        .collect();
    if data.len().is_multiple_of(4) {
        for _ in 0..2 {
            if data.last() == Some(&b'=') {
                data.pop();
            }
        }
    }
    if data.len() % 4 == 1 {
        return Ok(None);
    }
    // Each byte is one code unit below 256: at most two bytes of UTF-8.
    let mut out = String::with_capacity(data.len());
    for group in data.chunks(4) {
        let mut bits = 0;
        for byte in group {
            let Some(value) = value_of(*byte) else { return Ok(None) };
            bits = bits << 6 | value;
        }
        bits <<= 6 * (4 - group.len());
        for at in 0..group.len() - 1 {
            out.push(char::from((bits >> (16 - 8 * at)) as u8));
        }
    }
    JsString::from_str(ctx, &out).map(Some)
}

/// Base64 of a string of code units below 256; nothing when one is above.
fn btoa<'js>(ctx: Ctx<'js>, text: JsString<'js>) -> Result<Option<JsString<'js>>> {
    let text = text.to_cstring()?;
    let mut bytes = Vec::with_capacity(text.as_str().len());
    for unit in text.as_str().chars() {
        let Ok(byte) = u8::try_from(u32::from(unit)) else { return Ok(None) };
        bytes.push(byte);
    }
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) & 63;
            out.push(if at <= group.len() { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    JsString::from_str(ctx, &out).map(Some)
}
