//! Finding the end of the plain part of a string, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the high bit of each byte that is a quote, a backslash, a control character or not ASCII. A borrow can mark a
/// byte above a marked one too, so only the lowest mark counts.
#[inline]
fn special(word: u64) -> u64 {
    let below_space = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (below_space | quote | backslash | word) & HIGHS
}

/// How many bytes from `start` on stand for themselves in a JSON string and are ASCII.
#[inline]
pub(super) fn plain(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let marks = special(u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8])));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8 - start;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if !(0x20..0x80).contains(&byte) || byte == b'"' || byte == b'\\' {
            break;
        }
        at += 1;
    }
    at - start
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
            for at in 0..20 {
                let mut bytes = [b'!'; 20];
                bytes[at] = special;
                assert_eq!(plain(&bytes, 0), at, "{special:#x} at {at}");
            }
        }
        assert_eq!(plain("~ #![]{}\u{7f}".as_bytes(), 0), 9);
    }
}
