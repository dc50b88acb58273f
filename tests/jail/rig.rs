//! A launcher of this test's own, and its channel: the supervisor that it starts is this program again, which
//! hands the channel over and does as it is told.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Answer, Limits, Order, Profile, Refusal};
use fazt_ipc::limits::LAUNCH_BYTES;
use fazt_supervisor::jail::{self, LaunchOptions};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::standin;

const WALL: Duration = Duration::from_secs(20);

/// `PROGRAM launcher BEHAVIOUR DATA DEV ALLOWED…`: becomes the launcher.
pub(crate) fn launcher(arguments: &[String]) -> ExitCode {
    let [behaviour, data, dev, allowed @ ..] = arguments else { return ExitCode::from(2) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listening socket");
    let options = LaunchOptions {
        worker_image: standin::image(behaviour),
        listeners: vec![listener.into()],
        data: PathBuf::from(data),
        dev: dev == "dev",
        allow_missing: allowed.to_vec(),
        supervisor_args: vec![format!("{data}/rig")],
        egress_args: Vec::new(),
    };
    match jail::run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(9)
        }
    }
}

/// `PROGRAM __supervise SOCKET`: hands its channel to the test and waits for one byte: how to end.
pub(crate) fn supervisor(socket: &str) -> ExitCode {
    let inherited = jail::inherited().expect("what the launcher handed down");
    if let Some(data) = Path::new(socket).parent() {
        fazt_supervisor::confine::supervisor(data).expect("confinement");
    }
    let mut test = UnixStream::connect(socket).expect("the test");
    let facts = &inherited.facts;
    let caps = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        caps.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    let about = format!(
        "{} {} {} {} {} {} {}",
        std::process::id(),
        facts.generation_first,
        facts.restarts,
        field("CapPrm:"),
        field("Uid:").split_whitespace().next().unwrap_or_default(),
        field("Seccomp:"),
        inherited.listeners.len(),
    );
    let fds = [inherited.launcher.as_fd(), inherited.listeners[0].as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let line = [std::io::IoSlice::new(about.as_bytes())];
    rustix::net::sendmsg(&test, &line, &mut control, SendFlags::empty()).expect("the channel handed over");
    inherited.alive.give();
    let mut byte = [0u8];
    match test.read(&mut byte) {
        Ok(1) if byte[0] == b'a' => std::process::abort(),
        Ok(1) => ExitCode::from(byte[0]),
        _ => ExitCode::SUCCESS,
    }
}

/// A launcher, its supervisor and its channel.
pub(crate) struct Rig {
    pub(crate) launcher: Child,
    pub(crate) data: tempfile::TempDir,
    listener: UnixListener,
    pub(crate) supervisor: UnixStream,
    channel: OwnedFd,
    pub(crate) listening: OwnedFd,
    pub(crate) facts: Facts,
    pub(crate) next: u64,
    /// Answers that came while another was waited for.
    early: Vec<(Answer, Vec<OwnedFd>)>,
}

/// What the supervisor said of itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) pid: i32,
    pub(crate) generation_first: u64,
    pub(crate) restarts: u32,
    pub(crate) capabilities: String,
    pub(crate) uid: u32,
    pub(crate) seccomp: String,
    pub(crate) listeners: usize,
}

/// A process that was handed over.
pub(crate) struct Handed {
    pub(crate) generation: Generation,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) socket: UnixStream,
}

pub(crate) const LIMITS: Limits = Limits { memory_bytes: 40 << 20, cpu_permille: 0, cpu_weight: 0 };

