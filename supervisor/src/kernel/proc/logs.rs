//! Logs of apps: the latest lines in memory, more in files, followers as it happens.
//!
//! Lines come from workers (hostile text, already cut to its bound) and from the supervisor about them. The
//! thread that writes the files is the only one that touches them; when the disk is slower than the apps talk,
//! lines miss the file, never a request its time.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fazt_ipc::control::LogLine;
use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::wire::worker::LogLevel;
use tokio::sync::broadcast;

use super::bounds;

/// Lines that may wait for the writer.
const WAITING_MAX: usize = 4096;
/// Lines that a slow follower may be behind.
const FOLLOW_KEPT: usize = 1024;
/// Log files that the writer keeps open.
const FILES_OPEN_MAX: usize = 32;
/// Most lines that one look at the files gives.
const LINES_READ_MAX: usize = 10_000;

/// The logs of all apps.
pub(crate) struct Logs {
    data: PathBuf,
    rings: Mutex<HashMap<AppId, Ring>>,
    writer: SyncSender<(AppId, String)>,
}

struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// Only while somebody follows: a channel has room for all its lines from the start, 150 KB.
    follow: Option<broadcast::Sender<LogLine>>,
    touched: u64,
}

impl Ring {
    fn is_followed(&self) -> bool {
        self.follow.as_ref().is_some_and(|follow| follow.receiver_count() > 0)
    }
}

impl Logs {
    /// Starts the writer.
    pub(crate) fn start(data: &Path) -> io::Result<Self> {
        let (writer, lines) = sync_channel(WAITING_MAX);
        let folder = data.to_owned();
        std::thread::Builder::new().name("fazt-log".into()).spawn(move || write(&folder, &lines))?;
        Ok(Self { data: data.to_owned(), rings: Mutex::default(), writer })
    }

