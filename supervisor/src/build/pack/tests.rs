//! Packs that are written here, good and bad. What `git` itself makes is unpacked where its protocol is tested.

use std::io::Write as _;

use proptest::prelude::*;
use sha1::{Digest as _, Sha1};

use super::super::limits::{OBJECTS_MAX, REPOSITORY_FILES_MAX};
use super::*;

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const BLOB: u8 = 3;

fn id(kind: &str, content: &[u8]) -> Id {
    let mut sha1 = Sha1::new();
    sha1.update(format!("{kind} {}\0", content.len()));
    sha1.update(content);
    sha1.finalize().into()
}

fn deflate(content: &[u8]) -> Vec<u8> {
    deflate_with(content, flate2::Compression::fast())
}

fn deflate_with(content: &[u8], level: flate2::Compression) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
    out.write_all(content).expect("memory");
    out.finish().expect("memory")
}

/// The head of an entry: kind and length.
fn head(kind: u8, mut bytes: usize) -> Vec<u8> {
    let mut out = vec![kind << 4 | (bytes & 15) as u8];
    bytes >>= 4;
    while bytes > 0 {
        *out.last_mut().expect("one") |= 0x80;
        out.push((bytes & 0x7f) as u8);
        bytes >>= 7;
    }
    out
}

/// A pack under construction.
#[derive(Default, Clone)]
struct Writer {
    count: u32,
    entries: Vec<u8>,
}

impl Writer {
    fn raw(&mut self, entry: &[u8]) -> usize {
        let at = self.entries.len() + 12;
        self.count += 1;
        self.entries.extend_from_slice(entry);
        at
    }

    fn object(&mut self, kind: u8, content: &[u8]) -> Id {
        self.raw(&[head(kind, content.len()), deflate(content)].concat());
        id(["", "commit", "tree", "blob", "tag"][usize::from(kind)], content)
    }

    fn tree(&mut self, entries: &[(&str, &[u8], Id)]) -> Id {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(mode.as_bytes());
            content.push(b' ');
            content.extend_from_slice(name);
            content.push(0);
            content.extend_from_slice(id);
        }
        self.object(TREE, &content)
    }

    fn commit(&mut self, tree: Id) -> Id {
        let text =
            format!("tree {}\nauthor a <b> 1 +0000\ncommitter a <b> 1700000000 +0100\n\nx\n", hex(&tree));
        self.object(COMMIT, text.as_bytes())
    }

    fn finish(&self) -> Vec<u8> {
        let mut out = [&b"PACK"[..], &2u32.to_be_bytes(), &self.count.to_be_bytes(), &self.entries].concat();
        let checksum = Sha1::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }
}

fn out(writer: &Writer, commit: Id, folder: &str) -> Result<(Tree, Vec<RepoFile>), Refusal> {
    unpack(&writer.finish(), &Unpack { commit: hex(&commit), folder: folder.into() })
}

/// One file of that mode and name, at the top.
fn one(mode: &str, name: &[u8]) -> Result<(Tree, Vec<RepoFile>), Refusal> {
    let mut writer = Writer::default();
    let blob = writer.object(BLOB, b"x");
    let tree = writer.tree(&[(mode, name, blob)]);
    let commit = writer.commit(tree);
    out(&writer, commit, "")
}

#[test]
fn files_come_out_by_path_with_the_hash_of_their_tree() {
    let mut writer = Writer::default();
    let (a, b) = (writer.object(BLOB, b"one"), writer.object(BLOB, b""));
    let below = writer.tree(&[("100755", b"run", a)]);
    let tree = writer.tree(&[("100644", b"b", b), ("40000", b"a", below), ("100664", b"c", a)]);
    let commit = writer.commit(tree);
    let (head, files) = out(&writer, commit, "").expect("a good pack");
    assert_eq!(head, Tree { tree: hex(&tree), committed_unix_s: 1_700_000_000, files: 3 });
    let names: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
    assert_eq!(names, [("a/run", &b"one"[..]), ("b", b""), ("c", b"one")]);
    assert_eq!(out(&writer, commit, "a").expect("a folder").1[0].path, "run");
}

