//! Keeping a supervisor: started, started again with pauses, told to stop, and what systemd is told of it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Instant;

use rustix::event::epoll;
use rustix::process::Signal;

use super::super::handover::STOPS;
use super::super::limits::{BACK_OFF, DRAIN_WALL, HEALTHY};
use super::super::{JailError, start_error};
use super::{Launcher, token};

impl Launcher {
    pub(super) fn start_supervisor(&mut self) -> Result<(), JailError> {
        self.facts.generation_first = self.spawner.generation_next();
        self.abandoned = None;
        let group = self.means.tree.supervisor();
        let group = group.as_ref().map(OwnedFd::as_fd);
        let started = self.recipe.start(self.means.own.as_fd(), group, &self.facts)?;
        self.watch(started.channel.as_fd(), token::CHANNEL).map_err(start_error("launcher channel"))?;
        self.watch(started.pidfd.as_fd(), token::SUPERVISOR).map_err(start_error("supervisor"))?;
        self.watch(started.alive.as_fd(), token::ALIVE).map_err(start_error("sign of life"))?;
        self.supervisor = Some(started);
        Ok(())
    }

    pub(super) fn restart_when_due(&mut self) {
        let Some((due, pause)) = self.back_off else { return };
        if Instant::now() < due {
            return;
        }
        self.means.tree.renew_supervisor();
        self.facts.restarts += 1;
        if let Err(error) = self.start_supervisor() {
            eprintln!("fazt: {error}; trying again in {pause:?}");
            self.pause_again();
        }
    }

    fn pause_again(&mut self) {
        let [first, last] = BACK_OFF;
        let pause = self.back_off.map_or(first, |(_, pause)| (pause * 2).min(last));
        self.back_off = Some((Instant::now() + pause, pause));
    }

    pub(super) fn supervisor_ended(&mut self) {
        let Some(supervisor) = &self.supervisor else { return };
        let Ok(Some(exit)) = supervisor.reap() else { return };
        // What it said last may lie unread.
        self.sign_of_life();
        let Some(supervisor) = &self.supervisor else { return };
        let (serves, age) = (supervisor.serves, supervisor.started.elapsed());
        // Its descriptors go with it, out of epoll too.
        self.supervisor = None;
        self.answers.clear();
        for generation in self.jailed.keys().copied().collect::<Vec<_>>() {
            self.kill(generation);
        }
        if self.outcome.is_some() {
            return;
        }
        let code = u8::try_from(exit.code).unwrap_or(1);
        if self.stopping.is_some() || exit.code == 0 {
            // A stop that was ordered stays one, whatever the supervisor died of: its listening sockets are shut,
            // and whoever ordered it does not want another.
            if !matches!(exit.signal, 0 | libc::SIGTERM) {
                let signal = exit.signal;
                eprintln!(
                    "fazt: the supervisor ended with signal {signal} while it stopped; requests in flight are lost"
                );
            }
            self.outcome = Some(Ok(if exit.signal == 0 { ExitCode::from(code) } else { ExitCode::SUCCESS }));
        } else if !serves && exit.code > 0 && self.facts.restarts == 0 {
            // It has said why on standard error; starting it again would say it again.
            self.outcome = Some(Ok(ExitCode::from(code)));
        } else {
            if age >= HEALTHY {
                self.back_off = None;
            }
            self.pause_again();
            let how = if exit.signal == 0 {
                format!("code {}", exit.code)
            } else {
                format!("signal {}", exit.signal)
            };
            eprintln!("fazt: the supervisor ended with {how}; every worker is killed, it is started again");
        }
    }

    pub(super) fn sign_of_life(&mut self) {
        let Some(supervisor) = &mut self.supervisor else { return };
        let mut bytes = [0u8; 64];
        match rustix::io::read(&supervisor.alive, &mut bytes) {
            Ok(0) | Err(_) => {
                // Closed: its death or its bug; the first is told elsewhere.
                let _ = epoll::delete(&self.epoll, &supervisor.alive);
            }
            Ok(length) => {
                let said = &bytes[..length];
                if said.iter().any(|&byte| byte != STOPS) {
                    self.notify.say(if supervisor.serves { "WATCHDOG=1" } else { "READY=1\nWATCHDOG=1" });
                    supervisor.serves = true;
                }
                if said.contains(&STOPS) {
                    self.stops();
                }
            }
        }
    }

    /// It is told to stop, by whomever: it may drain until then, and is not started again.
    pub(super) fn stops(&mut self) {
        if self.stopping.is_none() {
            self.notify.say("STOPPING=1");
            self.stopping = Some(Instant::now() + DRAIN_WALL);
        }
    }

    pub(super) fn signal(&mut self) {
        let mut info = [0u8; 128];
        while rustix::io::read(&self.signals, &mut info).is_ok_and(|length| length > 0) {
            match &self.supervisor {
                Some(supervisor) if !self.signalled => {
                    self.signalled = true;
                    supervisor.stop();
                    self.stops();
                }
                // The second time it is meant at once.
                Some(_) => self.kill_supervisor(),
                None => {
                    self.stopping = Some(Instant::now());
                    self.outcome.get_or_insert(Ok(ExitCode::SUCCESS));
                }
            }
        }
    }

    pub(super) fn kill_supervisor(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            let _ = rustix::process::pidfd_send_signal(&supervisor.pidfd, Signal::KILL);
            self.means.tree.renew_supervisor();
        }
    }
}
