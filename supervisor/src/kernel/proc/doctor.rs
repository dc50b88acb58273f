//! `proc doctor`: real escapes from a real locked process, one process each, and what stopped them.
//!
//! Called by the control API. The process is the worker program in the jail of every worker; it is never sent an
//! app. What it says is bounded here and believed only where the launcher, which reaped it, says the same.
//!
//! ```text
//! ▶ READY     ◀ number (u16, LE)     ▶ name, newline     the escape     ▶ result (i64, LE), if it lives
//! ```

use std::time::{Duration, Instant};

use fazt_ipc::control::Escape;
use fazt_ipc::launch::{DOCTOR_NO_SUCH, DOCTOR_READY, Limits, Profile};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::bounds;
use super::builder::Killed;
use super::launcher::{Exit, Launcher};

/// Escapes at once: few, because apps go on meanwhile.
const JOBS_MAX: usize = 4;
/// Numbers that are tried at most; the list ends where the process says so.
const ESCAPES_MAX: u16 = 1024;
/// All that a process may say.
const SAID_BYTES_MAX: u64 = 256;
/// One escape, from the number to the end of the process.
const ESCAPE_DEADLINE: Duration = Duration::from_secs(5);
/// All of them. What is left then counts as not stopped.
const DEADLINE: Duration = Duration::from_secs(30);
/// The smallest leaf in which the program fits, and the last turn at the processor.
const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_permille: 0, cpu_weight: 1 };

/// What came of one number.
enum Outcome {
    Tried(Escape),
    /// The list has ended.
    NoSuch,
    /// No process could be had, or it did not do its part; the next will not either.
    Failed(String),
}

/// Tries every escape that the worker program knows. A row that says `stopped: false` is an escape that came to
/// something, or one that could not be tried.
pub(super) async fn escapes(launcher: &Launcher) -> Vec<Escape> {
    let end = Instant::now() + DEADLINE;
    let mut rows = Vec::new();
    let mut outcomes =
        stream::iter(0..ESCAPES_MAX).map(|number| try_one(launcher, number)).buffered(JOBS_MAX);
    loop {
        let failed = match tokio::time::timeout_at(end.into(), outcomes.next()).await {
            Ok(Some(Outcome::Tried(escape))) => {
                rows.push(escape);
                continue;
            }
            Ok(Some(Outcome::NoSuch) | None) => return rows,
            Ok(Some(Outcome::Failed(why))) => why,
            Err(_) => "time ran out".to_owned(),
        };
        rows.push(Escape {
            name: format!("escape {} and those after it", rows.len() + 1),
            stopped: false,
            by: format!("not tried: {failed}"),
        });
        return rows;
    }
}

async fn try_one(launcher: &Launcher, number: u16) -> Outcome {
    let child = match launcher.spawn_fresh(Profile::Doctor, LIMITS).await {
        Ok(child) => child,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let _killed = Killed(launcher, child.generation);
    let talk = async {
        let said = converse(child.socket, number).await;
        (said, child.exited.await.ok())
    };
    match tokio::time::timeout(ESCAPE_DEADLINE.min(bounds::LAUNCHER_DEADLINE), talk).await {
        Ok((said, Some(exit))) => judge(&said, exit),
        Ok((_, None)) => Outcome::Failed("the launcher is gone".into()),
        Err(_) => Outcome::Failed(format!("the process of escape {} did not end", number + 1)),
    }
}

/// Everything that the process says. That it breaks off is no error: most are killed in the middle.
async fn converse(socket: std::os::unix::net::UnixStream, number: u16) -> Vec<u8> {
    let mut said = Vec::new();
    if let Ok(mut socket) = UnixStream::from_std(socket)
        && socket.write_all(&number.to_le_bytes()).await.is_ok()
    {
        let _ = socket.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
    }
    said
}

/// What the words of a process and its end mean.
fn judge(said: &[u8], exit: Exit) -> Outcome {
    let Some(rest) = said.strip_prefix(DOCTOR_READY) else {
        return Outcome::Failed("the process did not say that it is locked".into());
    };
    if rest.is_empty() && exit.signal == 0 && exit.code == DOCTOR_NO_SUCH {
        return Outcome::NoSuch;
    }
    let Some((name, told)) = rest.iter().position(|&byte| byte == b'\n').map(|at| rest.split_at(at)) else {
        return Outcome::Failed("the process ended before it tried".into());
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let told = <[u8; 8]>::try_from(&told[1..]).ok().map(i64::from_le_bytes);
    let (stopped, by) = match (told, exit) {
        (Some(result), Exit { signal: 0, code: 0, .. }) if result < 0 => {
            let errno = i32::try_from(-result).unwrap_or(0);
            (true, format!("kernel: {}", std::io::Error::from_raw_os_error(errno)))
        }
        (Some(result), _) => (false, format!("nothing: the kernel answered {result}")),
        (None, Exit { signal: libc::SIGSYS, .. }) => (true, "seccomp".into()),
        (None, Exit { signal: libc::SIGSEGV | libc::SIGBUS, .. }) => (true, "memory protection".into()),
        (None, Exit { oom: true, .. }) => (true, "memory.cgroup".into()),
        (None, Exit { signal: 0, code, .. }) => (false, format!("nothing: it ended with code {code}")),
        (None, Exit { signal, .. }) => (false, format!("no layer: it ended with signal {signal}")),
    };
    Outcome::Tried(Escape { name, stopped, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32, signal: i32) -> Exit {
        Exit { code, signal, oom: false, cpu_us: 0 }
    }

    fn tried(words: &[u8], exit: Exit) -> (String, bool, String) {
        match judge(&[&DOCTOR_READY[..], words].concat(), exit) {
            Outcome::Tried(Escape { name, stopped, by }) => (name, stopped, by),
            Outcome::NoSuch => ("no such".into(), false, String::new()),
            Outcome::Failed(why) => ("failed".into(), false, why),
        }
    }

    #[test]
    fn only_a_death_at_a_wall_or_an_error_counts_as_stopped() {
        let answer = |result: i64| [b"x\n".as_slice(), &result.to_le_bytes()].concat();
        for (words, exit, stopped, by) in [
            (b"x\n".to_vec(), end(-1, libc::SIGSYS), true, "seccomp"),
            (b"x\n".to_vec(), end(-1, libc::SIGSEGV), true, "memory protection"),
            (answer(-13), end(0, 0), true, "kernel: Permission denied"),
            (answer(0), end(0, 0), false, "answered 0"),
            (answer(7), end(-1, libc::SIGSYS), false, "answered 7"),
            (b"x\n".to_vec(), end(0, 0), false, "code 0"),
            (b"x\n".to_vec(), end(-1, libc::SIGKILL), false, "signal 9"),
        ] {
            let (name, was_stopped, was_by) = tried(&words, exit);
            assert_eq!((&*name, was_stopped), ("x", stopped), "{was_by}");
            assert!(was_by.contains(by), "{was_by}");
        }
    }

    #[test]
    fn a_process_that_is_not_locked_or_tries_nothing_is_a_failure() {
        assert!(matches!(judge(b"", end(4, 0)), Outcome::Failed(_)));
        assert!(matches!(judge(DOCTOR_READY, end(-1, libc::SIGSYS)), Outcome::Failed(_)));
        assert_eq!(tried(b"x", end(-1, libc::SIGSYS)).0, "failed", "a name without its end");
        assert_eq!(tried(b"", end(DOCTOR_NO_SUCH, 0)).0, "no such");
    }
}