impl Rig {
    pub(crate) fn start(behaviour: &str) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, behaviour, None)
    }

    /// `uid`: as an ordinary user, with `--dev`.
    pub(crate) fn start_in(data: tempfile::TempDir, behaviour: &str, uid: Option<u32>) -> Result<Self> {
        let path = data.path().join("rig");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("launcher").arg(behaviour).arg(data.path()).arg(if uid.is_some() { "dev" } else { "" });
        if let Some(uid) = uid {
            std::os::unix::fs::chown(data.path(), Some(uid), Some(uid))?;
            std::os::unix::fs::chown(&path, Some(uid), Some(uid))?;
            command.uid(uid).gid(uid);
        }
        let launcher = command.spawn()?;
        let (supervisor, channel, listening, facts) = accept(&listener)?;
        let next = facts.generation_first;
        Ok(Self { launcher, data, listener, supervisor, channel, listening, facts, next, early: Vec::new() })
    }

    /// The next supervisor, after the one before ended.
    pub(crate) fn again(&mut self) -> Result<()> {
        (self.supervisor, self.channel, self.listening, self.facts) = accept(&self.listener)?;
        self.early.clear();
        Ok(())
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<()> {
        rustix::net::send(&self.channel, bytes, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub(crate) fn order(&self, order: Order) -> Result<()> {
        self.send(&order.encode())
    }

    /// The first answer that `wanted` takes; others wait their turn.
    pub(crate) fn answer<T>(&mut self, wanted: impl Fn(&Answer) -> Option<T>) -> Result<(T, Vec<OwnedFd>)> {
        if let Some(at) = self.early.iter().position(|(answer, _)| wanted(answer).is_some()) {
            let (answer, fds) = self.early.remove(at);
            return Ok((wanted(&answer).context("just seen")?, fds));
        }
        loop {
            let (answer, fds) = receive(&self.channel)?;
            match wanted(&answer) {
                Some(found) => return Ok((found, fds)),
                None => self.early.push((answer, fds)),
            }
        }
    }

    pub(crate) fn spawn_order(&mut self, profile: Profile, limits: Limits) -> Result<Generation> {
        let generation = Generation(self.next);
        self.next += 1;
        self.order(Order::Spawn { profile, generation, limits })?;
        Ok(generation)
    }

    /// The outcome of a SPAWN.
    pub(crate) fn spawned(&mut self, of: Generation) -> Result<Result<Handed, (Refusal, u8, i32)>> {
        let (found, fds) = self.answer(|answer| match *answer {
            Answer::Spawned { generation, pid, uid } if generation == of => Some(Ok((pid, uid))),
            Answer::Refused { generation, refusal, step, errno } if generation == of => {
                Some(Err((refusal, step, errno)))
            }
            _ => None,
        })?;
        let Ok((pid, uid)) = found else { return Ok(Err(found.err().context("refused")?)) };
        let [pidfd, socket] = <[OwnedFd; 2]>::try_from(fds).ok().context("two descriptors")?;
        let socket = UnixStream::from(socket);
        socket.set_read_timeout(Some(WALL))?;
        Ok(Ok(Handed { generation: of, pid, uid, pidfd, socket }))
    }

    pub(crate) fn spawn(&mut self, profile: Profile, limits: Limits) -> Result<Handed> {
        let generation = self.spawn_order(profile, limits)?;
        match self.spawned(generation)? {
            Ok(handed) => Ok(handed),
            Err(refused) => bail!("refused: {refused:?}"),
        }
    }

    pub(crate) fn refused(&mut self, of: Generation) -> Result<(Refusal, u8, i32)> {
        let (found, _) = self.answer(|answer| match *answer {
            Answer::Refused { generation, refusal, step, errno } if generation == of => {
                Some((refusal, step, errno))
            }
            _ => None,
        })?;
        Ok(found)
    }

    pub(crate) fn done(&mut self, of: Generation) -> Result<()> {
        self.answer(|answer| match *answer {
            Answer::Done { generation } if generation == of => Some(Ok(())),
            Answer::Refused { generation, refusal, errno, .. } if generation == of => {
                Some(Err(anyhow::anyhow!("refused: {refusal:?}, errno {errno}")))
            }
            _ => None,
        })?
        .0
    }

    /// Code, signal, oom, CPU µs, peak.
    pub(crate) fn exited(&mut self, of: Generation) -> Result<(i32, i32, bool, u64, u64)> {
        let (found, _) = self.answer(|answer| match *answer {
            Answer::Exited { generation, code, signal, oom, cpu_us, memory_bytes_peak }
                if generation == of =>
            {
                Some((code, signal, oom, cpu_us, memory_bytes_peak))
            }
            _ => None,
        })?;
        Ok(found)
    }

    /// Leaves of this rig that exist, wherever.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        groups(self.data.path())
    }

    /// Asks the launcher to stop, and checks that nothing is left.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.launcher);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.launcher.wait()?;
        ensure!(status.success(), "the launcher ended with {status}");
        ensure!(self.groups().is_empty(), "left behind: {:?}", self.groups());
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

/// Groups of the server on `data`, found by their name.
pub(crate) fn groups(data: &Path) -> Vec<PathBuf> {
    let bytes = data.canonicalize().unwrap_or(data.to_owned());
    let hash =
        bytes.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    let name = format!("{hash:016x}");
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if path.file_name().is_some_and(|last| last == name.as_str()) {
                    found.push(path.clone());
                }
                open.push(path);
            }
        }
    }
    found
}

