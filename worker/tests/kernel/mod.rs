//! The other end of a worker's socket: what the kernel does, spelled out for tests.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use fazt_ipc::codec::{decode, encode};
use fazt_ipc::frame::{Header, split};
use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::limits::FRAME_BODY_BYTES_MAX;
use fazt_ipc::syscall::{Call, CallError, ErrorCode, Reply};
use fazt_ipc::wire::kernel::{BindingKind, Configure, Event, Module, ModuleKind, Request, Start, User};
use fazt_ipc::wire::worker::{Bytecode, Done, Loaded, Log, Ready, Response};
use fazt_ipc::wire::{Failure, KernelKind, WorkerKind};
use fazt_worker::link::LinkError;

/// A worker on a thread of its own and the socket to it.
pub struct Kernel {
    socket: UnixStream,
    input: Vec<u8>,
    taken: usize,
    thread: Option<JoinHandle<Result<(), LinkError>>>,
    pub child: Option<std::process::Child>,
    next: u32,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug)]
pub struct Frame {
    pub kind: WorkerKind,
    pub stream: u32,
    pub end: bool,
    pub body: Vec<u8>,
}

/// What came back for one request.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub body_bytes: Option<u64>,
    pub failure: Option<Failure>,
    pub logs: Vec<(String, String)>,
    pub calls: Vec<Call>,
    /// What came of an event.
    pub done: Option<Done>,
    pub no_retry: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        assert!(self.failure.is_none(), "failed: {:?} {:?}", self.failure, self.logs);
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn failed(&self) -> &Failure {
        self.failure.as_ref().expect("a failure")
    }
}

pub struct Limits {
    pub cpu_ms: u32,
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu_ms: 1000, memory_bytes: 32 << 20 }
    }
}

impl Kernel {
    /// A worker that has said Ready.
    pub fn spawn() -> (Self, Ready) {
        let (mine, theirs) = UnixStream::pair().expect("a socket pair");
        // A test that waits for a frame that never comes fails instead of hanging.
        mine.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let socket = std::fs::File::from(OwnedFd::from(theirs));
        let thread = std::thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(move || fazt_worker::link::serve(&socket, || Ok(0)))
            .expect("a thread");
        let mut kernel =
            Self { socket: mine, input: Vec::new(), taken: 0, thread: Some(thread), child: None, next: 1 };
        let frame = kernel.frame();
        assert_eq!(frame.kind, WorkerKind::Ready);
        let ready = decode(&frame.body).expect("Ready");
        (kernel, ready)
    }

