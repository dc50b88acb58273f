//! A launcher and workers that play a script, inside the test's process and over real sockets.

use std::collections::{HashMap, HashSet};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fazt_ipc::codec;
use fazt_ipc::frame::Header;
use fazt_ipc::ids::{AppId, Generation, RequestId};
use fazt_ipc::launch::{Answer, Limits, Order, Packet};
use fazt_ipc::limits::{FRAME_HEADER_BYTES, LAUNCH_BYTES, PROTOCOL};
use fazt_ipc::syscall::{Call, CallError, ErrorCode};
use fazt_ipc::wire::worker::{Loaded, Ready, Response};
use fazt_ipc::wire::{KernelKind, WorkerKind};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::super::spec::Spec;
use super::super::{DispatchError, Proc, ProcOptions, RequestBody, Slot, WorkerBody};
use crate::kernel::security::{Actor, Principal};
use crate::kernel::syscall::{Answer as CallAnswer, Calls, Room, Upload};

/// How a scripted worker ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) code: i32,
    pub(crate) signal: i32,
    pub(crate) oom: bool,
}

/// Wall time of a request on the stage.
pub(crate) const WALL: std::time::Duration = std::time::Duration::from_secs(3);

pub(crate) const CLEAN: Ends = Ends { code: 0, signal: 0, oom: false };

pub(crate) type Script = Arc<dyn Fn(Peer) -> BoxFuture<'static, Ends> + Send + Sync>;

/// The worker's end of the wire.
pub(crate) struct Peer {
    pub(crate) generation: u64,
    pub(crate) socket: UnixStream,
    buffer: Vec<u8>,
}

impl Peer {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // A test may go on writing after it was found out.
        let _ = self.socket.write_all(bytes).await;
    }
    pub(crate) async fn frame(&mut self, kind: WorkerKind, stream: u32, end: bool, body: &[u8]) {
        self.raw(&frame(kind as u8, stream, end, body)).await;
    }
    pub(crate) async fn typed<T: Serialize>(&mut self, kind: WorkerKind, stream: u32, end: bool, body: &T) {
        self.raw(&typed(kind, stream, end, body)).await;
    }
    /// The next frame; none: the socket is closed.
    pub(crate) async fn next(&mut self) -> Option<(KernelKind, Header, Vec<u8>)> {
        loop {
            if let Some((header, body)) = fazt_ipc::frame::split(&self.buffer).expect("the kernel's frames") {
                let body = body.to_vec();
                self.buffer.drain(..FRAME_HEADER_BYTES + body.len());
                return Some((KernelKind::try_from(header.kind).expect("a known kind"), header, body));
            }
            let mut chunk = [0; 64 * 1024];
            match self.socket.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => self.buffer.extend_from_slice(&chunk[..bytes]),
            }
        }
    }
    /// Waits for a kind of frame, passing over others.
    pub(crate) async fn until(&mut self, wanted: KernelKind) -> Option<(Header, Vec<u8>)> {
        while let Some((kind, header, body)) = self.next().await {
            if kind == wanted {
                return Some((header, body));
            }
        }
        None
    }
    /// Takes the app and says that it is loaded.
    pub(crate) async fn load(&mut self) -> Option<()> {
        self.until(KernelKind::Start).await?;
        let loaded = Loaded { fetch: true, ..Loaded::default() };
        self.typed(WorkerKind::Loaded, 0, false, &loaded).await;
        Some(())
    }
    /// A whole answer.
    pub(crate) async fn answer(&mut self, stream: u32, body: &[u8]) {
        let mut bytes = typed(WorkerKind::Response, stream, false, &ok(Some(body.len() as u64)));
        bytes.extend(frame(WorkerKind::Body as u8, stream, true, body));
        bytes.extend(frame(WorkerKind::Settled as u8, stream, false, b""));
        self.raw(&bytes).await;
    }
    /// Answers everything, until the socket closes.
    pub(crate) async fn serve(mut self) -> Ends {
        if self.load().await.is_some() {
            while let Some((header, _)) = self.until(KernelKind::Request).await {
                self.answer(header.stream, b"hello").await;
            }
        }
        CLEAN
    }
}

pub(crate) fn ok(body_bytes: Option<u64>) -> Response<'static> {
    Response { status: 200, fields: vec![("x-from", b"worker")], body_bytes }
}

