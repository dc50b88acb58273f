//! Where the rows are tried: one server for all of a list, with an app that was there before. After each row
//! everything must be as it was; after the last, nothing may have grown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fazt_tests::{Outcome, Server, ServerOptions};

use crate::pack::{self, ADVERTISEMENT, BLOB, FILE, FOLDER, Id, Pack, RESULT};
use crate::web::{Web, open, response};

/// What a process may have grown by when all is over: what its allocator keeps of a repository at its bounds.
const GROWN_BYTES_MAX: u64 = 24 << 20;
/// What it may have had at its worst: a repository and its packages, packed and unpacked.
const PEAK_BYTES_MAX: u64 = 160 << 20;
/// What the data folder may have grown by: pages of databases.
const DISK_BYTES_MAX: u64 = 4 << 20;
/// For what is cleared away after the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is typed behind `fazt app install`.
pub(crate) struct Typed {
    pub(crate) source: String,
    pub(crate) more: Vec<String>,
}

impl From<String> for Typed {
    fn from(source: String) -> Self {
        Self { source, more: vec!["--name".into(), "victim".into()] }
    }
}

impl Typed {
    /// Without a name: the repository's own counts.
    pub(crate) fn unnamed(source: String) -> Self {
        Self { source, more: Vec::new() }
    }

    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|word| (*word).to_owned()));
        self
    }
}

/// One attack, and what becomes of it.
pub(crate) struct Row {
    what: &'static str,
    code: i32,
    says: &'static [&'static str],
    make: Box<dyn Fn(&Stage) -> Typed>,
}

/// An attack: what it is, the exit code, what the error says, and what is to be installed.
pub(crate) fn row<T: Into<Typed>>(
    what: &'static str,
    code: i32,
    says: &'static [&'static str],
    make: impl Fn(&Stage) -> T + 'static,
) -> Row {
    Row { what, code, says, make: Box::new(move |stage| make(stage).into()) }
}

/// A server, and the network that it sees.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) web: Web,
    next: AtomicU32,
}

/// What has to be as it was.
#[derive(Debug, PartialEq)]
struct State {
    files: BTreeSet<String>,
    processes: BTreeMap<String, usize>,
}

const HELLO: &str = "export default { fetch() { return new Response('hello'); } };";

impl Stage {
    pub(crate) fn start() -> Self {
        let web = Web::start();
        let config = format!("[egress]\ntest_network = true\n[install]\nregistry = '{}'\n", web.url());
        let stage = Self {
            server: Server::with(ServerOptions { config, ..ServerOptions::default() }),
            web,
            next: AtomicU32::new(0),
        };
        stage.server.deploy_files("good", &[("server.js", HELLO)]);
        // Everything has been used once: what is kept for the next time is there.
        let honest =
            stage.files(&[("app.json", b"{}"), ("package.json", b"{}"), ("server.ts", HELLO.as_bytes())]);
        stage.install(&honest.into()).ok();
        stage.server.fazt(&["app", "remove", "victim", "--yes"]).ok();
        assert_eq!(stage.server.get("good", "/").text(), "hello");
        stage
    }

    pub(crate) fn install(&self, typed: &Typed) -> Outcome {
        let more = typed.more.iter().map(String::as_str);
        let words: Vec<&str> = ["app", "install", &typed.source, "--yes"].into_iter().chain(more).collect();
        self.server.fazt(&words)
    }

    /// A repository of this one commit; what is typed to name it.
    pub(crate) fn repository(&self, commit: &str, pack: &[u8]) -> String {
        let source = self.place(commit);
        let below = source.strip_prefix(&self.web.url()).and_then(|rest| rest.split('@').next());
        let below = below.expect("a place of this server");
        let fields = |kind: &str| format!("content-type: {kind}\r\n");
        self.web.says(
            &format!("{below}.git/info/refs"),
            response("200 OK", &fields(ADVERTISEMENT), &pack::advertisement()),
        );
        self.web.says(
            &format!("{below}.git/git-upload-pack"),
            response("200 OK", &fields(RESULT), &pack::sent(pack)),
        );
        source
    }

    /// A repository of this name with a page.
    pub(crate) fn called(&self, name: &str) -> String {
        let mut pack = Pack::default();
        let page = pack.blob(b"<p>x");
        let top = pack.tree(&[(FILE, b"index.html", page)]);
        let commit = pack.commit(top);
        let fields = |kind: &str| format!("content-type: {kind}\r\n");
        self.web.says(
            &format!("/eve/{name}.git/info/refs"),
            response("200 OK", &fields(ADVERTISEMENT), &pack::advertisement()),
        );
        self.web.says(
            &format!("/eve/{name}.git/git-upload-pack"),
            response("200 OK", &fields(RESULT), &pack::sent(&pack.finish())),
        );
        format!("{}/eve/{name}@{commit}", self.web.url())
    }

