//! `fetch` of an app, to a server on loopback that the tests hold: only a server in the test network lets it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fazt_tests::tls::Front;
use fazt_tests::{Folder, Server, ServerOptions};
use serde_json::{Value, json};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Debug, Clone)]
struct Seen {
    head: String,
    body: Vec<u8>,
}

/// A server elsewhere: each path answers in its own way.
struct Elsewhere {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Says that a client of `/slow` has gone.
    gone: Mutex<Receiver<()>>,
    /// Has `/steps` go on to its second piece.
    go: Sender<()>,
}

impl Elsewhere {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (tell, gone) = channel();
        let (go, steps) = channel();
        let (shared, steps) = (Arc::clone(&seen), Arc::new(Mutex::new(steps)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, tell, steps) = (Arc::clone(&shared), tell.clone(), Arc::clone(&steps));
                thread::spawn(move || serve(stream, address, &seen, &tell, &steps));
            }
        });
        Self { address, seen, gone: Mutex::new(gone), go }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("whole").clone()
    }
}

fn serve(
    stream: TcpStream,
    address: SocketAddr,
    seen: &Mutex<Vec<Seen>>,
    gone: &Sender<()>,
    steps: &Mutex<Receiver<()>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut out = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let target = head.split(' ').nth(1)?.to_owned();
        let mut body = Vec::new();
        if let Some(length) = field("content-length") {
            body.resize(length.parse().ok()?, 0);
            reader.read_exact(&mut body).ok()?;
        } else if field("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    break;
                }
                if target == "/duplex" && body.is_empty() {
                    // Answers while the request is still on its way.
                    out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                }
                if target == "/duplex" {
                    let piece = &chunk[..size];
                    write!(out, "{size:x}\r\n").ok()?;
                    out.write_all(piece).ok()?;
                    out.write_all(b"\r\n").ok()?;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        }
        seen.lock().ok()?.push(Seen { head: head.clone(), body: body.clone() });
        let mut answer = |status: &str, fields: &str, body: &[u8]| -> Option<()> {
            write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len()).ok()?;
            out.write_all(body).ok()
        };
        let port = address.port();
        match target.as_str() {
            "/duplex" => out.write_all(b"0\r\n\r\n").ok()?,
            "/echo" => answer("200 OK", "X-Kind: echo\r\nSet-Cookie: a=b\r\n", &body)?,
            "/away" => {
                answer("302 Found", &format!("Location: http://two.localhost:{port}/secret\r\n"), b"")?
            }
            "/home" => answer("302 Found", "Location: /echo\r\n", b"")?,
            "/again" => answer("307 Temporary Redirect", "Location: /echo\r\n", b"")?,
            "/round" => answer("302 Found", "Location: /round\r\n", b"")?,
            "/private" => answer("302 Found", "Location: http://10.0.0.1/\r\n", b"")?,
            "/head" => answer("200 OK", "", head.as_bytes())?,
            "/bomb" => answer("200 OK", "Content-Encoding: gzip\r\n", &bomb())?,
            "/gzip" => answer("200 OK", "Content-Encoding: gzip\r\n", &gzip(b"small text, packed"))?,
            "/slow" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").ok()?;
                // Returns when the other side closes.
                let _ = reader.read(&mut [0]);
                let _ = gone.send(());
                return None;
            }
            "/steps" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").ok()?;
                steps.lock().ok()?.recv().ok()?;
                out.write_all(b"6\r\nsecond\r\n0\r\n\r\n").ok()?;
            }
            "/endless" => {
                out.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                while out.write_all(&[b'x'; 16_384]).is_ok() {}
                return None;
            }
            "/cut" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").ok()?;
                return None;
            }
            _ => answer("404 Not Found", "", b"")?,
        }
    }
}

