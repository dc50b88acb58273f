//! Positions of code in what its author wrote, as deltas: about two bytes for each token. A stripped script has one
//! source, which has its own path; a bundle has many, and brings its positions as a source map.

use serde::Deserialize;

/// Sources of one script, and bytes of their names.
const SOURCES_MAX: usize = 20_000;
const SOURCE_BYTES_MAX: usize = 512;
/// What stored positions with sources begin with. A number is never written so long, so that no others do.
const WITH_SOURCES: [u8; 2] = [0x80, 0];

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

/// All positions of one script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// Paths inside the app, where there are more sources than the script itself.
    pub sources: Vec<String>,
    /// By place in the code. Where there are sources, `source_of` has one for each.
    pub mappings: Vec<Mapping>,
    /// Index of the source of each mapping; empty: the script itself.
    pub source_of: Vec<u32>,
}

impl Positions {
    /// Writes positions; those without sources as [`Mapping::encode`] does.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mappings = Mapping::encode(&self.mappings);
        if self.sources.is_empty() {
            return mappings;
        }
        let mut bytes = WITH_SOURCES.to_vec();
        bytes.extend(postcard::to_stdvec(&(&self.sources, &self.source_of, mappings)).unwrap_or_default());
        bytes
    }

    /// Reads positions that came out of a jail.
    ///
    /// # Errors
    /// When the bytes are not what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, MapError> {
        let Some(rest) = bytes.strip_prefix(&WITH_SOURCES) else {
            return Ok(Self { mappings: Mapping::decode(bytes)?, ..Self::default() });
        };
        type Parts<'a> = (Vec<String>, Vec<u32>, &'a [u8]);
        let (sources, source_of, mappings): Parts<'_> = postcard::from_bytes(rest).map_err(|_| MapError)?;
        let mappings = Mapping::decode(mappings)?;
        let fits = source_of.len() == mappings.len()
            && source_of.iter().all(|at| (*at as usize) < sources.len())
            && sources
                .iter()
                .all(|source| source.len() <= SOURCE_BYTES_MAX && !source.contains(char::is_control));
        if fits { Ok(Self { sources, mappings, source_of }) } else { Err(MapError) }
    }

    /// Reads a source map, version 3, in the jail. Where its sources are is not looked at; they are names for people.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_source_map(text: &str) -> Result<Self, MapError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Map {
            version: u32,
            #[serde(default)]
            source_root: Option<String>,
            sources: Vec<Option<String>>,
            mappings: String,
        }
        let map: Map = serde_json::from_str(text).map_err(|_| MapError)?;
        if map.version != 3 || map.sources.len() > SOURCES_MAX {
            return Err(MapError);
        }
        let root = map.source_root.unwrap_or_default();
        let sources: Vec<String> = map
            .sources
            .into_iter()
            .map(|source| {
                let name = format!("{root}{}", source.unwrap_or_default());
                let name = name.trim_start_matches("../").trim_start_matches("./");
                let short = &name[..name.floor_char_boundary(SOURCE_BYTES_MAX)];
                short.replace(char::is_control, " ")
            })
            .collect();
        let (mut mappings, mut source_of) = (Vec::new(), Vec::new());
        let (mut source, mut source_line, mut source_column) = (0i64, 0i64, 0i64);
        for (line, segments) in map.mappings.split(';').enumerate() {
            let mut column = 0i64;
            for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
                let mut numbers = Numbers(segment.as_bytes());
                column += numbers.next()?;
                // A place of no source: what the bundler itself wrote.
                if numbers.0.is_empty() {
                    continue;
                }
                source += numbers.next()?;
                source_line += numbers.next()?;
                source_column += numbers.next()?;
                let small = |value: i64| u32::try_from(value).ok().filter(|value| *value < 1 << 30);
                let at = small(source).filter(|at| (*at as usize) < sources.len()).ok_or(MapError)?;
                mappings.push(Mapping {
                    line: small(line as i64).ok_or(MapError)?,
                    column: small(column).ok_or(MapError)?,
                    source_line: small(source_line).ok_or(MapError)?,
                    source_column: small(source_column).ok_or(MapError)?,
                });
                source_of.push(at);
            }
        }
        if !mappings.is_sorted_by_key(|mapping| (mapping.line, mapping.column)) {
            return Err(MapError);
        }
        Ok(Self { sources, mappings, source_of })
    }
}

/// Numbers in base 64, the lowest five bits first, the sign in the lowest bit.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Result<i64, MapError> {
        let mut value = 0u64;
        for shift in (0..35).step_by(5) {
            let (&byte, rest) = self.0.split_first().ok_or(MapError)?;
            self.0 = rest;
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(MapError),
            };
            value |= u64::from(digit & 31) << shift;
            if digit < 32 {
                let size = (value >> 1) as i64;
                return Ok(if value & 1 == 0 { size } else { -size });
            }
        }
        Err(MapError)
    }
}

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

    #[test]
    fn a_source_map_leads_to_its_sources() {
        let map = r#"{"version":3,"sources":["../src/a.ts","b.ts"],"names":[],"mappings":"AAAA,IAAE;;ACCF"}"#;
        let at =
            |line, column, source_line, source_column| Mapping { line, column, source_line, source_column };
        let expect = Positions {
            sources: vec!["src/a.ts".into(), "b.ts".into()],
            mappings: vec![at(0, 0, 0, 0), at(0, 4, 0, 2), at(2, 0, 1, 0)],
            source_of: vec![0, 0, 1],
        };
        assert_eq!(Positions::from_source_map(map), Ok(expect));
        for wrong in [
            "",
            "{}",
            r#"{"version":2,"sources":[],"mappings":""}"#,
            r#"{"version":3,"sources":[],"mappings":"AAAA"}"#,
        ] {
            assert_eq!(Positions::from_source_map(wrong), Err(MapError), "{wrong}");
        }
    }

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
        fn any_source_map_is_refused_or_read(mappings in "[A-Za-z0-9+/,;]{0,60}", text in "\\PC{0,60}") {
            let map = format!("{{\"version\": 3, \"sources\": [\"a.ts\", \"b.ts\"], \"mappings\": \"{mappings}\"}}");
            if let Ok(positions) = Positions::from_source_map(&map) {
                prop_assert_eq!(Positions::decode(&positions.encode()), Ok(positions));
            }
            let _ = Positions::from_source_map(&text);
            let _ = Positions::decode(&[&WITH_SOURCES[..], text.as_bytes()].concat());
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            if let Ok(mappings) = Mapping::decode(&bytes) {
                prop_assert!(mappings.is_sorted_by_key(|m| (m.line, m.column)));
            }
        }
    }
}
