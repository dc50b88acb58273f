//! The frame: a 16-byte header and at most 64 KiB of body.
//!
//! ```text
//! 0        4      5       6        8          12       16
//! | len u32 | type | flags | 0 u16 | stream u32 | 0 u32 | body …
//! ```
//! Little-endian. `len` is the length of the body. The decoder looks at the header alone and says how many
//! bytes follow, so that nobody allocates for a length that has not been checked.

use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES};

/// The body is the last of its stream in this direction.
pub const FLAG_END: u8 = 1;

/// A checked header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of body that follow, at most [`FRAME_BODY_BYTES_MAX`].
    pub body_bytes: u32,
    /// Message type; whether it exists and is legal now is for [`crate::wire`] to say.
    pub kind: u8,
    /// [`FLAG_END`] or nothing.
    pub end: bool,
    /// Stream; 0 is the connection itself.
    pub stream: u32,
}

/// Why a header is refused. The peer is killed: there is no way to find the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced body is too long.
    #[error("frame announces {0} bytes; at most {FRAME_BODY_BYTES_MAX} are allowed")]
    TooLong(u32),
    /// A bit that must be zero is not.
    #[error("reserved bits of a frame header are not zero")]
    Reserved,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// When the length is over the bound or a reserved bit is set.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, FrameError> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let body_bytes = u32_at(0);
        if body_bytes as usize > FRAME_BODY_BYTES_MAX {
            return Err(FrameError::TooLong(body_bytes));
        }
        if bytes[5] & !FLAG_END != 0 || bytes[6] != 0 || bytes[7] != 0 || u32_at(12) != 0 {
            return Err(FrameError::Reserved);
        }
        Ok(Self { body_bytes, kind: bytes[4], end: bytes[5] == FLAG_END, stream: u32_at(8) })
    }

    /// Writes a header.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = if self.end { FLAG_END } else { 0 };
        bytes[8..12].copy_from_slice(&self.stream.to_le_bytes());
        bytes
    }
}

/// Looks for a whole frame at the start of `buffer`. `None`: more bytes are needed.
///
/// # Errors
/// When the header is refused; nothing after it can be trusted.
pub fn split(buffer: &[u8]) -> Result<Option<(Header, &[u8])>, FrameError> {
    let Some(head) = buffer.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
    let header = Header::decode(head)?;
    let end = FRAME_HEADER_BYTES + header.body_bytes as usize;
    Ok(buffer.get(FRAME_HEADER_BYTES..end).map(|body| (header, body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_golden_header() {
        let header = Header { body_bytes: 5, kind: 0x90, end: true, stream: 3 };
        assert_eq!(header.encode(), [5, 0, 0, 0, 0x90, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_long_or_dirty_header_is_refused() {
        let good = Header { body_bytes: 1, kind: 1, end: false, stream: 0 }.encode();
        for (at, value, error) in [
            (2, 2, FrameError::TooLong(0x2_0001)),
            (5, 2, FrameError::Reserved),
            (6, 1, FrameError::Reserved),
            (7, 1, FrameError::Reserved),
            (12, 1, FrameError::Reserved),
            (15, 0x80, FrameError::Reserved),
        ] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Header::decode(&bad), Err(error), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_sixteen_bytes_are_refused_or_survive(bytes: [u8; FRAME_HEADER_BYTES]) {
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