fn pack(bytes: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    // Stored blocks would be no bomb: runs are written as deflate writes them, by a program that every system has.
    use std::process::{Command, Stdio};
    let mut gzip =
        Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut input = gzip.stdin.take().expect("a pipe");
    let writing = thread::scope(|scope| {
        let mut output = gzip.stdout.take().expect("a pipe");
        let reading = scope.spawn(move || {
            let mut packed = Vec::new();
            output.read_to_end(&mut packed).map(|_| packed)
        });
        for piece in bytes {
            input.write_all(&piece).expect("gzip reads");
        }
        drop(input);
        reading.join().expect("it reads").expect("gzip writes")
    });
    gzip.wait().expect("gzip ends");
    writing
}

fn bomb() -> Vec<u8> {
    pack((0..64).map(|_| vec![0; 1 << 20]))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    pack(std::iter::once(bytes.to_vec()))
}

/// Does what the query says and tells what came of it.
const APP: &str = r#"
const shown = (error) => ({ error: error.name, message: error.message, permission: error.permission });
export default { async fetch(request, env) {
  const { url, init, read, wait } = await request.json();
  try {
    const controller = new AbortController();
    if (init?.abort) { init.signal = controller.signal; delete init.abort; }
    if (init?.chunks) {
      const chunks = init.chunks;
      delete init.chunks;
      let at = 0;
      init.body = new ReadableStream({ pull(c) { if (at < chunks.length) c.enqueue(new TextEncoder().encode(chunks[at++])); else c.close(); } });
      init.duplex = "half";
    }
    const response = await fetch(url, init);
    const headers = Object.fromEntries(response.headers);
    const head = { status: response.status, url: response.url, redirected: response.redirected, headers, env };
    if (read === "first") {
      const reader = response.body.getReader();
      const { value } = await reader.read();
      controller.abort();
      let after;
      try { await reader.read(); after = "read"; } catch (error) { after = error.name; }
      return Response.json({ ...head, first: new TextDecoder().decode(value), after });
    }
    if (read === "stream") return new Response(response.body);
    if (read === "drop") return Response.json(head);
    if (read === "bytes") return Response.json({ ...head, bytes: (await response.arrayBuffer()).byteLength });
    return Response.json({ ...head, text: await response.text() });
  } catch (error) { return Response.json(shown(error)); }
} };"#;

const MANIFEST: &str = r#"{ "name": "out", "main": "server.js", "access": "public",
  "permissions": { "net": ["one.localhost", "*.three.localhost", "api.example.com"] },
  "env": [
    { "name": "KEY", "secret": true, "inject": ["one.localhost"] },
    { "name": "SEEN", "secret": true },
    { "name": "OTHER", "secret": true, "inject": ["api.example.com"] }
  ] }"#;

fn start() -> (Server, Elsewhere) {
    let options =
        ServerOptions { config: "[egress]\ntest_network = true\n".into(), ..ServerOptions::default() };
    let server = Server::with(options);
    server.deploy_files("out", &[("app.json", MANIFEST), ("server.js", APP)]);
    (server, Elsewhere::start())
}

