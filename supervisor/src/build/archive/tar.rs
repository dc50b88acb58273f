//! Tape archives as `tar`, `npm pack` and Git hosts write them: blocks of 512 bytes, a head and then the content. The
//! extensions that carry long names are read; what changes the meaning of a file (links, devices, sparse files, sizes
//! in another field) refuses the archive.

use super::super::job::{Refusal, RepoFile};
use super::{Room, gzip, is_file, path, wrong};

const BLOCK: usize = 512;
/// Bytes of one extended head.
const EXTENDED_BYTES_MAX: usize = 64 * 1024;

/// Reads `.tar.gz`. `strip`: the first name of each path goes, as an archive of a package has one folder at its top.
pub(in super::super) fn tar_gz(bytes: &[u8], room: Room, strip: bool) -> Result<Vec<RepoFile>, Refusal> {
    tar(&gzip::inflate(bytes, room.bytes)?, room, strip)
}

/// Reads `.tar`.
pub(in super::super) fn tar(bytes: &[u8], room: Room, strip: bool) -> Result<Vec<RepoFile>, Refusal> {
    let mut files = Vec::new();
    let mut entries = 0;
    let mut rest = bytes;
    // The name that an extended head gives the next entry, and the size.
    let mut long: Option<Vec<u8>> = None;
    let mut said: Option<usize> = None;
    loop {
        let Some((head, tail)) = rest.split_first_chunk::<BLOCK>() else {
            return Err(wrong("it ends too early"));
        };
        rest = tail;
        if head.iter().all(|byte| *byte == 0) {
            // Two of them are the end; tapes are filled up with more.
            if long.is_some() || rest.len() < BLOCK || rest.iter().any(|byte| *byte != 0) {
                return Err(wrong("there is something behind its end, or no end"));
            }
            return Ok(files);
        }
        entries += 1;
        if entries > room.entries {
            return Err(Refusal(format!("the archive has more than {} entries", room.entries)));
        }
        checksum(head)?;
        let size = octal(&head[124..136])?;
        let content = rest.get(..size).ok_or_else(|| wrong("it ends too early"))?;
        let padded = size.next_multiple_of(BLOCK);
        rest = rest.get(padded..).ok_or_else(|| wrong("it ends too early"))?;
        if !matches!(head[156], b'x' | b'L' | b'g') && said.take().is_some_and(|said| said != size) {
            return Err(Refusal("a file in the archive has two sizes".into()));
        }
        match head[156] {
            b'x' => {
                let found = extended(content)?;
                // Two of them for one entry: the later one counts, as everywhere.
                long = found.name.or(long);
                said = found.size.or(said);
            }
            b'L' => {
                if size > EXTENDED_BYTES_MAX {
                    return Err(Refusal("a name in the archive has more than 64 KiB".into()));
                }
                long = Some(until_nul(content).to_vec());
            }
            // For the whole archive: who made it.
            b'g' => {
                if extended(content)? != Extended::default() {
                    return Err(Refusal("the archive gives all of its files one name or size".into()));
                }
            }
            b'0' | 0 | b'5' => {
                let folder = head[156] == b'5';
                let name = match long.take() {
                    Some(name) => name,
                    None => short(head),
                };
                let path = path(&name)?;
                let path = if strip { path.split_once('/').map_or("", |(_, below)| below) } else { &path };
                if is_file(folder || name.ends_with(b"/"), path, size, room)? {
                    files.push(RepoFile { path: path.to_owned(), bytes: content.to_vec() });
                }
            }
            other => {
                let name = long.take().unwrap_or_else(|| short(head));
                let what = match other {
                    b'1' => "a hard link",
                    b'2' => "a symbolic link",
                    b'3' | b'4' => "a device",
                    b'6' => "a pipe",
                    b'S' => "a sparse file",
                    _ => "of an unknown kind",
                };
                let shown = name.escape_ascii();
                return Err(Refusal(format!("`{shown}` is {what}; only files and folders are taken")));
            }
        }
    }
}

/// The sum of the head's bytes, its own field as spaces.
fn checksum(head: &[u8; BLOCK]) -> Result<(), Refusal> {
    let sum: usize = head
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { usize::from(*byte) })
        .sum();
    if octal(&head[148..156])? == sum { Ok(()) } else { Err(wrong("the checksum of an entry is wrong")) }
}

/// Digits of eight, with spaces and NULs around them. Sizes in base 256 are for files larger than any here.
fn octal(field: &[u8]) -> Result<usize, Refusal> {
    let text = std::str::from_utf8(field).map_err(|_| wrong("a number in it is none"))?;
    let digits = text.trim_matches(|c| matches!(c, ' ' | '\0'));
    if digits.is_empty() {
        return Ok(0);
    }
    match digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        true => usize::from_str_radix(digits, 8).map_err(|_| wrong("a number in it is too large")),
        false => Err(wrong("a number in it is none")),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The name in the head itself, in one or two fields.
fn short(head: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&head[..100]);
    // `ustar` and a NUL: the other kind, with a space, keeps times in that place.
    let prefix = if &head[257..263] == b"ustar\0" { until_nul(&head[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// What an extended head says of the next entry.
#[derive(Default, PartialEq)]
struct Extended {
    name: Option<Vec<u8>>,
    size: Option<usize>,
}

/// Records of an extended head, `length key=value\n`.
fn extended(mut content: &[u8]) -> Result<Extended, Refusal> {
    if content.len() > EXTENDED_BYTES_MAX {
        return Err(Refusal("an extended head in the archive has more than 64 KiB".into()));
    }
    let mut found = Extended::default();
    while !content.is_empty() {
        let space = content.iter().take(8).position(|byte| *byte == b' ');
        let length = space
            .and_then(|space| std::str::from_utf8(&content[..space]).ok()?.parse::<usize>().ok())
            .filter(|length| *length <= content.len());
        let (Some(space), Some(length)) = (space, length) else {
            return Err(wrong("an extended head cannot be read"));
        };
        let record = content.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(|| wrong("an extended head cannot be read"))?;
        let equals = record.iter().position(|byte| *byte == b'=');
        let (key, value) = record.split_at(equals.ok_or_else(|| wrong("an extended head cannot be read"))?);
        let value = &value[1..];
        match key {
            b"path" => found.name = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                found.size = Some(size.ok_or_else(|| wrong("a number in it is none"))?);
            }
            b"linkpath" => return Err(Refusal("there is a link in the archive".into())),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(Refusal("there is a sparse file in the archive".into()));
            }
            // Times, owners, comments, attributes, the disk that it was on: nothing that a deploy keeps.
            _ => {}
        }
        content = &content[length..];
    }
    Ok(found)
}