pub(crate) fn frame(kind: u8, stream: u32, end: bool, body: &[u8]) -> Vec<u8> {
    let header = Header { body_bytes: body.len() as u32, kind, end, stream };
    [&header.encode()[..], body].concat()
}

pub(crate) fn typed<T: Serialize>(kind: WorkerKind, stream: u32, end: bool, body: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(body, &mut bytes).expect("fits");
    frame(kind as u8, stream, end, &bytes)
}

/// What the launcher was told.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) limits: Mutex<Vec<(u64, Limits)>>,
    pub(crate) kills: Mutex<Vec<u64>>,
    /// What the next counts say: CPU time.
    pub(crate) cpu_us: Mutex<u64>,
    /// And memory of each worker.
    pub(crate) memory_bytes: Mutex<u64>,
    /// Workers that were given an app and live, and the most there ever were.
    pub(crate) assigned: Mutex<(HashSet<u64>, usize)>,
}

/// The other end of the launcher's channel.
pub(crate) struct FakeLauncher {
    fd: tokio::io::unix::AsyncFd<OwnedFd>,
    script: Script,
    pub(crate) orders: Arc<Orders>,
}

impl FakeLauncher {
    fn send(&self, answer: Answer, fds: &[std::os::fd::BorrowedFd<'_>]) {
        let packet: Packet = answer.encode();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let _ = rustix::net::sendmsg(&self.fd, &[IoSlice::new(&packet)], &mut control, SendFlags::NOSIGNAL);
    }

    async fn receive(&self) -> Option<Order> {
        loop {
            let mut guard = self.fd.readable().await.expect("a socket");
            let mut packet = [0; LAUNCH_BYTES];
            let got = guard
                .try_io(|fd| Ok(rustix::net::recv(fd, &mut packet, rustix::net::RecvFlags::DONTWAIT)?.0));
            match got {
                Ok(Ok(LAUNCH_BYTES)) => return Some(Order::decode(&packet).expect("an order")),
                Ok(_) => return None,
                Err(_) => {}
            }
        }
    }

    async fn run(self) {
        let (ended, mut ends) = mpsc::unbounded_channel::<(Generation, Ends)>();
        let mut tasks = HashMap::new();
        loop {
            tokio::select! {
                order = self.receive() => match order {
                    None => return,
                    Some(Order::Spawn { generation, .. }) => {
                        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
                        ours.set_nonblocking(true).expect("a socket");
                        let socket = UnixStream::from_std(ours).expect("a socket");
                        let script = Arc::clone(&self.script);
                        let ended = ended.clone();
                        let task = tokio::spawn(async move {
                            let mut peer = Peer { generation: generation.0, socket, buffer: Vec::new() };
                            let ready = Ready { protocol: PROTOCOL, landlock_abi: 7, engine: 42 };
                            peer.typed(WorkerKind::Ready, 0, false, &ready).await;
                            let ends = script(peer).await;
                            let _ = ended.send((generation, ends));
                        });
                        tasks.insert(generation, task.abort_handle());
                        let answer = Answer::Spawned { generation, pid: 100 + generation.0 as u32, uid: 1 };
                        self.send(answer, &[self.fd.as_fd(), theirs.as_fd()]);
                    }
                    Some(Order::Limit { generation, limits }) => {
                        self.orders.limits.lock().expect("lock").push((generation.0, limits));
                        let mut assigned = self.orders.assigned.lock().expect("lock");
                        assigned.0.insert(generation.0);
                        assigned.1 = assigned.1.max(assigned.0.len());
                        drop(assigned);
                        self.send(Answer::Done { generation }, &[]);
                    }
                    Some(Order::Kill { generation }) => {
                        self.orders.kills.lock().expect("lock").push(generation.0);
                        self.send(Answer::Done { generation }, &[]);
                        if let Some(task) = tasks.get(&generation) {
                            task.abort();
                            let _ = ended.send((generation, Ends { code: -1, signal: 9, oom: false }));
                        }
                    }
                    Some(Order::Stat { generation }) => {
                        let cpu_us = *self.orders.cpu_us.lock().expect("lock");
                        let memory_bytes = (*self.orders.memory_bytes.lock().expect("lock")).max(1 << 20);
                        self.send(Answer::Stat { generation, memory_bytes, memory_bytes_max: 40 << 20, cpu_us }, &[]);
                    }
                },
                Some((generation, ends)) = ends.recv() => {
                    if tasks.remove(&generation).is_some() {
                        self.orders.assigned.lock().expect("lock").0.remove(&generation.0);
                        let Ends { code, signal, oom } = ends;
                        let (cpu_us, memory_bytes_peak) = (5, 6);
                        self.send(Answer::Exited { generation, code, signal, oom, cpu_us, memory_bytes_peak }, &[]);
                    }
                }
            }
        }
    }
}

/// No app here needs an answer to a call.
struct NoCalls;

impl Calls for NoCalls {
    fn answer(
        &self,
        _: Actor,
        _: Call,
        _: Box<dyn Upload>,
        _: Box<dyn Room>,
    ) -> BoxFuture<'static, Result<CallAnswer, CallError>> {
        Box::pin(async { Err(CallError::new(ErrorCode::NotFound, "nothing is here")) })
    }
}