fn ask(server: &Server, what: Value) -> Value {
    let body = what.to_string();
    let mut client = server.client("out");
    let answer = client.request("POST", "/", &[("content-type", "application/json")], body.as_bytes());
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

fn log(server: &Server) -> Vec<Value> {
    let lines = server.fazt(&["net", "egress", "out", "--json"]).ok().json();
    lines.as_array().expect("a list").clone()
}

#[test]
fn requests_go_out_and_answers_come_back_both_ways_as_they_come() {
    let (server, elsewhere) = start();
    let one = |path: &str| elsewhere.url("one.localhost", path);
    let plain = ask(&server, json!({ "url": one("/echo") }));
    assert_eq!((&plain["status"], &plain["text"]), (&json!(200), &json!("")), "{plain}");
    assert_eq!(plain["headers"]["x-kind"], "echo");
    let posted = ask(&server, json!({ "url": one("/echo"), "init": { "method": "POST", "body": "héllo" } }));
    assert_eq!(posted["text"], "héllo", "{posted}");
    let seen = elsewhere.seen();
    let head = &seen.last().expect("a request").head;
    assert!(head.to_lowercase().contains("content-length: 6\r\n"), "{head}");
    assert!(head.contains(&format!("host: one.localhost:{}\r\n", elsewhere.address.port())), "{head}");
    let chunks: Vec<String> = (0..40).map(|n| format!("{n}-").repeat(2_000)).collect();
    let streamed =
        ask(&server, json!({ "url": one("/duplex"), "init": { "method": "POST", "chunks": chunks } }));
    assert_eq!(streamed["text"], chunks.concat(), "both ways at once");
    let unpacked = ask(&server, json!({ "url": one("/gzip") }));
    assert_eq!(unpacked["text"], "small text, packed");
    assert_eq!(unpacked["headers"]["content-encoding"], Value::Null);
    let below = ask(&server, json!({ "url": elsewhere.url("a.b.three.localhost", "/echo") }));
    assert_eq!(below["status"], 200, "{below}");
    let lines = log(&server);
    assert!(lines.iter().any(|line| line["outcome"] == "done" && line["status"] == 200), "{lines:?}");
    let status = server.status();
    assert!(status["egress"]["pid"].is_u64() && status["egress"]["test_network"] == true, "{status}");
}

#[test]
fn what_is_not_granted_is_refused_wherever_it_comes_from_and_the_log_says_so() {
    let (server, elsewhere) = start();
    let refused = ask(&server, json!({ "url": elsewhere.url("two.localhost", "/echo") }));
    assert_eq!(
        (&refused["error"], &refused["permission"]),
        (&json!("PermissionDenied"), &json!("net:two.localhost"))
    );
    let above = ask(&server, json!({ "url": elsewhere.url("three.localhost", "/echo") }));
    assert_eq!(above["error"], "PermissionDenied", "a wildcard is for what is below: {above}");
    let led = ask(&server, json!({ "url": elsewhere.url("one.localhost", "/away") }));
    assert_eq!(
        (&led["error"], &led["permission"]),
        (&json!("PermissionDenied"), &json!("net:two.localhost")),
        "{led}"
    );
    assert!(elsewhere.seen().iter().all(|seen| !seen.head.contains("/secret")));
    for (path, error) in [("/private", "PermissionDenied"), ("/round", "TypeError")] {
        let answer = ask(&server, json!({ "url": elsewhere.url("one.localhost", path) }));
        assert_eq!(answer["error"], error, "{path}: {answer}");
    }
    let lines = log(&server);
    let refused: Vec<&Value> = lines.iter().filter(|line| line["outcome"] == "refused").collect();
    assert!(refused.len() >= 4, "{lines:?}");
    assert!(refused.iter().any(|line| line["why"].as_str().is_some_and(|why| why.contains("two.localhost"))));
    let words = server.fazt(&["net", "egress", "out"]).ok().stdout;
    assert!(words.contains("refused") && words.contains("two.localhost"), "{words}");
}

#[test]
fn redirects_are_followed_refused_or_handed_on_as_the_request_says() {
    let (server, elsewhere) = start();
    let home = elsewhere.url("one.localhost", "/home");
    let followed = ask(&server, json!({ "url": home }));
    assert_eq!((&followed["status"], &followed["redirected"]), (&json!(200), &json!(true)), "{followed}");
    assert_eq!(followed["url"], elsewhere.url("one.localhost", "/echo"));
    let manual = ask(&server, json!({ "url": home, "init": { "redirect": "manual" } }));
    assert_eq!(
        (&manual["status"], &manual["headers"]["location"]),
        (&json!(302), &json!("/echo")),
        "{manual}"
    );
    let error = ask(&server, json!({ "url": home, "init": { "redirect": "error" } }));
    assert_eq!(error["error"], "TypeError", "{error}");
    let again = elsewhere.url("one.localhost", "/again");
    let sent = ask(&server, json!({ "url": again, "init": { "method": "POST", "body": "twice" } }));
    assert_eq!(sent["text"], "twice", "{sent}");
    let posted = ask(&server, json!({ "url": home, "init": { "method": "POST", "body": "once" } }));
    assert_eq!((&posted["status"], &posted["text"]), (&json!(200), &json!("")), "{posted}");
    let bodies: Vec<Vec<u8>> = elsewhere.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.iter().filter(|body| *body == b"once").count(), 1, "a POST becomes a GET");
}

