//! The container: a header, entries that are deflated, a checksum. Everything is inflated once, in order, within
//! bounds that do not depend on what the pack says of itself.

use std::collections::HashMap;

use flate2::{Decompress, FlushDecompress, Status};
use sha1_checked::{Digest as _, Sha1};

use super::super::job::Refusal;
use super::super::limits::{
    DELTA_DEPTH_MAX, OBJECT_BYTES_MAX, OBJECTS_BYTES_MAX, OBJECTS_MAX, RATIO_FREE_BYTES, RATIO_MAX,
};
use super::{Id, delta, hex};

/// Largest step in which room for inflated bytes grows.
const STEP_BYTES: usize = 256 * 1024;
const HEADER_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 20;

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// All objects of a pack, by their hash.
pub(super) type Objects = HashMap<Id, (Kind, Vec<u8>)>;

fn damaged(what: &str) -> Refusal {
    Refusal(format!("the pack is damaged: {what}"))
}

/// What a delta changes.
#[derive(PartialEq, Eq, Hash)]
enum Base {
    At(usize),
    Id(Id),
}

/// Reads a whole pack.
pub(super) fn read(pack: &[u8]) -> Result<Objects, Refusal> {
    if pack.len() < HEADER_BYTES + CHECKSUM_BYTES || !pack.starts_with(b"PACK") {
        return Err(damaged("it is none"));
    }
    let number = |at: usize| u32::from_be_bytes([pack[at], pack[at + 1], pack[at + 2], pack[at + 3]]);
    if !matches!(number(4), 2 | 3) {
        return Err(damaged("its version is unknown"));
    }
    let count = number(8) as usize;
    if count > OBJECTS_MAX {
        return Err(Refusal(format!("the repository has {count} objects; at most {OBJECTS_MAX}")));
    }
    let (entries, checksum) = pack.split_at(pack.len() - CHECKSUM_BYTES);
    if sha1::Sha1::digest(entries).as_slice() != checksum {
        return Err(damaged("its checksum is wrong"));
    }
    let mut reader = Reader {
        entries,
        at: HEADER_BYTES,
        left: OBJECTS_BYTES_MAX.min(pack.len() * RATIO_MAX + RATIO_FREE_BYTES),
        objects: Objects::new(),
        places: HashMap::new(),
        waiting: HashMap::new(),
    };
    for _ in 0..count {
        reader.entry()?;
    }
    if reader.at != entries.len() {
        return Err(damaged("there is more behind its last object"));
    }
    if !reader.waiting.is_empty() {
        return Err(damaged("a delta has no base in it"));
    }
    Ok(reader.objects)
}

