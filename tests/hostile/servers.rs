//! Git servers that lie, lead elsewhere, or do not end.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fazt_tests::noise;

use crate::pack::{self, ADVERTISEMENT, FILE, Pack, RESULT, gzip, line};
use crate::stage::{Stage, Typed, check, row};
use crate::web::{open, response};

/// A server whose first answer is this.
fn first(answer: Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| stage.answers(answer.clone(), Vec::new())
}

/// Git's own first answer, with these lines.
fn lines(lines: &[&[u8]]) -> Vec<u8> {
    let body: Vec<u8> = lines.iter().flat_map(|text| line(text)).collect();
    [&open(ADVERTISEMENT)[..], b"001e# service=git-upload-pack\n0000", &body, b"0000"].concat()
}

/// A server that sends this for a pack.
fn sends(body: Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| stage.sends(&body)
}

/// An answer that goes on as long as somebody reads it, or for so long.
fn endless(
    head: Vec<u8>,
    piece: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&mut TcpStream, &str) -> io::Result<()> + Send + Sync {
    move |stream, _| {
        let start = Instant::now();
        stream.write_all(&head)?;
        let piece = piece();
        while start.elapsed() < Duration::from_secs(20) {
            stream.write_all(&piece)?;
        }
        Ok(())
    }
}

/// A server whose first answer goes on and on.
fn first_endless(head: Vec<u8>, piece: Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| {
        let source = stage.place(&"1".repeat(40));
        let piece = piece.clone();
        stage.web.on(&path(stage, &source, "info/refs"), endless(head.clone(), move || piece.clone()));
        source
    }
}

/// A server that sends packs without end.
fn pack_endless(begin: Vec<u8>, piece: Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| {
        let source = stage.sends(&[]);
        let (head, piece) = ([&open(RESULT)[..], &begin].concat(), piece.clone());
        stage.web.on(&path(stage, &source, "git-upload-pack"), endless(head, move || piece.clone()));
        source
    }
}

/// Where a server is asked.
fn path(stage: &Stage, source: &str, what: &str) -> String {
    let below = source.strip_prefix(&stage.web.url()).and_then(|rest| rest.split('@').next());
    format!("{}.git/{what}", below.expect("a place of this server"))
}

#[test]
fn a_server_that_lies_is_an_ordinary_error() {
    let protocol = &["does not speak Git's protocol"];
    let kind = |kind: &str| open(kind);
    check(&[
        row(
            "a page",
            1,
            protocol,
            first([kind("text/html"), b"<script>alert(1)</script>".to_vec()].concat()),
        ),
        row("nothing", 1, &["too early"], first(kind(ADVERTISEMENT))),
        row("no answer", 1, &["127.0.0.1"], first(Vec::new())),
        row("no HTTP", 1, &["127.0.0.1"], first(noise(2_000))),
        row("half a head", 1, &["127.0.0.1"], first(b"HTTP/1.1 200 O".to_vec())),
        row(
            "an error of its own",
            1,
            &["status 500"],
            first(response("500 no", "x: \u{9b}\r\n", b"\x1b[2J")),
        ),
        row("a status that is none", 1, &["127.0.0.1"], first(response("999999 x", "", b""))),
        row(
            "lengths that are no numbers",
            1,
            protocol,
            first([kind(ADVERTISEMENT), b"zzzz".to_vec()].concat()),
        ),
        row("lengths that cannot be", 1, protocol, first([kind(ADVERTISEMENT), b"0003".to_vec()].concat())),
        row("an old protocol", 1, &["version 2 is needed"], first(lines(&[b"version 1\n"]))),
        row(
            "other hashes",
            1,
            &["only SHA-1"],
            first(lines(&[
                b"version 2\n",
                b"ls-refs\n",
                b"fetch=shallow\n",
                b"object-format=\x1b[31m<b>sha256\n",
            ])),
        ),
        row(
            "an error with escapes",
            1,
            &["the server says"],
            first(lines(&[b"ERR \x1b]0;owned\x07 \xc2\x9b31m\n"])),
        ),
        row(
            "a body shorter than its length",
            1,
            &["127.0.0.1"],
            first(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {ADVERTISEMENT}\r\ncontent-length: 1000\r\n\r\n000e"
                )
                .into_bytes(),
            ),
        ),
        row("no pack", 1, &["no pack"], sends(b"0000".to_vec())),
        row("a pack that stops", 1, &["too early"], sends([line(b"packfile\n"), line(b"\x01PACK")].concat())),
        row("another band", 1, protocol, sends([line(b"packfile\n"), line(b"\x09x")].concat())),
        row("more behind the end", 1, protocol, sends([&line(b"packfile\n")[..], b"00000000"].concat())),
        row(
            "an error in the middle, with escapes",
            1,
            &["the server says"],
            sends(
                [line(b"packfile\n"), line(b"\x01PACK"), line(b"\x03\x1b[2J\r<img src=x>\xe2\x80\xae")]
                    .concat(),
            ),
        ),
        row(
            "an error of many lines",
            1,
            &["the server says"],
            sends(line(&[&b"ERR "[..], &b"\n\n\x1b[A".repeat(5_000)].concat())),
        ),
    ]);
}

