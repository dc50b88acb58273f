//! The supervisor as a process: started with another user, no capability and what it inherits, watched, told to
//! stop.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Instant;

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, Signal};

use crate::sys::{self, Cloned, Exit};

use super::child::{self, At, Failed, step};
use super::handover::{ALIVE, CHANNEL, FACTS, Facts, LISTENERS};
use super::image::sealed;
use super::limits::SUPERVISOR_FILES;
use super::user::User;
use super::{JailError, SUPERVISE, start_error};

/// What every start of the supervisor needs.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) listeners: Vec<OwnedFd>,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    /// Another user than the launcher's; `None`: the launcher is an ordinary user.
    pub(super) user: Option<User>,
}

/// A running supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) pidfd: OwnedFd,
    pub(super) channel: OwnedFd,
    /// A byte when it serves, and one now and then.
    pub(super) alive: OwnedFd,
    pub(super) started: Instant,
    pub(super) serves: bool,
}

/// A batch of requests allocates many blocks of one size before it frees the first: with the seven a size that
/// glibc keeps at hand by default, a hello at 64 connections costs the supervisor 13 % more CPU. Two arenas keep
/// the threads that read files from having one each. Blocks from 256 KiB on come from the system and go back to
/// it: left alone, glibc takes the first large buffer that a deploy gives back as a reason to keep all later ones,
/// up to 64 MiB.
const MALLOC: &CStr = c"GLIBC_TUNABLES=glibc.malloc.tcache_count=64:glibc.malloc.tcache_max=16384:glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=1048576";

/// Where SQLite sorts what a deploy's new index is made of: in the data folder, which is the supervisor's working
/// folder and the only place where it may make files. Emptied at every start.
const TEMPORARY: &CStr = c"SQLITE_TMPDIR=apps/.deploys";

