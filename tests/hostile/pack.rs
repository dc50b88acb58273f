//! Packs of Git, written by hand: also such as `git` refuses to make. And how a server sends them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use sha1::{Digest as _, Sha1};

/// Name of an object.
pub(crate) type Id = [u8; 20];

pub(crate) const COMMIT: u8 = 1;
pub(crate) const TREE: u8 = 2;
pub(crate) const BLOB: u8 = 3;
pub(crate) const OFFSET_DELTA: u8 = 6;
pub(crate) const NAMED_DELTA: u8 = 7;

/// Modes of entries.
pub(crate) const FILE: &str = "100644";
pub(crate) const FOLDER: &str = "40000";

/// What an `info/refs` answers with.
pub(crate) const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
/// What a `git-upload-pack` answers with.
pub(crate) const RESULT: &str = "application/x-git-upload-pack-result";

/// A pack in the making.
#[derive(Clone, Default)]
pub(crate) struct Pack {
    entries: Vec<u8>,
    count: u32,
}

impl Pack {
    /// Adds an object as it should be.
    pub(crate) fn object(&mut self, kind: u8, content: &[u8]) -> Id {
        self.entry(kind, content.len(), &[], &deflate(content));
        id(kind, content)
    }

    /// Adds an entry that may lie: its kind, the size that it says, what stands before its content, its content. Where
    /// it begins.
    pub(crate) fn entry(&mut self, kind: u8, says: usize, before: &[u8], packed: &[u8]) -> usize {
        let place = 12 + self.entries.len();
        let (mut byte, mut rest) = (kind << 4 | (says & 15) as u8, says >> 4);
        while rest > 0 {
            self.entries.push(byte | 0x80);
            (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        self.entries.push(byte);
        self.entries.extend_from_slice(before);
        self.entries.extend_from_slice(packed);
        self.count += 1;
        place
    }

    pub(crate) fn blob(&mut self, content: &[u8]) -> Id {
        self.object(BLOB, content)
    }

    /// A folder: mode, name and object of each entry, in this order.
    pub(crate) fn tree(&mut self, entries: &[(&str, &[u8], Id)]) -> Id {
        self.object(TREE, &tree(entries))
    }

    /// A commit of a folder; 40 digits.
    pub(crate) fn commit(&mut self, tree: Id) -> String {
        self.commit_saying(tree, "Eve <eve@example.org>", "a commit")
    }

    pub(crate) fn commit_saying(&mut self, tree: Id, who: &str, message: &str) -> String {
        let tree = hex(&tree);
        let text = format!("tree {tree}\nauthor {who} 1 +0000\ncommitter {who} 1 +0000\n\n{message}\n");
        hex(&self.object(COMMIT, text.as_bytes()))
    }

    /// The pack.
    pub(crate) fn finish(&self) -> Vec<u8> {
        self.finish_saying(2, self.count)
    }

    /// The pack with another version and number of objects in its head.
    pub(crate) fn finish_saying(&self, version: u32, count: u32) -> Vec<u8> {
        let (version, count) = (version.to_be_bytes(), count.to_be_bytes());
        let mut whole = [b"PACK", &version[..], &count, &self.entries].concat();
        let sum = Sha1::digest(&whole);
        whole.extend_from_slice(&sum);
        whole
    }

    /// Bytes of its entries so far.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// Objects so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

/// The name of an object.
pub(crate) fn id(kind: u8, content: &[u8]) -> Id {
    let kind = ["", "commit", "tree", "blob", "tag"][usize::from(kind)];
    let whole = [format!("{kind} {}\0", content.len()).as_bytes(), content].concat();
    Sha1::digest(whole).into()
}

pub(crate) fn tree(entries: &[(&str, &[u8], Id)]) -> Vec<u8> {
    let one = |(mode, name, id): &(&str, &[u8], Id)| [mode.as_bytes(), b" ", name, b"\0", id].concat();
    entries.iter().flat_map(one).collect()
}

pub(crate) fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As objects are kept.
pub(crate) fn deflate(content: &[u8]) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::new(6));
    out.write_all(content).expect("memory");
    out.finish().expect("memory")
}

/// As archives and bodies are.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::new(6));
    out.write_all(content).expect("memory");
    out.finish().expect("memory")
}

/// A change: the sizes that it says of its base and of what it makes, and its instructions.
pub(crate) fn delta(base: usize, result: usize, instructions: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut size in [base, result] {
        while size >= 0x80 {
            out.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
    }
    out.extend_from_slice(instructions);
    out
}

/// How far back the base of a change is.
pub(crate) fn distance(mut back: usize) -> Vec<u8> {
    let mut out = vec![(back & 0x7f) as u8];
    while back >= 0x80 {
        back = (back >> 7) - 1;
        out.insert(0, (back & 0x7f) as u8 | 0x80);
    }
    out
}

/// A line of the protocol.
pub(crate) fn line(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// The body of an `info/refs`.
pub(crate) fn advertisement() -> Vec<u8> {
    let mut body = b"001e# service=git-upload-pack\n0000".to_vec();
    for text in ["version 2\n", "ls-refs\n", "fetch=shallow\n", "object-format=sha1\n"] {
        body.extend(line(text.as_bytes()));
    }
    body.extend_from_slice(b"0000");
    body
}

/// The body of a `git-upload-pack`.
pub(crate) fn sent(pack: &[u8]) -> Vec<u8> {
    let mut body = line(b"packfile\n");
    for chunk in pack.chunks(65_000) {
        body.extend(line(&[&[1], chunk].concat()));
    }
    body.extend_from_slice(b"0000");
    body
}
