//! The store role's own lock, behind which an app's SQL runs: two files by their descriptors, a socket, memory, and
//! nothing by name. A death by SIGSYS is a hole in SQLite that was used, not an honest statement.
//!
//! The lock closes twice: the first filter lets the two descriptors in, the second nothing any more. Both hold, and
//! the stricter decides.

use std::io;

use super::filter::{Action, Rule, When, compile};
use super::{ConfineError, build};
use crate::sys::{self, Op};

const SOCKET: &[u32] = &[3];
const FILES: &[u32] = &[crate::store::DATABASE.unsigned_abs(), crate::store::WAL.unsigned_abs()];
const fn allow(number: libc::c_long, reason: &'static str) -> Rule {
    Rule { number, when: When::Always, action: Action::Allow, reason }
}

const fn allow_if(number: libc::c_long, argument: u8, values: &'static [u32], reason: &'static str) -> Rule {
    Rule { number, when: When::OneOf(argument, values), action: Action::Allow, reason }
}

const fn allow_on(number: libc::c_long, fds: &'static [u32], reason: &'static str) -> Rule {
    allow_if(number, 0, fds, reason)
}

const fn kill_if(number: libc::c_long, argument: u8, bits: u32, reason: &'static str) -> Rule {
    Rule { number, when: When::AnyBit(argument, bits), action: Action::Kill, reason }
}

const PROT_EXEC: u32 = 4;
/// Private and anonymous, with and without room set aside: plain memory, of no file, where nothing lies.
const PLAIN_MEMORY: &[u32] = &[0x22, 0x4022];
/// Wait and wake, by bits too, of this process's own threads or not.
const FUTEX_OPERATIONS: &[u32] = &[0, 1, 9, 10, 128, 129, 137, 138];
/// Of the machine and of this process; other processes have clocks of other numbers.
const CLOCKS: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7];

const POLICY: &[Rule] = &[
    allow_on(libc::SYS_read, SOCKET, "requests; files are read at a place"),
    allow_on(libc::SYS_write, SOCKET, "answers; files are written at a place"),
    allow_on(libc::SYS_pread64, FILES, "pages of the two files"),
    allow_on(libc::SYS_pwrite64, FILES, "pages of the two files"),
    allow_on(libc::SYS_ftruncate, FILES, "a WAL that was moved, a database that shrank"),
    allow_on(libc::SYS_fdatasync, FILES, "what is answered is on the disk"),
    allow_on(libc::SYS_lseek, FILES, "the size of a file, without a call that also takes paths"),
    kill_if(libc::SYS_mmap, 2, PROT_EXEC, "no page becomes code"),
    allow_if(libc::SYS_mmap, 3, PLAIN_MEMORY, "the allocator"),
    kill_if(libc::SYS_mprotect, 2, PROT_EXEC, "no page becomes code"),
    allow(libc::SYS_mprotect, "the allocator"),
    allow(libc::SYS_brk, "the allocator"),
    allow(libc::SYS_munmap, "the allocator"),
    allow_if(libc::SYS_mremap, 3, &[0, 1], "the allocator; not to a place that is taken"),
    allow_if(libc::SYS_madvise, 2, &[4, 8], "the allocator: free pages go back"),
    allow_if(libc::SYS_futex, 1, FUTEX_OPERATIONS, "locks of the C library"),
    allow(libc::SYS_getrandom, "seeds of random() and of hash tables"),
    allow_if(libc::SYS_clock_gettime, 0, CLOCKS, "time of day, and the CPU time that a statement has left"),
    allow_if(libc::SYS_setitimer, 0, &[2], "ends this process when a function looks at no clock"),
    allow(libc::SYS_restart_syscall, "made by the kernel itself"),
    allow(libc::SYS_exit_group, "the end"),
];

/// What only the first filter allows.
const ENTRY: &[Rule] = &[
    allow_on(libc::SYS_recvmsg, SOCKET, "the two descriptors"),
    Rule {
        number: libc::SYS_seccomp,
        when: When::OneOf(0, &[1]),
        action: Action::Allow,
        reason: "to put on the second filter, which can only be stricter",
    },
];

fn first() -> Vec<Op> {
    compile(&[POLICY, ENTRY].concat(), Action::Kill)
}

fn second() -> Vec<Op> {
    compile(POLICY, Action::Kill)
}

pub(super) fn lock() -> Result<(), ConfineError> {
    build::shut()?;
    sys::seccomp(&first()).map_err(super::at("seccomp"))
}

