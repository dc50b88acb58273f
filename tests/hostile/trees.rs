//! What stands in a tree of Git that stands in no folder.

use crate::pack::{self, BLOB, FILE, FOLDER, Pack, TREE};
use crate::stage::{Stage, check, row};

/// A file of this name, beside a page.
fn named(name: &'static [u8]) -> impl Fn(&Stage) -> String {
    move |stage| stage.entries(&[(FILE, name, b"x")])
}

/// A file of this mode.
fn mode(mode: &'static str) -> impl Fn(&Stage) -> String {
    move |stage| stage.entries(&[(mode, b"odd", b"/etc/passwd")])
}

#[test]
fn a_name_that_is_none_is_refused() {
    let cannot = &["cannot be a name"];
    check(&[
        row("up", 2, &["`..`", "cannot be a name"], named(b"..")),
        row("a folder that is up", 2, cannot, |stage| stage.entries(&[(FOLDER, b"..", b"")])),
        row("here", 2, cannot, named(b".")),
        row("no name", 2, cannot, named(b"")),
        row("a path for a name", 2, cannot, named(b"../../etc/cron.d/x")),
        row("an absolute path", 2, cannot, named(b"/etc/passwd")),
        row("a backslash", 2, cannot, named(b"..\\up")),
        row("a path of Windows", 2, cannot, named(b"C:\\x")),
        row("Git's own folder", 2, cannot, |stage| stage.entries(&[(FOLDER, b".git", b"")])),
        row("in other letters", 2, cannot, |stage| stage.entries(&[(FOLDER, b".GiT", b"")])),
        row("its short name", 2, cannot, |stage| stage.entries(&[(FOLDER, b"GIT~1", b"")])),
        row("with what Macs leave out", 2, cannot, |stage| {
            stage.entries(&[(FOLDER, ".g\u{200c}it".as_bytes(), b"")])
        }),
        row("with what Windows leaves out", 2, cannot, |stage| stage.entries(&[(FOLDER, b".git. .", b"")])),
        row("as a stream", 2, cannot, |stage| stage.entries(&[(FOLDER, b".git::$INDEX_ALLOCATION", b"")])),
        row("deeper", 2, cannot, |stage| stage.files(&[("a/b/.git/config", b"[core]")])),
        row("not UTF-8", 2, &["not UTF-8"], named(b"\xff\xfe")),
        row("an escape", 2, &["control"], named(b"a\x1b[2Jb")),
        row("two lines", 2, &["control"], named(b"a\nb")),
        row("from right to left", 2, &["invisible"], named("a\u{202e}txt.exe".as_bytes())),
        row("nothing to be seen", 2, &["invisible"], named("a\u{200b}".as_bytes())),
        row("a dot at its end", 2, &["ends with a dot"], named(b"a.")),
        row("a long one", 2, &["too long", "255"], |stage| stage.entries(&[(FILE, &[b'a'; 300], b"x")])),
    ]);
}

#[test]
fn what_is_no_file_is_refused() {
    check(&[
        row("a link", 2, &["`odd` is a symbolic link"], mode("120000")),
        row("a link for a folder", 2, &["`public` is a symbolic link"], |stage| {
            stage.entries(&[("120000", b"public", b"/")])
        }),
        row("a submodule", 2, &["`odd` is a submodule"], mode("160000")),
        row("a device", 2, &["60000", "no file"], mode("60000")),
        row("a pipe", 2, &["10000", "no file"], mode("10000")),
        row("a socket", 2, &["140000", "no file"], mode("140000")),
        row("set user", 2, &["104755", "no file"], mode("104755")),
        row("a mode that is no number", 2, &["cannot be read"], mode("rwx")),
        row("a file kept elsewhere", 2, &["Git LFS"], |stage| {
            stage.entries(&[(
                FILE,
                b"odd",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            )])
        }),
    ]);
}

