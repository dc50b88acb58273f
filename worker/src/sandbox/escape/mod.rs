//! What a compromised worker would try, made as it would make it: system calls, directly.
//!
//! The launcher starts the worker program with [`ARGUMENT`] for `proc doctor` and for the tests, in the jail of
//! every worker. It locks itself down with the code that every worker runs, says so, is told one number, tries
//! that one escape and tells the kernel's answer, if it lives. It is never sent an app.
//!
//! With [`ARGUMENT_WALLS`] it puts on everything but seccomp, so that the escape meets the other layers. Such a
//! process reads the two bytes of the number and nothing else in its life, and nobody but the launcher chooses
//! that argument; it does so only where all other layers are there.
//!
//! ```text
//! ▶ READY     ◀ number (u16, LE)     ▶ kind, tab, name, tab, gain, newline     the escape     ▶ result (i64, LE)
//! ```
//! A number that names no escape ends the process with [`NO_SUCH`]. The gain is what the escape gets inside its own
//! process if only seccomp falls; it is empty for one that reaches out, and must then be stopped all the same.

mod files;
mod gain;
mod memory;
mod network;
mod processes;

pub use fazt_ipc::launch::{DOCTOR_NO_SUCH as NO_SUCH, DOCTOR_READY as READY};

pub use gain::gain;

use super::{LockError, lock, sys, walls};

/// First argument by which the worker program knows that it is to try escapes.
pub const ARGUMENT: &str = "--doctor";
/// First argument by which it knows that it is to try them without seccomp.
pub const ARGUMENT_WALLS: &str = "--doctor-walls";
/// Exit code when the lock-down failed.
pub const NOT_LOCKED: i32 = 4;

/// One escape: its name, and what makes it. The result is the kernel's: negative is an error.
type Attack = (&'static str, fn() -> i64);

/// Names a list of escapes without a table of pointers: such a table would be written at the start of every
/// worker, for a list that only the doctor reads.
macro_rules! attacks {
    ($($name:literal => $body:expr,)*) => {
        /// The escape of that number, or how many there are.
        pub(super) fn pick(number: usize) -> Result<super::Attack, usize> {
            let mut at = 0;
            $(
                if at == number {
                    return Ok(($name, || $body));
                }
                at += 1;
            )*
            Err(at)
        }
    };
}
use attacks;

/// What an escape is after.
fn pick(number: usize) -> Option<(&'static str, Attack)> {
    let mut rest = number;
    for (kind, list) in [
        ("files", files::pick as fn(usize) -> Result<Attack, usize>),
        ("network", network::pick),
        ("processes", processes::pick),
        ("memory", memory::pick),
    ] {
        match list(rest) {
            Ok(attack) => return Some((kind, attack)),
            Err(count) => rest -= count,
        }
    }
    None
}

/// How many escapes there are.
#[must_use]
pub fn count() -> usize {
    (0..).take_while(|&number| pick(number).is_some()).count()
}

/// Name of the escape of that number.
#[must_use]
pub fn name(number: usize) -> Option<&'static str> {
    pick(number).map(|(_, (name, _))| name)
}

/// Locks down, tries the one escape that fd 3 names, and ends.
pub fn serve() -> ! {
    let Err(code) = try_one(lock());
    sys::exit(code)
}

/// As [`serve`], locked by everything but seccomp.
pub fn serve_walls() -> ! {
    let Err(code) = try_one(walls());
    sys::exit(code)
}

/// As [`serve`], behind another role's lock; `locked` says whether it closed.
pub fn serve_behind(locked: bool) -> ! {
    let Err(code) = if locked { try_next() } else { Err(NOT_LOCKED) };
    sys::exit(code)
}

fn try_one(locked: Result<u8, LockError>) -> Result<std::convert::Infallible, i32> {
    locked.map_err(|_| NOT_LOCKED)?;
    try_next()
}

fn try_next() -> Result<std::convert::Infallible, i32> {
    tell(READY);
    let mut number = [0u8; 2];
    if call(libc::SYS_read, &[3, number.as_mut_ptr() as u64, 2]) != 2 {
        return Err(0);
    }
    let (kind, (name, run)) = pick(usize::from(u16::from_le_bytes(number))).ok_or(NO_SUCH)?;
    for part in [kind, "\t", name, "\t", gain(name), "\n"] {
        tell(part.as_bytes());
    }
    let result = run();
    tell(&result.to_le_bytes());
    Err(0)
}

fn tell(bytes: &[u8]) {
    call(libc::SYS_write, &[3, bytes.as_ptr() as u64, bytes.len() as u64]);
}

/// One system call.
fn call(number: libc::c_long, arguments: &[u64]) -> i64 {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    sys::raw(number, six)
}

/// Address of a path.
fn path(text: &'static std::ffi::CStr) -> u64 {
    text.as_ptr() as u64
}

/// Room that the kernel may write to.
fn room() -> u64 {
    static ROOM: [std::sync::atomic::AtomicU8; 4096] = [const { std::sync::atomic::AtomicU8::new(0) }; 4096];
    ROOM.as_ptr() as u64
}

/// Address of bytes that the kernel reads.
fn bytes(of: &[u8]) -> u64 {
    of.as_ptr() as u64
}

/// `-1` as an argument.
const ALL: u64 = u64::MAX;
/// `AT_FDCWD`
const HERE: u64 = -100i64 as u64;
