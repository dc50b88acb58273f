//! Packs that lie of themselves, and small ones that would be large.

use fazt_tests::noise;

use crate::pack::{
    self, BLOB, COMMIT, FILE, NAMED_DELTA, OFFSET_DELTA, Pack, TREE, deflate, delta, distance,
};
use crate::stage::{Stage, check, row};

/// A repository with a page, and the pack as it is made of that.
fn changed(change: impl Fn(Vec<u8>) -> Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| {
        let mut pack = Pack::default();
        let page = pack.blob(b"<p>x");
        let top = pack.tree(&[(FILE, b"index.html", page)]);
        let commit = pack.commit(top);
        stage.repository(&commit, &change(pack.finish()))
    }
}

/// The same with something more in the pack, before the rest.
fn with(add: impl Fn(&mut Pack)) -> impl Fn(&Stage) -> String {
    move |stage| {
        let mut pack = Pack::default();
        add(&mut pack);
        let page = pack.blob(b"<p>x");
        stage.tree(pack, &[(FILE, b"index.html", page)])
    }
}

#[test]
fn a_pack_that_lies_is_refused() {
    let damaged = &["damaged"];
    check(&[
        row("as it should be, to compare with", 0, &["live as version 1"], changed(|pack| pack)),
        row("it ends early", 2, &["checksum"], changed(|pack| pack[..pack.len() - 30].to_vec())),
        row("nothing", 2, &["it is none"], changed(|_| Vec::new())),
        row("nonsense", 2, &["it is none"], changed(|_| noise(5_000))),
        row(
            "one byte is another",
            2,
            &["checksum"],
            changed(|mut pack| {
                pack[20] ^= 1;
                pack
            }),
        ),
        row("an unknown version", 2, &["version"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.commit([1; 20]);
            stage.repository(&commit, &pack.finish_saying(9, 1))
        }),
        row("four billion objects", 2, &["4294967295 objects", "50000"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.commit([1; 20]);
            stage.repository(&commit, &pack.finish_saying(2, u32::MAX))
        }),
        row("more objects than it says", 2, &["behind its last object"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.commit([1; 20]);
            pack.blob(b"x");
            stage.repository(&commit, &pack.finish_saying(2, pack.count() - 1))
        }),
        row("fewer", 2, &["ends too early"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.commit([1; 20]);
            stage.repository(&commit, &pack.finish_saying(2, 2))
        }),
        row(
            "an object larger than it says",
            2,
            &["larger than it says"],
            with(|pack| {
                pack.entry(BLOB, 1, &[], &deflate(&vec![0; 50 << 20]));
            }),
        ),
        row(
            "an object smaller than it says",
            2,
            &["smaller than it says"],
            with(|pack| {
                pack.entry(BLOB, 100, &[], &deflate(b"x"));
            }),
        ),
        row(
            "an object of many gigabytes",
            2,
            &["at most"],
            with(|pack| {
                pack.entry(BLOB, 1 << 36, &[], &deflate(b"x"));
            }),
        ),
        row(
            "a size without end",
            2,
            damaged,
            with(|pack| {
                pack.entry(BLOB, usize::MAX, &[], &[0xff; 64]);
            }),
        ),
        row(
            "objects of no kind",
            2,
            &["unknown kind"],
            with(|pack| {
                pack.entry(0, 1, &[], &deflate(b"x"));
            }),
        ),
        row(
            "objects of a kind to come",
            2,
            &["unknown kind"],
            with(|pack| {
                pack.entry(5, 1, &[], &deflate(b"x"));
            }),
        ),
        row(
            "a stream that is none",
            2,
            &["does not inflate"],
            with(|pack| {
                pack.entry(BLOB, 100, &[], &noise(100));
            }),
        ),
    ]);
}

/// A pack with a text and these changes to it, each by how far it is behind the text.
fn change(instructions: impl Fn() -> Vec<u8>) -> impl Fn(&Stage) -> String {
    with(move |pack| {
        let base = pack.entry(BLOB, 5, &[], &deflate(b"hello"));
        let change = instructions();
        let here = 12 + 1 + deflate(b"hello").len();
        assert_eq!(base, 12, "the first");
        pack.entry(OFFSET_DELTA, change.len(), &distance(here - base), &deflate(&change));
    })
}

/// Changes upon changes: each is its base, twice.
fn doubling(pack: &mut Pack, times: usize) {
    let first = vec![0; 1 << 10];
    let mut base = pack.entry(BLOB, first.len(), &[], &deflate(&first));
    let mut size = first.len();
    for _ in 0..times {
        let all = [0xf0 | 0x80, size as u8, (size >> 8) as u8, (size >> 16) as u8];
        let twice = delta(size, size * 2, &[all, all].concat());
        let here = 12 + pack.bytes();
        base = pack.entry(OFFSET_DELTA, twice.len(), &distance(here - base), &deflate(&twice));
        size *= 2;
    }
}