#[test]
fn without_the_test_network_this_machine_is_closed() {
    let server = Server::start();
    server.deploy_files("out", &[("app.json", MANIFEST), ("server.js", APP)]);
    let elsewhere = Elsewhere::start();
    for url in [
        elsewhere.url("one.localhost", "/echo"),
        "https://one.localhost/".to_owned(),
        "http://api.example.com/".to_owned(),
    ] {
        let refused = ask(&server, json!({ "url": url }));
        assert!(
            ["PermissionDenied", "TypeError"].contains(&refused["error"].as_str().unwrap_or("")),
            "{url}: {refused}"
        );
    }
    assert!(elsewhere.seen().is_empty());
    assert_eq!(server.status()["egress"]["test_network"], false);
}

#[test]
fn a_secret_is_filled_in_outside_and_the_app_never_sees_it() {
    let (server, elsewhere) = start();
    let set = |name: &str, value: &str| {
        let folder = Folder::with(&[("value", value)]);
        let file = format!("{name}={}", folder.path().join("value").display());
        server.fazt(&["app", "env", "out", "set", "--file", &file]).ok();
    };
    let url = elsewhere.url("one.localhost", "/echo");
    let with = |value: &str| json!({ "url": url, "init": { "headers": { "authorization": value } } });
    let unset = ask(&server, with("Bearer {{KEY}}"));
    assert!(unset["message"].as_str().is_some_and(|why| why.contains("fazt app env out set KEY")), "{unset}");
    set("KEY", "open-sesame");
    set("SEEN", "visible");
    set("OTHER", "for-another-host");
    let sent = ask(&server, with("Bearer {{KEY}}{{SEEN}}{{NOBODY}}"));
    assert_eq!((&sent["status"], &sent["env"]), (&json!(200), &json!({ "SEEN": "visible" })), "{sent}");
    let head = elsewhere.seen().last().expect("a request").head.clone();
    assert!(head.contains("authorization: Bearer open-sesamevisible{{NOBODY}}\r\n"), "{head}");
    let other = ask(&server, with("{{OTHER}}"));
    assert_eq!(other["error"], "PermissionDenied", "{other}");
    assert!(!format!("{:?}{sent}{other}", log(&server)).contains("sesame"));
    assert!(elsewhere.seen().iter().all(|seen| !seen.head.contains("for-another-host")));
}

