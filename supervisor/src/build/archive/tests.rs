//! Archives that are written here, good and bad.

use std::io::Write as _;

use proptest::prelude::*;

use super::super::job::{Refusal, RepoFile};
use super::*;

const ROOM: Room = Room { entries: 100, file_bytes: 1 << 20, bytes: 4 << 20 };

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

/// One entry: head, content, padding.
fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0u8; 512];
    head[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
    head[100..108].copy_from_slice(b"0000644\0");
    head[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    head[156] = kind;
    head[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut head);
    let mut out = head.to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn seal(head: &mut [u8]) {
    head[148..156].fill(b' ');
    let sum: u32 = head[..512].iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn read(entries: &[Vec<u8>]) -> Result<Vec<RepoFile>, Refusal> {
    let whole = [entries.concat(), vec![0; 1024]].concat();
    tar_gz(&gz(&whole), ROOM, false)
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

#[test]
fn files_and_folders_come_out_and_long_names_too() {
    let long = format!("package/{}/b.js", "a".repeat(150));
    let whole = [
        entry(b'g', "pax_global_header", &record("comment", "0123")),
        entry(b'5', "package/", b""),
        entry(b'0', "package/a.js", b"one"),
        entry(0, "./package/empty", b""),
        entry(
            b'x',
            "PaxHeader",
            &[record("SCHILY.dev", "16777218"), record("size", "3"), record("path", &long)].concat(),
        ),
        entry(b'0', "short", b"two"),
        entry(b'L', "././@LongLink", format!("{long}x\0").as_bytes()),
        entry(b'0', "short", b"three"),
    ];
    let names: Vec<_> = read(&whole).expect("good").into_iter().map(|file| (file.path, file.bytes)).collect();
    let expect = [
        ("package/a.js".to_owned(), b"one".to_vec()),
        ("package/empty".to_owned(), Vec::new()),
        (long.clone(), b"two".to_vec()),
        (format!("{long}x"), b"three".to_vec()),
    ];
    assert_eq!(names, expect);
    let stripped = tar_gz(&gz(&[entry(b'0', "package/a.js", b"1"), vec![0; 1024]].concat()), ROOM, true);
    assert_eq!(stripped.expect("good")[0].path, "a.js");
}

#[test]
fn what_is_no_file_or_leads_elsewhere_is_refused() {
    for (why, entries, says) in [
        ("parent", vec![entry(b'0', "../a", b"x")], "elsewhere"),
        ("parent inside", vec![entry(b'0', "a/../../b", b"x")], "elsewhere"),
        ("absolute", vec![entry(b'0', "/etc/passwd", b"x")], "absolute"),
        ("backslash", vec![entry(b'0', "..\\a", b"x")], "backslash"),
        ("empty name", vec![entry(b'0', "", b"x")], "no name"),
        ("double slash", vec![entry(b'0', "a//b", b"x")], "elsewhere"),
        ("symbolic link", vec![entry(b'2', "a", b"")], "symbolic link"),
        ("hard link", vec![entry(b'1', "a", b"")], "hard link"),
        ("character device", vec![entry(b'3', "a", b"")], "device"),
        ("block device", vec![entry(b'4', "a", b"")], "device"),
        ("pipe", vec![entry(b'6', "a", b"")], "pipe"),
        ("sparse", vec![entry(b'S', "a", b"")], "sparse"),
        ("sparse by extension", vec![entry(b'x', "p", &record("GNU.sparse.major", "1"))], "sparse"),
        ("link by extension", vec![entry(b'x', "p", &record("linkpath", "/etc/passwd"))], "link"),
        (
            "size by extension",
            vec![entry(b'x', "p", &record("size", "99999999999")), entry(b'0', "a", b"x")],
            "two sizes",
        ),
        ("name for all", vec![entry(b'g', "p", &record("path", "a"))], "one name"),
        (
            "long name that leads elsewhere",
            vec![entry(b'x', "p", &record("path", "../../a")), entry(b'0', "a", b"")],
            "elsewhere",
        ),
        (
            "extended head of 65 KiB",
            vec![entry(b'x', "p", &record("comment", &"x".repeat(65 << 10)))],
            "64 KiB",
        ),
        ("long name of 65 KiB", vec![entry(b'L', "p", &vec![b'a'; 65 << 10])], "64 KiB"),
        ("extended head that is none", vec![entry(b'x', "p", b"99 a=b\n")], "cannot be read"),
        ("unknown", vec![entry(b'M', "a", b"")], "unknown kind"),
        ("folder with a content", vec![entry(b'5', "a", b"x")], "content"),
        ("too many", (0..101).map(|at| entry(b'0', &format!("f{at}"), b"")).collect(), "entries"),
        ("too large", vec![entry(b'0', "a", &vec![1; (1 << 20) + 1])], "may have 1 MiB"),
    ] {
        let error = read(&entries).expect_err(why);
        assert!(error.0.contains(says), "{why}: {error}");
        assert!(!error.0.contains('\0'), "{why}");
    }
    let mut name = entry(b'0', "a", b"");
    name[..3].copy_from_slice(b"\xff\xfea");
    seal(&mut name);
    assert!(read(&[name]).expect_err("not UTF-8").0.contains("UTF-8"));
}

#[test]
fn sizes_and_ends_that_lie_are_refused() {
    let good = entry(b'0', "a", b"hello");
    let mut larger = good.clone();
    larger[124..136].copy_from_slice(b"00000077777\0");
    seal(&mut larger);
    let mut base256 = good.clone();
    base256[124] = 0x80;
    seal(&mut base256);
    let mut unsealed = good.clone();
    unsealed[0] = b'b';
    for (why, bytes) in [
        ("nothing", Vec::new()),
        ("no end", good.clone()),
        ("one block of end", [good.clone(), vec![0; 512]].concat()),
        ("more behind the end", [good.clone(), vec![0; 1024], good.clone()].concat()),
        ("larger than it is", [larger, vec![0; 1024]].concat()),
        ("a size in base 256", [base256, vec![0; 1024]].concat()),
        ("another checksum", [unsealed, vec![0; 1024]].concat()),
    ] {
        assert!(tar_gz(&gz(&bytes), ROOM, false).is_err(), "{why}");
    }
    let whole = gz(&[good, vec![0; 1024]].concat());
    for length in 0..whole.len() {
        assert!(tar_gz(&whole[..length], ROOM, false).is_err(), "cut at {length}");
    }
    assert!(tar_gz(&[whole.clone(), whole].concat(), ROOM, false).is_err(), "two streams");
}

#[test]
fn endless_and_nested_compression_comes_to_nothing() {
    let zeros = gz(&vec![0; 64 << 20]);
    assert!(tar_gz(&zeros, ROOM, false).expect_err("a bomb").0.contains("inflates to more"));
    let nested = gz(&gz(&[entry(b'0', "a", b"x"), vec![0; 1024]].concat()));
    assert!(tar_gz(&nested, ROOM, false).is_err(), "what was compressed twice is no archive");
}

/// Name, mode, method, content as it is said to be, as it is packed.
type Zipped<'a> = (&'a str, u32, u16, &'a [u8], &'a [u8]);

fn zipped(entries: &[Zipped<'_>]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, mode, method, content, packed) in entries {
        let at = out.len() as u32;
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let sizes = [
            crc.sum().to_le_bytes(),
            (packed.len() as u32).to_le_bytes(),
            (content.len() as u32).to_le_bytes(),
        ];
        let name_bytes = (name.len() as u16).to_le_bytes();
        let head =
            [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &sizes.concat(), &name_bytes, &[0, 0]]
                .concat();
        out.extend([b"PK\x03\x04", &head[..], name.as_bytes(), packed].concat());
        list.extend([b"PK\x01\x02\x14\x03", &head[..], &[0; 6]].concat());
        list.extend([&(mode << 16).to_le_bytes()[..], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, at, bytes) = ((entries.len() as u16).to_le_bytes(), out.len() as u32, list.len() as u32);
    out.extend(list);
    out.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &bytes.to_le_bytes(), &at.to_le_bytes(), &[0, 0]]
            .concat(),
    );
    out
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

const FILE: u32 = 0o100_644;

#[test]
fn a_zip_archive_is_read_and_its_one_folder_goes() {
    let text = b"hello ".repeat(100);
    let packed = deflated(&text);
    let whole = zipped(&[
        ("repo-1.0/", 0o040_755, 0, b"", b""),
        ("repo-1.0/b.js", FILE, 8, &text, &packed),
        ("repo-1.0/a/é", 0, 0, b"x", b"x"),
    ]);
    let names: Vec<_> = app(&whole).expect("good").into_iter().map(|file| (file.path, file.bytes)).collect();
    assert_eq!(names, [("a/é".to_owned(), b"x".to_vec()), ("b.js".to_owned(), text)]);
}

#[test]
fn a_zip_archive_that_lies_is_refused() {
    let zeros = vec![0; 3 << 20];
    let packed = deflated(&zeros);
    let good = zipped(&[("a", FILE, 0, b"x", b"x")]);
    for (why, bytes, says) in [
        ("parent", zipped(&[("../a", FILE, 0, b"x", b"x")]), "elsewhere"),
        ("absolute", zipped(&[("/a", FILE, 0, b"x", b"x")]), "absolute"),
        ("backslash", zipped(&[("a\\b", FILE, 0, b"x", b"x")]), "backslash"),
        ("symbolic link", zipped(&[("a", 0o120_777, 0, b"x", b"x")]), "symbolic link"),
        ("device", zipped(&[("a", 0o060_000, 0, b"", b"")]), "no file"),
        ("another method", zipped(&[("a", FILE, 9, b"x", b"x")]), "not read"),
        ("stored and smaller", zipped(&[("a", FILE, 0, b"xyz", b"x")]), "not read"),
        ("smaller than it says", zipped(&[("a", FILE, 8, b"xyz", &deflated(b"x"))]), "smaller"),
        ("larger than it says", zipped(&[("a", FILE, 8, b"x", &deflated(b"xyz"))]), "larger"),
        ("another content", zipped(&[("a", FILE, 0, b"x", b"y")]), "checksum"),
        ("larger than a file may be", zipped(&[("a", FILE, 8, &zeros, &packed)]), "may have 1 MiB"),
        ("more behind", [good.clone(), b"x".to_vec()].concat(), "behind its end"),
        ("no list", b"PK\x03\x04".to_vec(), "no list"),
    ] {
        let error = zip(&bytes, ROOM).expect_err(why);
        assert!(error.0.contains(says), "{why}: {error}");
    }
    for length in 0..good.len() {
        assert!(zip(&good[..length], ROOM).is_err(), "cut at {length}");
    }
    let many: Vec<_> =
        (0..8).map(|_| ("a", FILE, 8, &zeros[..1 << 20], deflated(&zeros[..1 << 20]))).collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, mode, method, content, packed)| (*name, *mode, *method, *content, &packed[..]))
        .collect();
    assert!(zip(&zipped(&many), ROOM).expect_err("a bomb").0.contains("inflates to more"));
    let mut renamed = good;
    renamed[30] = b'b';
    assert!(zip(&renamed, ROOM).expect_err("two names").0.contains("otherwise"));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
        let _ = tar_gz(&bytes, ROOM, true);
        let _ = zip(&bytes, ROOM);
        let _ = tar::tar(&bytes, ROOM, false);
    }

    #[test]
    fn damage_anywhere_is_refused_or_stays_inside(at in 0usize..2048, byte: u8) {
        let mut bytes = [entry(b'x', "p", &record("path", "a/b/c")), entry(b'0', "a", b"hello"), vec![0; 1024]].concat();
        bytes[at] ^= byte;
        for file in tar::tar(&bytes, ROOM, false).into_iter().flatten() {
            prop_assert!(!file.path.starts_with('/') && file.path.split('/').all(|name| name != ".."));
        }
    }
}
