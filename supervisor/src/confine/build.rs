//! The build role's own lock: after the launcher took away files, network, user and other processes, the process
//! gives up every system call but those that read a job, compute, and write the answer. Hostile scripts are
//! parsed behind it; a death by SIGSYS is a hole in the parser, not an honest script.

use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, Scope};

use super::ConfineError;
use crate::sys::{self, Op};

/// What an argument must be, beyond the call being allowed.
enum Test {
    /// Anything.
    Any,
    /// This argument, an `int`, is this number.
    Is(u32, u32),
    /// This argument has none of these bits.
    Without(u32, u32),
}

use Test::{Any, Is, Without};

const SOCKET: u32 = 3;
const PROT_EXEC: u32 = 4;

/// The policy. No thread: stripping types needs none. No `recvmsg`: no descriptor can arrive.
const POLICY: &[(i64, Test)] = &[
    // The job and the answer; no other descriptor.
    (libc::SYS_read, Is(0, SOCKET)),
    (libc::SYS_write, Is(0, SOCKET)),
    (libc::SYS_close, Is(0, SOCKET)),
    // The allocator. No page becomes code, no file is mapped: none is open.
    (libc::SYS_brk, Any),
    (libc::SYS_mmap, Without(2, PROT_EXEC)),
    (libc::SYS_mprotect, Without(2, PROT_EXEC)),
    (libc::SYS_munmap, Any),
    (libc::SYS_mremap, Any),
    (libc::SYS_madvise, Any),
    // Locks of the C library, seeds of hash tables, time.
    (libc::SYS_futex, Any),
    (libc::SYS_getrandom, Any),
    (libc::SYS_clock_gettime, Any),
    // The end, and the handler of a stack overflow.
    (libc::SYS_exit_group, Any),
    (libc::SYS_rt_sigreturn, Any),
    (libc::SYS_rt_sigaction, Any),
    (libc::SYS_sigaltstack, Any),
    (libc::SYS_restart_syscall, Any),
];

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
const KILL_PROCESS: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7fff_0000;
/// Offsets in the kernel's `seccomp_data`; arguments are 8 bytes each, low half first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const HERE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const HERE: u32 = 0xc000_00b7;

const fn op(code: u16, then: u8, or_else: u8, k: u32) -> Op {
    Op { code, then, or_else, k }
}

/// Architecture, then one block for each call; whoever gets to the end is killed. 32-bit and x32 calls have
/// another architecture or number.
fn filter() -> Vec<Op> {
    let mut ops = vec![
        op(LOAD, 0, 0, ARCHITECTURE),
        op(JUMP_EQUAL, 1, 0, HERE),
        op(RETURN, 0, 0, KILL_PROCESS),
        op(LOAD, 0, 0, NUMBER),
    ];
    for (number, test) in POLICY {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        let argument = |index: u32| op(LOAD, 0, 0, ARGUMENTS + 8 * index);
        match *test {
            Any => ops.extend([op(JUMP_EQUAL, 0, 1, number), op(RETURN, 0, 0, ALLOW)]),
            Is(index, value) => ops.extend([
                op(JUMP_EQUAL, 0, 4, number),
                argument(index),
                op(JUMP_EQUAL, 0, 1, value),
                op(RETURN, 0, 0, ALLOW),
                op(RETURN, 0, 0, KILL_PROCESS),
            ]),
            Without(index, bits) => ops.extend([
                op(JUMP_EQUAL, 0, 4, number),
                argument(index),
                op(JUMP_SET, 1, 0, bits),
                op(RETURN, 0, 0, ALLOW),
                op(RETURN, 0, 0, KILL_PROCESS),
            ]),
        }
    }
    ops.push(op(RETURN, 0, 0, KILL_PROCESS));
    ops
}

/// Every right that Landlock knows is handled and none is given back.
fn landlock() -> Result<(), landlock::RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    Ok(())
}

/// What every role in a jail gives up before its filter.
pub(super) fn shut() -> Result<(), ConfineError> {
    let at = |step| move |error: io::Error| ConfineError { step, error };
    // Nobody of the same user may look into this memory. Exec cleared the rest: once more.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| at("dumpable")(error.into()))?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| at("death signal")(error.into()))?;
    landlock().map_err(|error| at("landlock")(io::Error::other(error)))
}

pub(super) fn lock() -> Result<(), ConfineError> {
    shut()?;
    // Last: from here on nothing above could run any more.
    sys::seccomp(&filter()).map_err(super::at("seccomp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says of a call, by running its program.
    fn verdict(architecture: u32, number: i64, arguments: [u32; 3]) -> u32 {
        let (ops, mut at, mut held) = (filter(), 0, 0);
        loop {
            let op = ops[at];
            at += 1;
            let holds = match op.code {
                LOAD => {
                    held = match op.k {
                        NUMBER => u32::try_from(number).expect("a number"),
                        ARCHITECTURE => architecture,
                        offset => arguments[((offset - ARGUMENTS) / 8) as usize],
                    };
                    continue;
                }
                RETURN => return op.k,
                JUMP_EQUAL => held == op.k,
                _ => held & op.k != 0,
            };
            at += usize::from(if holds { op.then } else { op.or_else });
        }
    }

    #[test]
    fn only_the_socket_the_heap_and_the_end_are_allowed() {
        for (number, arguments, expect) in [
            (libc::SYS_read, [3, 0, 0], ALLOW),
            (libc::SYS_read, [4, 0, 0], KILL_PROCESS),
            (libc::SYS_write, [2, 0, 0], KILL_PROCESS),
            (libc::SYS_mmap, [0, 4096, 3], ALLOW),
            (libc::SYS_mmap, [0, 4096, 7], KILL_PROCESS),
            (libc::SYS_mprotect, [0, 4096, 4], KILL_PROCESS),
            (libc::SYS_exit_group, [0, 0, 0], ALLOW),
            (libc::SYS_openat, [0, 0, 0], KILL_PROCESS),
            (libc::SYS_execve, [0, 0, 0], KILL_PROCESS),
            (libc::SYS_clone3, [0, 0, 0], KILL_PROCESS),
            (libc::SYS_socket, [0, 0, 0], KILL_PROCESS),
            (libc::SYS_recvmsg, [3, 0, 0], KILL_PROCESS),
        ] {
            assert_eq!(verdict(HERE, number, arguments), expect, "{number} {arguments:?}");
        }
        assert_eq!(verdict(0x4000_0003, libc::SYS_read, [3, 0, 0]), KILL_PROCESS, "32-bit");
        assert_eq!(verdict(HERE, libc::SYS_read | 0x4000_0000, [3, 0, 0]), KILL_PROCESS, "x32");
    }
}
