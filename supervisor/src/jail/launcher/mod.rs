//! The launcher's life: one thread that waits for orders, for what new processes say by living, for deaths and for
//! signals. It never waits for one of them alone.
//!
//! ```text
//! SPAWN ─▶ Starting ─exec─▶ Starting ─readable─▶ look from outside ─▶ Spawned ─▶ Living ─exit─▶ Leaving ─leaf gone─▶ Exited
//!             └─ step failed · died · deadline · finding ─▶ killed ─▶ Refused, once ─▶ Leaving ─leaf gone─▶ (forgotten)
//! ```

mod keep;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fazt_ipc::ids::Generation;
use fazt_ipc::launch::{Answer, Order, Refusal};
use fazt_ipc::limits::LAUNCH_BYTES;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::time::Timespec;

use crate::sys::{self, Exit};

use super::handover::Facts;
use super::limits::{ANSWERS_MAX, DRAIN_WALL, SWEEP};
use super::notify::Notify;
use super::spawn::{Jailed, Means, Phase, Refused, Spawner};
use super::supervise::{Recipe, Supervisor};
use super::{JailError, start_error};

/// What an event is about: a generation and a kind, or one of the launcher's own.
mod token {
    pub(super) const CHANNEL: u64 = 0;
    pub(super) const SIGNALS: u64 = 1;
    pub(super) const ALIVE: u64 = 2;
    pub(super) const SUPERVISOR: u64 = 3;
    /// Of a generation: `generation << 2 | kind`.
    pub(super) const ENDED: u64 = 1;
    pub(super) const SOCKET: u64 = 2;
    pub(super) const STATUS: u64 = 3;
    /// Generations above cannot be told apart in a token.
    pub(super) const GENERATION_MAX: u64 = u64::MAX >> 2;
}

/// An answer on its way, with the descriptors that ride along.
type Waiting = (Answer, Vec<OwnedFd>);

pub(super) struct Launcher {
    means: Means,
    recipe: Recipe,
    facts: Facts,
    signals: OwnedFd,
    notify: Notify,
    epoll: OwnedFd,
    spawner: Spawner,
    jailed: BTreeMap<u64, Jailed>,
    answers: VecDeque<Waiting>,
    supervisor: Option<Supervisor>,
    /// When the next supervisor may start, and after which pause.
    back_off: Option<(Instant, Duration)>,
    /// Told to stop: until then the supervisor may drain.
    stopping: Option<Instant>,
    /// A signal said so, and the next one means it at once.
    signalled: bool,
    /// It closed its channel unasked; by then it is killed, and started again.
    abandoned: Option<Instant>,
    outcome: Option<Result<ExitCode, JailError>>,
}

