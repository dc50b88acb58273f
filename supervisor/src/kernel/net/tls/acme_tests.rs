//! Against an authority that says whatever it likes.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use fazt_ipc::egress::{Fault, Head};
use futures_util::future::BoxFuture;

use super::*;
use crate::kernel::fs::outbound::{Answered, Caller, Outgoing, Receiving, Sending};

const HOST: &str = "app.cloud.example";
const DIRECTORY: &str = "https://authority.example/dir";
/// At most so long, for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

type Says = Box<dyn Fn(&str) -> Option<(u16, String)> + Send + Sync>;

/// An authority that wants no proof; `says` has the first word at each path.
struct Authority {
    says: Says,
    asked: Mutex<Vec<Outgoing>>,
    accounts: AtomicUsize,
    /// The order has been completed, and its certificate not been fetched.
    finalized: AtomicBool,
}

impl Authority {
    fn new(says: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            says: Box::new(says),
            asked: Mutex::default(),
            accounts: AtomicUsize::new(0),
            finalized: AtomicBool::new(false),
        })
    }

    fn paths(&self) -> Vec<String> {
        let asked = lock(&self.asked);
        asked.iter().map(|one| one.url.replace("https://authority.example", "")).collect()
    }

    fn answer(&self, url: &str) -> (u16, String) {
        let path = url.strip_prefix("https://authority.example").unwrap_or(url);
        if let Some(answer) = (self.says)(path) {
            return answer;
        }
        let at = "https://authority.example";
        let order = |status: &str| {
            format!(
                r#"{{ "status": "{status}", "authorizations": [], "finalize": "{at}/finalize",
                    "certificate": "{at}/certificate" }}"#
            )
        };
        match path {
            "/dir" => {
                let text = format!(
                    r#"{{ "newNonce": "{at}/nonce", "newAccount": "{at}/account", "newOrder": "{at}/order" }}"#
                );
                (200, text)
            }
            "/account" => {
                self.accounts.fetch_add(1, Relaxed);
                (201, r#"{ "status": "valid" }"#.into())
            }
            "/order" => (201, order("ready")),
            "/order/1" if !self.finalized.swap(false, Relaxed) => (200, order("ready")),
            "/order/1" => (200, order("valid")),
            "/finalize" => {
                self.finalized.store(true, Relaxed);
                (200, order("processing"))
            }
            "/certificate" => (200, made(HOST)),
            _ => (200, String::new()),
        }
    }
}

impl Outbound for Authority {
    fn fetch(
        &self,
        request: Outgoing,
        _: Option<Box<dyn Sending>>,
    ) -> BoxFuture<'static, Result<Answered, Fault>> {
        let (status, text) = self.answer(&request.url);
        let location = format!("{}/1", request.url).into_bytes();
        let fields = vec![("replay-nonce".to_owned(), b"one".to_vec()), ("location".to_owned(), location)];
        let head = Head { status, url: request.url.clone(), redirected: false, fields };
        lock(&self.asked).push(request);
        Box::pin(ready(Ok(Answered { head, body: Box::new(Body(Some(text.into()))) })))
    }

    fn refused(&self, _: Caller, _: &str, _: &str, _: &str) {}
}

struct Body(Option<Bytes>);

impl Receiving for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Fault>> {
        Box::pin(ready(Ok(self.0.take().filter(|bytes| !bytes.is_empty()))))
    }
}

/// A certificate for a host, of a key that nobody knows.
fn made(host: &str) -> String {
    rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("a certificate").cert.pem()
}

fn problem(kind: &str, detail: &str) -> Option<(u16, String)> {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    Some((400, serde_json::json!({ "type": kind, "detail": detail, "status": 400 }).to_string()))
}

