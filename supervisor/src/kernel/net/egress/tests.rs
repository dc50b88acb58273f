//! The kernel's side and the role against each other, in one process, with names that mean what a test says; and the
//! kernel's side against a role that is hostile.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::control::EgressOutcome;
use fazt_ipc::egress::{BEGIN, READY};
use fazt_ipc::ids::AppId;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::oneshot;

use super::{Egress, Started, Way};
use crate::egress::{Names, Settings, serve_here};
use crate::kernel::fs::outbound::{
    Answered, BrokenOff, Cache, Caller, Fault, FaultKind, Outbound as _, Outgoing, Redirect, Sending,
};
use crate::kernel::security::Principal;

/// Answers in turn, the last one for ever; counts how often it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().expect("an address")).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Names for Script {
    fn look_up<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("whole");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(std::future::ready(answer))
    }
}

fn egress(names: Arc<Script>, test_network: bool) -> Way {
    trusting(names, test_network, Vec::new())
}

fn trusting(names: Arc<Script>, test_network: bool, trusted: Vec<u8>) -> Way {
    let start = move || -> BoxFuture<'static, Result<Started, String>> {
        let (names, trusted) = (Arc::clone(&names), trusted.clone());
        Box::pin(async move {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|error| error.to_string())?;
            let (tell, exited) = oneshot::channel();
            let settings = Settings { test_network, domain: "cloud.example".into(), own: Vec::new() };
            tokio::spawn(async move {
                theirs.set_nonblocking(true).expect("a socket");
                let mut socket = UnixStream::from_std(theirs).expect("a socket");
                socket.write_all(READY).await.expect("the kernel reads");
                let mut word = [0; BEGIN.len()];
                socket.read_exact(&mut word).await.expect("a word");
                let outcome = serve_here(socket, settings, names, &trusted).await;
                let _ = tell.send(format!("{outcome:?}"));
            });
            Ok(Started { pid: 1, socket: ours, exited, kill: Box::new(|| {}) })
        })
    };
    Way(Egress::new(Box::new(start)))
}

