//! Typed bodies: postcard, bounded, every byte consumed.

use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BODY_BYTES_MAX;

/// Why a body is not what it should be. A worker that sends such a body is killed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode to the type.
    #[error("malformed body: {0}")]
    Malformed(postcard::Error),
    /// Bytes were left over after the value.
    #[error("{0} bytes after the end of the body")]
    Trailing(usize),
    /// The encoded value does not fit a frame.
    #[error("body of {0} bytes does not fit a frame of {FRAME_BODY_BYTES_MAX}")]
    TooLong(usize),
}

/// Decodes a whole body.
///
/// # Errors
/// When the bytes are not exactly one `T`.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CodecError> {
    let (value, rest) = postcard::take_from_bytes(body).map_err(CodecError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::Trailing(rest.len())) }
}

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// When it does not fit a frame; `out` is then as it was.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let mut whole = postcard::to_extend(value, std::mem::take(out)).map_err(CodecError::Malformed)?;
    let bytes = whole.len() - start;
    if bytes > FRAME_BODY_BYTES_MAX {
        whole.truncate(start);
    }
    *out = whole;
    if bytes > FRAME_BODY_BYTES_MAX { Err(CodecError::TooLong(bytes)) } else { Ok(()) }
}