#[test]
fn whoever_goes_away_takes_the_request_with_them() {
    let (server, elsewhere) = start();
    let slow = elsewhere.url("one.localhost", "/slow");
    let aborted = ask(&server, json!({ "url": slow, "read": "first", "init": { "abort": true } }));
    assert_eq!((&aborted["first"], &aborted["after"]), (&json!("first"), &json!("AbortError")), "{aborted}");
    elsewhere.gone.lock().expect("whole").recv_timeout(PATIENCE).expect("the connection is closed");
    // An answer whose body nobody wants.
    let dropped = ask(&server, json!({ "url": slow, "read": "drop" }));
    assert_eq!(dropped["status"], 200, "{dropped}");
    elsewhere.gone.lock().expect("whole").recv_timeout(PATIENCE).expect("the connection is closed");
    // A client that leaves while the app waits.
    let mut client = server.client("out");
    let body = json!({ "url": slow }).to_string();
    let head =
        format!("POST / HTTP/1.1\r\nHost: out.localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.send(head.as_bytes()).expect("sent");
    server.wait("the request to arrive", |_| {
        elsewhere.seen().iter().filter(|seen| seen.head.contains("/slow")).count() == 3
    });
    server.fazt(&["proc", "kill", "out"]).ok();
    elsewhere.gone.lock().expect("whole").recv_timeout(PATIENCE).expect("the connection is closed");
    assert!(log(&server).iter().filter(|line| line["outcome"] == "cut").count() >= 2, "{:?}", log(&server));
}

#[test]
fn what_is_taken_away_ends_a_request_that_is_on_its_way() {
    let (server, elsewhere) = start();
    let body = json!({ "url": elsewhere.url("one.localhost", "/steps"), "read": "stream" }).to_string();
    let head =
        format!("POST / HTTP/1.1\r\nHost: out.localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for taken in [false, true] {
        let mut client = server.client("out");
        client.send(head.as_bytes()).expect("sent");
        assert_eq!(client.head().expect("a head").status, 200);
        assert_eq!(client.chunk().expect("a piece"), b"first");
        if taken {
            server.fazt(&["app", "revoke", "out", "net:one.localhost"]).ok();
        }
        elsewhere.go.send(()).expect("it goes on");
        match client.chunk() {
            Ok(piece) => assert!(!taken && piece == b"second", "{:?}", String::from_utf8_lossy(&piece)),
            Err(error) => assert!(taken, "{error}"),
        }
    }
}

#[test]
fn a_body_without_end_or_cut_off_is_an_error_and_nothing_else() {
    let (server, elsewhere) = start();
    for path in ["/endless", "/bomb"] {
        let answer = ask(&server, json!({ "url": elsewhere.url("one.localhost", path), "read": "bytes" }));
        assert_eq!(answer["error"], "TypeError", "{path}: {answer}");
    }
    let cut = ask(&server, json!({ "url": elsewhere.url("one.localhost", "/cut") }));
    assert_eq!(cut["error"], "TypeError", "{cut}");
    let after = ask(&server, json!({ "url": elsewhere.url("one.localhost", "/echo") }));
    assert_eq!(after["status"], 200, "it goes on: {after}");
    let status = server.status();
    assert_eq!(
        (&status["egress"]["starts"], &status["egress"]["failures"]),
        (&json!(1), &json!(0)),
        "{status}"
    );
}

#[test]
fn certificates_are_checked_by_those_that_the_machine_trusts() {
    let elsewhere = Elsewhere::start();
    let trusted = Front::start(elsewhere.address, "one.localhost");
    let strange = Front::start(elsewhere.address, "one.localhost");
    let through = vec!["env".into(), format!("SSL_CERT_FILE={}", trusted.authority().display())];
    let config = "[egress]\ntest_network = true\n".into();
    let server = Server::with(ServerOptions { config, through, ..ServerOptions::default() });
    server.deploy_files("out", &[("app.json", MANIFEST), ("server.js", APP)]);
    let url = |front: &Front, host: &str| format!("https://{host}:{}/echo", front.address.port());
    let good = ask(&server, json!({ "url": url(&trusted, "one.localhost") }));
    assert_eq!(good["status"], 200, "{good}");
    for url in [url(&strange, "one.localhost"), url(&trusted, "a.three.localhost")] {
        let refused = ask(&server, json!({ "url": url }));
        let why = refused["message"].as_str().unwrap_or_default();
        assert!(refused["error"] == "TypeError" && why.contains("no safe connection"), "{url}: {refused}");
    }
    assert_eq!(elsewhere.seen().len(), 1, "nothing was sent to who could not show who they are");
}

#[test]
fn an_ordinary_user_has_it_too_with_the_layers_that_there_are() {
    let elsewhere = Elsewhere::start();
    let server = Server::with(ServerOptions {
        config: "[egress]\ntest_network = true\n".into(),
        uid: rustix::process::geteuid().is_root().then_some(65_534),
        ..ServerOptions::default()
    });
    server.deploy_files("out", &[("app.json", MANIFEST), ("server.js", APP)]);
    let answer = ask(&server, json!({ "url": elsewhere.url("one.localhost", "/echo") }));
    assert_eq!(answer["status"], 200, "{answer}");
}

#[test]
fn a_process_that_is_killed_comes_back() {
    let (server, elsewhere) = start();
    let echo = json!({ "url": elsewhere.url("one.localhost", "/echo") });
    assert_eq!(ask(&server, echo.clone())["status"], 200);
    let pid = server.status()["egress"]["pid"].as_u64().expect("a process");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a number")).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    server.wait("it to be missed", |server| server.status()["egress"]["failures"] == 1);
    let again = ask(&server, echo);
    assert_eq!(again["status"], 200, "{again}");
    assert_eq!(server.status()["egress"]["starts"], 2);
}