/// A server whose first answer leads there.
fn leads(to: &'static str) -> impl Fn(&Stage) -> String {
    move |stage| {
        let to = to.replace("PORT", &stage.web.port().to_string());
        stage.answers(response("302 Found", &format!("location: {to}\r\n"), b""), Vec::new())
    }
}

#[test]
fn a_server_that_leads_elsewhere_is_not_followed() {
    let not = &["may be reached"];
    check(&[
        row("to a cloud's own", 2, not, leads("http://169.254.169.254/latest/meta-data/")),
        row("to a private address", 2, not, leads("http://10.0.0.1/a")),
        row("to this machine by another name", 2, not, leads("http://localhost:PORT/a")),
        row("with a dot", 2, not, leads("http://localhost.:PORT/a")),
        row("as a number", 2, not, leads("http://2130706434:PORT/a")),
        row("in digits of sixteen", 2, not, leads("http://0x7f.2:PORT/a")),
        row("of version 6", 2, not, leads("http://[::1]:PORT/a")),
        row("of version 4 in 6", 2, not, leads("http://[::ffff:127.0.0.1]:PORT/a")),
        row("to somebody else", 2, not, leads("https://evil.example/a")),
        row("to a file", 2, &["only https"], leads("file:///etc/passwd")),
        row("to another scheme", 2, &["only https"], leads("ftp://127.0.0.1/a")),
        row("to data", 2, &["only https"], leads("data:text/plain,version")),
        row("to a socket", 2, &["only https"], leads("unix:/run/lock")),
        row("with a password", 2, &["user or a password"], leads("http://a:b@127.0.0.1:PORT/a")),
        row("to nonsense", 1, &["no URL"], leads("http://[")),
        row("in a circle", 1, &["more than 5 times"], |stage| {
            let source = stage.place(&"1".repeat(40));
            let here = path(stage, &source, "info/refs");
            stage.web.says(&here, response("302 Found", &format!("location: {here}\r\n"), b""));
            source
        }),
        row("the question for the pack", 2, not, |stage| {
            let first = [open(ADVERTISEMENT), pack::advertisement()].concat();
            stage.answers(first, response("307 Temporary Redirect", "location: http://localhost/x\r\n", b""))
        }),
        row("with the token", 2, not, |stage| {
            let file = std::env::temp_dir().join(format!("fazt-hostile-token-{}", std::process::id()));
            std::fs::write(&file, "t0ken").expect("written");
            let source = leads("http://localhost:PORT/stolen")(stage);
            Typed::from(source).with(&["--git-token-file", file.to_str().expect("text")])
        }),
    ]);
    let file = std::env::temp_dir().join(format!("fazt-hostile-token-{}", std::process::id()));
    std::fs::remove_file(file).expect("removed");
}