    /// What would name a commit of a new repository, which nobody serves yet.
    pub(crate) fn place(&self, commit: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}/eve/r{number}@{commit}", self.web.url())
    }

    /// A repository whose server answers so: to the question what it can do, and to that for the pack.
    pub(crate) fn answers(&self, first: Vec<u8>, second: Vec<u8>) -> String {
        let source = self.repository(&"1".repeat(40), &[]);
        let (below, _) = source.rsplit_once('@').expect("a commit");
        let below = below.strip_prefix(&self.web.url()).expect("a place of this server");
        self.web.says(&format!("{below}.git/info/refs"), first);
        self.web.says(&format!("{below}.git/git-upload-pack"), second);
        source
    }

    /// A repository whose server sends this for a pack.
    pub(crate) fn sends(&self, body: &[u8]) -> String {
        let first = [open(ADVERTISEMENT), pack::advertisement()].concat();
        self.answers(first, [&open(RESULT)[..], body].concat())
    }

    /// A repository with a page, and these entries beside it at its top: mode, name, content.
    pub(crate) fn entries(&self, entries: &[(&str, &[u8], &[u8])]) -> String {
        let mut pack = Pack::default();
        let page = pack.blob(b"<p>x");
        let mut all = vec![(FILE, &b"index.html"[..], page)];
        for (mode, name, content) in entries {
            let id = if *mode == FOLDER { pack.tree(&[(FILE, b"a", page)]) } else { pack.blob(content) };
            all.push((mode, name, id));
        }
        self.tree(pack, &all)
    }

    /// A repository of this folder.
    pub(crate) fn tree(&self, mut pack: Pack, entries: &[(&str, &[u8], Id)]) -> String {
        let top = pack.tree(entries);
        let commit = pack.commit(top);
        self.repository(&commit, &pack.finish())
    }

    /// A repository of these files.
    pub(crate) fn files(&self, files: &[(&str, &[u8])]) -> String {
        let mut pack = Pack::default();
        let top = folder(&mut pack, files);
        let commit = pack.commit(top);
        self.repository(&commit, &pack.finish())
    }

    /// An app with a script and a package that it imports, locked by this text.
    pub(crate) fn locked(&self, lock: &str) -> String {
        self.files(&[
            ("package.json", br#"{ "dependencies": { "a": "1.0.0" } }"#),
            ("package-lock.json", lock.as_bytes()),
            ("server.js", b"import a from 'a'; export default { fetch: () => new Response(a) };"),
        ])
    }

    fn state(&self) -> State {
        let mut files = BTreeSet::new();
        walk(self.server.data(), &mut |path, _| {
            let name = path.to_string_lossy().into_owned();
            // Come and go with whoever reads the database.
            if !name.ends_with("-wal") && !name.ends_with("-shm") {
                files.insert(name);
            }
        });
        let mut processes = BTreeMap::new();
        for pid in self.server.descendants() {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            // Warm ones are made and go as the pool wants it.
            if !command.starts_with("fazt-worker") {
                *processes.entry(command).or_default() += 1;
            }
        }
        State { files, processes }
    }

    /// The same files, and no process that was not there; else what is wrong.
    fn is_as_before(&self, before: &State) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let now = self.state();
            let fewer =
                |(name, count): (&String, &usize)| before.processes.get(name).is_some_and(|was| count <= was);
            if now.files == before.files && now.processes.iter().all(fewer) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let left: Vec<_> = now.files.symmetric_difference(&before.files).collect();
                return Err(format!(
                    "it left {left:?} or {:?}, where there were {:?}",
                    now.processes, before.processes
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The first file of the data folder in which the repository's name stands.
    fn remembers(&self, source: &str) -> Option<String> {
        let name = source.split(['@', '#']).next()?.strip_prefix(&self.web.url())?.as_bytes();
        let mut found = None;
        walk(self.server.data(), &mut |path, bytes| {
            let content = if bytes > 0 { fs::read(path).unwrap_or_default() } else { Vec::new() };
            let follows = |at: usize| content.get(at + name.len()).is_some_and(u8::is_ascii_digit);
            if content.windows(name.len()).enumerate().any(|(at, part)| part == name && !follows(at)) {
                found = Some(path.display().to_string());
            }
        });
        found
    }

    fn disk_bytes(&self) -> u64 {
        let mut bytes = 0;
        walk(self.server.data(), &mut |_, length| bytes += length);
        bytes
    }

    /// Memory of the processes that stay, by name: now, and at its worst.
    fn memory(&self) -> BTreeMap<String, (u64, u64)> {
        let mut found = BTreeMap::new();
        for pid in self.server.descendants().into_iter().chain([self.server.pid()]) {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.trim().split(' ').next()?.parse::<u64>().ok()? << 10)
            };
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let name = String::from_utf8_lossy(&command).split('\0').take(2).collect::<Vec<_>>().join(" ");
            if let (Some(now), Some(worst)) = (field("RssAnon:"), field("VmHWM:"))
                && !name.starts_with("fazt-worker")
            {
                found.insert(name, (now, worst));
            }
        }
        found
    }
}