    /// The worker program in a process of its own, locked down, serving one script.
    pub fn program(path: &str, source: &str) -> Self {
        let (mine, theirs) = UnixStream::pair().expect("a socket pair");
        mine.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        // As the launcher does: the socket on descriptor 3, no new privileges.
        let child = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 524288; exec setpriv --no-new-privs \"$0\" 3<&0 0</dev/null", path])
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .expect("sh starts");
        let mut kernel =
            Self { socket: mine, input: Vec::new(), taken: 0, thread: None, child: Some(child), next: 1 };
        assert_eq!(kernel.frame().kind, WorkerKind::Ready);
        kernel.configure(Limits::default());
        kernel.modules(&[("server.js", ModuleKind::Script, source.as_bytes())]);
        kernel.send(KernelKind::Start, 0, false, &Start { main: "server.js" });
        kernel.loaded().expect("the app loads");
        kernel
    }

    /// A worker that serves one script.
    pub fn app(source: &str) -> Self {
        Self::app_with(&[("server.js", ModuleKind::Script, source.as_bytes())], Limits::default())
    }

    pub fn app_with(modules: &[(&str, ModuleKind, &[u8])], limits: Limits) -> Self {
        let mut kernel = Self::start(modules, limits);
        let (loaded, _) = kernel.loaded().expect("the app loads");
        assert!(loaded.fetch);
        kernel
    }

    pub fn start(modules: &[(&str, ModuleKind, &[u8])], limits: Limits) -> Self {
        let (mut kernel, _) = Self::spawn();
        kernel.configure(limits);
        kernel.modules(modules);
        kernel.send(KernelKind::Start, 0, false, &Start { main: modules[0].0 });
        kernel
    }

    pub fn configure(&mut self, limits: Limits) {
        let configure = Configure {
            app: AppId::new(1, 2),
            app_name: "notes".into(),
            app_version: "1.0.0".into(),
            memory_bytes: limits.memory_bytes,
            cpu_ms: limits.cpu_ms,
            user: Some(User { id: "u1".into(), name: "Ada".into(), role: "owner".into() }),
            env: vec![("API_KEY".into(), "s3cret".into())],
            bindings: vec![
                ("KV".into(), BindingKind::Kv),
                ("JOBS".into(), BindingKind::Queue),
                ("ASSETS".into(), BindingKind::Assets),
            ],
            compatibility_date: "2026-11-20".into(),
            assets: "public".into(),
            spa: false,
        };
        self.send(KernelKind::Configure, 0, false, &configure);
    }

    pub fn modules(&mut self, modules: &[(&str, ModuleKind, &[u8])]) {
        for (path, kind, bytes) in modules {
            let module = Module { path, kind: *kind, bytes: bytes.len() as u32 };
            self.send(KernelKind::Module, 0, false, &module);
            for chunk in bytes.chunks(FRAME_BODY_BYTES_MAX) {
                self.raw(KernelKind::ModuleData, 0, false, chunk);
            }
        }
    }

    /// What the top level came to.
    pub fn loaded(&mut self) -> Result<(Loaded, Vec<String>), Failure> {
        let mut logs = Vec::new();
        loop {
            let frame = self.frame();
            match frame.kind {
                WorkerKind::Loaded => return Ok((decode(&frame.body).expect("Loaded"), logs)),
                WorkerKind::LoadFailed => return Err(decode(&frame.body).expect("Failure")),
                WorkerKind::Log => logs.push(decode::<Log<'_>>(&frame.body).expect("Log").text.to_owned()),
                other => panic!("{other:?} while starting"),
            }
        }
    }

    pub fn send<T: serde::Serialize>(&mut self, kind: KernelKind, stream: u32, end: bool, body: &T) {
        let mut bytes = Vec::new();
        encode(body, &mut bytes).expect("fits");
        self.raw(kind, stream, end, &bytes);
    }

    pub fn raw(&mut self, kind: KernelKind, stream: u32, end: bool, body: &[u8]) {
        let header = Header { body_bytes: body.len() as u32, kind: kind as u8, end, stream };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(body);
        self.write(&bytes);
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // A worker that has ended has said why; the frames before its end are still to be read.
        match self.socket.write_all(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.expect("the worker reads"),
        }
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame, not the end")
    }

    pub fn try_frame(&mut self) -> Option<Frame> {
        loop {
            let found =
                split(&self.input).expect("a good header").map(|(header, body)| (header, body.to_vec()));
            if let Some((header, body)) = found {
                self.input.drain(..16 + body.len());
                let kind = WorkerKind::try_from(header.kind).expect("a known type");
                return Some(Frame { kind, stream: header.stream, end: header.end, body });
            }
            self.input.drain(..std::mem::take(&mut self.taken));
            let mut buffer = [0; 65536];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => self.input.extend_from_slice(&buffer[..read.expect("readable in time")]),
            }
        }
    }

    /// Appends a request without a body to `bytes`, with the header fields that a browser sends.
    pub fn queue(&mut self, bytes: &mut Vec<u8>, path: &str) {
        let stream = self.next;
        self.next += 2;
        let url = format!("http://notes.localhost:8080{path}");
        let fields: Vec<(&str, &[u8])> = vec![
            ("host", b"notes.localhost:8080"),
            ("user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
            ("accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("accept-encoding", b"gzip, deflate, br, zstd"),
            ("accept-language", b"en-US,en;q=0.9,de;q=0.8"),
        ];
        let request = Request { id: RequestId::new(5, u128::from(stream)), method: "GET", url: &url, fields };
        let mut body = Vec::new();
        encode(&request, &mut body).expect("fits");
        let header =
            Header { body_bytes: body.len() as u32, kind: KernelKind::Request as u8, end: true, stream };
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&body);
    }

    /// Opens a request; gives its stream.
    pub fn open(&mut self, method: &str, path: &str, fields: &[(&str, &str)], end: bool) -> u32 {
        let stream = self.next;
        self.next += 2;
        let url = format!("http://notes.localhost:8080{path}");
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = Request { id: RequestId::new(5, u128::from(stream)), method, url: &url, fields };
        self.send(KernelKind::Request, stream, end, &request);
        stream
    }

    /// Sends an event with this payload; empty: none. Gives its stream.
    pub fn event(&mut self, event: Event<'_>, payload: &str) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(KernelKind::Event, stream, payload.is_empty(), &event);
        for (at, chunk) in payload.as_bytes().chunks(FRAME_BODY_BYTES_MAX).enumerate() {
            let end = (at + 1) * FRAME_BODY_BYTES_MAX >= payload.len();
            self.raw(KernelKind::Body, stream, end, chunk);
        }
        stream
    }

    pub fn get(&mut self, path: &str) -> Answer {
        let stream = self.open("GET", path, &[("host", "notes.localhost:8080"), ("accept", "*/*")], true);
        self.answer(stream)
    }

    pub fn post(&mut self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let stream = self.open("POST", path, &[("content-type", kind)], body.is_empty());
        for (at, chunk) in body.chunks(FRAME_BODY_BYTES_MAX).enumerate() {
            let end = (at + 1) * FRAME_BODY_BYTES_MAX >= body.len();
            self.raw(KernelKind::Body, stream, end, chunk);
        }
        self.answer(stream)
    }

    /// Everything until the stream is settled or failed, giving credit for the body as it comes. Calls are
    /// refused, as the kernel of a worker without grants does.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let Some(frame) = self.try_frame() else { return answer };
            match frame.kind {
                WorkerKind::Response => {
                    let head: Response<'_> = decode(&frame.body).expect("Response");
                    answer.status = head.status;
                    answer.body_bytes = head.body_bytes;
                    let text = |value: &[u8]| value.iter().map(|byte| char::from(*byte)).collect();
                    answer.fields = head.fields.iter().map(|(n, v)| ((*n).to_owned(), text(v))).collect();
                }
                WorkerKind::Body => {
                    answer.body.extend_from_slice(&frame.body);
                    if !frame.end {
                        self.send(KernelKind::Credit, stream, false, &(frame.body.len() as u32));
                    }
                }
                WorkerKind::Done => answer.done = Some(decode(&frame.body).expect("Done")),
                WorkerKind::NoRetry => answer.no_retry = true,
                WorkerKind::Failed => {
                    assert_eq!(frame.stream, stream);
                    answer.failure = Some(decode(&frame.body).expect("Failure"));
                    if answer.failed().kind.recycles() {
                        return answer;
                    }
                }
                WorkerKind::Settled => {
                    if frame.stream == stream {
                        return answer;
                    }
                }
                WorkerKind::Log => {
                    let log: Log<'_> = decode(&frame.body).expect("Log");
                    answer.logs.push((log.text.to_owned(), log.origin.to_owned()));
                }
                WorkerKind::Call => {
                    let call: Call = decode(&frame.body).expect("Call");
                    self.reply(frame.stream, &call);
                    answer.calls.push(call);
                }
                WorkerKind::Credit | WorkerKind::CallCredit | WorkerKind::StopBody | WorkerKind::CallBody => {
                }
                other => panic!("{other:?} while serving"),
            }
        }
    }

    fn reply(&mut self, stream: u32, call: &Call) {
        match call {
            Call::FsList { .. } => {
                let entry = fazt_ipc::syscall::DirEntry {
                    name: "a.txt".into(),
                    kind: fazt_ipc::syscall::EntryKind::File,
                    bytes: 3,
                };
                let reply: Result<Reply, CallError> = Ok(Reply::FsList(vec![entry]));
                self.send(KernelKind::Reply, stream, true, &reply);
            }
            // As the kernel answers: a folder is none, and neither is what is not there.
            Call::FsRead { path }
                if path.contains("gone") || path.ends_with("dir") || path.ends_with("dir.html") =>
            {
                let code =
                    if path.ends_with("dir") { ErrorCode::InvalidArgument } else { ErrorCode::NotFound };
                let reply: Result<Reply, CallError> = Err(CallError::new(code, "no file"));
                self.send(KernelKind::Reply, stream, true, &reply);
            }
            Call::FsRead { path } => {
                let stat = fazt_ipc::syscall::FileStat {
                    path: path.clone(),
                    kind: fazt_ipc::syscall::EntryKind::File,
                    bytes: 3,
                    sha256: "00".into(),
                    media_type: "text/plain".into(),
                };
                let reply: Result<Reply, CallError> = Ok(Reply::FsRead(stat));
                self.send(KernelKind::Reply, stream, false, &reply);
                self.raw(KernelKind::ReplyBody, stream, true, b"abc");
            }
            _ => {
                let mut error = CallError::new(ErrorCode::PermissionDenied, "not granted");
                error.permission = "net:example.org".into();
                let reply: Result<Reply, CallError> = Err(error);
                self.send(KernelKind::Reply, stream, true, &reply);
            }
        }
    }

    /// Hangs up and gives how the worker ended.
    pub fn end(mut self) -> Result<(), LinkError> {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.thread.take().expect("once").join().expect("no panic")
    }

    /// Waits until the worker ends by itself.
    pub fn ended(mut self) -> Result<(), LinkError> {
        while self.try_frame().is_some() {}
        self.thread.take().expect("once").join().expect("no panic")
    }

    /// The bytecode that the compile phase makes of scripts.
    pub fn compile(modules: &[(&str, ModuleKind, &[u8])]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let (mut kernel, _) = Self::spawn();
        kernel.configure(Limits::default());
        kernel.modules(modules);
        kernel.raw(KernelKind::Compile, 0, false, &[]);
        let mut made: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let frame = kernel.frame();
            match frame.kind {
                WorkerKind::Bytecode => {
                    let head: Bytecode<'_> = decode(&frame.body).expect("Bytecode");
                    made.push((head.path.to_owned(), Vec::new()));
                }
                WorkerKind::BytecodeData => {
                    made.last_mut().expect("announced").1.extend_from_slice(&frame.body)
                }
                WorkerKind::Compiled => return Ok(made),
                WorkerKind::LoadFailed => return Err(decode(&frame.body).expect("Failure")),
                other => panic!("{other:?} while compiling"),
            }
        }
    }
}
