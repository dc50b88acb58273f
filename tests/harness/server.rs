//! A server on a data folder of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::command::{Outcome, fazt, fazt_path};
use crate::folder::Folder;
use crate::http::{Client, Response};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// How to start it.
#[derive(Default)]
pub struct ServerOptions {
    /// Text of `config.toml`.
    pub config: String,
    /// Arguments after `proc start`.
    pub arguments: Vec<String>,
    /// Run as this user and group instead of the tests' own.
    pub uid: Option<u32>,
    /// The data folder is a disk of its own of this size: needs root.
    pub disk_bytes: Option<u64>,
    /// Start it through this command, which ends by executing its arguments.
    pub through: Vec<String>,
}

/// A running server. Dropping it stops it and demands that nothing is left behind.
pub struct Server {
    data: TempDir,
    child: Child,
    /// Where it serves HTTP.
    pub address: SocketAddr,
    /// Where the owner chooses a name and a password, while there is none.
    pub sign_in_url: Option<String>,
    options: ServerOptions,
}

impl Server {
    /// Starts one with defaults.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::with(ServerOptions::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn with(options: ServerOptions) -> Self {
        let data = tempfile::tempdir().expect("temporary folder");
        if let Some(bytes) = options.disk_bytes {
            run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", path(data.path())]);
        }
        if !options.config.is_empty() {
            std::fs::write(data.path().join("config.toml"), &options.config).expect("config.toml");
        }
        if let Some(uid) = options.uid {
            let config = data.path().join("config.toml");
            let theirs = [data.path(), &config].into_iter().filter(|path| path.exists());
            for path in theirs {
                std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("chown needs root");
            }
        }
        let (child, address, sign_in_url) = launch(data.path(), &options);
        Self { data, child, address, sign_in_url, options }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Process of the launcher.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command against it.
    #[must_use]
    pub fn fazt(&self, arguments: &[&str]) -> Outcome {
        fazt(self.data(), arguments)
    }

    /// Deploys a folder and demands success.
    pub fn deploy(&self, folder: &Folder, name: &str) -> Value {
        self.fazt(&["app", "deploy", folder.arg(), "--name", name, "--yes", "--json"]).ok().json()
    }

    /// Deploys files and demands success.
    pub fn deploy_files(&self, name: &str, files: &[(&str, &str)]) -> Value {
        self.deploy(&Folder::with(files), name)
    }