#[test]
fn deltas_are_resolved_whichever_way_and_order_they_name_their_base() {
    let base = b"0123456789".repeat(10);
    let result = [&base[..50], b"!"].concat();
    let delta = [100, 51, 0x90, 50, 1, b'!'];
    let blob = id("blob", &result);
    let by_name = |base: &[u8]| [head(7, delta.len()), id("blob", base).to_vec(), deflate(&delta)].concat();
    for order in 0..3 {
        let mut writer = Writer::default();
        match order {
            0 => {
                let at = writer.entries.len() + 12;
                writer.object(BLOB, &base);
                let distance = writer.entries.len() + 12 - at;
                // One byte of distance: the base is small.
                assert!(distance < 128);
                writer.raw(&[head(6, delta.len()), vec![distance as u8], deflate(&delta)].concat());
            }
            1 => {
                writer.object(BLOB, &base);
                writer.raw(&by_name(&base));
            }
            _ => {
                writer.raw(&by_name(&base));
                writer.object(BLOB, &base);
            }
        }
        let tree = writer.tree(&[("100644", b"a", blob)]);
        let commit = writer.commit(tree);
        assert_eq!(out(&writer, commit, "").expect("resolved").1[0].bytes, result, "order {order}");
    }
}

#[test]
fn names_and_modes_that_an_app_cannot_have_are_refused() {
    let long = vec![b'a'; 256];
    for (mode, name, says) in [
        ("120000", &b"a"[..], "symbolic link"),
        ("160000", b"a", "submodule"),
        ("100600", b"a", "mode 100600"),
        ("20666", b"a", "mode 20666"),
        ("0", b"a", "mode 0"),
        ("x", b"a", "cannot be read"),
        ("100644", b"..", "cannot be a name"),
        ("100644", b".", "cannot be a name"),
        ("100644", b"", "cannot be a name"),
        ("100644", b"a/b", "cannot be a name"),
        ("100644", b"a\\b", "cannot be a name"),
        ("100644", b".GIT", "cannot be a name"),
        ("100644", b"\xff", "not UTF-8"),
        ("100644", &long, "too long"),
    ] {
        let error = one(mode, name).expect_err(says);
        assert!(error.0.contains(says), "{mode} {name:?}: {error}");
    }
}

#[test]
fn what_is_not_below_the_commit_cannot_come_out() {
    let mut writer = Writer::default();
    let blob = writer.object(BLOB, b"good");
    let tree = writer.tree(&[("100644", b"a", blob)]);
    let commit = writer.commit(tree);
    // The same pack with another content: no field says so, the hash does.
    let mut forged = Writer::default();
    forged.object(BLOB, b"evil");
    forged.tree(&[("100644", b"a", blob)]);
    forged.commit(tree);
    let error = out(&forged, commit, "").expect_err("another content");
    assert!(error.0.contains("content of `a`"), "{error}");
    for (asked, says) in [([7; 20], "is not in what was sent"), (tree, "is not a commit")] {
        let error = out(&writer, asked, "").expect_err(says);
        assert!(error.0.contains(says), "{error}");
    }
}