#[test]
fn a_change_that_does_not_fit_is_refused() {
    let fit = &["does not fit its base"];
    check(&[
        row("another size of its base", 2, fit, change(|| delta(6, 5, &[0x90, 5]))),
        row("more than it says", 2, fit, change(|| delta(5, 4, &[0x90, 5]))),
        row("less than it says", 2, fit, change(|| delta(5, 6, &[0x90, 5]))),
        row("a copy from behind the end", 2, fit, change(|| delta(5, 5, &[0x91, 3, 5]))),
        row("a copy of 64 KiB of five bytes", 2, fit, change(|| delta(5, 1 << 16, &[0x80]))),
        row("new bytes that are not there", 2, fit, change(|| delta(5, 100, &[100, 1]))),
        row("the reserved instruction", 2, fit, change(|| delta(5, 1, &[0]))),
        row("a result of a petabyte", 2, fit, change(|| delta(5, 1 << 34, &[0x90, 5]))),
        row(
            "no base",
            2,
            &["no base in it"],
            with(|pack| {
                let change = delta(5, 5, &[0x90, 5]);
                pack.entry(NAMED_DELTA, change.len(), &[7; 20], &deflate(&change));
            }),
        ),
        row(
            "itself for a base",
            2,
            &["before its begin"],
            with(|pack| {
                let change = delta(5, 5, &[0x90, 5]);
                pack.entry(OFFSET_DELTA, change.len(), &[0], &deflate(&change));
            }),
        ),
        row(
            "a base before the pack",
            2,
            &["before its begin"],
            with(|pack| {
                let change = delta(5, 5, &[0x90, 5]);
                pack.entry(OFFSET_DELTA, change.len(), &distance(1 << 30), &deflate(&change));
            }),
        ),
        row(
            "a base in the middle of another object",
            2,
            &["no base in it"],
            with(|pack| {
                pack.blob(&noise(1_000));
                let change = delta(5, 5, &[0x90, 5]);
                pack.entry(OFFSET_DELTA, change.len(), &distance(500), &deflate(&change));
            }),
        ),
        row("a change to a folder, into a way out", 2, &["cannot be a name"], |stage| {
            let mut pack = Pack::default();
            let page = pack.blob(b"x");
            let good = pack::tree(&[(FILE, b"ab", page)]);
            let bad = pack::tree(&[(FILE, b"..", page)]);
            pack.object(TREE, &good);
            let change = delta(good.len(), bad.len(), &[&[bad.len() as u8], &bad[..]].concat());
            pack.entry(NAMED_DELTA, change.len(), &pack::id(TREE, &good), &deflate(&change));
            let commit = pack.commit(pack::id(TREE, &bad));
            stage.repository(&commit, &pack.finish())
        }),
    ]);
}

#[test]
fn a_small_pack_that_would_be_large_is_refused_and_takes_no_memory() {
    let times = &["times its packed size"];
    check(&[
        row(
            "one large object of nothing",
            2,
            times,
            with(|pack| {
                pack.blob(&vec![0; 60 << 20]);
            }),
        ),
        row(
            "many",
            2,
            times,
            with(|pack| {
                (0..20u8).for_each(|byte| {
                    pack.blob(&vec![byte; 8 << 20]);
                });
            }),
        ),
        row(
            "a commit of nothing",
            2,
            times,
            with(|pack| {
                pack.object(COMMIT, &vec![b' '; 60 << 20]);
            }),
        ),
        row("a change that doubles its base, again and again", 2, times, with(|pack| doubling(pack, 13))),
        row(
            "the same in a pack that is not small",
            2,
            &["192 MiB"],
            with(|pack| {
                pack.blob(&noise(3 << 20));
                (0..14).for_each(|_| doubling(pack, 13));
            }),
        ),
        row(
            "changes upon changes without end",
            2,
            &["too many deltas"],
            with(|pack| {
                let mut base = pack.entry(BLOB, 5, &[], &deflate(b"hello"));
                let change = delta(5, 5, &[0x90, 5]);
                for _ in 0..5_000 {
                    let here = 12 + pack.bytes();
                    base = pack.entry(OFFSET_DELTA, change.len(), &distance(here - base), &deflate(&change));
                }
            }),
        ),
        row("a bomb outside the folder that is wanted", 2, times, |stage| {
            let mut pack = Pack::default();
            let (bomb, page) = (pack.blob(&vec![0; 60 << 20]), pack.blob(b"x"));
            let site = pack.tree(&[(FILE, b"index.html", page)]);
            let source = stage.tree(pack, &[(FILE, b"bomb", bomb), (pack::FOLDER, b"site", site)]);
            format!("{source}#site")
        }),
        row("more than may travel", 1, &["20 MiB, packed"], |stage| {
            let mut pack = Pack::default();
            let parts: Vec<_> = (0..6).map(|part| pack.blob(&noise(4_000_000 + part))).collect();
            stage.tree(pack, &[(FILE, b"index.html", parts[0])])
        }),
        row("a file over its bound", 2, &["`index.html`", "5 MiB"], |stage| {
            stage.files(&[("index.html", &noise(6 << 20))])
        }),
    ]);
}