#[test]
fn twins_are_refused_and_both_named() {
    check(&[
        row("by case", 2, &["`A.txt`", "`a.txt`"], |stage| {
            stage.entries(&[(FILE, b"A.txt", b"1"), (FILE, b"a.txt", b"2")])
        }),
        row("folders by case", 2, &["`Img`", "`img`"], |stage| {
            stage.files(&[("Img/a.png", b"1"), ("img/b.png", b"2"), ("index.html", b"x")])
        }),
        row("by Unicode", 2, &["composed form"], |stage| {
            stage.entries(&[(FILE, "é".as_bytes(), b"1"), (FILE, "e\u{301}".as_bytes(), b"2")])
        }),
        row("by the case of one alphabet", 2, &["same name"], |stage| {
            stage.entries(&[(FILE, "straße".as_bytes(), b"1"), (FILE, b"STRASSE", b"2")])
        }),
        row("the same twice", 2, &["twice"], |stage| {
            stage.entries(&[(FILE, b"a", b"1"), (FILE, b"a", b"2")])
        }),
        row("a file and a folder", 2, &["file and a folder"], |stage| {
            stage.entries(&[(FILE, b"a", b"1"), (FOLDER, b"a", b"")])
        }),
    ]);
}

/// Folders upon folders, each naming the one below it so often.
fn layers(stage: &Stage, deep: usize, wide: usize) -> String {
    let mut pack = Pack::default();
    let mut below = pack.blob(b"");
    let names: Vec<String> = (0..wide).map(|number| format!("f{number}")).collect();
    for layer in 0..deep {
        let mode = if layer == 0 { FILE } else { FOLDER };
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_bytes(), below)).collect();
        below = pack.tree(&entries);
    }
    let commit = pack.commit(below);
    stage.repository(&commit, &pack.finish())
}

#[test]
fn a_tree_without_end_is_refused() {
    check(&[
        row("a million empty files, of three objects", 2, &["2000 files"], |stage| layers(stage, 2, 1_000)),
        row("ten billion empty files, of eleven", 2, &["2000 files"], |stage| layers(stage, 10, 10)),
        row("a hundred thousand in one folder", 2, &["2000 files"], |stage| layers(stage, 1, 100_000)),
        row("a thousand folders deep", 2, &["32 deep"], |stage| layers(stage, 1_000, 1)),
        row("a large file again and again", 2, &["50 MiB"], |stage| {
            let mut pack = Pack::default();
            let mut text = String::new();
            (0..400_000)
                .for_each(|number| text.push_str(&format!("{:08}\n", number * 7_919_u64 % 10_000_019)));
            let large = pack.blob(text.as_bytes());
            let names: Vec<String> = (0..40).map(|number| format!("f{number}")).collect();
            let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_bytes(), large)).collect();
            stage.tree(pack, &entries)
        }),
    ]);
}

#[test]
fn a_tree_that_is_not_whole_is_refused() {
    check(&[
        row("another commit than was asked for", 2, &["is not in what was sent"], |stage| {
            let mut pack = Pack::default();
            let page = pack.blob(b"x");
            let top = pack.tree(&[(FILE, b"index.html", page)]);
            pack.commit(top);
            stage.repository(&"a".repeat(40), &pack.finish())
        }),
        row("a file where a commit should be", 2, &["is not a commit"], |stage| {
            let mut pack = Pack::default();
            let blob = pack.blob(b"tree 0000000000000000000000000000000000000000\n");
            stage.repository(&pack::hex(&blob), &pack.finish())
        }),
        row("a commit of no folder", 2, &["is not in it"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.commit([7; 20]);
            stage.repository(&commit, &pack.finish())
        }),
        row("a commit of nonsense", 2, &["names no tree"], |stage| {
            let mut pack = Pack::default();
            let commit = pack.object(pack::COMMIT, b"tree zzzz\n");
            stage.repository(&pack::hex(&commit), &pack.finish())
        }),
        row("a file that did not come", 2, &["content of `gone`"], |stage| {
            stage.tree(Pack::default(), &[(FILE, b"gone", [9; 20])])
        }),
        row("a folder for a file", 2, &["content of `odd`"], |stage| {
            let mut pack = Pack::default();
            let below = pack.tree(&[]);
            stage.tree(pack, &[(FILE, b"odd", below)])
        }),
        row("a file for a folder", 2, &["the folder"], |stage| {
            let mut pack = Pack::default();
            let file = pack.blob(b"x");
            stage.tree(pack, &[(FOLDER, b"odd", file)])
        }),
        row("a folder cut in the middle", 2, &["cannot be read"], |stage| {
            let mut pack = Pack::default();
            let whole = pack::tree(&[(FILE, b"index.html", pack::id(BLOB, b"x"))]);
            let top = pack.object(TREE, &whole[..whole.len() - 5]);
            let commit = pack.commit(top);
            stage.repository(&commit, &pack.finish())
        }),
        row("nothing at all", 2, &["no files"], |stage| stage.tree(Pack::default(), &[])),
    ]);
}