#[test]
fn bombs_are_refused_before_they_are_held() {
    // Many objects announced, none there.
    let mut writer = Writer { count: OBJECTS_MAX as u32 + 1, ..Writer::default() };
    assert!(read::read(&writer.finish()).expect_err("too many").0.contains("objects"));
    // A gigabyte in one object, by what it says and by what it is.
    writer = Writer::default();
    writer.raw(&[head(BLOB, 1 << 30), deflate(b"")].concat());
    assert!(read::read(&writer.finish()).expect_err("too large").0.contains("at most"));
    writer = Writer::default();
    writer.raw(&[head(BLOB, 10), deflate(&vec![0; 60_000_000])].concat());
    assert!(read::read(&writer.finish()).expect_err("a lie").0.contains("larger than it says"));
    // Zeros pack to a thousandth.
    writer = Writer::default();
    let zeros = vec![0; 60_000_000];
    writer.raw(&[head(BLOB, zeros.len()), deflate_with(&zeros, flate2::Compression::best())].concat());
    assert!(
        read::read(&writer.finish())
            .map(|objects| objects.len())
            .expect_err("ratio")
            .0
            .contains("times its packed size")
    );
    // Folders that are all the same folder: 10^12 files in thirteen objects.
    writer = Writer::default();
    let mut inside = writer.object(BLOB, b"x");
    let mut mode = "100644";
    for _ in 0..12 {
        let names: Vec<[u8; 1]> = (b'a'..=b'j').map(|name| [name]).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, &name[..], inside)).collect();
        inside = writer.tree(&entries);
        mode = "40000";
    }
    let commit = writer.commit(inside);
    let error = out(&writer, commit, "").expect_err("too many files");
    assert!(error.0.contains("more than"), "{error}");
    // The same without a file.
    writer = Writer::default();
    let mut inside = writer.tree(&[]);
    for _ in 0..12 {
        let names: Vec<[u8; 1]> = (b'a'..=b'j').map(|name| [name]).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", &name[..], inside)).collect();
        inside = writer.tree(&entries);
    }
    let commit = writer.commit(inside);
    assert!(out(&writer, commit, "").expect_err("too many folders").0.contains("folders"));
    // A million empty files.
    writer = Writer::default();
    let blob = writer.object(BLOB, b"");
    let names: Vec<String> = (0..1_000_000).map(|number| format!("{number:07}")).collect();
    let entries: Vec<_> = names.iter().map(|name| ("100644", name.as_bytes(), blob)).collect();
    let tree = writer.tree(&entries);
    let commit = writer.commit(tree);
    let error = out(&writer, commit, "").expect_err("too many files");
    assert!(error.0.contains(&format!("more than {REPOSITORY_FILES_MAX} files")), "{error}");
    // Deltas that double what is there: 2^40 bytes in forty entries.
    writer = Writer::default();
    let mut content = vec![b'x'; 0x8000];
    let mut base = writer.object(BLOB, &content);
    let size = |mut value: usize| {
        let mut out = Vec::new();
        loop {
            out.push((value & 0x7f) as u8 | if value > 0x7f { 0x80 } else { 0 });
            value >>= 7;
            if value == 0 {
                return out;
            }
        }
    };
    let mut bytes = content.len();
    for _ in 0..40 {
        let copy = |bytes: usize| {
            let mut all = Vec::new();
            for at in (0..bytes).step_by(0x8000) {
                let at = (at as u32).to_le_bytes();
                all.extend_from_slice(&[0xbf, at[0], at[1], at[2], at[3], 0, 0x80]);
            }
            all
        };
        let delta = [size(bytes), size(bytes * 2), copy(bytes), copy(bytes)].concat();
        writer.raw(&[head(7, delta.len()), base.to_vec(), deflate(&delta)].concat());
        bytes *= 2;
        if bytes > 8 << 20 {
            break;
        }
        content = content.repeat(2);
        base = id("blob", &content);
    }
    assert!(read::read(&writer.finish()).is_err(), "deltas that double");
}

#[test]
fn a_pack_that_is_damaged_is_refused() {
    let mut good = Writer::default();
    let blob = good.object(BLOB, b"hello");
    let tree = good.tree(&[("100644", b"a", blob)]);
    good.commit(tree);
    let whole = good.finish();
    read::read(&whole).expect("good");
    for length in 0..whole.len() {
        assert!(read::read(&whole[..length]).is_err(), "cut at {length}");
    }
    for (why, entry) in [
        ("an unknown kind", [head(5, 0), deflate(b"")].concat()),
        ("kind zero", [head(0, 0), deflate(b"")].concat()),
        ("no deflate", [head(BLOB, 4), b"abcd".to_vec()].concat()),
        ("shorter than it says", [head(BLOB, 9), deflate(b"abc")].concat()),
        ("a length without end", vec![0xbf; 20]),
        ("a base before the begin", [head(6, 1), vec![127], deflate(b"x")].concat()),
        ("a base that it is itself", [head(6, 1), vec![0], deflate(b"x")].concat()),
        ("a base that never comes", [head(7, 1), vec![9; 20], deflate(b"x")].concat()),
    ] {
        let mut writer = good.clone();
        writer.raw(&entry);
        assert!(read::read(&writer.finish()).is_err(), "{why}");
    }
    let mut more = good.clone();
    more.entries.extend_from_slice(b"more");
    assert!(read::read(&more.finish()).is_err(), "more behind the end");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>, folder in "[a-z/.]{0,8}") {
        let _ = unpack(&bytes, &Unpack { commit: "0".repeat(40), folder });
    }

    /// Damage behind a checksum that fits, so that it gets past the door.
    #[test]
    fn damage_anywhere_is_refused_or_harmless(at: prop::sample::Index, byte: u8) {
        let mut writer = Writer::default();
        let blob = writer.object(BLOB, &b"some content of a file ".repeat(9));
        writer.raw(&[head(7, 4), blob.to_vec(), deflate(&[0xcf, 1, 1, b'x'])].concat());
        let tree = writer.tree(&[("100644", b"a", blob), ("100755", b"b", blob)]);
        let commit = writer.commit(tree);
        let good = out(&writer, commit, "").map(|(tree, files)| (tree, files.len()));
        let at = at.index(writer.entries.len());
        writer.entries[at] ^= byte;
        if let Ok((tree, files)) = out(&writer, commit, "") {
            prop_assert_eq!(Ok((tree, files.len())), good);
        }
    }
}
