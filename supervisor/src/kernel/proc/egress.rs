//! The process that opens connections to elsewhere: what whoever keeps it needs of the launcher.

use std::sync::Arc;

use fazt_ipc::launch::{Limits, Profile};
use tokio::sync::oneshot;

use super::Proc;
use super::launcher::Exit;

/// One that was made.
pub(crate) struct Outward {
    /// As the host sees it.
    pub(crate) pid: u32,
    /// Its socket.
    pub(crate) socket: std::os::unix::net::UnixStream,
    /// How it ended, in words, once it has.
    pub(crate) exited: oneshot::Receiver<String>,
    /// Kills it.
    pub(crate) kill: Box<dyn Fn() + Send + Sync>,
}

impl Proc {
    /// Makes one. The launcher lets one live at a time.
    pub(crate) async fn outward(&self) -> Result<Outward, String> {
        let launcher = Arc::clone(&self.shared.launcher);
        // Its memory is bounded by its profile; of the CPU it has what others leave.
        let limits = Limits { memory_bytes: 0, cpu_permille: 0, cpu_weight: 100 };
        let child = launcher.spawn_fresh(Profile::Egress, limits).await.map_err(|error| error.to_string())?;
        let (tell, exited) = oneshot::channel();
        let (generation, ended) = (child.generation, child.exited);
        tokio::spawn(async move {
            // Nobody may want to know.
            let _ = tell.send(ended.await.map_or_else(|_| "the launcher is gone".into(), said));
        });
        let kill = Box::new(move || launcher.kill(generation));
        Ok(Outward { pid: child.pid, socket: child.socket, exited, kill })
    }
}

fn said(exit: Exit) -> String {
    match exit {
        Exit { oom: true, .. } => "it ran out of memory".into(),
        Exit { signal: 0, code, .. } => format!("it ended with code {code}"),
        Exit { signal, .. } => format!("it ended with signal {signal}"),
    }
}