    /// A connection to an app.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn client(&self, app: &str) -> Client {
        let host = format!("{app}.localhost:{}", self.address.port());
        Client::connect(self.address, &host).expect("connection")
    }

    /// A browser that is nobody's yet.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// A browser in which the owner is signed in, under the name `olga`; the first time the owner chooses it.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    pub fn owner(&self) -> Browser {
        let mut browser = self.browser();
        if !self.fazt(&["user", "list", "--json"]).ok().json()[0]["password"].as_bool().expect("a flag") {
            let page = browser.open(self.sign_in_url.as_deref().expect("a link"));
            let fields = [("name", "olga"), ("password", PASSWORD), ("again", PASSWORD)];
            let page = browser.submit(&page, &fields);
            assert_eq!(page.status(), 200, "{}", page.text());
            return browser;
        }
        self.sign_in(&mut browser, "olga");
        browser
    }

    /// A browser in which a new user of this name is signed in. More arguments go to `fazt user add`.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    pub fn user(&self, name: &str, arguments: &[&str]) -> Browser {
        let arguments = [&["user", "add", name, "--json"], arguments].concat();
        let added = self.fazt(&arguments).ok().json();
        let mut browser = self.browser();
        let page = browser.open(added["link"]["url"].as_str().expect("a link"));
        let page = browser.submit(&page, &[("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!(page.status(), 200, "{}", page.text());
        browser
    }

    /// Signs a user in with the password that everybody here has.
    ///
    /// # Panics
    /// When that does not work.
    pub fn sign_in(&self, browser: &mut Browser, name: &str) {
        let page = browser.open(&browser.url("", "/sign-in"));
        let page = browser.submit(&page, &[("name", name), ("password", PASSWORD)]);
        assert_eq!(page.status(), 200, "{}", page.text());
    }

    /// One `GET` of an app.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn get(&self, app: &str, target: &str) -> Response {
        self.client(app).get(target).expect("response")
    }

    /// `fazt proc status`.
    #[must_use]
    pub fn status(&self) -> Value {
        self.fazt(&["proc", "status", "--json"]).ok().json()
    }

    /// Rows of `fazt proc ps` of an app.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn processes(&self, app: &str) -> Vec<Value> {
        let rows = self.fazt(&["proc", "ps", "--json"]).ok().json();
        rows.as_array().expect("an array").iter().filter(|row| row["app"] == app).cloned().collect()
    }

    /// Does something while a visitor asks the app again and again, and demands that each answer is `hello`.
    ///
    /// # Panics
    /// When one is not, or when the visitor was never answered.
    pub fn while_answering<T>(&self, app: &str, what: impl FnOnce() -> T) -> T {
        assert_eq!(self.get(app, "/").text(), "hello", "{app} before");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let visitor = scope.spawn(|| {
                let mut answers = 0u32;
                while !over.load(Ordering::Relaxed) || answers == 0 {
                    assert_eq!(self.get(app, "/").text(), "hello", "{app} meanwhile");
                    answers += 1;
                    thread::sleep(Duration::from_millis(10));
                }
            });
            // Also when it panics: the visitor must come to its end.
            let done = catch_unwind(AssertUnwindSafe(what));
            over.store(true, Ordering::Relaxed);
            visitor.join().expect("the neighbour answers");
            assert_eq!(self.get(app, "/").text(), "hello", "{app} afterwards");
            done.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// When it does not hold within 30 seconds.
    pub fn wait(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the launcher or another of its processes without warning.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn kill_hard(&mut self) {
        self.child.kill().expect("launcher to kill");
        self.child.wait().expect("launcher to reap");
    }

    /// Waits until the launcher has ended by itself; its exit code, none for a signal.
    ///
    /// # Panics
    /// When it does not end within 30 seconds.
    pub fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("launcher to reap") {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again on the same data folder.
    pub fn start_again(&mut self) {
        let (child, address, sign_in_url) = launch(self.data.path(), &self.options);
        self.child = child;
        self.address = address;
        self.sign_in_url = sign_in_url;
    }

    /// Every process below the launcher.
    #[must_use]
    pub fn descendants(&self) -> Vec<u32> {
        descendants(self.child.id())
    }
}

/// Every process below `root`, by `/proc`.
fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

fn ordinary_user(options: &ServerOptions) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
    options.uid.unwrap_or(me) != 0
}

fn launch(data: &Path, options: &ServerOptions) -> (Child, SocketAddr, Option<String>) {
    let mut words = options.through.iter().map(OsString::from).chain([fazt_path().into_os_string()]);
    let mut command = Command::new(words.next().expect("a program"));
    command
        .args(words)
        .args(["proc", "start", "--listen", "127.0.0.1:0", "--json", "--data"])
        .arg(data)
        .args(&options.arguments)
        // Only root can put on every layer of the sandbox.
        .args(if ordinary_user(options) { &["--dev"][..] } else { &[] })
        .env_remove("FAZT_DATA")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(uid) = options.uid {
        use std::os::unix::process::CommandExt;
        command.uid(uid).gid(uid);
    }
    let mut child = command.spawn().expect("fazt starts");
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut first).expect("first line");
    assert!(!first.is_empty(), "fazt proc start ended without saying where it listens");
    // Whatever it prints later must not block it.
    thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let status = fazt(data, &["proc", "status", "--json"]).ok().json();
    let address = status["listen"][0].as_str().expect("an address").parse().expect("an address");
    let said: Value = serde_json::from_str(&first).expect("one JSON document");
    let sign_in_url = said["sign_in_url"].as_str().map(ToOwned::to_owned);
    (child, address, sign_in_url)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("plain name")
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

impl Drop for Server {
    fn drop(&mut self) {
        let below = self.descendants();
        let _ = fazt(self.data.path(), &["proc", "stop"]);
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            thread::sleep(Duration::from_millis(10));
        }
        if self.options.disk_bytes.is_some() {
            let _ = Command::new("umount").args(["-l", path(self.data.path())]).status();
        }
        let left: Vec<_> =
            below.into_iter().filter(|pid| Path::new(&format!("/proc/{pid}/exe")).exists()).collect();
        if !thread::panicking() {
            assert!(left.is_empty(), "processes left behind: {left:?}");
        }
    }
}
