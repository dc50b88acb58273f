//! The client against a real server, over pipes in place of a network; and against servers that lie.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::build::{self, Unpack};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(["-c", "core.autocrlf=false", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("the program git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// What an HTTP server would answer, by the program behind every such server.
fn serve(repository: &Path, request: &Request) -> Vec<u8> {
    let mut command = Command::new("git");
    command.arg("upload-pack").arg("--stateless-rpc").env("GIT_PROTOCOL", "version=2");
    let mut answer = Vec::new();
    if request.method == "GET" {
        command.arg("--http-backend-info-refs");
        answer.extend_from_slice(b"001e# service=git-upload-pack\n0000");
    }
    let mut child = command
        .arg(repository)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program git");
    child.stdin.take().expect("piped").write_all(&request.body).expect("it reads");
    answer.extend(child.wait_with_output().expect("it ends").stdout);
    answer
}

/// A repository with two commits, a branch, a tag with a text and one without.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    git(at, &["init", "-q"]);
    std::fs::create_dir_all(at.join("apps/one/public")).expect("folders");
    // Long and alike, so that the second becomes a change to the first.
    let long: String = (0..3000).map(|number| format!("line {number}\n")).collect();
    std::fs::write(at.join("long-a.txt"), &long).expect("file");
    std::fs::write(at.join("long-b.txt"), format!("{long}one more\n")).expect("file");
    std::fs::write(at.join("apps/one/server.js"), "export default {}\n").expect("file");
    std::fs::write(at.join("apps/one/public/é.html"), "<p>hi\n").expect("file");
    git(at, &["add", "."]);
    git(at, &["commit", "-qm", "one"]);
    git(at, &["tag", "light"]);
    git(at, &["tag", "-am", "text", "heavy"]);
    std::fs::write(at.join("apps/one/server.js"), "export default { fetch() {} }\n").expect("file");
    git(at, &["commit", "-qam", "two"]);
    git(at, &["branch", "feature/x"]);
    folder
}

/// Everything that an install asks for, and the files.
fn fetch(at: &Path, reference: &str, folder: &str) -> Result<(Reference, Vec<(String, usize)>), String> {
    let told = |error: GitError| error.to_string();
    let mut origin = Origin::parse("https://git.example.org/a.git", false).expect("a place");
    if !reference.is_empty() {
        origin = origin.at(reference).map_err(|error| error.to_string())?;
    }
    let mut client = Client::new(&origin);
    let request = client.advertisement();
    client.advertised(&request.url, &serve(at, &request)).map_err(told)?;
    let commit = match client.known() {
        Some(commit) => commit,
        None => {
            let mut refs = client.read_refs();
            refs.push(&serve(at, &client.refs())).map_err(told)?;
            refs.finish().map_err(told)?
        }
    };
    let mut reader = PackReader::default();
    for chunk in serve(at, &client.fetch(&commit)).chunks(1000) {
        reader.push(chunk).map_err(told)?;
    }
    let pack = reader.finish().map_err(told)?.concat();
    let job = Unpack { commit: commit.commit.clone(), folder: folder.into() };
    let (tree, files) = build::unpack_here(&pack, &job).map_err(|refusal| refusal.shown())?;
    assert_eq!(tree.tree, git(at, &["rev-parse", &format!("{}^{{tree}}", commit.commit)]));
    assert_eq!(tree.committed_unix_s.to_string(), git(at, &["log", "-1", "--format=%ct", &commit.commit]));
    Ok((commit, files.into_iter().map(|file| (file.path, file.bytes.len())).collect()))
}

#[test]
fn a_commit_comes_whole_from_a_branch_a_tag_its_own_name_or_what_is_shown_first() {
    let folder = repository();
    let at = folder.path();
    let (first, second) = (git(at, &["rev-parse", "HEAD~"]), git(at, &["rev-parse", "HEAD"]));
    for (reference, commit, name) in [
        ("", &second, "refs/heads/main"),
        ("main", &second, "refs/heads/main"),
        ("feature/x", &second, "refs/heads/feature/x"),
        ("light", &first, "refs/tags/light"),
        ("heavy", &first, "refs/tags/heavy"),
        ("refs/tags/heavy", &first, "refs/tags/heavy"),
        (first.as_str(), &first, ""),
    ] {
        let (found, files) = fetch(at, reference, "").unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert_eq!((&found.commit, found.name.as_str()), (commit, name), "{reference}");
        let server = if *commit == first { 18 } else { 30 };
        let expect = [
            ("apps/one/public/é.html".to_owned(), 6),
            ("apps/one/server.js".to_owned(), server),
            ("long-a.txt".to_owned(), 28_890),
            ("long-b.txt".to_owned(), 28_899),
        ];
        assert_eq!(files, expect, "{reference}");
    }
    let (_, files) = fetch(at, "main", "apps/one").expect("a folder of it");
    assert_eq!(files, [("public/é.html".to_owned(), 6), ("server.js".to_owned(), 30)]);
}

#[test]
fn what_a_repository_does_not_have_is_named() {
    let folder = repository();
    let at = folder.path();
    for (reference, below, says) in [
        ("v9", "", "no branch or tag `v9`"),
        ("main", "apps/two", "no folder `apps/two`"),
        ("main", "long-a.txt", "no folder"),
        ("0123456789abcdef0123456789abcdef01234567", "", "the server says"),
    ] {
        let error = fetch(at, reference, below).expect_err(says);
        assert!(error.contains(says), "{reference} {below}: {error}");
    }
    let empty = tempfile::tempdir().expect("folder");
    git(empty.path(), &["init", "-q"]);
    assert_eq!(fetch(empty.path(), "", "").expect_err("empty"), "the repository is empty");
}