/// The descriptors are here: no other comes.
pub(super) fn lock_again() -> io::Result<()> {
    sys::seccomp(&second())
}

#[cfg(test)]
mod tests {
    use super::super::filter::{code, run};
    use super::*;

    #[test]
    fn two_files_a_socket_and_memory_are_all_there_is() {
        let (before, after) = (first(), second());
        for (number, arguments, allowed) in [
            (libc::SYS_read, [3, 0, 0, 0, 0, 0], true),
            (libc::SYS_read, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_write, [2, 0, 0, 0, 0, 0], false),
            (libc::SYS_pread64, [4, 0, 0, 0, 0, 0], true),
            (libc::SYS_pwrite64, [5, 0, 0, 0, 0, 0], true),
            (libc::SYS_pwrite64, [6, 0, 0, 0, 0, 0], false),
            (libc::SYS_pwrite64, [3, 0, 0, 0, 0, 0], false),
            (libc::SYS_ftruncate, [3, 0, 0, 0, 0, 0], false),
            (libc::SYS_mmap, [0, 4096, 3, 0x22, u64::MAX, 0], true),
            (libc::SYS_mmap, [0, 4096, 7, 0x22, u64::MAX, 0], false),
            (libc::SYS_mmap, [0, 4096, 3, 0x01, 4, 0], false),
            (libc::SYS_mmap, [0, 4096, 3, 0x32, u64::MAX, 0], false),
            (libc::SYS_mmap, [0, 4096, 3, 0x02, 4, 0], false),
            (libc::SYS_mremap, [0, 4096, 8192, 1, 0, 0], true),
            (libc::SYS_mremap, [0, 4096, 8192, 3, 0, 0], false),
            (libc::SYS_madvise, [0, 4096, 4, 0, 0, 0], true),
            (libc::SYS_madvise, [0, 4096, 100, 0, 0, 0], false),
            (libc::SYS_rt_sigaction, [11, 0, 0, 8, 0, 0], false),
            (libc::SYS_mprotect, [0, 4096, 1, 0, 0, 0], true),
            (libc::SYS_mprotect, [0, 4096, 5, 0, 0, 0], false),
            (libc::SYS_openat, [0; 6], false),
            (libc::SYS_execve, [0; 6], false),
            (libc::SYS_execveat, [0; 6], false),
            (libc::SYS_clone, [0; 6], false),
            (libc::SYS_clone3, [0; 6], false),
            (libc::SYS_socket, [1, 1, 0, 0, 0, 0], false),
            (libc::SYS_connect, [3, 0, 0, 0, 0, 0], false),
            (libc::SYS_sendmsg, [3, 0, 0, 0, 0, 0], false),
            (libc::SYS_ptrace, [0; 6], false),
            (libc::SYS_process_vm_readv, [0; 6], false),
            (libc::SYS_kill, [1, 9, 0, 0, 0, 0], false),
            (libc::SYS_fstat, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_newfstatat, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_fcntl, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_ioctl, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_prctl, [4, 0, 0, 0, 0, 0], false),
            (libc::SYS_prlimit64, [0; 6], false),
            (libc::SYS_close, [3, 0, 0, 0, 0, 0], false),
            (libc::SYS_exit_group, [0; 6], true),
        ] {
            let expect = code(if allowed { Action::Allow } else { Action::Kill });
            assert_eq!(run(&before, number, arguments), expect, "{number} {arguments:?}");
            assert_eq!(run(&after, number, arguments), expect, "{number} {arguments:?}");
        }
        assert_eq!(run(&before, libc::SYS_recvmsg, [3, 0, 0, 0, 0, 0]), code(Action::Allow));
        assert_eq!(run(&after, libc::SYS_recvmsg, [3, 0, 0, 0, 0, 0]), code(Action::Kill));
        assert_eq!(run(&before, libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]), code(Action::Allow));
        assert_eq!(run(&before, libc::SYS_seccomp, [0; 6]), code(Action::Kill), "another mode");
        assert_eq!(run(&after, libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]), code(Action::Kill));
        assert_eq!(run(&after, 0x4000_0000, [0; 6]), code(Action::Kill), "x32");
    }

    #[test]
    fn every_rule_has_a_reason() {
        assert!(POLICY.iter().chain(ENTRY).all(|rule| rule.reason.len() >= 7));
    }
}
