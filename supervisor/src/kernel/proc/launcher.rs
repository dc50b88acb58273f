//! The supervisor's end of the launcher's channel: orders go out, answers are matched to them by generation
//! and order, `Exited` finds whoever waits for the end of that process.
//!
//! Called by `pool.rs`, `slot/`, `pressure.rs` and `builder.rs`. The launcher is trusted: a malformed answer
//! means that it is broken, and is treated like its end.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Answer, Limits, Order, Packet, Profile, Refusal};
use fazt_ipc::limits::LAUNCH_BYTES;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::bounds;

/// A locked, verified process.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number.
    pub(crate) generation: Generation,
    /// As the host sees it.
    pub(crate) pid: u32,
    /// Its socket; non-blocking.
    pub(crate) socket: std::os::unix::net::UnixStream,
    /// How it ended, once it has.
    pub(crate) exited: oneshot::Receiver<Exit>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, or -1.
    pub(crate) code: i32,
    /// Signal, or 0.
    pub(crate) signal: i32,
    /// Killed by the kernel for memory.
    pub(crate) oom: bool,
    /// CPU time over its life.
    pub(crate) cpu_us: u64,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Memory now.
    pub(crate) memory_bytes: u64,
    /// CPU time since its start.
    pub(crate) cpu_us: u64,
}

/// No process could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The launcher says no.
    #[error("the launcher refused ({refusal:?}, step {step}, errno {errno})")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Step of the set-up.
        step: u8,
        /// `errno`, or 0.
        errno: i32,
    },
    /// The launcher did not answer in time.
    #[error("the launcher did not answer in time")]
    Deadline,
    /// The socket that came with the answer cannot be used.
    #[error("the launcher sent no usable socket")]
    NoSocket,
}

/// An answer on its way to who asked.
enum Waiting {
    Spawn(oneshot::Sender<Result<Child, SpawnError>>),
    Limit(oneshot::Sender<Result<(), Refusal>>),
    Kill,
    Stat(oneshot::Sender<Option<Usage>>),
}

#[derive(Default)]
struct State {
    next_generation: u64,
    waiting: HashMap<u64, VecDeque<Waiting>>,
    living: HashMap<u64, oneshot::Sender<Exit>>,
    outbox: VecDeque<Packet>,
}

/// The client side of the channel.
pub(crate) struct Launcher {
    fd: AsyncFd<OwnedFd>,
    state: Mutex<State>,
    /// Wakes the task for packets that did not fit.
    full: tokio::sync::Notify,
}

