//! One jailed process: made, looked at, limited, killed, reaped.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Answer, Limits, Profile, Refusal};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal};

use crate::sys::{self, Cloned, Exit};

use super::cgroup::{Tree, Use};
use super::child::{self, Plan, Privileged, step};
use super::image::Spaces;
use super::layers::FRESH;
use super::limits::{PROCESSES_MAX, SPAWN_WALL, UID_FIRST, UIDS};
use super::outward::Outward;
use super::profile::{self, Image, Jail};
use super::user::User;
use super::verify::{self, Expected, Finding};

/// What every process is made of.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) tree: Tree,
    /// `None`: an ordinary user's launcher.
    pub(super) spaces: Option<Spaces>,
    pub(super) worker: OwnedFd,
    pub(super) own: OwnedFd,
    pub(super) null: OwnedFd,
    /// The launcher's user, for processes that keep it.
    pub(super) user: User,
    /// What the process that opens connections to elsewhere is given.
    pub(super) outward: Outward,
    /// The launcher's own namespaces, which no process may be in.
    pub(super) strange: Vec<(&'static str, u64)>,
    /// The shared ones, in which every process must be.
    pub(super) shared: Vec<(&'static str, u64)>,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) step: u8,
    pub(super) errno: i32,
}

impl Refused {
    fn plain(refusal: Refusal) -> Self {
        Self { refusal, step: 0, errno: 0 }
    }
    fn by(refusal: Refusal) -> impl Fn(io::Error) -> Self {
        move |error| Self { refusal, step: 0, errno: error.raw_os_error().unwrap_or(0) }
    }
    pub(super) fn answer(self, generation: Generation) -> Answer {
        Answer::Refused { generation, refusal: self.refusal, step: self.step, errno: self.errno }
    }
}

/// Numbers and users that are given out.
#[derive(Debug, Default)]
pub(super) struct Spawner {
    generation_last: u64,
    uid_last: u32,
}

/// Where a process is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// Being made; nobody knows it yet.
    Starting(Starting),
    /// Handed to the supervisor.
    Living,
    /// Not handed over; the supervisor has been told.
    Refused,
}

/// A process that is being made.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) socket: OwnedFd,
    pub(super) status: OwnedFd,
    /// Its socket, as its own table of descriptors has it.
    inode: u64,
    since: Instant,
    executed: bool,
}

/// A jailed process.
#[derive(Debug)]
pub(super) struct Jailed {
    generation: Generation,
    jail: Jail,
    pid: Pid,
    pub(super) pidfd: OwnedFd,
    uid: u32,
    caps: Limits,
    /// When it is killed, whatever it does.
    until: Option<Instant>,
    pub(super) phase: Phase,
    /// It has ended, and this is how; its leaf is there still.
    ended: Option<(Exit, Use)>,
    announced: bool,
}

impl Spawner {
    /// First number that a supervisor may use.
    pub(super) fn generation_next(&self) -> u64 {
        self.generation_last + 1
    }

    /// A user that no process has and no leaf is left of. Goes round, so that each rests before it returns.
    fn uid(&mut self, jailed: &BTreeMap<u64, Jailed>) -> Option<u32> {
        let taken: BTreeSet<u32> = jailed.values().map(|one| one.uid).collect();
        (0..UIDS)
            .map(|step| (self.uid_last + 1 + step) % UIDS)
            .find(|at| !taken.contains(&(UID_FIRST + at)))
            .map(|at| {
                self.uid_last = at;
                UID_FIRST + at
            })
    }

    /// Makes a process; what becomes of it is told by its descriptors.
    pub(super) fn spawn(
        &mut self,
        means: &Means,
        jailed: &BTreeMap<u64, Jailed>,
        profile: Profile,
        generation: Generation,
        asked: Limits,
    ) -> Result<Jailed, Refused> {
        if generation.0 <= self.generation_last {
            return Err(Refused::plain(Refusal::Reused));
        }
        self.generation_last = generation.0;
        let jail = profile::jail(profile).ok_or(Refused::plain(Refusal::Unknown))?;
        let caps = profile::first(&jail, asked).ok_or(Refused::plain(Refusal::Wider))?;
        if !jail.ordinary && means.spaces.is_none() {
            return Err(Refused::plain(Refusal::Unknown));
        }
        let alike = || jailed.values().filter(|one| one.jail.brief.is_some()).count();
        let outward = jail.outward && jailed.values().any(|one| one.jail.outward && one.lives());
        if jailed.len() >= PROCESSES_MAX || outward || jail.brief.is_some_and(|(_, most)| alike() >= most) {
            return Err(Refused::plain(Refusal::Exhausted));
        }
        let uid = match &means.spaces {
            Some(_) if jail.outward => means.outward.user.uid,
            Some(_) => self.uid(jailed).ok_or(Refused::plain(Refusal::Exhausted))?,
            None => means.user.uid,
        };
        let made = means
            .tree
            .leaf(generation, &jail, caps)
            .map_err(Refused::by(Refusal::Cgroup))
            .and_then(|leaf| make(means, &jail, generation, uid, leaf));
        match made {
            Ok((pid, pidfd, starting)) => Ok(Jailed {
                generation,
                jail,
                pid,
                pidfd,
                uid,
                caps,
                until: jail.brief.map(|(most, _)| Instant::now() + most),
                phase: Phase::Starting(starting),
                ended: None,
                announced: false,
            }),
            Err(refused) => {
                means.tree.remove(generation);
                Err(refused)
            }
        }
    }
}

