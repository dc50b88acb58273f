//! One locked process at the other end of a socket: its greeting, one call, its end. What it says is hostile.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::Poll;

use fazt_ipc::store::limits::ANSWER_BYTES_MAX;
use fazt_ipc::store::{FILES, FILES_TO_READ, Malformed, READY, length};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::files::Opened;
use super::limits::{CLOSE_DEADLINE, SMALL_BYTES, START_DEADLINE};
use super::{Ended, Jailed};

/// It is killed when this is dropped.
pub(super) struct Process {
    stream: UnixStream,
    exited: oneshot::Receiver<Ended>,
    kill: Box<dyn Fn() + Send + Sync>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why there is no answer of the process.
pub(super) enum Broken {
    /// It is gone.
    Gone,
    /// It takes too long.
    Late,
    /// It said what it may not.
    Hostile(Malformed),
}

impl Process {
    /// Greets it and hands it its files. None: it does not begin.
    pub(super) async fn begin(
        jailed: Jailed,
        opened: &Opened,
        read_only: bool,
        room: [OwnedSemaphorePermit; 2],
    ) -> Option<Self> {
        let Jailed { socket, exited, kill } = jailed;
        let stream = UnixStream::from_std(socket).ok()?;
        let mut process = Self { stream, exited, kill, _room: room };
        let greeted = tokio::time::timeout(START_DEADLINE, process.greet(opened, read_only)).await;
        greeted.ok()?.ok()?;
        Some(process)
    }

    async fn greet(&mut self, opened: &Opened, read_only: bool) -> std::io::Result<()> {
        let mut word = [0; READY.len()];
        self.stream.read_exact(&mut word).await?;
        if &word != READY {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let word = if read_only { FILES_TO_READ } else { FILES };
        let fds = [opened.database.as_fd(), opened.wal.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        // Nothing was sent before: there is room.
        let sent = rustix::net::sendmsg(
            self.stream.as_fd(),
            &[IoSlice::new(word)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )?;
        if sent == word.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }

    /// Sends a request, and gives the length of the answer, which is not read yet.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<usize, Broken> {
        let gone = |_| Broken::Gone;
        self.stream.write_all(request).await.map_err(gone)?;
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.map_err(gone)?;
        length(head, ANSWER_BYTES_MAX).map_err(Broken::Hostile)
    }

    /// Reads the answer, to be kept or not.
    pub(super) async fn take(&mut self, bytes: usize, keep: bool) -> Result<Vec<u8>, Broken> {
        let gone = |_| Broken::Gone;
        let mut rest = (&mut self.stream).take(bytes as u64);
        if !keep {
            let came = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map_err(gone)?;
            return if came == bytes as u64 { Ok(Vec::new()) } else { Err(Broken::Gone) };
        }
        // Grows with what comes, not with what is announced.
        let mut answer = Vec::with_capacity(bytes.min(SMALL_BYTES));
        let came = rest.read_to_end(&mut answer).await.map_err(gone)?;
        if came == bytes { Ok(answer) } else { Err(Broken::Gone) }
    }

    /// Has it move its WAL and end.
    pub(super) async fn close(&mut self) {
        // It may have gone already.
        let _ = self.stream.shutdown().await;
    }

    pub(super) fn kill(&self) {
        (self.kill)();
    }

    /// How it ended; none: it does not, and is killed.
    pub(super) async fn ended(mut self) -> Option<Ended> {
        tokio::time::timeout(CLOSE_DEADLINE, &mut self.exited).await.ok()?.ok()
    }
}

/// Which of them has ended, and how. It is not to be asked again.
pub(super) async fn any_ended(processes: &mut [Option<Process>; 2]) -> (usize, Ended) {
    std::future::poll_fn(|cx| {
        for (at, process) in processes.iter_mut().enumerate() {
            if let Some(process) = process
                && let Poll::Ready(ended) = Pin::new(&mut process.exited).poll(cx)
            {
                return Poll::Ready((at, ended.unwrap_or(Ended::Killed)));
            }
        }
        Poll::Pending
    })
    .await
}
