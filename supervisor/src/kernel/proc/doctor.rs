//! `proc doctor`: real escapes from a real locked process, one process each, and what stopped them; then the same
//! from a process that is locked by everything but seccomp, to see that a second wall stands.
//!
//! Called by the control API. The process is the worker program in the jail of every worker; it is never sent an
//! app. What it says is bounded here and believed only where the launcher, which reaped it, says the same.
//!
//! ```text
//! ▶ READY     ◀ number (u16, LE)     ▶ kind, tab, name, tab, gain, newline     the escape     ▶ result (i64, LE)
//! ```

use std::net::Shutdown;
use std::time::{Duration, Instant};

use fazt_ipc::control::{Escape, Walls};
use fazt_ipc::launch::{DOCTOR_NO_SUCH, DOCTOR_READY, Limits, Profile, Refusal, WALLS_MAX};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::bounds;
use super::builder::Killed;
use super::launcher::{Exit, Launcher, SpawnError};

/// Escapes at once: few, because apps go on meanwhile.
const JOBS_MAX: usize = 4;
/// Numbers that are tried at most; the list ends where the process says so.
const ESCAPES_MAX: u16 = 1024;
/// All that a process may say.
const SAID_BYTES_MAX: u64 = 256;
/// One escape, from the number to the end of the process.
const ESCAPE_DEADLINE: Duration = Duration::from_secs(5);
/// All of them. What is left then counts as not stopped.
const DEADLINE: Duration = Duration::from_secs(120);
/// The smallest leaf in which the program fits, and the last turn at the processor.
const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_permille: 0, cpu_weight: 1 };

const _: () = assert!(JOBS_MAX <= WALLS_MAX);

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// A row for each escape. One that says `stopped: false` came to something, or could not be tried.
    pub escapes: Vec<Escape>,
    /// Why they were not tried without seccomp; empty: they were.
    pub walls_untried: String,
}

impl Findings {
    /// Every escape was stopped, and without seccomp every one that reaches out of its process.
    pub(crate) fn good(&self) -> bool {
        let holds = |walls: &Walls| walls.stopped || walls.contained;
        !self.escapes.is_empty()
            && self.escapes.iter().all(|one| one.stopped && one.walls.as_ref().is_none_or(holds))
    }
}

/// What came of one number.
enum Outcome {
    Tried(Tried),
    /// The list has ended.
    NoSuch,
    /// No process could be had, or it did not do its part; the next will not either.
    Failed(String),
}

/// One process's words and end, read.
#[derive(Debug)]
struct Tried {
    kind: String,
    name: String,
    gain: String,
    end: End,
}

/// How an escape ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The kernel answered, and the process lived to tell; negative: an error.
    Answer(i64),
    /// It died of this signal.
    Signal(i32),
    /// It died of its memory cap.
    Memory,
    /// It ended without a word.
    Code(i32),
}

/// Tries every escape that the worker program knows, each against every layer and against all but seccomp.
pub(super) async fn escapes(launcher: &Launcher) -> Findings {
    let end = Instant::now() + DEADLINE;
    let mut found = Findings { escapes: Vec::new(), walls_untried: String::new() };
    let mut outcomes = stream::iter(0..ESCAPES_MAX)
        .map(|number| async move {
            let first = try_one(launcher, Profile::Doctor, number).await;
            let walls = match first {
                Ok(Outcome::Tried(_)) => Some(try_one(launcher, Profile::Walls, number).await),
                _ => None,
            };
            (first, walls)
        })
        .buffered(JOBS_MAX);
    loop {
        let failed = match tokio::time::timeout_at(end.into(), outcomes.next()).await {
            Ok(Some((Ok(Outcome::Tried(first)), walls))) => {
                let walls = match walls {
                    Some(Ok(Outcome::Tried(walls))) if walls.name == first.name => Some(second(&walls)),
                    Some(Ok(Outcome::Failed(why))) => untried(&mut found, why),
                    Some(Err(error)) => untried(&mut found, refused(&error)),
                    _ => untried(&mut found, "the process tried something else".into()),
                };
                let (stopped, by) = by_first(first.end);
                found.escapes.push(Escape { name: first.name, stopped, by, walls });
                continue;
            }
            Ok(Some((Ok(Outcome::NoSuch), _)) | None) => return found,
            Ok(Some((Ok(Outcome::Failed(why)), _))) => why,
            Ok(Some((Err(error), _))) => error.to_string(),
            Err(_) => "time ran out".to_owned(),
        };
        found.escapes.push(Escape {
            name: format!("escape {} and those after it", found.escapes.len() + 1),
            stopped: false,
            by: format!("not tried: {failed}"),
            walls: None,
        });
        return found;
    }
}

