//! The attack matrix: every escape that the worker program knows, one process each, through the real launcher and
//! the real lock-down.

use anyhow::{Result, ensure};
use fazt_ipc::launch::Profile;
use fazt_worker::sandbox::escape;

use crate::Test;
use crate::rig::{LIMITS, Rig};

pub(crate) const TESTS: &[Test] = &[("every_escape_is_stopped", false, matrix)];

/// Escapes that end otherwise than by SIGSYS, and how: the kernel's answer, or a signal.
const HARMLESS: [(&str, Outcome); 2] = [
    // The kernel makes this call itself; alone it has nothing to restart.
    ("restart_syscall with nothing to restart", Outcome::Answer(-4)),
    ("read the kernel's half of memory", Outcome::Signal(11)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Signal(i32),
    Answer(i64),
}

fn matrix() -> Result<()> {
    let user = (!rustix::process::geteuid().is_root()).then(|| rustix::process::geteuid().as_raw());
    let mut rig = Rig::start_in(tempfile::tempdir()?, "obedient", user)?;
    let (mut killed, mut harmless, mut wrong) = (0, 0, Vec::new());
    for number in 0..escape::count() {
        let name = escape::name(number).unwrap_or_default();
        let mut worker = rig.spawn(Profile::Doctor, LIMITS)?;
        ensure!(worker.hello()? == escape::READY, "the doctor's worker is ready");
        worker.tell(&u16::try_from(number)?.to_le_bytes())?;
        let said = worker.rest()?;
        let (_, signal, ..) = rig.exited(worker.generation)?;
        let told = said.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
        let told = told.ok_or_else(|| anyhow::anyhow!("escape {number} said {said:?}"))?;
        let outcome = match <[u8; 8]>::try_from(told) {
            Ok(result) => Outcome::Answer(i64::from_le_bytes(result)),
            Err(_) => Outcome::Signal(signal),
        };
        if outcome == Outcome::Signal(31) {
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