/// A supervisor's proc with one app, over scripted workers.
pub(crate) struct Stage {
    pub(crate) proc: Arc<Proc>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) app: AppId,
    pub(crate) orders: Arc<Orders>,
    pub(crate) data: tempfile::TempDir,
}

/// Sets a stage on which every worker plays `script`.
pub(crate) fn stage<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> Stage
where
    F: Future<Output = Ends> + Send + 'static,
{
    stage_with(script, |_| {})
}

pub(crate) fn stage_with<F>(
    script: impl Fn(Peer) -> F + Send + Sync + 'static,
    options: impl FnOnce(&mut ProcOptions),
) -> Stage
where
    F: Future<Output = Ends> + Send + 'static,
{
    let data = tempfile::tempdir().expect("a folder");
    let (proc, orders) = start(data.path(), Arc::new(move |peer| Box::pin(script(peer))), options, || {});
    let app = AppId::new(1, 1);
    let slot = proc.make_slot(Principal::Anonymous, None, Spec::fixed(app, Arc::new(NoCalls), WALL));
    Stage { proc, slot, app, orders, data }
}

pub(crate) fn start(
    data: &Path,
    script: Script,
    options: impl FnOnce(&mut ProcOptions),
    lost: impl FnOnce() + Send + 'static,
) -> (Arc<Proc>, Arc<Orders>) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a pair");
    let orders = Arc::new(Orders::default());
    #[expect(deprecated, reason = "unsound only for types that do not own their descriptor")]
    let fd =
        tokio::io::unix::AsyncFd::with_interest(theirs, tokio::io::Interest::READABLE).expect("a socket");
    let launcher = FakeLauncher { fd, script, orders: Arc::clone(&orders) };
    tokio::spawn(launcher.run());
    let mut settings = ProcOptions::new(data.to_owned());
    // What else this machine does is no part of a test.
    settings.heed_pressure = false;
    settings.cores = 1;
    options(&mut settings);
    (Proc::start(ours, settings, lost).expect("proc"), orders)
}

impl Stage {
    /// The slot of another app.
    pub(crate) fn app(&self, number: u64) -> Arc<Slot> {
        let spec = Spec::fixed(AppId::new(number, number.into()), Arc::new(NoCalls), WALL);
        self.proc.make_slot(Principal::Anonymous, None, spec)
    }

    /// Status of a plain request to another app.
    pub(crate) async fn ask(&self, slot: &Arc<Slot>) -> Result<u16, DispatchError> {
        let request = http::Request::get("/").body(RequestBody::Empty).expect("a request");
        let response = self.proc.serve(slot, RequestId::new(1, 1), "http://app.localhost", request).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(|_| DispatchError::Died)?;
        Ok(status)
    }

    pub(crate) async fn request(
        &self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<WorkerBody>, DispatchError> {
        self.proc.serve(&self.slot, RequestId::new(1, 1), "http://app.localhost", request).await
    }

    /// Status and body of a plain request.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Bytes), DispatchError> {
        let request = http::Request::get(path).body(RequestBody::Empty).expect("a request");
        let response = self.request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|_| DispatchError::Died)?;
        Ok((status, body.to_bytes()))
    }

    /// Waits until the slot is in a state.
    pub(crate) async fn until(&self, state: fazt_ipc::control::State) {
        let mut states = self.slot.watch();
        let reached = states.wait_for(|now| *now == state);
        tokio::time::timeout(std::time::Duration::from_secs(20), reached)
            .await
            .unwrap_or_else(|_| panic!("{state:?} in time"))
            .expect("the slot");
    }
}
