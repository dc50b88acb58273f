//! Positions of stripped code in its source, as deltas: about two bytes for each token.

/// From here on in the code, this is the place in the source. All counts are from 0; columns count UTF-16
/// code units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// Line of the code.
    pub line: u32,
    /// Column of the code.
    pub column: u32,
    /// Line of the source.
    pub source_line: u32,
    /// Column of the source.
    pub source_column: u32,
}

/// Bytes that are not positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed source positions")]
pub struct MapError;

impl Mapping {
    /// Writes positions, which must be sorted by place in the code.
    #[must_use]
    pub fn encode(mappings: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(mappings.len() * 4);
        let mut last = Self { line: 0, column: 0, source_line: 0, source_column: 0 };
        for mapping in mappings {
            let lines = mapping.line - last.line;
            put(&mut bytes, lines);
            put(&mut bytes, if lines == 0 { mapping.column - last.column } else { mapping.column });
            put_signed(&mut bytes, mapping.source_line, last.source_line);
            put_signed(&mut bytes, mapping.source_column, last.source_column);
            last = *mapping;
        }
        bytes
    }

    /// Reads positions that came out of a jail.
    ///
    /// # Errors
    /// When the bytes are not what [`Self::encode`] writes.
    pub fn decode(mut bytes: &[u8]) -> Result<Vec<Self>, MapError> {
        let mut mappings = Vec::new();
        let mut last = Self { line: 0, column: 0, source_line: 0, source_column: 0 };
        while !bytes.is_empty() {
            let lines = take(&mut bytes)?;
            let columns = take(&mut bytes)?;
            let base = if lines == 0 { last.column } else { 0 };
            last = Self {
                line: last.line.checked_add(lines).ok_or(MapError)?,
                column: base.checked_add(columns).ok_or(MapError)?,
                source_line: take_signed(&mut bytes, last.source_line)?,
                source_column: take_signed(&mut bytes, last.source_column)?,
            };
            mappings.push(last);
        }
        Ok(mappings)
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The sign goes into the lowest bit. Lines and columns are far below 2³⁰, so nothing is lost.
fn put_signed(bytes: &mut Vec<u8>, value: u32, last: u32) {
    if value >= last {
        put(bytes, (value - last) << 1);
    } else {
        put(bytes, (last - value) << 1 | 1);
    }
}

fn take(bytes: &mut &[u8]) -> Result<u32, MapError> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(MapError)?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part).ok_or(MapError)?;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(MapError)
}

fn take_signed(bytes: &mut &[u8], last: u32) -> Result<u32, MapError> {
    let value = take(bytes)?;
    let moved = if value & 1 == 0 { last.checked_add(value >> 1) } else { last.checked_sub(value >> 1) };
    moved.ok_or(MapError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_survive(mut places in proptest::collection::vec((0u32..5000, 0u32..5000, 0u32..5000, 0u32..5000), 0..50)) {
            places.sort_unstable();
            let mappings: Vec<_> = places
                .into_iter()
                .map(|(line, column, source_line, source_column)| Mapping { line, column, source_line, source_column })
                .collect();
            prop_assert_eq!(Mapping::decode(&Mapping::encode(&mappings)), Ok(mappings));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            if let Ok(mappings) = Mapping::decode(&bytes) {
                prop_assert!(mappings.is_sorted_by_key(|m| (m.line, m.column)));
            }
        }
    }
}