struct Stage {
    acme: Arc<Acme>,
    storage: Arc<Storage>,
    running: tokio::task::JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new(authority: &Arc<Authority>) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(data.path()).expect("storage");
        let settings = config::Tls { directory: DIRECTORY.into(), ..config::Tls::default() };
        let acme = Acme::new(&settings, &storage, Arc::clone(authority) as Arc<dyn Outbound>);
        let running = tokio::spawn(Arc::clone(&acme).run(|_| true));
        Self { acme, storage, running, _data: data }
    }

    /// Asks for the host, and waits until it is known to be so.
    async fn until(&self, is: impl Fn(&Host) -> bool) -> Host {
        let mut changed = self.acme.changed.subscribe();
        let _ = self.acme.certificate(HOST);
        let soon = async {
            loop {
                let host = lock(&self.acme.hosts).get(HOST).cloned().unwrap_or_default();
                if is(&host) {
                    return host;
                }
                changed.changed().await.expect("it goes on");
            }
        };
        tokio::time::timeout(PATIENCE, soon).await.expect("in time")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[tokio::test]
async fn an_authority_that_has_enough_is_left_alone_for_an_hour_and_nobody_waits_meanwhile() {
    let authority =
        Authority::new(|path| (path == "/order").then(|| problem("rateLimited", "too many")).flatten());
    let stage = Stage::new(&authority);
    let host = stage.until(|host| !host.trouble.is_empty()).await;
    assert_eq!(host.trouble, "the authority says: too many");
    assert!(host.try_unix_ms > unix_ms() + LIMITED_S * 1_000 - 60_000, "{host:?}");
    assert!(host.try_unix_ms <= unix_ms() + LIMITED_S * 1_000, "{host:?}");
    // At once: the patience is longer than a test may take.
    let soon = stage.acme.certificate_soon(HOST, Duration::from_secs(86_400));
    assert!(tokio::time::timeout(PATIENCE, soon).await.expect("nobody waits").is_none());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_shown_is_not_kept() {
    for (host, part) in [(HOST, "cannot be shown"), ("other.example", "another host")] {
        let authority = Authority::new(move |path| (path == "/certificate").then(|| (200, made(host))));
        let stage = Stage::new(&authority);
        let known = stage.until(|host| host.failures > 1).await;
        assert!(known.trouble.contains(part), "{known:?}");
        assert!(stage.acme.certificate(HOST).is_none());
        let stored = stage.storage.kernel(|kernel| kernel.certificate(HOST)).await.expect("storage");
        assert!(stored.is_none());
    }
}

#[tokio::test]
async fn an_account_that_the_authority_has_lost_is_made_anew() {
    let authority = Authority::new(|path| {
        (path == "/order").then(|| problem("accountDoesNotExist", "who are you?")).flatten()
    });
    let stage = Stage::new(&authority);
    stage.until(|host| host.failures > 1).await;
    assert_eq!(authority.accounts.load(Relaxed), 2, "{:?}", authority.paths());
}

#[tokio::test]
async fn what_an_authority_says_is_kept_short_and_drives_no_terminal() {
    let detail = format!("\u{1b}[2J\r\n{}", "a".repeat(100_000));
    let authority =
        Authority::new(move |path| (path == "/account").then(|| problem("malformed", &detail)).flatten());
    let stage = Stage::new(&authority);
    let host = stage.until(|host| !host.trouble.is_empty()).await;
    assert!(host.trouble.starts_with("the authority says: [2Jaaa"), "{host:?}");
    assert_eq!(host.trouble.chars().count(), 500);
}

#[tokio::test]
async fn an_authority_leads_nowhere_else_and_to_nothing_unencrypted() {
    let elsewhere = r#"{ "newNonce": "http://authority.example/nonce", "newAccount": "https://inside.example/a",
        "newOrder": "https://inside.example/b" }"#;
    let authority = Authority::new(move |path| (path == "/dir").then(|| (200, elsewhere.into())));
    let stage = Stage::new(&authority);
    let host = stage.until(|host| !host.trouble.is_empty()).await;
    assert!(host.trouble.contains("http://authority.example/nonce, which is not an https URL"), "{host:?}");
    assert!(authority.paths().iter().all(|path| path == "/dir"), "{:?}", authority.paths());
    for asked in lock(&authority.asked).iter() {
        assert_eq!(asked.hosts, ["authority.example"]);
        assert_eq!((asked.redirect, asked.bytes_max), (fazt_ipc::egress::Redirect::Error, 256 * 1024));
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_trouble_and_nothing_else() {
    for text in ["", "[]", "null", "{}", "\u{0}", r#"{"newNonce":1}"#, &"[".repeat(200_000)] {
        let said = text.to_owned();
        let authority = Authority::new(move |path| (path == "/dir").then(|| (200, said.clone())));
        let stage = Stage::new(&authority);
        let host = stage.until(|host| host.failures > 1).await;
        assert!(!host.trouble.is_empty() && host.trouble.len() <= 2_000, "{host:?}");
    }
}

#[test]
fn a_clock_that_was_ahead_keeps_nobody_waiting() {
    let now = unix_ms();
    let at = |try_unix_ms| Host { looked: true, try_unix_ms, ..Host::default() };
    assert!(at(0).is_due(now) && at(now).is_due(now));
    assert!(!at(now + 1).is_due(now) && !at(now + WAIT_MS_MAX).is_due(now));
    assert!(at(now + 365 * WAIT_MS_MAX).is_due(now));
}

#[tokio::test]
async fn what_has_long_ended_is_forgotten() {
    let data = tempfile::tempdir().expect("a folder");
    let storage = Storage::open(data.path()).expect("storage");
    let row = |name: &str, expires_unix_ms| CertificateRow {
        name: name.into(),
        chain: String::new(),
        sealed: vec![1],
        expires_unix_ms,
    };
    let rows = [row("gone.example", 1_000), row("here.example", 2_000)];
    let left = storage.kernel(move |kernel| {
        rows.iter().try_for_each(|row| kernel.put_certificate(row))?;
        kernel.forget_certificates(2_000)?;
        Ok((kernel.certificate("gone.example")?, kernel.certificate("here.example")?))
    });
    let (gone, here) = left.await.expect("storage");
    assert!(gone.is_none() && here.is_some());
}