fn make(
    means: &Means,
    jail: &Jail,
    generation: Generation,
    uid: u32,
    leaf: Option<OwnedFd>,
) -> Result<(Pid, OwnedFd, Starting), Refused> {
    let pair = |kind| {
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(|error| Refused::by(Refusal::Clone)(error.into()))
    };
    let since = Instant::now();
    let (socket, theirs) = pair(SocketType::STREAM)?;
    let (status, told) = pair(SocketType::SEQPACKET)?;
    let inode = rustix::fs::fstat(&theirs).map_err(|error| Refused::by(Refusal::Clone)(error.into()))?.st_ino;
    let flags = if means.spaces.is_some() { FRESH } else { 0 };
    let late = means.tree.joins_late();
    let gid = if jail.outward { means.outward.user.gid } else { uid };
    let more = if jail.outward { &means.outward.arguments[..] } else { &[] };
    let arguments: Vec<&CStr> =
        jail.arguments.iter().copied().chain(more.iter().map(|one| one.as_c_str())).collect();
    match sys::clone3(flags, leaf.as_ref().map(OwnedFd::as_fd)).map_err(Refused::by(Refusal::Clone))? {
        Cloned::Child => child::run(&Plan {
            jail: *jail,
            arguments: &arguments,
            outward: jail.outward.then_some(&means.outward),
            exe: match jail.image {
                Image::Worker => means.worker.as_fd(),
                Image::Own => means.own.as_fd(),
            },
            socket: theirs.as_fd(),
            status: told.as_fd(),
            null: means.null.as_fd(),
            wait: late,
            privileged: means.spaces.as_ref().map(|spaces| Privileged {
                uid,
                gid,
                network: (!jail.outward).then_some(spaces.network.as_fd()),
                ipc: spaces.ipc.as_fd(),
            }),
        }),
        Cloned::Parent(pid, pidfd) => {
            drop((theirs, told));
            if late {
                let joined = means.tree.join(generation, pid.as_raw_nonzero().get().unsigned_abs());
                let gone = joined.and_then(|()| Ok(rustix::net::send(&status, b"g", SendFlags::NOSIGNAL)?));
                if let Err(error) = gone {
                    // The child still waits, in no group: it is killed and reaped here.
                    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                    let _ = rustix::process::waitid(
                        rustix::process::WaitId::PidFd(pidfd.as_fd()),
                        rustix::process::WaitIdOptions::EXITED,
                    );
                    return Err(Refused::by(Refusal::Cgroup)(error));
                }
            }
            Ok((pid, pidfd, Starting { socket, status, inode, since, executed: false }))
        }
    }
}

impl Starting {
    /// What the status channel says: nothing yet, exec, or a step that failed.
    pub(super) fn read_status(&mut self) -> Option<Result<(), Refused>> {
        let mut message = [0u8; 5];
        match rustix::net::recv(&self.status, &mut message, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.executed = true;
                Some(Ok(()))
            }
            Ok((length, _)) => {
                let failed = child::read_report(&message[..length])?;
                Some(Err(Refused { refusal: Refusal::Setup, step: failed.step, errno: failed.errno }))
            }
            Err(rustix::io::Errno::AGAIN) => None,
            Err(error) => {
                Some(Err(Refused { refusal: Refusal::Setup, step: 0, errno: error.raw_os_error() }))
            }
        }
    }

    /// Whether nothing lies in its socket. How much, not what: the bytes are for the supervisor.
    pub(super) fn is_silent(&self) -> bool {
        rustix::io::ioctl_fionread(&self.socket).map_or(true, |bytes| bytes == 0)
    }

    /// It died before it was ready. A step that failed says more than the death.
    pub(super) fn died(&mut self, exit: Exit) -> Refused {
        match self.read_status() {
            Some(Err(refused)) => refused,
            _ => {
                let step = if self.executed { step::LOCK } else { step::EXEC };
                let errno = if exit.signal == 0 { exit.code } else { -exit.signal };
                Refused { refusal: Refusal::Setup, step, errno }
            }
        }
    }
}

impl Jailed {
    /// Whether its process has not ended.
    pub(super) fn lives(&self) -> bool {
        self.ended.is_none()
    }