/// The first reason stands for all.
fn untried(found: &mut Findings, why: String) -> Option<Walls> {
    if found.walls_untried.is_empty() {
        found.walls_untried = why;
    }
    None
}

fn refused(error: &SpawnError) -> String {
    match error {
        // The launcher of an ordinary user knows no such process.
        SpawnError::Refused { refusal: Refusal::Unknown, .. } => {
            "it needs the layers that only root can put on; without them a process without seccomp could reach your other processes".into()
        }
        error => error.to_string(),
    }
}

async fn try_one(launcher: &Launcher, profile: Profile, number: u16) -> Result<Outcome, SpawnError> {
    let child = launcher.spawn_fresh(profile, LIMITS).await?;
    let _killed = Killed(launcher, child.generation);
    let talk = async {
        let said = converse(child.socket, number).await;
        (said, child.exited.await.ok())
    };
    Ok(match tokio::time::timeout(ESCAPE_DEADLINE.min(bounds::LAUNCHER_DEADLINE), talk).await {
        Ok((said, Some(exit))) => read(&said, exit),
        Ok((_, None)) => Outcome::Failed("the launcher is gone".into()),
        Err(_) => Outcome::Failed(format!("the process of escape {} did not end", number + 1)),
    })
}

/// Everything that the process says. That it breaks off is no error: most are killed in the middle.
async fn converse(socket: std::os::unix::net::UnixStream, number: u16) -> Vec<u8> {
    let mut said = Vec::new();
    // Nothing follows the number: an escape that reads the socket must not wait for it.
    let told = std::io::Write::write_all(&mut &socket, &number.to_le_bytes())
        .and_then(|()| socket.shutdown(Shutdown::Write));
    if told.is_ok()
        && let Ok(socket) = UnixStream::from_std(socket)
    {
        let _ = socket.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
    }
    said
}

/// What the words of a process and its end mean.
fn read(said: &[u8], exit: Exit) -> Outcome {
    let Some(rest) = said.strip_prefix(DOCTOR_READY) else {
        return Outcome::Failed("the process did not say that it is locked".into());
    };
    if rest.is_empty() && exit.signal == 0 && exit.code == DOCTOR_NO_SUCH {
        return Outcome::NoSuch;
    }
    let Some((words, told)) = rest.iter().position(|&byte| byte == b'\n').map(|at| rest.split_at(at)) else {
        return Outcome::Failed("the process ended before it tried".into());
    };
    let words = String::from_utf8_lossy(words);
    let mut words = words.split('\t').map(str::to_owned);
    let (Some(kind), Some(name), Some(gain), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Outcome::Failed("the process did not say what it tries".into());
    };
    let end = match (<[u8; 8]>::try_from(&told[1..]), exit) {
        (Ok(result), _) => End::Answer(i64::from_le_bytes(result)),
        (Err(_), Exit { oom: true, .. }) => End::Memory,
        (Err(_), Exit { signal: 0, code, .. }) => End::Code(code),
        (Err(_), Exit { signal, .. }) => End::Signal(signal),
    };
    Outcome::Tried(Tried { kind, name, gain, end })
}

/// What stopped an escape from a process with every layer.
fn by_first(end: End) -> (bool, String) {
    match end {
        End::Answer(result) if result < 0 => (true, format!("kernel: {}", answer(result))),
        End::Answer(result) => (false, format!("nothing: the kernel answered {result}")),
        End::Signal(libc::SIGSYS) => (true, "seccomp".into()),
        End::Signal(libc::SIGSEGV | libc::SIGBUS) => (true, "memory protection".into()),
        End::Signal(signal) => (false, format!("no layer: it ended with signal {signal}")),
        End::Memory => (true, "memory.cgroup".into()),
        End::Code(code) => (false, format!("nothing: it ended with code {code}")),
    }
}

/// What the other layers made of it.
fn second(tried: &Tried) -> Walls {
    let (stopped, by) = match tried.end {
        End::Answer(result) if result < 0 => (true, layer(&tried.kind, result)),
        End::Signal(libc::SIGSEGV | libc::SIGBUS) => (true, "memory protection".into()),
        End::Memory => (true, "memory.cgroup".into()),
        // It goes through, or broke what it would have told it by.
        End::Answer(_) | End::Code(_) | End::Signal(_) if !tried.gain.is_empty() => {
            (false, tried.gain.clone())
        }
        end => (false, by_first(end).1),
    };
    Walls { stopped, contained: !tried.gain.is_empty(), by }
}