/// A server that answers each request by what `answer` makes of its head, and closes.
async fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (heads, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
            tokio::spawn(async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let bytes = answer(&head);
                kept.lock().expect("whole").push(head);
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                // What is still on its way is read: closing upon it would break the answer off.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    (port, heads)
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn to(location: &str) -> Vec<u8> {
    let bytes = format!(
        "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    );
    bytes.into_bytes()
}

fn caller() -> Caller {
    Caller::App(AppId::new(1, 1), Principal::Anonymous)
}

fn get(url: &str) -> Outgoing {
    let hosts = ["a.example", "b.example", "*.c.example", "one.localhost"].map(str::to_owned);
    Outgoing::get(caller(), url, hosts.into())
}

async fn whole(way: &Way, request: Outgoing) -> Result<String, Fault> {
    let answered: Answered = way.fetch(request, None).await?;
    Ok(String::from_utf8_lossy(&answered.whole().await?).into_owned())
}

fn kind(outcome: Result<String, Fault>) -> FaultKind {
    outcome.expect_err("a fault").kind
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_looked_up_once_and_looked_at_each_time() {
    let (port, _) = server(|_| ok("here")).await;
    let names = Script::new(&[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1", "10.0.0.1"], &["127.0.0.1"]]);
    let way = egress(Arc::clone(&names), true);
    let url = format!("http://a.example:{port}/");
    assert_eq!(whole(&way, get(&url)).await.as_deref(), Ok("here"));
    assert_eq!(names.asked.load(Ordering::SeqCst), 1, "what was looked at is what was connected to");
    assert_eq!(kind(whole(&way, get(&url)).await), FaultKind::Address, "another answer");
    assert_eq!(kind(whole(&way, get(&url)).await), FaultKind::Address, "one of them is enough");
    assert_eq!(whole(&way, get(&url)).await.as_deref(), Ok("here"));
    assert_eq!(names.asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn without_the_test_network_no_name_leads_to_this_machine_or_its_neighbours() {
    let (port, heads) = server(|_| ok("never")).await;
    for address in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0"]
    {
        let way = egress(Script::new(&[&[address]]), false);
        let fault = whole(&way, get("https://a.example/")).await.expect_err("refused");
        assert_eq!(fault.kind, FaultKind::Address, "{address}");
        assert!(
            !fault.message.contains(address),
            "an app does not learn what a name stands for here: {fault:?}"
        );
    }
    let way = egress(Script::new(&[&[]]), false);
    assert_eq!(kind(whole(&way, get("https://a.example/")).await), FaultKind::Name);
    assert_eq!(kind(whole(&way, get("https://one.localhost/")).await), FaultKind::Address);
    assert_eq!(kind(whole(&way, get(&format!("http://one.localhost:{port}/"))).await), FaultKind::Invalid);
    assert!(heads.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn a_redirect_is_looked_at_again_and_leaves_secrets_behind() {
    let (port, heads) = server(|_| ok("end")).await;
    let (front, seen) = server(move |head| match head.split(' ').nth(1) {
        Some("/across") => to(&format!("http://b.example:{port}/end")),
        Some("/same") => to("/end"),
        Some("/out") => to("https://evil.example/"),
        Some("/plain") => to("ftp://a.example/"),
        Some("/round") => to("/round"),
        _ => ok("end"),
    })
    .await;
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let with = |path: &str| {
        let mut request = get(&format!("http://a.example:{front}{path}"));
        request =
            request.secret("x-api-key", "sesame").field("authorization", "Bearer me").field("x-plain", "1");
        request
    };
    assert_eq!(whole(&way, with("/same")).await.as_deref(), Ok("end"));
    assert_eq!(whole(&way, with("/across")).await.as_deref(), Ok("end"));
    {
        let seen = seen.lock().expect("whole");
        assert_eq!(seen.iter().filter(|head| head.contains("x-api-key: sesame")).count(), seen.len());
        let across = heads.lock().expect("whole").join("\n");
        assert!(across.contains("/end") && across.contains("x-plain: 1"), "{across}");
        assert!(!across.contains("sesame") && !across.contains("Bearer"), "{across}");
    }
    let out = whole(&way, with("/out")).await.expect_err("refused");
    assert_eq!((out.kind, out.host.as_str()), (FaultKind::Host, "evil.example"));
    assert_eq!(kind(whole(&way, with("/plain")).await), FaultKind::Invalid);
    assert_eq!(kind(whole(&way, with("/round")).await), FaultKind::Redirect);
    let manual = Outgoing { redirect: Redirect::Manual, ..with("/out") };
    let manual = way.fetch(manual, None).await.expect("an answer");
    assert_eq!(manual.head.status, 302);
    let error = Outgoing { redirect: Redirect::Error, ..with("/same") };
    assert_eq!(kind(whole(&way, error).await), FaultKind::Redirect);
}

#[tokio::test]
async fn bodies_have_their_bounds_however_they_come() {
    use std::io::Write as _;
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let bomb = packed(&vec![0; 4 << 20]);
    let (small, not) = (packed(b"small"), b"not packed".to_vec());
    let (port, _) = server(move |head| {
        let gzip = |body: &[u8]| {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n";
            [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        };
        match head.split(' ').nth(1) {
            Some("/bomb") => gzip(&bomb),
            Some("/small") => gzip(&small),
            Some("/not") => gzip(&not),
            Some("/cut") => gzip(&small[..small.len() - 4]),
            Some("/announced") => b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
            Some("/endless") => {
                [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &vec![b'x'; 2 << 20]].concat()
            }
            Some("/header") => format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000)).into_bytes(),
            Some("/fields") => format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500)).into_bytes(),
            Some("/short") => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            _ => b"220 smtp.example ready\r\n".to_vec(),
        }
    })
    .await;
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let ask = |path: &str| Outgoing { bytes_max: 1 << 20, ..get(&format!("http://a.example:{port}{path}")) };
    assert_eq!(whole(&way, ask("/small")).await.as_deref(), Ok("small"));
    for (path, expect) in [
        ("/bomb", FaultKind::TooLarge),
        ("/announced", FaultKind::TooLarge),
        ("/endless", FaultKind::TooLarge),
        ("/header", FaultKind::TooLarge),
        ("/not", FaultKind::Encoding),
        ("/cut", FaultKind::Encoding),
        ("/short", FaultKind::Connect),
        ("/smtp", FaultKind::Protocol),
    ] {
        assert_eq!(kind(whole(&way, ask(path)).await), expect, "{path}");
    }
    let fields = kind(whole(&way, ask("/fields")).await);
    assert!(matches!(fields, FaultKind::TooLarge | FaultKind::Protocol), "{fields:?}");
    let raw = Outgoing { decode: false, ..ask("/bomb") };
    let answered = way.fetch(raw, None).await.expect("an answer");
    assert!(answered.head.fields.iter().any(|(name, _)| name == "content-encoding"));
    assert!(answered.whole().await.expect("a body").len() < 1 << 20, "as it came");
}

#[tokio::test]
async fn nothing_that_an_app_writes_becomes_another_request() {
    let (port, heads) = server(|_| ok("")).await;
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let ask = || get(&format!("http://a.example:{port}/"));
    for request in [
        ask().field("x\r\ny", "z"),
        ask().field("x", "y\r\nz: 1"),
        ask().field("x", "y\n"),
        Outgoing { method: "GET /x HTTP/1.1\r\n\r\nGET".into(), ..ask() },
        Outgoing { method: "CONNECT".into(), ..ask() },
        Outgoing { method: "trace".into(), ..ask() },
        Outgoing { method: String::new(), ..ask() },
    ] {
        let shown = format!("{request:?}");
        let outcome = whole(&way, request).await;
        // A line break at an end is whitespace there, and is cut off.
        assert!(outcome.is_err() || shown.contains("y\\n") || shown.contains("121, 10"), "{shown}");
    }
    assert_eq!(
        whole(&way, ask().field("host", "evil.example").field("connection", "x")).await.as_deref(),
        Ok("")
    );
    let heads = heads.lock().expect("whole").join("\n");
    assert!(
        !heads.contains("evil")
            && !heads.contains("z: 1")
            && heads.contains(&format!("host: a.example:{port}"))
    );
}

struct Pieces(VecDeque<Result<Bytes, BrokenOff>>);

impl Sending for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BrokenOff>> {
        Box::pin(std::future::ready(self.0.pop_front().transpose()))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let post = || Outgoing { method: "POST".into(), ..get(&format!("http://a.example:{port}/")) };
    let piece = || Ok(Bytes::from_static(b"piece"));
    for (request, pieces, expect) in [
        (post(), vec![piece(), Err(BrokenOff)], FaultKind::Cancelled),
        (post().field("content-length", "3"), vec![piece()], FaultKind::Invalid),
        (post().field("content-length", "30"), vec![piece()], FaultKind::Invalid),
    ] {
        let sending = tokio::spawn(way.fetch(request, Some(Box::new(Pieces(pieces.into())))));
        let mut came = Vec::new();
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_to_end(&mut came).await.expect("its end");
        let fault = sending.await.expect("no panic").err().expect("a fault");
        assert_eq!(fault.kind, expect, "{fault:?}");
        assert!(!came.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&came));
    }
}

#[tokio::test]
async fn an_app_takes_turns_with_itself_and_what_is_dropped_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let url = format!("http://a.example:{port}/");
    let mut waiting: Vec<_> =
        (0..super::APP_TURNS_MAX).map(|_| tokio::spawn(way.fetch(get(&url), None))).collect();
    let mut held = Vec::new();
    for _ in 0..super::APP_TURNS_MAX {
        held.push(listener.accept().await.expect("a connection").0);
    }
    let one_more = tokio::spawn(way.fetch(get(&url), None));
    let other = Outgoing { caller: Caller::Kernel("test"), ..get(&url) };
    let other = tokio::spawn(way.fetch(other, None));
    // The kernel's own goes on; the app's waits. The first that comes is the kernel's.
    held.push(listener.accept().await.expect("a connection").0);
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err(), "it waits");
    waiting.pop().expect("one").abort();
    let (stream, _) = listener.accept().await.expect("its turn");
    // Whoever was aborted has closed its connection.
    let mut closed = 0;
    for stream in &mut held[..super::APP_TURNS_MAX] {
        let mut bytes = Vec::new();
        if tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut bytes)).await.is_ok() {
            closed += 1;
        }
    }
    assert_eq!(closed, 1);
    drop((stream, one_more, other));
    let (lines, _) = way.0.log().of(AppId::new(1, 1), 0);
    assert_eq!(lines.iter().filter(|line| line.outcome == EgressOutcome::Cut).count(), 1);
}

/// A role that greets, and then says these bytes.
fn hostile(bytes: Vec<u8>, killed: Arc<AtomicUsize>) -> Way {
    let start = move || -> BoxFuture<'static, Result<Started, String>> {
        let (bytes, killed) = (bytes.clone(), Arc::clone(&killed));
        Box::pin(async move {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|error| error.to_string())?;
            let (tell, exited) = oneshot::channel();
            tokio::spawn(async move {
                theirs.set_nonblocking(true).expect("a socket");
                let mut socket = UnixStream::from_std(theirs).expect("a socket");
                let _ = socket.write_all(READY).await;
                let mut word = [0; BEGIN.len()];
                let _ = socket.read_exact(&mut word).await;
                let _ = socket.read_exact(&mut [0; 16]).await;
                let _ = socket.write_all(&bytes).await;
                let _ = socket.read_to_end(&mut Vec::new()).await;
                drop(tell);
            });
            let kill = Box::new(move || {
                killed.fetch_add(1, Ordering::SeqCst);
            });
            Ok(Started { pid: 1, socket: ours, exited, kill })
        })
    };
    Way(Egress::new(Box::new(start)))
}