#[test]
fn what_an_app_cannot_have_is_refused_with_its_path() {
    let other = repository();
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 4] = [
        ("`link` is a symbolic link", |at, _| {
            std::os::unix::fs::symlink("/etc/passwd", at.join("link")).expect("link");
        }),
        ("`sub` is a submodule", |at, other| {
            git(at, &["-c", "protocol.file.allow=always", "clone", "-q", &other.to_string_lossy(), "sub"]);
        }),
        ("`big.bin` is kept elsewhere (Git LFS)", |at, _| {
            let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
            std::fs::write(at.join("big.bin"), pointer).expect("file");
        }),
        ("a file may have 5 MiB", |at, _| {
            // Noise, so that it is not refused for how well it packs.
            let noise: Vec<u8> =
                (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            std::fs::write(at.join("big.bin"), noise).expect("file");
        }),
    ];
    for (says, plant) in plants {
        let folder = repository();
        let at = folder.path();
        plant(at, other.path());
        git(at, &["add", "."]);
        git(at, &["commit", "-qm", "three"]);
        let error = fetch(at, "", "").expect_err(says);
        assert!(error.contains(says), "{says}: {error}");
        // What stands outside the chosen folder does not matter.
        fetch(at, "", "apps/one").unwrap_or_else(|error| panic!("{says}: {error}"));
    }
}

fn lines(texts: &[&str]) -> Vec<u8> {
    let one = |text: &&str| match *text {
        mark @ ("0000" | "0001") => mark.to_owned(),
        text => format!("{:04x}{text}", text.len() + 4),
    };
    texts.iter().map(one).collect::<String>().into_bytes()
}

#[test]
fn a_server_that_is_none_or_too_old_is_told_apart() {
    let origin = Origin::parse("github.com/a/b", false).expect("a place");
    for (answer, says) in [
        (b"<!doctype html>".to_vec(), "does not speak"),
        (Vec::new(), "too early"),
        (lines(&["# service=git-upload-pack\n", "0000", "1234 HEAD\0multi_ack", "0000"]), "version 2"),
        (lines(&["version 2", "fetch=shallow", "0000"]), "single commits"),
        (lines(&["version 2", "ls-refs", "fetch=x", "0000"]), "single commits"),
        (lines(&["version 2", "ls-refs", "fetch=shallow", "object-format=sha256", "0000"]), "sha256"),
        (lines(&["ERR \x1b[2Jno", "0000"]), "the server says:  [2Jno"),
        (vec![b'0'; CAPABILITIES * 2], "without end"),
    ] {
        let error = Client::new(&origin).advertised("x", &answer).expect_err(says).to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

const CAPABILITIES: usize = 64 * 1024;

#[test]
fn a_repository_that_moved_is_asked_at_its_new_place() {
    let origin = Origin::parse("github.com/a/b", false).expect("a place");
    let mut client = Client::new(&origin);
    let answer = lines(&["version 2", "ls-refs=unborn", "fetch=shallow wait-for-done", "0000"]);
    client
        .advertised("https://github.com/a/c.git/info/refs?service=git-upload-pack", &answer)
        .expect("a server");
    assert_eq!(client.refs().url, "https://github.com/a/c.git/git-upload-pack");
}

#[test]
fn a_list_of_references_that_lies_is_refused() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let client = Client::new(&Origin::parse("github.com/a/b@v1", false).expect("a place"));
    for (answer, says) in [
        (lines(&[&format!("{id} refs/tags/v1")]), "too early"),
        (lines(&[id, "0000"]), "without a name"),
        (lines(&["0123 refs/tags/v1", "0000"]), "to nothing"),
        (lines(&[&format!("{id} refs/tags/v1 peeled:xyz"), "0000"]), "to nothing"),
        (lines(&[&format!("{id} refs/tags/v10"), "0000"]), "no branch or tag `v1`"),
        (lines(&["0001"]), "section"),
        (lines(&["ERR not today", "0000"]), "the server says: not today"),
    ] {
        let mut reader = client.read_refs();
        let outcome = reader.push(&answer).and_then(|()| reader.finish());
        let error = outcome.expect_err(says).to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let mut reader = client.read_refs();
    let one = format!("{id} refs/tags/v1");
    let flood = lines(&[one.as_str(); 1000]);
    assert!((0..100).any(|_| reader.push(&flood).is_err()), "a list without end");
}

#[test]
fn an_answer_without_a_pack_or_without_end_is_refused() {
    for (answer, says) in [
        (lines(&["ERR upload-pack: not our ref"]), "not our ref"),
        (lines(&["shallow-info\n", "0001", "0000"]), "no pack"),
        (lines(&["packfile\n", "\u{1}PACK"]), "too early"),
        (lines(&["packfile\n", "\u{3}fatal: \u{7}disk"]), "the server says: fatal:  disk"),
        (lines(&["packfile\n", "\u{9}x"]), "no band"),
        (lines(&["packfile\n", "\u{1}x", "0000", "0000"]), "behind the end"),
    ] {
        let mut reader = PackReader::default();
        let error = match reader.push(&answer) {
            Ok(()) => reader.finish().expect_err(says),
            Err(error) => error,
        };
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let mut reader = PackReader::default();
    reader.push(&lines(&["packfile\n"])).expect("the begin");
    let progress = lines(&["\u{2}still counting"; 10_000]);
    assert!((0..1000).any(|_| reader.push(&progress).is_err()), "progress without end");
}
