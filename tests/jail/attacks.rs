//! The attack matrix: every escape that the worker program knows, one process each, through the real launcher and
//! the real lock-down; and once more without seccomp, against the layers behind it.

use std::net::Shutdown;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fazt_ipc::launch::{Limits, Profile, Refusal, WALLS_MAX, WALLS_MS_MAX};
use fazt_worker::sandbox::escape;

use crate::Test;
use crate::rig::{LIMITS, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("every_escape_is_stopped", false, matrix),
    ("every_escape_from_a_store_is_stopped", false, store),
    ("every_escape_from_egress_is_stopped", false, egress),
    ("egress_is_alone_and_in_the_machines_network", true, alone),
    ("without_seccomp_no_escape_reaches_out_of_its_process", true, walls),
    ("processes_without_seccomp_are_few_and_short_lived", true, brief),
    ("an_ordinary_user_gets_no_process_without_seccomp", true, none_for_an_ordinary_user),
];

/// What a process without seccomp may be given.
const SMALL: Limits = Limits { memory_bytes: 16 << 20, cpu_permille: 0, cpu_weight: 0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Signal(i32),
    Answer(i64),
}

/// Escapes that end otherwise than by SIGSYS, and how: the kernel's answer, or a signal.
const HARMLESS: [(&str, Outcome); 2] = [
    // The kernel makes this call itself; alone it has nothing to restart.
    ("restart_syscall with nothing to restart", Outcome::Answer(-4)),
    ("read the kernel's half of memory", Outcome::Signal(11)),
];

/// The same on a user-mode kernel. It has no gate for 32-bit programs: what comes through `int 0x80` is taken for a
/// call of the 64-bit table with the 64-bit arguments, and its filter is asked about that. So the gate opens nothing
/// that the ordinary one does not: 11 is `munmap` there, of nothing; 231 is `exit_group`.
const HARMLESS_USER_MODE: [(&str, Outcome); 2] = [
    ("int 0x80 execve", Outcome::Answer(-22)),
    ("int 0x80 exit by the number of exit_group", Outcome::Signal(0)),
];

/// What the store's filter lets pass and the worker's does not.
const STORE_HARMLESS: [&str; 2] = [
    // Until its two files have come; then a second filter takes it away.
    "recvmsg for SCM_RIGHTS",
    // The kernel takes the low half: no code comes of it.
    "mmap code by the high half",
];

/// What egress is for (sockets of the Internet, and waiting for them), and what its filter lets pass beside that.
const EGRESS_HARMLESS: [&str; 22] = [
    "read fd 0",
    "read fd 3 with high bits and another low half",
    "write fd 1",
    "write fd 2",
    "writev",
    "close the socket",
    "eventfd2",
    "epoll_create1",
    "send UDP to a resolver",
    "connect UDP to this machine",
    "socket IPv6",
    "socketpair",
    "connect fd 3 elsewhere",
    "sendto on fd 3",
    "recvfrom on fd 3",
    "sendmsg with SCM_RIGHTS",
    "getsockopt SO_PEERCRED",
    "getsockname",
    "getpeername",
    "shutdown",
    "sched_yield",
    // The kernel takes the low half: no code comes of it.
    "mmap code by the high half",
];

/// What the kernel itself says to egress where the filter does not: no such descriptor, not that family, not that
/// port (Landlock), no right.
const EGRESS_REFUSED: [i64; 4] = [-9, -97, -13, -1];

fn is_user_mode_kernel() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("User Mode Linux"))
}

/// What a process said of its escape, and how it ended.
struct Tried {
    gain: String,
    outcome: Outcome,
}

fn attempt(rig: &mut Rig, profile: Profile, limits: Limits, number: usize) -> Result<Tried> {
    let name = escape::name(number).unwrap_or_default();
    let mut worker = rig.spawn(profile, limits)?;
    ensure!(worker.hello()? == escape::READY, "the doctor's worker is ready");
    worker.tell(&u16::try_from(number)?.to_le_bytes())?;
    worker.socket.shutdown(Shutdown::Write)?;
    let said = worker.rest()?;
    let (_, signal, ..) = rig.exited(worker.generation)?;
    let end = said.iter().position(|&byte| byte == b'\n').with_context(|| format!("{name} said {said:?}"))?;
    let words = std::str::from_utf8(&said[..end])?;
    let [_, told, gain] = words.split('\t').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{name} said {words:?}")
    };
    ensure!(told == name, "escape {number} is {name}, not {told}");
    let outcome = match <[u8; 8]>::try_from(&said[end + 1..]) {
        Ok(result) => Outcome::Answer(i64::from_le_bytes(result)),
        Err(_) => Outcome::Signal(signal),
    };
    Ok(Tried { gain: gain.to_owned(), outcome })
}