/// Tries a list of rows, and tells of all that failed.
pub(crate) fn check(rows: &[Row]) {
    check_on(&Stage::start(), rows);
}

pub(crate) fn check_on(stage: &Stage, rows: &[Row]) {
    let before = stage.state();
    let (disk, memory) = (stage.disk_bytes(), stage.memory());
    let mut wrong = Vec::new();
    for row in rows {
        let start = Instant::now();
        if let Err(why) = attempt(stage, row, &before) {
            wrong.push(format!("{}: {why}", row.what));
        }
        if std::env::var_os("FAZT_MEASURE").is_some() {
            eprintln!("{:>6} ms  {}", start.elapsed().as_millis(), row.what);
        }
    }
    let apps = stage.server.fazt(&["app", "list", "--json"]).ok().json();
    let names: Vec<_> = apps.as_array().expect("a list").iter().map(|app| app["name"].as_str()).collect();
    assert_eq!(names, [Some("good")], "apps");
    assert_eq!(stage.server.get("good", "/").text(), "hello", "the app that was there before");
    assert!(stage.server.processes("victim").is_empty(), "a worker of what is not there");
    for (name, (now, worst)) in stage.memory() {
        let was = memory.get(&name).map_or(0, |(was, _)| *was);
        if std::env::var_os("FAZT_MEASURE").is_some() {
            eprintln!("{name}: {} KiB, then {} KiB, at worst {} KiB", was >> 10, now >> 10, worst >> 10);
        }
        if now > was + GROWN_BYTES_MAX || worst > PEAK_BYTES_MAX {
            wrong.push(format!("{name} had {was} bytes, then {now}, and {worst} at its worst"));
        }
    }
    let grown = stage.disk_bytes().saturating_sub(disk);
    if grown > DISK_BYTES_MAX {
        wrong.push(format!("the data folder grew by {grown} bytes"));
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn attempt(stage: &Stage, row: &Row, before: &State) -> Result<(), String> {
    let typed = (row.make)(stage);
    let outcome = stage.install(&typed);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    // Whatever was installed goes, so that the next row has the same to begin with.
    if outcome.code == 0 {
        stage.server.fazt(&["app", "remove", "victim", "--yes"]).ok();
    }
    if outcome.code != row.code {
        return Err(format!("exit code {}: {said}", outcome.code));
    }
    if let Some(part) = row.says.iter().find(|part| !said.contains(**part)) {
        return Err(format!("nothing of `{part}` in: {said}"));
    }
    if said.contains(drives_terminal) {
        return Err(format!("it drives the terminal: {said:?}"));
    }
    if said.len() > 8 * 1024 {
        return Err(format!("{} bytes of text", said.len()));
    }
    // Nothing that was refused is remembered: no commit, no answer, no name.
    if row.code != 0
        && let Some(found) = stage.remembers(&typed.source)
    {
        return Err(format!("{found} knows of it"));
    }
    stage.is_as_before(before)
}

/// What no text of a stranger may bring to a terminal.
pub(crate) fn drives_terminal(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The tree of files below a folder.
pub(crate) fn folder(pack: &mut Pack, files: &[(&str, &[u8])]) -> Id {
    let mut below: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
    let mut entries = Vec::new();
    for (path, content) in files {
        match path.split_once('/') {
            Some((folder, rest)) => below.entry(folder).or_default().push((rest, content)),
            None => {
                pack.entry(BLOB, content.len(), &[], &pack::deflate(content));
                entries.push((FILE, path.as_bytes(), pack::id(BLOB, content)));
            }
        }
    }
    for (name, files) in below {
        entries.push((FOLDER, name.as_bytes(), folder(pack, &files)));
    }
    pack.tree(&entries)
}

fn walk(folder: &Path, see: &mut dyn FnMut(&Path, u64)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        see(&entry.path(), if about.is_file() { about.len() } else { 0 });
        if about.is_dir() {
            walk(&entry.path(), see);
        }
    }
}