#[tokio::test]
async fn a_role_that_says_what_it_may_not_is_killed_and_harms_nobody() {
    use fazt_ipc::egress::{FromEgress, Head, Use};
    let say = |stream: u32, words: &[FromEgress<'_>]| {
        let mut bytes = Vec::new();
        for word in words {
            word.encode(stream, &mut bytes).expect("fits");
        }
        bytes
    };
    let head = || {
        FromEgress::Head(Box::new(Head {
            status: 200,
            url: String::new(),
            redirected: false,
            fields: Vec::new(),
        }))
    };
    let piece = [0; 65_536];
    for (why, bytes) in [
        ("no frame", vec![0xff; 64]),
        ("a stream that was never begun", say(7, &[head()])),
        ("a second head", say(1, &[head(), head()])),
        ("a body before its head", say(1, &[FromEgress::Body(b"x")])),
        ("an end without a head", say(1, &[FromEgress::Done(Use::default())])),
        (
            "a body without credit",
            say(1, &[head(), FromEgress::Body(&piece), FromEgress::Body(&piece), FromEgress::Body(b"x")]),
        ),
        ("credit for no body", say(1, &[FromEgress::Credit(1)])),
        (
            "a word after the last one",
            say(1, &[head(), FromEgress::Done(Use::default()), FromEgress::Body(b"x")]),
        ),
    ] {
        let killed = Arc::<AtomicUsize>::default();
        let way = hostile(bytes, Arc::clone(&killed));
        match way.fetch(get("https://a.example/"), None).await {
            Err(fault) => assert_eq!(fault.kind, FaultKind::Gone, "{why}"),
            Ok(mut answered) => while let Ok(Some(_)) = answered.body.next().await {},
        }
        while killed.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        while way.0.show(false).failures == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_is_no_kernel_is_not_served() {
    use fazt_ipc::egress::ToEgress;
    let mut cancel = Vec::new();
    ToEgress::Cancel.encode(5, false, &mut cancel).expect("fits");
    for bytes in [vec![0xff; 32], cancel, vec![0; 16]] {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let serving = tokio::spawn(serve_here(theirs, Settings::default(), Script::new(&[&[]]), b""));
        let mut ours = ours;
        ours.write_all(&bytes).await.expect("it reads");
        assert!(serving.await.expect("no panic").is_err(), "{bytes:?}");
    }
}

#[tokio::test]
async fn an_answer_that_says_how_long_it_is_good_is_not_asked_for_again() {
    let (port, heads) = server(|head| {
        if head.contains("if-none-match") {
            return b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"1\"\r\n\r\n".to_vec();
        }
        let fields = match head.split(' ').nth(1) {
            Some("/long") => "Cache-Control: max-age=60",
            Some("/tagged") => "ETag: \"1\"",
            _ => "X: y",
        };
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{fields}\r\nContent-Length: 4\r\n\r\nbody")
            .into_bytes()
    })
    .await;
    let way = egress(Script::new(&[&["127.0.0.1"]]), true);
    let ask = |path: &str| get(&format!("http://a.example:{port}{path}"));
    let asked = |path: &str| {
        let path = format!(" {path} ");
        heads.lock().expect("whole").iter().filter(|head| head.contains(&path)).count()
    };
    for path in ["/long", "/tagged", "/plain"] {
        for _ in 0..3 {
            assert_eq!(whole(&way, ask(path)).await.as_deref(), Ok("body"), "{path}");
        }
    }
    assert_eq!((asked("/long"), asked("/tagged"), asked("/plain")), (1, 3, 3));
    let somebody = Caller::App(AppId::new(1, 1), Principal::Service);
    assert_eq!(whole(&way, Outgoing { caller: somebody, ..ask("/long") }).await.as_deref(), Ok("body"));
    assert_eq!(asked("/long"), 2, "what one was answered is no answer for another");
    assert_eq!(whole(&way, ask("/long").field("authorization", "x")).await.as_deref(), Ok("body"));
    assert_eq!(asked("/long"), 3, "nor for another question");
    let only = Outgoing { cache: Cache::OnlyIfCached, ..ask("/long") };
    assert_eq!(whole(&way, only).await.as_deref(), Ok("body"));
    let nothing = Outgoing { cache: Cache::OnlyIfCached, ..ask("/plain") };
    assert_eq!(kind(whole(&way, nothing).await), FaultKind::NotCached);
    let fresh = Outgoing { cache: Cache::NoStore, ..ask("/long") };
    assert_eq!(whole(&way, fresh).await.as_deref(), Ok("body"));
    assert_eq!(asked("/long"), 4);
    let (lines, _) = way.0.log().of(AppId::new(1, 1), 0);
    assert_eq!(lines.iter().filter(|line| line.cached).count(), 5, "two long, two tagged, one only");
}

#[tokio::test]
async fn where_the_other_side_speaks_http_2_it_is_spoken() {
    use http_body_util::BodyExt as _;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    let mut config = config.expect("a key for its certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connections = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                let about = format!("{:?} {}", request.version(), request.uri().host().unwrap_or_default());
                let sent = request.into_body().collect().await?.to_bytes();
                let body = [about.as_bytes(), b" ", &sent].concat();
                Ok::<_, hyper::Error>(http::Response::new(http_body_util::Full::new(Bytes::from(body))))
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), answer));
        }
    });
    let way = trusting(Script::new(&[&["127.0.0.1"]]), true, made.cert.pem().into_bytes());
    let post = |path: &str| Outgoing {
        method: "POST".into(),
        ..get(&format!("https://a.example:{port}{path}"))
            .field("connection", "close")
            .field("host", "evil.example")
    };
    for _ in 0..3 {
        let pieces = [Ok(Bytes::from(vec![b'x'; 100_000])), Ok(Bytes::from(vec![b'y'; 100_000]))];
        let answered = way.fetch(post("/"), Some(Box::new(Pieces(pieces.into())))).await.expect("an answer");
        let body = String::from_utf8(answered.whole().await.expect("a body")).expect("text");
        assert!(body.starts_with("HTTP/2.0 a.example xxx") && body.len() > 200_000, "{}", &body[..40]);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "one connection for one lane");
    let other = Outgoing { caller: Caller::Kernel("test"), ..get(&format!("https://a.example:{port}/")) };
    assert!(whole(&way, other).await.is_ok_and(|body| body.starts_with("HTTP/2.0")));
    assert_eq!(connections.load(Ordering::SeqCst), 2, "and another for another");
}
