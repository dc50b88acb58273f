//! Zip archives: the list at the end says what there is, and each entry once more before its content. Both have to say
//! the same. No encryption, no parts, no sizes of eight bytes; stored or deflated.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::super::job::{Refusal, RepoFile};
use super::super::limits::{RATIO_FREE_BYTES, RATIO_MAX};
use super::{Room, is_file, path, wrong};

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
const LISTED: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Numbers in a record, the lowest byte first.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn short(&self, at: usize) -> Result<usize, Refusal> {
        let bytes = self.0.get(at..at + 2).ok_or_else(|| wrong("it ends too early"))?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn long(&self, at: usize) -> Result<usize, Refusal> {
        let bytes = self.0.get(at..at + 4).ok_or_else(|| wrong("it ends too early"))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&[u8], Refusal> {
        self.0.get(at..at + length).ok_or_else(|| wrong("it ends too early"))
    }
}

/// Reads a zip archive.
pub(in super::super) fn zip(bytes: &[u8], room: Room) -> Result<Vec<RepoFile>, Refusal> {
    let from = bytes.len().saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
    let end = bytes[from..].windows(END.len()).rposition(|four| four == END).map(|at| from + at);
    let end = end.ok_or_else(|| wrong("it has no list of its files"))?;
    let record = Record(&bytes[end..]);
    let (count, list) = (record.short(10)?, record.long(16)?);
    if record.short(4)? != 0 || record.short(8)? != count || count == 0xffff || list == 0xffff_ffff {
        return Err(Refusal("the archive has parts, or is of the kind for very large files".into()));
    }
    if END_BYTES + record.short(20)? != bytes.len() - end {
        return Err(wrong("there is more behind its end"));
    }
    if count > room.entries {
        return Err(Refusal(format!("the archive has {count} entries; at most {}", room.entries)));
    }
    let mut left = room.bytes.min(bytes.len().saturating_mul(RATIO_MAX).saturating_add(RATIO_FREE_BYTES));
    let mut files = Vec::new();
    let mut at = list;
    for _ in 0..count {
        let entry = Record(bytes.get(at..end).ok_or_else(|| wrong("it ends too early"))?);
        if entry.bytes(0, 4)? != LISTED {
            return Err(wrong("its list cannot be read"));
        }
        let (name_bytes, extra_bytes, comment_bytes) = (entry.short(28)?, entry.short(30)?, entry.short(32)?);
        let name = entry.bytes(46, name_bytes)?;
        at += 46 + name_bytes + extra_bytes + comment_bytes;
        let path = path(name)?;
        kind(&entry, &path)?;
        let (packed, size) = (entry.long(20)?, entry.long(24)?);
        if !is_file(name.ends_with(b"/"), &path, size, room)? {
            continue;
        }
        left = left.checked_sub(size).ok_or_else(|| {
            let max = room.bytes >> 20;
            Refusal(format!("it inflates to more than {max} MiB, or to {RATIO_MAX} times its size"))
        })?;
        let local = Record(bytes.get(entry.long(42)?..list).ok_or_else(|| wrong("a file is not in it"))?);
        let same = local.bytes(0, 4)? == LOCAL
            && local.short(26)? == name_bytes
            && local.bytes(30, name_bytes)? == name
            && local.short(8)? == entry.short(10)?;
        if !same {
            return Err(wrong("a file is called otherwise in its list"));
        }
        let content = local.bytes(30 + name_bytes + local.short(28)?, packed)?;
        let content = match entry.short(10)? {
            0 if packed == size => content.to_vec(),
            8 => inflate(content, size)?,
            _ => return Err(Refusal(format!("`{path}` is compressed in a way that is not read"))),
        };
        let mut crc = Crc::new();
        crc.update(&content);
        if crc.sum() as usize != entry.long(16)? {
            return Err(wrong("the checksum of a file is wrong"));
        }
        files.push(RepoFile { path, bytes: content });
    }
    Ok(files)
}

/// Refuses what is neither file nor folder.
fn kind(entry: &Record<'_>, path: &str) -> Result<(), Refusal> {
    if entry.short(8)? & 0x2041 != 0 {
        return Err(Refusal(format!("`{path}` is encrypted")));
    }
    // Made on a system with modes: their upper half is the kind.
    let made_on = entry.short(4)? >> 8;
    let mode = entry.long(38)? >> 16;
    if matches!(made_on, 3 | 19) && !matches!(mode & 0o170_000, 0 | 0o040_000 | 0o100_000) {
        let what = if mode & 0o170_000 == 0o120_000 { "a symbolic link" } else { "no file" };
        return Err(Refusal(format!("`{path}` is {what}; only files and folders are taken")));
    }
    Ok(())
}

fn inflate(bytes: &[u8], size: usize) -> Result<Vec<u8>, Refusal> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::new();
    loop {
        // One more than it says, to see what is larger. Room grows with what is there.
        out.reserve((size + 1 - out.len()).min(256 * 1024));
        let (read, wrote) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress_vec(&bytes[read as usize..], &mut out, FlushDecompress::None)
            .map_err(|_| wrong("a file does not inflate"))?;
        let stuck = inflate.total_in() == read && inflate.total_out() == wrote;
        match status {
            Status::StreamEnd if out.len() == size && inflate.total_in() as usize == bytes.len() => {
                return Ok(out);
            }
            _ if out.len() > size => return Err(wrong("a file is larger than it says")),
            Status::StreamEnd => return Err(wrong("a file is smaller than it says")),
            _ if stuck => return Err(wrong("a file ends too early")),
            _ => {}
        }
    }
}