fn matrix() -> Result<()> {
    let user = (!rustix::process::geteuid().is_root()).then(|| rustix::process::geteuid().as_raw());
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", user)?;
    let user_mode = is_user_mode_kernel();
    let (mut killed, mut harmless, mut wrong) = (0, 0, Vec::new());
    for number in 0..escape::count() {
        let name = escape::name(number).unwrap_or_default();
        let Tried { outcome, .. } = attempt(&mut rig, Profile::Doctor, LIMITS, number)?;
        if user_mode && HARMLESS_USER_MODE.iter().any(|(other, _)| *other == name) {
            // Not "killed or this": a kernel that does otherwise is one that nobody has looked at.
            ensure!(HARMLESS_USER_MODE.contains(&(name, outcome)), "user-mode kernel: {name}: {outcome:?}");
            harmless += 1;
        } else if outcome == Outcome::Signal(31) {
            killed += 1;
        } else if HARMLESS.contains(&(name, outcome)) {
            harmless += 1;
        } else {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    println!("      {killed} killed by seccomp, {harmless} harmless, {} got through", wrong.len());
    ensure!(wrong.is_empty(), "{wrong:#?}");
    rig.stop()
}

/// Behind the store's lock, which is another filter in the same jail. What its filter lets pass stays in its process.
fn store() -> Result<()> {
    let user = (!rustix::process::geteuid().is_root()).then(|| rustix::process::geteuid().as_raw());
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", user)?;
    let user_mode = is_user_mode_kernel();
    let (mut killed, mut inside, mut wrong) = (0, Vec::new(), Vec::new());
    for number in 0..escape::count() {
        let name = escape::name(number).unwrap_or_default();
        let Tried { outcome, .. } = attempt(&mut rig, Profile::Store, LIMITS, number)?;
        if outcome == Outcome::Signal(31) {
            killed += 1;
        } else if HARMLESS.contains(&(name, outcome))
            || STORE_HARMLESS.contains(&name)
            || (user_mode && HARMLESS_USER_MODE.contains(&(name, outcome)))
        {
            inside.push(name);
        } else {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    println!("      {killed} killed by seccomp, {} stay in their process: {inside:?}", inside.len());
    ensure!(wrong.is_empty(), "{wrong:#?}");
    rig.stop()
}

/// Behind the lock of the process that opens connections to elsewhere, in the machine's own network.
fn egress() -> Result<()> {
    let user = (!rustix::process::geteuid().is_root()).then(|| rustix::process::geteuid().as_raw());
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", user)?;
    let user_mode = is_user_mode_kernel();
    let (mut killed, mut inside, mut wrong) = (0, Vec::new(), Vec::new());
    for number in 0..escape::count() {
        let name = escape::name(number).unwrap_or_default();
        let Tried { outcome, .. } = attempt(&mut rig, Profile::Egress, LIMITS, number)?;
        if outcome == Outcome::Signal(31) {
            killed += 1;
        } else if HARMLESS.contains(&(name, outcome))
            || EGRESS_HARMLESS.contains(&name)
            || matches!(outcome, Outcome::Answer(answer) if EGRESS_REFUSED.contains(&answer))
            || (user_mode && HARMLESS_USER_MODE.contains(&(name, outcome)))
        {
            inside.push(name);
        } else {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    println!("      {killed} killed by seccomp, {} stay in their process: {inside:?}", inside.len());
    ensure!(wrong.is_empty(), "{wrong:#?}");
    rig.stop()
}

/// One at a time, with a user of its own that is no worker's, in the network that the launcher is in.
fn alone() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let mut first = rig.spawn(Profile::Egress, LIMITS)?;
    ensure!(first.hello()? == escape::READY, "it is ready");
    ensure!(first.uid != 0 && first.uid < 2_000_000, "uid {}", first.uid);
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
    ensure!(network(&first.pid.to_string())? == network("self")?, "the machine's own network");
    let second = rig.spawn_order(Profile::Egress, LIMITS)?;
    let (refusal, ..) = rig.refused(second)?;
    ensure!(refusal == Refusal::Exhausted, "a second one: {refusal:?}");
    rig.order(fazt_ipc::launch::Order::Kill { generation: first.generation })?;
    rig.exited(first.generation)?;
    let again = rig.spawn(Profile::Egress, LIMITS)?;
    ensure!(again.uid == first.uid, "always the same user: a firewall may know it");
    rig.stop()
}

fn walls() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let (mut stopped, mut inside, mut wrong) = (0, Vec::new(), Vec::new());
    for number in 0..escape::count() {
        let name = escape::name(number).unwrap_or_default();
        let Tried { gain, outcome } = attempt(&mut rig, Profile::Walls, SMALL, number)?;
        match outcome {
            Outcome::Signal(31) => wrong.push(format!("{name}: there is a filter")),
            Outcome::Answer(..0) | Outcome::Signal(7 | 11) => stopped += 1,
            _ if !gain.is_empty() => inside.push(name),
            _ => wrong.push(format!("{name}: {outcome:?}")),
        }
    }
    println!("      {stopped} stopped by another layer, {} stay in their process: {inside:?}", inside.len());
    ensure!(wrong.is_empty(), "{wrong:#?}");
    rig.stop()
}

fn brief() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let began = Instant::now();
    let mut held = Vec::new();
    for _ in 0..WALLS_MAX {
        let mut worker = rig.spawn(Profile::Walls, SMALL)?;
        ensure!(worker.hello()? == escape::READY);
        held.push(worker);
    }
    let more = rig.spawn_order(Profile::Walls, SMALL)?;
    ensure!(rig.refused(more)?.0 == Refusal::Exhausted);
    let wide = rig.spawn_order(Profile::Walls, LIMITS)?;
    ensure!(rig.refused(wide)?.0 == Refusal::Wider, "it may not have a worker's memory");
    for worker in held {
        // Nobody tells it a number; it does not outlive its time for that.
        ensure!(rig.exited(worker.generation)?.1 == 9);
    }
    ensure!(began.elapsed().as_millis() >= u128::from(WALLS_MS_MAX) / 2, "they were killed for their age");
    rig.spawn(Profile::Walls, SMALL)?;
    rig.stop()
}

fn none_for_an_ordinary_user() -> Result<()> {
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", Some(54_321))?;
    let generation = rig.spawn_order(Profile::Walls, SMALL)?;
    ensure!(rig.refused(generation)?.0 == Refusal::Unknown);
    rig.stop()
}