fn accept(listener: &UnixListener) -> Result<(UnixStream, OwnedFd, OwnedFd, Facts)> {
    wait(listener).context("no supervisor came")?;
    let (supervisor, _) = listener.accept()?;
    let mut text = [0u8; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    wait(&supervisor)?;
    let message = rustix::net::recvmsg(
        &supervisor,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = descriptors(&mut control).into_iter();
    let channel = fds.next().context("no channel")?;
    let listening = fds.next().context("no listening socket")?;
    let text = std::str::from_utf8(&text[..message.bytes])?;
    let words: Vec<&str> = text.split(' ').collect();
    let [pid, generation_first, restarts, capabilities, uid, seccomp, listeners] = words[..] else {
        bail!("the supervisor said {text}")
    };
    let facts = Facts {
        pid: pid.parse()?,
        generation_first: generation_first.parse()?,
        restarts: restarts.parse()?,
        capabilities: capabilities.to_owned(),
        uid: uid.parse()?,
        seccomp: seccomp.to_owned(),
        listeners: listeners.parse()?,
    };
    Ok((supervisor, channel, listening, facts))
}

fn descriptors(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    fds
}

/// Waits until something can be read.
pub(crate) fn wait(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    let mut ready = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let wall = rustix::time::Timespec { tv_sec: WALL.as_secs() as i64, tv_nsec: 0 };
    ensure!(rustix::event::poll(&mut ready, Some(&wall))? == 1, "nothing came in {WALL:?}");
    Ok(())
}

fn receive(channel: &OwnedFd) -> Result<(Answer, Vec<OwnedFd>)> {
    wait(channel)?;
    let mut packet = [0u8; LAUNCH_BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut into = [IoSliceMut::new(&mut packet)];
        match rustix::net::recvmsg(channel, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::AGAIN) => wait(channel)?,
            other => break other?,
        }
    };
    ensure!(message.bytes == LAUNCH_BYTES, "an answer of {} bytes", message.bytes);
    let fds = descriptors(&mut control);
    let packet = packet.first_chunk::<LAUNCH_BYTES>().context("a whole packet")?;
    Ok((Answer::decode(packet)?, fds))
}

impl Handed {
    /// What it said when it was ready.
    pub(crate) fn hello(&mut self) -> Result<Vec<u8>> {
        let mut text = vec![0u8; 64];
        let length = self.socket.read(&mut text)?;
        text.truncate(length);
        Ok(text)
    }

    pub(crate) fn tell(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// Everything until it ends.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        match self.socket.read_to_end(&mut all) {
            Ok(_) => {}
            // It died with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error.into()),
        }
        Ok(all)
    }
}