impl Recipe {
    /// Arguments and environment of the supervisor.
    pub(super) fn new(listeners: Vec<OwnedFd>, arguments: &[String], user: Option<User>) -> Self {
        let text = |bytes: Vec<u8>| CString::new(bytes).ok();
        let first = [c"fazt".to_owned()].into_iter().chain(text(SUPERVISE.into()));
        let rest = arguments.iter().filter_map(|one| text(one.clone().into_bytes()));
        // Talking to the service manager is the launcher's.
        let private = |name: &str| {
            name == "NOTIFY_SOCKET"
                || name.starts_with("LISTEN_")
                || name.starts_with("WATCHDOG_")
                || name == "GLIBC_TUNABLES"
                || name == "SQLITE_TMPDIR"
        };
        let environment = std::env::vars_os().filter(|(name, _)| !private(&name.to_string_lossy()));
        Self {
            listeners,
            arguments: first.chain(rest).collect(),
            environment: environment
                .filter_map(|(name, value)| text([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()))
                .chain([MALLOC.to_owned(), TEMPORARY.to_owned()])
                .collect(),
            user,
        }
    }

    /// Starts a supervisor in `group`.
    pub(super) fn start(
        &self,
        own: BorrowedFd<'_>,
        group: Option<BorrowedFd<'_>>,
        facts: &Facts,
    ) -> Result<Supervisor, JailError> {
        let pair = || {
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        };
        let (channel, theirs) = pair().map_err(start_error("launcher channel"))?;
        let (status, told) = pair().map_err(start_error("status channel"))?;
        let (alive, sign) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(start_error("sign of life"))?;
        let text = serde_json::to_vec(facts).map_err(io::Error::other).map_err(start_error("facts"))?;
        let facts_page = sealed("fazt-facts", &text, false).map_err(start_error("facts"))?;
        match sys::clone3(0, group).map_err(start_error("supervisor"))? {
            Cloned::Child => {
                let Err(failed) = self.run(own, &theirs, &facts_page, &sign, &facts.data);
                child::report(told.as_fd(), &failed)
            }
            Cloned::Parent(_, pidfd) => {
                drop((theirs, told, sign));
                rustix::io::ioctl_fionbio(&channel, true).map_err(start_error("launcher channel"))?;
                // Ends with exec, or with a step that failed.
                let mut message = [0u8; 5];
                let (length, _) = rustix::net::recv(&status, &mut message, RecvFlags::empty())
                    .map_err(start_error("status channel"))?;
                if let Some(Failed { step, errno }) = child::read_report(&message[..length]) {
                    let what = match step {
                        step::ROOT => format!(
                            "the supervisor's user {} cannot reach the data folder {}: every folder above it must be open to it (chmod o+x)",
                            self.user.map_or(0, |user| user.uid),
                            facts.data.display()
                        ),
                        _ => format!("the supervisor's set-up, step {step}"),
                    };
                    return Err(JailError::Start { what, error: io::Error::from_raw_os_error(errno) });
                }
                Ok(Supervisor { pidfd, channel, alive, started: Instant::now(), serves: false })
            }
        }
    }

    /// In the child: what it inherits in place, rights away, exec.
    fn run(
        &self,
        own: BorrowedFd<'_>,
        channel: &OwnedFd,
        facts: &OwnedFd,
        sign: &OwnedFd,
        data: &Path,
    ) -> Result<std::convert::Infallible, Failed> {
        // A session of its own: a terminal's interrupt reaches the launcher, which lets it drain.
        rustix::process::setsid().at(step::SESSION)?;
        // Above every number that is placed below; what was there is used no more.
        let high = |fd: BorrowedFd<'_>| child::above(fd.try_clone_to_owned()?);
        let own = high(own).at(step::DESCRIPTORS)?;
        let sources = [(CHANNEL, channel), (FACTS, facts), (ALIVE, sign)];
        for (number, fd) in sources.into_iter().chain((LISTENERS..).zip(&self.listeners)) {
            let fd = high(fd.as_fd()).at(step::DESCRIPTORS)?;
            sys::place(fd.as_fd(), number).at(step::DESCRIPTORS)?;
            // Not closed: its number is above what exec keeps.
            std::mem::forget(fd);
        }
        let first = LISTENERS + i32::try_from(self.listeners.len()).unwrap_or(0);
        sys::close_on_exec_from(first).at(step::DESCRIPTORS)?;
        let now = rustix::process::getrlimit(Resource::Nofile);
        let most = now.maximum.map_or(SUPERVISOR_FILES, |most| most.min(SUPERVISOR_FILES));
        let files = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(Resource::Nofile, files).at(step::LIMITS)?;
        if let Some(user) = self.user {
            child::become_nobody(user.uid, user.gid).at(step::USER)?;
        }
        // Where a way down to the data folder is closed to its user, this says so rather than the first query.
        rustix::process::chdir(data).at(step::ROOT)?;
        // After the change of user, which clears it. Not KILL: it may finish what it is writing.
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).at(step::PRIVILEGES)?;
        rustix::thread::set_no_new_privs(true).at(step::PRIVILEGES)?;
        sys::unblock_signals().at(step::PRIVILEGES)?;
        let arguments: Vec<&CStr> = self.arguments.iter().map(CString::as_c_str).collect();
        let environment: Vec<&CStr> = self.environment.iter().map(CString::as_c_str).collect();
        Err(sys::exec(own.as_fd(), &arguments, &environment)).at(step::EXEC)
    }
}

impl Supervisor {
    /// Asks it to drain. A launcher without the right to signal another user closes the channel instead.
    pub(super) fn stop(&self) {
        if rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM).is_err() {
            let _ = rustix::net::shutdown(&self.channel, rustix::net::Shutdown::Both);
        }
    }

    /// How it ended, if it has.
    pub(super) fn reap(&self) -> io::Result<Option<Exit>> {
        sys::reap(self.pidfd.as_fd())
    }
}