    /// The look from outside; if all is as it must be, the answer and what rides along.
    pub(super) fn verified(&mut self, means: &Means) -> Result<(Answer, Vec<OwnedFd>), Refused> {
        let Phase::Starting(starting) = &mut self.phase else { return Err(Refused::plain(Refusal::Unknown)) };
        let found =
            |finding: Finding, errno: i32| Refused { refusal: Refusal::Verdict, step: finding as u8, errno };
        if !starting.executed && !matches!(starting.read_status(), Some(Ok(()))) {
            // Something was written before the program ran.
            return Err(found(Finding::Gone, 0));
        }
        let privileged = means.spaces.is_some();
        let (mut strange, mut shared) = (means.strange.clone(), means.shared.clone());
        if self.jail.outward {
            // The launcher's network is the machine's, and this one must be in it.
            shared.retain(|(name, _)| *name != "net");
            shared.extend(strange.extract_if(.., |(name, _)| *name == "net"));
        }
        let expected = Expected {
            uid: self.uid,
            gid: match privileged {
                true if self.jail.outward => means.outward.user.gid,
                true => self.uid,
                false => means.user.gid,
            },
            privileged,
            seccomp: self.jail.seccomp,
            inherited: verify::own_filters(),
            strange,
            shared,
            leaf: means.tree.expected(self.generation),
            socket: starting.inode,
        };
        let seen = verify::look(self.pid)
            .map_err(|error| found(Finding::Gone, error.raw_os_error().unwrap_or(0)))?;
        verify::judge(&seen, &expected).map_err(|finding| found(finding, 0))?;
        let pidfd = self.pidfd.try_clone().map_err(Refused::by(Refusal::Exhausted))?;
        let Phase::Starting(starting) = std::mem::replace(&mut self.phase, Phase::Living) else {
            return Err(Refused::plain(Refusal::Unknown));
        };
        self.announced = true;
        let pid = self.pid.as_raw_nonzero().get().unsigned_abs();
        Ok((
            Answer::Spawned { generation: self.generation, pid, uid: self.uid },
            vec![pidfd, starting.socket],
        ))
    }

    /// LIMIT.
    pub(super) fn tighten(&mut self, tree: &Tree, asked: Limits) -> Result<(), Refused> {
        let caps = profile::tighter(self.caps, asked).ok_or(Refused::plain(Refusal::Wider))?;
        tree.limit(self.generation, asked).map_err(Refused::by(Refusal::Cgroup))?;
        self.caps = caps;
        Ok(())
    }

    /// KILL: the whole leaf, or where there is none the process.
    pub(super) fn kill(&self, tree: &Tree) {
        if !matches!(tree.kill(self.generation), Ok(true)) {
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// STAT.
    pub(super) fn stat(&self, tree: &Tree) -> Answer {
        let used = tree.used(self.generation);
        let (memory, cpu) = outside(self.pid);
        Answer::Stat {
            generation: self.generation,
            memory_bytes: used.memory_bytes.unwrap_or(memory),
            memory_bytes_max: self.caps.memory_bytes,
            cpu_us: used.cpu_us.unwrap_or(cpu),
        }
    }

    pub(super) fn reap(&self) -> io::Result<Option<Exit>> {
        sys::reap(self.pidfd.as_fd())
    }

    /// Keeps what the leaf counted, before it goes.
    pub(super) fn remember(&mut self, tree: &Tree, exit: Exit) {
        if self.ended.is_none() {
            self.ended = Some((exit, tree.used(self.generation)));
        }
    }

    /// How it ended, while its leaf is there still.
    pub(super) fn leaving(&self) -> Option<Exit> {
        self.ended.map(|(exit, _)| exit)
    }

    /// The last answer about it; `None`: the supervisor never knew it.
    pub(super) fn exited(&self) -> Option<Answer> {
        let (exit, used) = self.ended.filter(|_| self.announced)?;
        Some(Answer::Exited {
            generation: self.generation,
            code: exit.code,
            signal: exit.signal,
            oom: used.oom && exit.signal == libc::SIGKILL,
            cpu_us: used.cpu_us.unwrap_or(exit.cpu_us),
            memory_bytes_peak: used.memory_bytes_peak.unwrap_or(exit.memory_bytes_peak),
        })
    }

    /// When it must be ready, or gone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ready = match &self.phase {
            Phase::Starting(starting) => Some(starting.since + SPAWN_WALL),
            _ => None,
        };
        ready.into_iter().chain(self.until).min()
    }

    /// Its time is over: it is killed once.
    pub(super) fn forget_deadline(&mut self) {
        self.until = None;
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}

/// Resident memory and CPU time as `/proc` has them, where no group counts.
fn outside(pid: Pid) -> (u64, u64) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
    let number =
        |text: &str, at: usize| text.split_whitespace().nth(at).and_then(|word| word.parse::<u64>().ok());
    let pages = read("statm").ok().and_then(|text| number(&text, 1)).unwrap_or(0);
    // The name may hold spaces; what follows its last bracket does not.
    let stat = read("stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = number(rest, 11).unwrap_or(0) + number(rest, 12).unwrap_or(0);
    let page = rustix::param::page_size() as u64;
    (pages * page, ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1))
}