struct Reader<'a> {
    entries: &'a [u8],
    at: usize,
    /// Inflated bytes that may still come.
    left: usize,
    objects: Objects,
    /// Where in the pack an object begins, and how many deltas it is made of.
    places: HashMap<usize, (Id, usize)>,
    /// Deltas whose base was not read yet, with where they begin.
    waiting: HashMap<Base, Vec<(usize, Vec<u8>)>>,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Refusal> {
        let byte = *self.entries.get(self.at).ok_or_else(|| damaged("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn entry(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let first = self.byte()?;
        let kind = first >> 4 & 7;
        let mut bytes = usize::from(first & 15);
        let mut shift = 4;
        let mut last = first;
        while last & 0x80 != 0 {
            last = self.byte()?;
            if shift > 32 {
                return Err(damaged("a length has no end"));
            }
            bytes |= usize::from(last & 0x7f) << shift;
            shift += 7;
        }
        if bytes > OBJECT_BYTES_MAX {
            return Err(Refusal(format!("an object of {bytes} bytes; at most {OBJECT_BYTES_MAX}")));
        }
        let base = match kind {
            6 => Some(Base::At(self.distance(start)?)),
            7 => {
                let id = self.entries.get(self.at..self.at + 20).and_then(|id| id.try_into().ok());
                self.at += 20;
                Some(Base::Id(id.ok_or_else(|| damaged("it ends too early"))?))
            }
            _ => None,
        };
        let content = self.inflate(bytes)?;
        let kind = match kind {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Blob,
            4 => Kind::Tag,
            6 | 7 => {
                let base = base.ok_or_else(|| damaged("a delta has no base"))?;
                return self.delta(start, base, content);
            }
            _ => return Err(damaged("an object has an unknown kind")),
        };
        self.keep(start, kind, content, 0)
    }

    /// How far before `start` the base begins: seven bits a byte, the highest first, each step one more.
    fn distance(&mut self, start: usize) -> Result<usize, Refusal> {
        let mut byte = self.byte()?;
        let mut distance = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            if distance > self.entries.len() {
                return Err(damaged("a delta's base is before its begin"));
            }
            distance = (distance + 1) << 7 | usize::from(byte & 0x7f);
        }
        match start.checked_sub(distance) {
            Some(at) if distance > 0 && at >= HEADER_BYTES => Ok(at),
            _ => Err(damaged("a delta's base is before its begin")),
        }
    }

    /// Inflates what begins here to exactly so many bytes.
    fn inflate(&mut self, bytes: usize) -> Result<Vec<u8>, Refusal> {
        self.spend(bytes)?;
        let mut inflate = Decompress::new(true);
        let mut out = Vec::new();
        loop {
            // One more than it says, to see what is larger. Room grows with what is there, not with what is said.
            let room = (bytes + 1 - out.len()).min(STEP_BYTES);
            out.reserve(room);
            let (read, wrote) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress_vec(&self.entries[self.at..], &mut out, FlushDecompress::None)
                .map_err(|_| damaged("an object does not inflate"))?;
            let read = (inflate.total_in() - read) as usize;
            self.at += read;
            if out.len() > bytes {
                return Err(damaged("an object is larger than it says"));
            }
            match status {
                Status::StreamEnd if out.len() == bytes => return Ok(out),
                Status::StreamEnd => return Err(damaged("an object is smaller than it says")),
                _ if read == 0 && inflate.total_out() == wrote => {
                    return Err(damaged("it ends too early"));
                }
                _ => {}
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Refusal(format!(
                "the repository unpacks to more than {} MiB, or to {RATIO_MAX} times its packed size",
                OBJECTS_BYTES_MAX >> 20
            ))
        })?;
        Ok(())
    }

    fn delta(&mut self, start: usize, base: Base, content: Vec<u8>) -> Result<(), Refusal> {
        let known = match &base {
            Base::At(at) => self.places.get(at).copied(),
            // How deep that one is does not matter: it is resolved.
            Base::Id(id) => self.objects.contains_key(id).then_some((*id, 0)),
        };
        match known {
            Some((id, depth)) => self.resolve(start, id, &content, depth),
            None => {
                self.waiting.entry(base).or_default().push((start, content));
                Ok(())
            }
        }
    }

    fn resolve(&mut self, start: usize, base: Id, change: &[u8], depth: usize) -> Result<(), Refusal> {
        if depth >= DELTA_DEPTH_MAX {
            return Err(damaged("too many deltas upon each other"));
        }
        self.spend(delta::result_bytes(change)?)?;
        let (kind, base) = self.objects.get(&base).ok_or_else(|| damaged("a delta has no base in it"))?;
        let (kind, content) = (*kind, delta::apply(base, change)?);
        self.keep(start, kind, content, depth + 1)
    }

    /// Hashes an object, then all that waited for it: a list of work, not a recursion as deep as the pack likes.
    fn keep(&mut self, start: usize, kind: Kind, content: Vec<u8>, depth: usize) -> Result<(), Refusal> {
        let mut work = vec![(start, kind, content, depth)];
        while let Some((start, kind, content, depth)) = work.pop() {
            let id = hash(kind, &content)?;
            self.places.insert(start, (id, depth));
            self.objects.entry(id).or_insert((kind, content));
            for base in [Base::At(start), Base::Id(id)] {
                for (start, change) in self.waiting.remove(&base).unwrap_or_default() {
                    if depth >= DELTA_DEPTH_MAX {
                        return Err(damaged("too many deltas upon each other"));
                    }
                    self.spend(delta::result_bytes(&change)?)?;
                    let content = match self.objects.get(&id) {
                        Some((_, base)) => delta::apply(base, &change)?,
                        None => return Err(damaged("a delta has no base in it")),
                    };
                    work.push((start, kind, content, depth + 1));
                }
            }
        }
        Ok(())
    }
}

fn hash(kind: Kind, content: &[u8]) -> Result<Id, Refusal> {
    let mut sha1 = Sha1::new();
    sha1.update(format!("{} {}\0", kind.name(), content.len()));
    sha1.update(content);
    let result = sha1.try_finalize();
    let id: Id = (*result.hash()).into();
    if result.has_collision() {
        return Err(Refusal(format!(
            "the object {} was made to collide with another of the same SHA-1",
            hex(&id)
        )));
    }
    Ok(id)
}
