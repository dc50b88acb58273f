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

/// The encoding of a value that may take several frames.
///
/// # Errors
/// When it is longer than `bytes_max`; nothing is allocated for it then.
pub fn encode_long<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = postcard::serialize_with_flavor(value, Count(0)).map_err(CodecError::Malformed)?;
    if bytes > bytes_max {
        return Err(CodecError::TooLong(bytes));
    }
    postcard::to_extend(value, Vec::with_capacity(bytes)).map_err(CodecError::Malformed)
}

/// Counts what an encoding would take.
struct Count(usize);

impl postcard::ser_flavors::Flavor for Count {
    type Output = usize;
    fn try_push(&mut self, _: u8) -> postcard::Result<()> {
        self.0 += 1;
        Ok(())
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 += bytes.len();
        Ok(())
    }
    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.0)
    }
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