impl Launcher {
    /// Starts the task that reads answers. `lost` runs when the channel ends: in the product it ends the
    /// process, because every worker is about to die with its launcher.
    pub(crate) fn start(fd: OwnedFd, lost: impl FnOnce() + Send + 'static) -> io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        #[expect(deprecated, reason = "unsound only for types that do not own their descriptor")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE | Interest::WRITABLE)?;
        let launcher = Arc::new(Self {
            fd,
            state: Mutex::new(State { next_generation: 1, ..State::default() }),
            full: tokio::sync::Notify::new(),
        });
        let task = Arc::clone(&launcher);
        tokio::spawn(async move {
            let error = tokio::select! {
                error = task.read() => error,
                error = task.flush() => error,
            };
            tracing::error!(%error, "the launcher is gone");
            lost();
        });
        Ok(launcher)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a locked process. A child that arrives after the deadline is killed.
    pub(crate) async fn spawn(&self, profile: Profile, limits: Limits) -> Result<Child, SpawnError> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state();
            let generation = Generation(state.next_generation);
            state.next_generation += 1;
            self.order(
                &mut state,
                Order::Spawn { profile, generation, limits },
                generation,
                Waiting::Spawn(tell),
            );
        }
        match tokio::time::timeout(bounds::LAUNCHER_DEADLINE, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(SpawnError::Deadline),
        }
    }

    /// Goes on with higher generations. False: there are none.
    pub(super) fn leap(&self) -> bool {
        let mut state = self.state();
        match state.next_generation.checked_mul(2) {
            Some(next) => {
                state.next_generation = next;
                true
            }
            None => false,
        }
    }

    /// Tightens limits. The answer may be ignored until it says no.
    pub(crate) fn limit(
        &self,
        generation: Generation,
        limits: Limits,
    ) -> oneshot::Receiver<Result<(), Refusal>> {
        let (tell, told) = oneshot::channel();
        let mut state = self.state();
        self.order(&mut state, Order::Limit { generation, limits }, generation, Waiting::Limit(tell));
        told
    }

    /// Kills a process; `Exited` follows. Nothing happens when it is dead already.
    pub(crate) fn kill(&self, generation: Generation) {
        let mut state = self.state();
        if state.living.contains_key(&generation.0) {
            self.order(&mut state, Order::Kill { generation }, generation, Waiting::Kill);
        }
    }

    /// Asks what a process uses; none when it is dead or the launcher cannot say.
    pub(crate) async fn stat(&self, generation: Generation) -> Option<Usage> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state();
            if !state.living.contains_key(&generation.0) {
                return None;
            }
            self.order(&mut state, Order::Stat { generation }, generation, Waiting::Stat(tell));
        }
        tokio::time::timeout(bounds::LAUNCHER_DEADLINE, told).await.ok()?.ok()?
    }

    fn order(&self, state: &mut State, order: Order, generation: Generation, waiting: Waiting) {
        state.waiting.entry(generation.0).or_default().push_back(waiting);
        let packet = order.encode();
        if !state.outbox.is_empty() || self.send(&packet).is_err() {
            state.outbox.push_back(packet);
            self.full.notify_one();
        }
    }

    fn send(&self, packet: &Packet) -> io::Result<()> {
        let sent = rustix::net::send(self.fd.get_ref(), packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Sends what did not fit at once.
    async fn flush(&self) -> io::Error {
        loop {
            self.full.notified().await;
            loop {
                let Some(packet) = self.state().outbox.front().copied() else { break };
                let mut guard = match self.fd.writable().await {
                    Ok(guard) => guard,
                    Err(error) => return error,
                };
                match guard.try_io(|_| self.send(&packet)) {
                    Ok(Ok(())) => {
                        self.state().outbox.pop_front();
                    }
                    Ok(Err(error)) => return error,
                    Err(_) => {}
                }
            }
        }
    }

    async fn read(&self) -> io::Error {
        loop {
            let mut guard = match self.fd.readable().await {
                Ok(guard) => guard,
                Err(error) => return error,
            };
            match guard.try_io(|fd| receive(fd.get_ref())) {
                Ok(Ok((packet, fds))) => match Answer::decode(&packet) {
                    Ok(answer) => self.answered(answer, fds),
                    Err(error) => return io::Error::new(io::ErrorKind::InvalidData, error),
                },
                Ok(Err(error)) => return error,
                Err(_) => {}
            }
        }
    }

    fn answered(&self, answer: Answer, fds: Vec<OwnedFd>) {
        let mut state = self.state();
        match answer {
            Answer::Spawned { generation, pid, .. } => {
                let Some(Waiting::Spawn(tell)) = state.take(generation) else {
                    tracing::error!(%generation, "a process nobody ordered");
                    return;
                };
                let (ended, exited) = oneshot::channel();
                state.living.insert(generation.0, ended);
                // Two descriptors: pidfd, socket. The launcher tells of the end, so the pidfd is not kept.
                let socket = fds.into_iter().nth(1).map(std::os::unix::net::UnixStream::from);
                let child = socket.and_then(|socket| {
                    socket.set_nonblocking(true).ok()?;
                    Some(Child { generation, pid, socket, exited })
                });
                if tell.send(child.ok_or(SpawnError::NoSocket)).is_err() {
                    // Nobody waits any more: it came too late.
                    self.order(&mut state, Order::Kill { generation }, generation, Waiting::Kill);
                }
            }
            Answer::Done { generation } => {
                if let Some(Waiting::Limit(tell)) = state.take(generation) {
                    let _ = tell.send(Ok(()));
                }
            }
            Answer::Refused { generation, refusal, step, errno } => match state.take(generation) {
                Some(Waiting::Spawn(tell)) => {
                    let _ = tell.send(Err(SpawnError::Refused { refusal, step, errno }));
                }
                Some(Waiting::Limit(tell)) => {
                    let _ = tell.send(Err(refusal));
                }
                Some(Waiting::Stat(tell)) => {
                    let _ = tell.send(None);
                }
                Some(Waiting::Kill) | None => {}
            },
            Answer::Stat { generation, memory_bytes, cpu_us, .. } => {
                if let Some(Waiting::Stat(tell)) = state.take(generation) {
                    let _ = tell.send(Some(Usage { memory_bytes, cpu_us }));
                }
            }
            Answer::Exited { generation, code, signal, oom, cpu_us, .. } => {
                if let Some(tell) = state.living.remove(&generation.0) {
                    let _ = tell.send(Exit { code, signal, oom, cpu_us });
                }
            }
        }
    }
}

impl State {
    /// What the next answer about this process belongs to.
    fn take(&mut self, generation: Generation) -> Option<Waiting> {
        let queue = self.waiting.get_mut(&generation.0)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&generation.0);
        }
        first
    }
}

/// One packet with its descriptors. An empty read is the end of the channel.
fn receive(fd: &OwnedFd) -> io::Result<(Packet, Vec<OwnedFd>)> {
    let mut packet = [0; LAUNCH_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::net::recvmsg(
        fd,
        &mut [io::IoSliceMut::new(&mut packet)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    match message.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        LAUNCH_BYTES => Ok((packet, fds)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