/// Which layer gives that answer to an escape of that kind.
fn layer(kind: &str, result: i64) -> String {
    let name = match (i32::try_from(-result).unwrap_or(0), kind) {
        (libc::ENOENT, "files" | "processes" | "memory") => "empty root",
        (libc::EROFS, _) => "empty root, read only",
        (libc::EACCES, "files" | "network") => "landlock",
        (libc::EPERM, "network") => "landlock or no capability",
        (libc::ENETUNREACH | libc::ECONNREFUSED | libc::EADDRNOTAVAIL | libc::ENOENT, "network") => {
            "namespace.net or empty root"
        }
        (libc::ESRCH, _) => "namespace.pid",
        (libc::EPERM | libc::EACCES, "memory") => "no new code, no capability",
        (libc::EPERM | libc::EACCES, _) => "uid, no capability, landlock",
        (libc::EAGAIN | libc::EMFILE | libc::ENOMEM | libc::ENOSPC | libc::EDQUOT, _) => {
            "limits of the process"
        }
        _ => "kernel: no such call, or nothing for it here",
    };
    format!("{name} ({})", answer(result))
}

fn answer(result: i64) -> String {
    let text = std::io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(0)).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32, signal: i32) -> Exit {
        Exit { code, signal, oom: false, cpu_us: 0 }
    }

    fn tried(words: &[u8], exit: Exit) -> Result<Tried, String> {
        match read(&[&DOCTOR_READY[..], words].concat(), exit) {
            Outcome::Tried(tried) => Ok(tried),
            Outcome::NoSuch => Err("no such".into()),
            Outcome::Failed(why) => Err(why),
        }
    }

    fn answered(words: &str, result: i64) -> Vec<u8> {
        [words.as_bytes(), &result.to_le_bytes()].concat()
    }

    #[test]
    fn only_a_death_at_a_wall_or_an_error_counts_as_stopped() {
        const WORDS: &str = "files\tx\t\n";
        for (words, exit, stopped, by) in [
            (WORDS.into(), end(-1, libc::SIGSYS), true, "seccomp"),
            (WORDS.into(), end(-1, libc::SIGSEGV), true, "memory protection"),
            (answered(WORDS, -13), end(0, 0), true, "kernel: Permission denied"),
            (answered(WORDS, 0), end(0, 0), false, "answered 0"),
            (answered(WORDS, 7), end(-1, libc::SIGSYS), false, "answered 7"),
            (WORDS.into(), end(0, 0), false, "code 0"),
            (WORDS.into(), end(-1, libc::SIGKILL), false, "signal 9"),
        ] {
            let tried = tried(&words, exit).expect("tried");
            let (was_stopped, was_by) = by_first(tried.end);
            assert_eq!((&*tried.name, was_stopped), ("x", stopped), "{was_by}");
            assert!(was_by.contains(by), "{was_by}");
        }
    }

    #[test]
    fn without_seccomp_an_escape_is_stopped_contained_or_a_hole() {
        for (words, result, stopped, contained, by) in [
            ("files\tx\t\n", -2, true, false, "empty root (No such"),
            ("files\tx\t\n", -13, true, false, "landlock"),
            ("network\tx\t\n", -101, true, false, "namespace.net"),
            ("processes\tx\t\n", -3, true, false, "namespace.pid"),
            ("processes\tx\t\n", -1, true, false, "uid, no capability"),
            ("processes\tx\t\n", 5, false, false, "nothing: the kernel answered 5"),
            ("processes\tx\titself\n", 5, false, true, "itself"),
        ] {
            let walls = second(&tried(&answered(words, result), end(0, 0)).expect("tried"));
            assert_eq!((walls.stopped, walls.contained), (stopped, contained), "{walls:?}");
            assert!(walls.by.contains(by), "{walls:?}");
            let row = Escape { name: "x".into(), stopped: true, by: String::new(), walls: Some(walls) };
            let found = Findings { escapes: vec![row], walls_untried: String::new() };
            assert_eq!(found.good(), stopped || contained, "{found:?}");
        }
    }

    #[test]
    fn a_process_that_is_not_locked_or_tries_nothing_is_a_failure() {
        assert!(matches!(read(b"", end(4, 0)), Outcome::Failed(_)));
        assert!(matches!(read(DOCTOR_READY, end(-1, libc::SIGSYS)), Outcome::Failed(_)));
        assert!(tried(b"files\tx\t", end(-1, libc::SIGSYS)).is_err(), "words without their end");
        assert!(tried(b"files\tx\n", end(-1, libc::SIGSYS)).is_err(), "too few");
        assert!(tried(b"files\tx\t\t\n", end(-1, libc::SIGSYS)).is_err(), "too many");
        assert_eq!(tried(b"", end(DOCTOR_NO_SUCH, 0)).expect_err("no such"), "no such");
    }
}
