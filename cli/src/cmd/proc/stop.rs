//! `fazt proc stop`: asks, then waits until the processes are gone.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use fazt_ipc::control::{ErrorKind, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::client::Client;
use crate::error::{Done, failed, problem};
use crate::output::Out;

/// Longer than the server drains.
const WAIT: Duration = Duration::from_secs(60);
/// How often a server elsewhere is asked whether it is still there; well under the rate of a token.
const ASK_AGAIN: Duration = Duration::from_millis(250);

#[derive(serde::Serialize)]
struct Stopped {
    stopped: bool,
}

pub(super) async fn stop(client: &Client, out: Out) -> Done {
    let status: Status = client.get("/api/status").await?;
    // The supervisor, who made the socket, and the launcher, which ends last and holds the data folder until then.
    let ids = [i32::try_from(status.pid).ok(), client.server_pid().await?, client.launcher_pid()];
    let processes: Vec<OwnedFd> = ids
        .into_iter()
        .flatten()
        .filter_map(Pid::from_raw)
        .filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .collect();
    client.order::<serde_json::Value>("/api/stop").await?;
    if client.is_remote() {
        return gone_there(client, out).await;
    }
    if !gone(&processes)? {
        return Err(problem(
            ErrorKind::Failed,
            format!("the server was told to stop but still runs after {} s", WAIT.as_secs()),
            format!("see what it is doing, or end process {} by hand", status.pid),
        ));
    }
    out.show(&Stopped { stopped: true }, |_| out.line("The server has stopped."))
}

/// Waits until a server elsewhere answers no more.
async fn gone_there(client: &Client, out: Out) -> Done {
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        match client.get::<serde_json::Value>("/api/me").await {
            Err(problem) if problem.code == ErrorKind::Unreachable => {
                return out.show(&Stopped { stopped: true }, |_| out.line("The server has stopped."));
            }
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
    Err(failed(format!("the server was told to stop but still answers after {} s", WAIT.as_secs())))
}

/// Waits for the end of every process; false when the time is over. Blocks: nothing else is to be done meanwhile.
fn gone(processes: &[OwnedFd]) -> Done<bool> {
    let deadline = Instant::now() + WAIT;
    for process in processes {
        loop {
            let left =
                Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
            match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(format!("cannot wait for the server: {error}"))),
            }
        }
    }
    Ok(true)
}
