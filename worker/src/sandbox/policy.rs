//! The system calls that a worker may make: sixteen, for a single-threaded process that blocks on one socket.
//! Everything else kills the process; honest JavaScript cannot get there, so such a death is proof of compromise.
//!
//! Left out on purpose: whatever opens, connects, clones, executes, signals, maps code, controls or duplicates a
//! descriptor; `sendmsg` and `recvmsg`, so that no descriptor can arrive or leave; `tgkill`, so that an abort
//! ends as SIGSYS or SIGSEGV, which is as good.

use super::filter::{Arch, Call, Condition, Filter, Rule, Test, Width};

/// The socket to the supervisor: the only descriptor that may be named.
const SOCKET: Condition = Condition { argument: 0, width: Width::Word, test: Test::OneOf(&[3]) };

const PROT_READ_WRITE: u32 = 1 | 2;
const MAP_PRIVATE_ANONYMOUS: u32 = 0x02 | 0x20;
const MAP_NORESERVE: u32 = 0x4000;
const MREMAP_MAYMOVE: u32 = 1;
const MADV_DONTNEED: u32 = 4;
const MADV_FREE: u32 = 8;
const FUTEX_PRIVATE: u32 = 128;

const fn call(name: &'static str, x86_64: u32, aarch64: u32) -> Call {
    Call { name, x86_64, aarch64 }
}

/// The policy, most frequent calls first: the filter is read from the top for each call.
pub const POLICY: [Rule; 16] = [
    Rule {
        call: call("read", 0, 63),
        conditions: &[SOCKET],
        reason: "frames from the supervisor; no other descriptor is readable even if one were open",
    },
    Rule {
        call: call("write", 1, 64),
        conditions: &[SOCKET],
        reason: "frames to the supervisor; standard error stays silent, so a worker cannot forge a log",
    },
    Rule {
        call: call("ppoll", 271, 73),
        conditions: &[Condition { argument: 1, width: Width::Word, test: Test::AtMost(1) }],
        reason: "waits for the socket or a timer; one entry is enough for one socket",
    },
    Rule {
        call: call("clock_gettime", 228, 113),
        conditions: &[Condition { argument: 0, width: Width::Word, test: Test::AtMost(7) }],
        reason: "timers and the CPU budget (thread CPU time is 3); above 7 are clocks of devices and other processes",
    },
    Rule {
        call: call("mmap", 9, 222),
        conditions: &[
            Condition { argument: 2, width: Width::Long, test: Test::Within(PROT_READ_WRITE) },
            Condition {
                argument: 3,
                width: Width::Long,
                test: Test::OneOf(&[MAP_PRIVATE_ANONYMOUS, MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE]),
            },
        ],
        reason: "the allocator grows; private memory only: never a file, never shared, never fixed, never code",
    },
    Rule {
        call: call("mprotect", 10, 226),
        conditions: &[Condition { argument: 2, width: Width::Long, test: Test::Within(PROT_READ_WRITE) }],
        reason: "the allocator commits what it reserved; no page becomes code",
    },
    Rule { call: call("munmap", 11, 215), conditions: &[], reason: "the allocator gives memory back" },
    Rule { call: call("brk", 12, 214), conditions: &[], reason: "the allocator's main heap" },
    Rule {
        call: call("mremap", 25, 216),
        conditions: &[Condition { argument: 3, width: Width::Long, test: Test::Within(MREMAP_MAYMOVE) }],
        reason: "large buffers grow without a copy; FIXED could replace a mapping of the program",
    },
    Rule {
        call: call("madvise", 28, 233),
        conditions: &[Condition {
            argument: 2,
            width: Width::Word,
            test: Test::OneOf(&[MADV_DONTNEED, MADV_FREE]),
        }],
        reason: "the allocator gives memory back; other advice reaches rarely used code of the kernel",
    },
    Rule {
        call: call("futex", 202, 98),
        conditions: &[Condition {
            argument: 1,
            width: Width::Word,
            test: Test::OneOf(&[
                0,
                1,
                9,
                10,
                FUTEX_PRIVATE,
                FUTEX_PRIVATE | 1,
                FUTEX_PRIVATE | 9,
                FUTEX_PRIVATE | 10,
            ]),
        }],
        reason: "locks inside the C library: WAIT, WAKE, WAIT_BITSET, WAKE_BITSET; the priority-inheritance and requeue operations had holes",
    },
    Rule {
        call: call("getrandom", 318, 278),
        conditions: &[],
        reason: "random numbers; writes to the caller's memory only",
    },
    Rule {
        call: call("exit_group", 231, 94),
        conditions: &[],
        reason: "the process ends: one that has drained, or whose supervisor is gone",
    },
    Rule {
        call: call("rt_sigreturn", 15, 139),
        conditions: &[],
        reason: "return from the handler of a stack overflow; changes only the caller's registers",
    },
    Rule {
        call: call("restart_syscall", 219, 128),
        conditions: &[],
        reason: "the kernel itself makes it when a stopped wait goes on",
    },
    Rule {
        call: call("sigaltstack", 131, 132),
        conditions: &[],
        reason: "the run-time library releases its alternate stack at exit; changes only the caller's stack",
    },
];

/// The filter for this processor, made while the program is compiled.
pub static FILTER: Filter = Filter::compile(&POLICY, Arch::HERE);
