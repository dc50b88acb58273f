//! An object as a change to another: the base's length, the result's, then pieces to copy from the base and pieces
//! that are new.

use super::super::job::Refusal;
use super::super::limits::OBJECT_BYTES_MAX;

fn wrong() -> Refusal {
    Refusal("the pack is damaged: a delta does not fit its base".into())
}

/// What the result's length is said to be.
pub(super) fn result_bytes(delta: &[u8]) -> Result<usize, Refusal> {
    let mut rest = delta;
    size(&mut rest)?;
    size(&mut rest)
}

/// Applies a delta. Nothing is allocated beyond the length that it says, which is bounded.
pub(super) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut rest = delta;
    if size(&mut rest)? != base.len() {
        return Err(wrong());
    }
    let bytes = size(&mut rest)?;
    let mut out = Vec::with_capacity(bytes.min(base.len() + delta.len()));
    while let Some((&op, tail)) = rest.split_first() {
        rest = tail;
        let piece = if op & 0x80 != 0 {
            let mut field = |bits: std::ops::Range<u8>| -> Result<usize, Refusal> {
                let mut value = 0;
                for (at, bit) in bits.enumerate() {
                    if op & 1 << bit != 0 {
                        let (&byte, tail) = rest.split_first().ok_or_else(wrong)?;
                        rest = tail;
                        value |= usize::from(byte) << (8 * at);
                    }
                }
                Ok(value)
            };
            let from = field(0..4)?;
            let length = match field(4..7)? {
                0 => 0x10000,
                length => length,
            };
            base.get(from..from + length).ok_or_else(wrong)?
        } else {
            let length = usize::from(op);
            if length == 0 || length > rest.len() {
                return Err(wrong());
            }
            let (piece, tail) = rest.split_at(length);
            rest = tail;
            piece
        };
        if out.len() + piece.len() > bytes {
            return Err(wrong());
        }
        out.extend_from_slice(piece);
    }
    if out.len() == bytes { Ok(out) } else { Err(wrong()) }
}

/// Seven bits a byte, the lowest first.
fn size(rest: &mut &[u8]) -> Result<usize, Refusal> {
    let mut value = 0usize;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or_else(wrong)?;
        *rest = tail;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return if value <= OBJECT_BYTES_MAX { Ok(value) } else { Err(wrong()) };
        }
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_copied_and_added() {
        let base = b"hello, world";
        // Copy 5 from 0, add "!!", copy 5 from 7.
        let delta = [12, 12, 0x91, 0, 5, 2, b'!', b'!', 0x91, 7, 5];
        assert_eq!(apply(base, &delta).expect("fits"), b"hello!!world");
    }

    #[test]
    fn a_delta_that_does_not_fit_is_refused() {
        let base = b"hello";
        for (why, delta) in [
            ("empty", &[][..]),
            ("another base", &[4, 1, 1, b'x']),
            ("the reserved instruction", &[5, 1, 0]),
            ("more than it says", &[5, 1, 2, b'x', b'y']),
            ("less than it says", &[5, 3, 1, b'x']),
            ("new bytes that are not there", &[5, 9, 9, b'x']),
            ("a copy from behind the end", &[5, 5, 0x91, 3, 5]),
            ("a copy without its length", &[5, 5, 0x91, 3]),
            ("a copy of 64 KiB of five bytes", &[5, 5, 0x80]),
            ("a length without end", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("a length over the bound", &[5, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert!(apply(base, delta).is_err(), "{why}");
        }
    }
}
