//! What apps reached and what they were refused: the last requests of each app, in memory. No value of a header is in
//! it, no body, and of a URL nothing behind its path: keys are written there by some.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fazt_ipc::control::{EgressLine, EgressOutcome};
use fazt_ipc::egress::{Fault, FaultKind, Use};
use fazt_ipc::ids::AppId;
use tokio::sync::broadcast;

use super::super::edge::unix_ms;

/// Requests of one app that are remembered.
const LINES_MAX: usize = 200;
/// Apps whose requests are remembered; the one that was quiet longest is forgotten first.
const APPS_MAX: usize = 64;
/// Of a URL that is remembered.
const URL_BYTES_MAX: usize = 512;
/// Lines that somebody who follows may be behind.
const FOLLOW_LINES: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Log {
    apps: Mutex<HashMap<AppId, Ring>>,
}

struct Ring {
    lines: VecDeque<EgressLine>,
    used: Instant,
    more: broadcast::Sender<EgressLine>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { lines: VecDeque::new(), used: Instant::now(), more: broadcast::channel(FOLLOW_LINES).0 }
    }
}

impl Log {
    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, Ring>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(apps: &mut HashMap<AppId, Ring>, app: AppId) -> &mut Ring {
        if !apps.contains_key(&app) && apps.len() >= APPS_MAX {
            let oldest = apps.iter().min_by_key(|(_, ring)| ring.used).map(|(app, _)| *app);
            oldest.and_then(|oldest| apps.remove(&oldest));
        }
        apps.entry(app).or_default()
    }

    /// Writes a request down.
    pub(super) fn add(&self, app: AppId, line: EgressLine) {
        let mut apps = self.apps();
        let ring = Self::ring(&mut apps, app);
        ring.used = Instant::now();
        if ring.lines.len() == LINES_MAX {
            ring.lines.pop_front();
        }
        // Nobody may be following.
        let _ = ring.more.send(line.clone());
        ring.lines.push_back(line);
    }

    /// What is remembered of an app, and what is to come.
    pub(crate) fn of(
        &self,
        app: AppId,
        since_ms: u64,
    ) -> (VecDeque<EgressLine>, broadcast::Receiver<EgressLine>) {
        let mut apps = self.apps();
        let ring = Self::ring(&mut apps, app);
        let lines = ring.lines.iter().filter(|line| line.unix_ms >= since_ms).cloned().collect();
        (lines, ring.more.subscribe())
    }
}

/// A request that is on its way, to be written down when it has ended.
pub(super) struct Entry {
    begun: Instant,
    line: EgressLine,
}

impl Entry {
    /// A request begins.
    pub(super) fn new(principal: String, method: &str, url: &str) -> Self {
        let line = EgressLine {
            unix_ms: unix_ms(),
            principal,
            method: shown(method, 32),
            url: bare(url),
            outcome: EgressOutcome::Cut,
            status: None,
            why: String::new(),
            sent_bytes: 0,
            received_bytes: 0,
            cached: false,
            ms: 0,
        };
        Self { begun: Instant::now(), line }
    }

    /// The answer begins: its URL is that after redirects.
    pub(super) fn head(&mut self, status: u16, url: &str) {
        self.line.status = Some(status);
        self.line.url = bare(url);
    }

    /// That was all.
    pub(super) fn done(mut self, used: Use) -> EgressLine {
        self.line.outcome = EgressOutcome::Done;
        self.line.sent_bytes = used.sent_bytes;
        self.line.received_bytes = used.received_bytes;
        self.line.cached = used.cached;
        self.end()
    }

    /// It came to nothing.
    pub(super) fn failed(mut self, fault: &Fault) -> EgressLine {
        use FaultKind::{Address, Host, Invalid, Redirect};
        let refused = matches!(fault.kind, Invalid | Host | Address | Redirect);
        self.line.outcome = if refused { EgressOutcome::Refused } else { EgressOutcome::Failed };
        self.line.why = match fault.host.as_str() {
            "" => shown(&fault.message, 400),
            host => shown(&format!("{host}: {}", fault.message), 400),
        };
        self.end()
    }

    /// It was not sent.
    pub(super) fn refused(mut self, why: &str) -> EgressLine {
        self.line.outcome = EgressOutcome::Refused;
        self.line.why = shown(why, 400);
        self.end()
    }

    /// Nobody waited for its end. So many bytes had come.
    pub(super) fn cut(mut self, bytes: u64) -> EgressLine {
        self.line.received_bytes = bytes;
        "given up before its end".clone_into(&mut self.line.why);
        self.end()
    }

    fn end(mut self) -> EgressLine {
        self.line.ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.line
    }
}

/// Text of an app: short, and nothing that moves a terminal's cursor.
fn shown(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A URL without what is behind its path, and without a user and password.
fn bare(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let path = rest.find(['/', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let whole = if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") };
    shown(&whole[..whole.floor_char_boundary(URL_BYTES_MAX)], URL_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> EgressLine {
        Entry::new("anonymous".into(), "GET", path).done(Use::default())
    }

    #[test]
    fn nothing_secret_of_a_url_is_kept() {
        for (url, kept) in [
            ("https://a.example/b?key=1#x", "https://a.example/b"),
            ("https://user:pw@a.example/b", "https://a.example/b"),
            ("https://a.example?user@b", "https://a.example"),
            ("nonsense\u{1b}[31m", "nonsense\u{fffd}[31m"),
            ("", ""),
        ] {
            assert_eq!(bare(url), kept, "{url}");
        }
        assert!(bare(&"https://ä".repeat(1000)).len() <= URL_BYTES_MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_quietest_app_is_forgotten() {
        let log = Log::default();
        let app = |number: u128| AppId::new(1, number as _);
        for number in 0..LINES_MAX + 5 {
            log.add(app(1), line(&format!("https://a.example/{number}")));
        }
        let (lines, mut more) = log.of(app(1), 0);
        assert_eq!((lines.len(), lines[0].url.as_str()), (LINES_MAX, "https://a.example/5"));
        log.add(app(1), line("https://b.example/"));
        assert_eq!(more.try_recv().expect("a line").url, "https://b.example/");
        for number in 2..APPS_MAX as u128 + 2 {
            log.add(app(number), line("https://c.example/"));
        }
        assert!(log.of(app(1), 0).0.is_empty() && log.apps().len() == APPS_MAX);
    }
}