#[test]
fn an_answer_without_end_is_cut_and_takes_no_memory() {
    let head = |kind: &str| open(kind);
    let packfile = line(b"packfile\n");
    check(&[
        row(
            "a head without end",
            1,
            &["127.0.0.1"],
            first_endless(
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"x-more: and more and more and more\r\n".repeat(100),
            ),
        ),
        row(
            "a field without end",
            1,
            &["127.0.0.1"],
            first_endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), noise_of_letters()),
        ),
        row(
            "capabilities without end",
            1,
            &["capabilities without end"],
            first_endless(head(ADVERTISEMENT), line(b"more\n").repeat(1_000)),
        ),
        row(
            "chunks without end",
            1,
            &["capabilities without end"],
            first_endless(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {ADVERTISEMENT}\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                .into_bytes(),
                b"5\r\n0005a\r\n".repeat(1_000),
            ),
        ),
        row(
            "a bomb",
            1,
            &["capabilities without end"],
            first(response(
                "200 OK",
                &format!("content-type: {ADVERTISEMENT}\r\ncontent-encoding: gzip\r\n"),
                &gzip(&b"0005a".repeat(20 << 20)),
            )),
        ),
        row(
            "a bomb in a bomb",
            1,
            &["127.0.0.1"],
            first(response(
                "200 OK",
                &format!(
                    "content-type: {ADVERTISEMENT}\r\ncontent-encoding: gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip\r\n"
                ),
                &gzip(&gzip(&vec![0; 50 << 20])),
            )),
        ),
        row("a bomb for a pack", 1, &["20 MiB, packed"], |stage| {
            let first = [open(ADVERTISEMENT), pack::advertisement()].concat();
            let body = [line(b"packfile\n"), line(&[&[1][..], &[0; 60_000]].concat()).repeat(1_000)].concat();
            let fields = format!("content-type: {RESULT}\r\ncontent-encoding: gzip\r\n");
            stage.answers(first, response("200 OK", &fields, &gzip(&body)))
        }),
        row(
            "a pack without end",
            1,
            &["20 MiB, packed"],
            pack_endless(packfile.clone(), line(&[&[1][..], &noise(65_000)].concat())),
        ),
        row(
            "a pack of single bytes without end",
            1,
            &["MiB, packed"],
            pack_endless(packfile.clone(), line(&[1, 0]).repeat(2_000)),
        ),
        row(
            "progress without end",
            1,
            &["MiB, packed"],
            pack_endless(packfile, line(b"\x02still counting \x1b[31m").repeat(1_000)),
        ),
        row(
            "lines before the pack, without end",
            1,
            &["MiB, packed"],
            pack_endless(line(b"shallow-info\n"), line(b"shallow x\n").repeat(1_000)),
        ),
        row("a list of references without end", 1, &["list of references"], |stage| {
            let source = pack_endless(
                Vec::new(),
                line(format!("{} refs/heads/x\n", "1".repeat(40)).as_bytes()).repeat(500),
            )(stage);
            source.split('@').next().expect("a repository").to_owned()
        }),
    ]);
}

fn noise_of_letters() -> Vec<u8> {
    noise(10_000).into_iter().map(|byte| b'a' + byte % 26).collect()
}

#[test]
fn a_reference_that_lies_is_refused() {
    /// A repository without a commit in its name, whose server names these references.
    fn names(list: &'static [u8]) -> impl Fn(&Stage) -> String {
        move |stage| {
            let first = [open(ADVERTISEMENT), pack::advertisement()].concat();
            let source = stage.answers(first, [&open(RESULT)[..], &line(list), b"0000"].concat());
            source.split('@').next().expect("a repository").to_owned()
        }
    }
    check(&[
        row("to nothing", 1, &["reference to nothing"], names(b"0123 HEAD\n")),
        row("to a path", 1, &["reference to nothing"], names(b"../../etc/passwd HEAD\n")),
        row("without a name", 1, &["without a name"], names(b"1111111111111111111111111111111111111111\n")),
        row("unborn", 3, &["empty"], names(b"unborn HEAD symref-target:refs/heads/main\n")),
        row("with lines in it", 1, &["reference to nothing"], names(b"1111111111111111111111111111111111111111\r\nX: HEAD\n")),
        row("a name that drives a terminal, of a commit that is not there", 1, &["no pack"], names(
            b"1111111111111111111111111111111111111111 HEAD symref-target:refs/heads/\x1b[31m\xe2\x80\xae\n",
        )),
    ]);
}

#[test]
fn what_an_honest_server_sends_in_single_bytes_is_taken() {
    check(&[row("byte by byte", 0, &["live as version 1"], |stage| {
        let mut pack = Pack::default();
        let page = pack.blob(b"<p>x");
        let top = pack.tree(&[(FILE, b"index.html", page)]);
        let commit = pack.commit(top);
        let source = stage.repository(&commit, &pack.finish());
        let mut body = line(b"packfile\n");
        pack.finish().iter().for_each(|byte| body.extend(line(&[1, *byte])));
        body.extend_from_slice(b"0000");
        stage.web.on(&path(stage, &source, "git-upload-pack"), move |stream, _| {
            stream.write_all(&open(RESULT))?;
            body.iter().try_for_each(|byte| stream.write_all(&[*byte]))
        });
        source
    })]);
}