    /// Adds a line.
    pub(crate) fn add(
        &self,
        app: AppId,
        level: LogLevel,
        principal: &str,
        request: Option<RequestId>,
        origin: String,
        text: String,
    ) {
        let line = LogLine {
            unix_ms: unix_ms(),
            level,
            principal: principal.to_owned(),
            request: request.map(|request| request.to_string()).unwrap_or_default(),
            origin,
            text,
        };
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = self.writer.try_send((app, text));
        }
        let mut rings = self.lock();
        let ring = ring(&mut rings, app);
        ring.touched = line.unix_ms;
        match &ring.follow {
            Some(follow) if follow.receiver_count() > 0 => {
                let _ = follow.send(line.clone());
            }
            _ => ring.follow = None,
        }
        ring.bytes += weight(&line);
        ring.lines.push_back(Arc::new(line));
        while ring.lines.len() > bounds::LOG_LINES_KEPT || ring.bytes > bounds::LOG_BYTES_KEPT {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.bytes -= weight(&oldest);
        }
    }

    /// Lines not older than `since_unix_ms`, and those to come.
    pub(crate) async fn read(
        &self,
        app: AppId,
        since_unix_ms: u64,
    ) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let (kept, follow) = {
            let mut rings = self.lock();
            let ring = ring(&mut rings, app);
            let kept: Vec<LogLine> = ring.lines.iter().map(|line| LogLine::clone(line)).collect();
            let follow = ring.follow.get_or_insert_with(|| broadcast::channel(FOLLOW_KEPT).0);
            (kept, follow.subscribe())
        };
        let until = kept.first().map_or(u64::MAX, |line| line.unix_ms);
        let mut lines = Vec::new();
        if since_unix_ms < until {
            let folder = folder(&self.data, app);
            let older = tokio::task::spawn_blocking(move || read(&folder, since_unix_ms, until)).await;
            lines = older.unwrap_or_default();
        }
        lines.extend(kept.into_iter().filter(|line| line.unix_ms >= since_unix_ms));
        (lines, follow)
    }

    /// Forgets an app that is gone.
    pub(crate) fn forget(&self, app: AppId) {
        self.lock().remove(&app);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ring(rings: &mut HashMap<AppId, Ring>, app: AppId) -> &mut Ring {
    if rings.len() >= bounds::LOG_RINGS_MAX && !rings.contains_key(&app) {
        // The longest silent goes; what it said is in its file.
        let silent = rings
            .iter()
            .filter(|(_, ring)| !ring.is_followed())
            .min_by_key(|(_, ring)| ring.touched)
            .map(|(app, _)| *app);
        if let Some(silent) = silent {
            rings.remove(&silent);
        }
    }
    rings.entry(app).or_insert_with(|| Ring { lines: VecDeque::new(), bytes: 0, follow: None, touched: 0 })
}

fn weight(line: &LogLine) -> usize {
    line.text.len() + line.origin.len() + line.request.len() + size_of::<LogLine>()
}

fn folder(data: &Path, app: AppId) -> PathBuf {
    data.join("apps").join(app.to_string()).join("log")
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The writer's thread.
fn write(data: &Path, lines: &Receiver<(AppId, String)>) {
    let mut open: HashMap<AppId, (File, u64)> = HashMap::new();
    while let Ok((app, mut line)) = lines.recv() {
        line.push('\n');
        let folder = folder(data, app);
        let path = folder.join("app.log");
        // A file that is gone belongs to an app that was removed, or somebody cleaned up.
        if !open.contains_key(&app) || !path.exists() {
            if open.len() >= FILES_OPEN_MAX {
                open.clear();
            }
            open.remove(&app);
            // Only inside the app's own folder: a removed app does not come back as a log.
            let _ = std::fs::create_dir(&folder);
            match OpenOptions::new().create(true).read(true).append(true).open(&path) {
                Ok(file) => {
                    let bytes = file.metadata().map_or(0, |meta| meta.len());
                    // A full disk or a power cut may have torn the last line; the next one must not suffer.
                    let mut last = [0];
                    if bytes > 0 && file.read_at(&mut last, bytes - 1).is_ok() && last != [b'\n'] {
                        line.insert(0, '\n');
                    }
                    open.insert(app, (file, bytes));
                }
                Err(_) => continue,
            }
        }
        let Some((file, bytes)) = open.get_mut(&app) else { continue };
        if file.write_all(line.as_bytes()).is_err() {
            open.remove(&app);
            continue;
        }
        *bytes += line.len() as u64;
        if *bytes >= bounds::LOG_FILE_BYTES {
            open.remove(&app);
            let _ = std::fs::rename(&path, folder.join("app.log.1"));
        }
    }
}

/// Lines of the files between two times, the latest of them if they are too many.
fn read(folder: &Path, since: u64, until: u64) -> Vec<LogLine> {
    let mut lines = VecDeque::new();
    for name in ["app.log.1", "app.log"] {
        let Ok(file) = File::open(folder.join(name)) else { continue };
        // A line that does not parse was cut by a power failure.
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<LogLine>(&line) else { continue };
            if line.unix_ms >= since && line.unix_ms < until {
                if lines.len() == LINES_READ_MAX {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        }
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(logs: &Logs, app: AppId, text: &str) {
        logs.add(app, LogLevel::Info, "anonymous", None, String::new(), text.to_owned());
    }

    #[tokio::test]
    async fn a_follower_sees_what_came_before_and_what_comes() {
        let data = tempfile::tempdir().expect("a folder");
        let logs = Logs::start(data.path()).expect("a writer");
        let app = AppId::new(1, 1);
        add(&logs, app, "before");
        let (lines, mut follow) = logs.read(app, 0).await;
        assert_eq!(lines.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["before"]);
        add(&logs, app, "after");
        assert_eq!(follow.recv().await.expect("a line").text, "after");
        assert!(logs.read(AppId::new(2, 2), 0).await.0.is_empty(), "another app's log is another's");
    }

    #[tokio::test]
    async fn memory_is_bounded_and_the_file_has_the_rest() {
        let data = tempfile::tempdir().expect("a folder");
        let app = AppId::new(1, 1);
        std::fs::create_dir_all(data.path().join("apps").join(app.to_string())).expect("the app's folder");
        let logs = Logs::start(data.path()).expect("a writer");
        for i in 0..bounds::LOG_LINES_KEPT + 50 {
            add(&logs, app, &format!("line {i}"));
        }
        assert_eq!(logs.lock()[&app].lines.len(), bounds::LOG_LINES_KEPT);
        // The writer is done when it has let go of its end.
        let Logs { data: folder_of, rings, writer } = logs;
        let text = folder(&folder_of, app).join("app.log");
        drop((rings, writer));
        let whole = || std::fs::read_to_string(&text).map_or(0, |text| text.lines().count());
        while whole() < bounds::LOG_LINES_KEPT + 50 {
            std::thread::yield_now();
        }
        assert_eq!(read(&folder(&folder_of, app), 0, u64::MAX).len(), bounds::LOG_LINES_KEPT + 50);
    }

    #[tokio::test]
    async fn a_line_after_a_torn_one_is_whole() {
        let data = tempfile::tempdir().expect("a folder");
        let app = AppId::new(1, 1);
        let folder = folder(data.path(), app);
        std::fs::create_dir_all(&folder).expect("the app's folder");
        std::fs::write(folder.join("app.log"), "{\"unix_ms\":1,\"lev").expect("a file");
        let logs = Logs::start(data.path()).expect("a writer");
        add(&logs, app, "whole");
        while read(&folder, 0, u64::MAX).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(read(&folder, 0, u64::MAX)[0].text, "whole");
    }

    #[test]
    fn a_torn_line_in_the_file_is_skipped() {
        let data = tempfile::tempdir().expect("a folder");
        std::fs::write(data.path().join("app.log"), "{\"unix_ms\":1,\"lev").expect("a file");
        assert!(read(data.path(), 0, u64::MAX).is_empty());
    }
}