impl Launcher {
    pub(super) fn new(
        means: Means,
        recipe: Recipe,
        facts: Facts,
        signals: OwnedFd,
    ) -> Result<Self, JailError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(start_error("epoll"))?;
        let launcher = Self {
            means,
            recipe,
            facts,
            signals,
            notify: Notify::from_environment(),
            epoll,
            spawner: Spawner::default(),
            jailed: BTreeMap::new(),
            answers: VecDeque::new(),
            supervisor: None,
            back_off: None,
            stopping: None,
            signalled: false,
            abandoned: None,
            outcome: None,
        };
        launcher.watch(launcher.signals.as_fd(), token::SIGNALS).map_err(start_error("signals"))?;
        Ok(launcher)
    }

    /// Starts the supervisor and serves it until it ends for good.
    pub(super) fn run(mut self) -> Result<ExitCode, JailError> {
        self.start_supervisor()?;
        // Command line, configuration, probes: none of it runs again.
        sys::forget_code();
        loop {
            if self.supervisor.is_none() && self.jailed.is_empty() {
                if let Some(outcome) = self.outcome.take() {
                    self.means.tree.clear();
                    return outcome;
                }
                self.restart_when_due();
            }
            let mut events = Vec::with_capacity(64);
            let timeout = self.next_timeout();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(start_error("epoll")(error)),
            }
            for event in &events {
                let event: &epoll::Event = event;
                self.handle(event.data.u64(), event.flags);
            }
            self.deadlines();
            self.flush();
        }
    }

    fn watch(&self, fd: BorrowedFd<'_>, token: u64) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)
    }

    fn handle(&mut self, token: u64, flags: EventFlags) {
        match token {
            token::CHANNEL => self.orders(),
            token::SIGNALS => self.signal(),
            token::ALIVE => self.sign_of_life(),
            token::SUPERVISOR => self.supervisor_ended(),
            token => {
                let generation = token >> 2;
                match token & 3 {
                    token::ENDED => self.ended(generation),
                    token::SOCKET => self.spoke(generation, flags),
                    _ => self.status(generation),
                }
            }
        }
    }

    // ---------------------------------------------------------------------------------------- orders

    fn orders(&mut self) {
        // One answer for each order: a supervisor that does not read is not read.
        while self.answers.len() < ANSWERS_MAX {
            let Some(supervisor) = &self.supervisor else { return };
            let mut packet = [0u8; LAUNCH_BYTES + 1];
            let length = match rustix::net::recv(&supervisor.channel, &mut packet, RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Err(_) => 0,
            };
            if length == 0 {
                // A supervisor without its launcher is of no use; its death follows.
                let _ = epoll::delete(&self.epoll, &supervisor.channel);
                if self.stopping.is_none() {
                    supervisor.stop();
                    self.abandoned = Some(Instant::now() + DRAIN_WALL);
                }
                return;
            }
            let whole = packet.first_chunk::<LAUNCH_BYTES>().filter(|_| length == LAUNCH_BYTES);
            match whole.map(Order::decode) {
                Some(Ok(order)) => self.order(order),
                _ => {
                    // Broken or hostile: nothing that it asked for may go on.
                    self.outcome = Some(Err(JailError::Malformed));
                    let _ = epoll::delete(&self.epoll, &supervisor.channel);
                    self.kill_supervisor();
                    return;
                }
            }
        }
    }

    fn order(&mut self, order: Order) {
        let unknown =
            |generation| Answer::Refused { generation, refusal: Refusal::Unknown, step: 0, errno: 0 };
        match order {
            Order::Spawn { profile, generation, limits } => {
                let made = if generation.0 > token::GENERATION_MAX {
                    Err(Refused { refusal: Refusal::Reused, step: 0, errno: 0 })
                } else {
                    self.spawner.spawn(&self.means, &self.jailed, profile, generation, limits)
                };
                match made.and_then(|jailed| self.watch_jailed(generation.0, jailed)) {
                    Ok(()) => {}
                    Err(refused) => self.answer(refused.answer(generation)),
                }
            }
            Order::Limit { generation, limits } => {
                let answer = match self.jailed.get_mut(&generation.0) {
                    Some(jailed) if jailed.lives() => match jailed.tighten(&self.means.tree, limits) {
                        Ok(()) => Answer::Done { generation },
                        Err(refused) => refused.answer(generation),
                    },
                    _ => unknown(generation),
                };
                self.answer(answer);
            }
            Order::Kill { generation } => {
                let answer = match self.jailed.get(&generation.0) {
                    Some(jailed) if jailed.lives() => Answer::Done { generation },
                    _ => unknown(generation),
                };
                self.answer(answer);
                self.kill(generation.0);
            }
            Order::Stat { generation } => {
                let answer = match self.jailed.get(&generation.0) {
                    Some(jailed) if jailed.lives() => jailed.stat(&self.means.tree),
                    _ => unknown(generation),
                };
                self.answer(answer);
            }
        }
    }

    fn watch_jailed(&mut self, generation: u64, jailed: Jailed) -> Result<(), Refused> {
        let mut watched = self.watch(jailed.pidfd.as_fd(), generation << 2 | token::ENDED);
        if let Phase::Starting(starting) = &jailed.phase {
            watched = watched
                .and_then(|()| self.watch(starting.socket.as_fd(), generation << 2 | token::SOCKET))
                .and_then(|()| self.watch(starting.status.as_fd(), generation << 2 | token::STATUS));
        }
        self.jailed.insert(generation, jailed);
        if let Err(error) = watched {
            self.refuse(
                generation,
                Refused { refusal: Refusal::Clone, step: 0, errno: error.raw_os_error() },
            );
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer) {
        self.answers.push_back((answer, Vec::new()));
    }

    /// Sends what waits, as far as the supervisor reads.
    fn flush(&mut self) {
        while let Some((answer, fds)) = self.answers.front() {
            let Some(supervisor) = &self.supervisor else { return };
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(OwnedFd::as_fd).collect();
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            let packet = answer.encode();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent =
                rustix::net::sendmsg(&supervisor.channel, &[io::IoSlice::new(&packet)], &mut control, flags);
            let wants = match sent {
                Ok(_) => {
                    drop(borrowed);
                    self.answers.pop_front();
                    continue;
                }
                // The loop comes back when there is room; orders that will not be read would only wake it.
                Err(rustix::io::Errno::AGAIN) if self.answers.len() >= ANSWERS_MAX => EventFlags::OUT,
                Err(rustix::io::Errno::AGAIN) => EventFlags::IN | EventFlags::OUT,
                // Gone; its death is told elsewhere.
                Err(_) => return,
            };
            let data = EventData::new_u64(token::CHANNEL);
            let _ = epoll::modify(&self.epoll, &supervisor.channel, data, wants);
            return;
        }
        if let Some(supervisor) = &self.supervisor {
            let data = EventData::new_u64(token::CHANNEL);
            let _ = epoll::modify(&self.epoll, &supervisor.channel, data, EventFlags::IN);
        }
    }

    // --------------------------------------------------------------------------------------- jailed

    /// The status channel: a step that failed, or its end, which is exec.
    fn status(&mut self, generation: u64) {
        let Some(Jailed { phase: Phase::Starting(starting), .. }) = self.jailed.get_mut(&generation) else {
            return;
        };
        match starting.read_status() {
            None => {}
            Some(Ok(())) => {
                let _ = epoll::delete(&self.epoll, &starting.status);
            }
            Some(Err(refused)) => {
                let _ = epoll::delete(&self.epoll, &starting.status);
                self.refuse(generation, refused);
            }
        }
    }

    /// Its socket can be read: it is ready, or dead. What it wrote is for the supervisor.
    fn spoke(&mut self, generation: u64, flags: EventFlags) {
        let Some(jailed) = self.jailed.get_mut(&generation) else { return };
        let Phase::Starting(starting) = &mut jailed.phase else { return };
        let _ = epoll::delete(&self.epoll, &starting.socket);
        if flags.contains(EventFlags::HUP) || starting.is_silent() {
            // Closed without a word: its end is told by its pidfd.
            return;
        }
        let _ = epoll::delete(&self.epoll, &starting.status);
        match jailed.verified(&self.means) {
            Ok((answer, fds)) => self.answers.push_back((answer, fds)),
            Err(refused) => self.refuse(generation, refused),
        }
    }

    /// Refuses a process that was being made, once, and kills it.
    fn refuse(&mut self, generation: u64, refused: Refused) {
        if let Some(jailed) = self.jailed.get_mut(&generation)
            && matches!(jailed.phase, Phase::Starting(_))
        {
            jailed.phase = Phase::Refused;
            self.answer(refused.answer(Generation(generation)));
        }
        self.kill(generation);
    }

    fn kill(&mut self, generation: u64) {
        if let Some(jailed) = self.jailed.get(&generation)
            && jailed.lives()
        {
            jailed.kill(&self.means.tree);
        }
    }

    fn ended(&mut self, generation: u64) {
        let Some(jailed) = self.jailed.get_mut(&generation) else { return };
        let Ok(Some(exit)) = jailed.reap() else { return };
        let _ = epoll::delete(&self.epoll, &jailed.pidfd);
        if let Phase::Starting(starting) = &mut jailed.phase {
            let refused = starting.died(exit);
            jailed.phase = Phase::Refused;
            self.answer(refused.answer(Generation(generation)));
        }
        self.left(generation, exit);
    }

    /// Tries to remove the leaf of a process that has ended.
    fn left(&mut self, generation: u64, exit: Exit) {
        let Some(jailed) = self.jailed.get_mut(&generation) else { return };
        jailed.remember(&self.means.tree, exit);
        if self.means.tree.remove(Generation(generation))
            && let Some(jailed) = self.jailed.remove(&generation)
            && let Some(answer) = jailed.exited()
        {
            self.answer(answer);
        }
    }

    // ------------------------------------------------------------------------------------ deadlines

    fn deadlines(&mut self) {
        let now = Instant::now();
        let late: Vec<u64> =
            self.jailed.iter().filter(|(_, one)| one.is_late(now)).map(|(&at, _)| at).collect();
        for generation in late {
            if let Some(jailed) = self.jailed.get_mut(&generation) {
                jailed.forget_deadline();
            }
            self.refuse(generation, Refused { refusal: Refusal::Deadline, step: 0, errno: libc::ETIMEDOUT });
        }
        let leaving: Vec<(u64, Exit)> =
            self.jailed.iter().filter_map(|(&at, one)| Some((at, one.leaving()?))).collect();
        for (generation, exit) in leaving {
            self.left(generation, exit);
        }
        let until = self.stopping.or(self.abandoned);
        if self.supervisor.is_some() && until.is_some_and(|until| now >= until) {
            self.kill_supervisor();
        }
    }

    fn next_timeout(&self) -> Option<Timespec> {
        let now = Instant::now();
        let jailed = self.jailed.values().filter_map(|one| match one.leaving() {
            Some(_) => Some(now + SWEEP),
            None => one.deadline(),
        });
        let stopping = self.stopping.or(self.abandoned).filter(|_| self.supervisor.is_some());
        let restart = self.back_off.filter(|_| self.supervisor.is_none() && self.jailed.is_empty());
        let next = jailed.chain(stopping).chain(restart.map(|(due, _)| due)).min()?;
        // Rounded up: a timeout that ends too early would spin.
        let wait = next.saturating_duration_since(now) + Duration::from_micros(100);
        Timespec::try_from(wait).ok()
    }
}
