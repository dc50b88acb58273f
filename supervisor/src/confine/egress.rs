//! The lock of the role that opens connections to elsewhere: it connects, reads and writes, and that is all. No file
//! can be opened, no program started, no port listened on, no other process seen. A death by SIGSYS is a hole in what
//! parses the network, not an honest server.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};
use libc::c_long;

use super::filter::{Action, Rule, When, compile};
use super::{ConfineError, at};
use crate::sys::{self, Op};

const fn allow(number: c_long, reason: &'static str) -> Rule {
    Rule { number, when: When::Always, action: Action::Allow, reason }
}

const fn allow_if(number: c_long, argument: u8, values: &'static [u32], reason: &'static str) -> Rule {
    Rule { number, when: When::OneOf(argument, values), action: Action::Allow, reason }
}

const fn kill_if(number: c_long, argument: u8, bits: u32, reason: &'static str) -> Rule {
    Rule { number, when: When::AnyBit(argument, bits), action: Action::Kill, reason }
}

const fn fail(number: c_long, errno: i32, reason: &'static str) -> Rule {
    Rule { number, when: When::Always, action: Action::Fail(errno as u16), reason }
}

const PROT_EXEC: u32 = 4;
/// IPv4 and IPv6.
const INTERNET: &[u32] = &[2, 10];
const UNIX: &[u32] = &[1];
/// What every socket is asked: its pending error.
const SOL_SOCKET: &[u32] = &[1];
/// What a connection is told: not to hold small writes back.
const IPPROTO_TCP: &[u32] = &[6];
/// F_DUPFD_CLOEXEC, F_GETFD (asked before each close where the standard library checks itself) and F_GETFL.
const FCNTL: &[u32] = &[1030, 1, 3];
/// Private and anonymous, with and without room set aside: plain memory, of no file, where nothing lies.
const PLAIN_MEMORY: &[u32] = &[0x22, 0x4022];
/// Wait and wake, by bits too, of this process's own threads or not.
const FUTEX_OPERATIONS: &[u32] = &[0, 1, 9, 10, 128, 129, 137, 138];
/// FIONBIO and FIOCLEX.
const IOCTL: &[u32] = &[0x5421, 0x5451];
/// Of the machine and of this process.
const CLOCKS: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7];

const POLICY: &[Rule] = &[
    allow(libc::SYS_read, "connections, and the socket to the kernel"),
    allow(libc::SYS_write, "connections, and the socket to the kernel"),
    allow(libc::SYS_writev, "connections, and the socket to the kernel"),
    allow(libc::SYS_recvfrom, "connections and answers of name servers"),
    allow(libc::SYS_sendto, "connections and questions to name servers"),
    allow(libc::SYS_sendmsg, "connections"),
    allow(libc::SYS_close, "connections that have ended"),
    allow(libc::SYS_shutdown, "connections that have ended"),
    allow_if(libc::SYS_socket, 0, INTERNET, "connections and questions to name servers"),
    fail(libc::SYS_socket, libc::EAFNOSUPPORT, "no netlink, packet, kernel crypto or other families"),
    allow_if(libc::SYS_socketpair, 0, UNIX, "the runtime makes one for itself"),
    allow(libc::SYS_connect, "what this process is for; Landlock says which ports"),
    allow_if(libc::SYS_getsockopt, 1, SOL_SOCKET, "whether a connection was made"),
    allow_if(libc::SYS_setsockopt, 1, IPPROTO_TCP, "small writes are not held back"),
    allow(libc::SYS_getsockname, "the runtime asks what kind of address a socket has"),
    allow(libc::SYS_getpeername, "the runtime asks who is at the other end"),
    allow(libc::SYS_epoll_create1, "waiting for what comes first"),
    allow(libc::SYS_epoll_ctl, "waiting for what comes first"),
    allow(libc::SYS_epoll_pwait, "waiting for what comes first"),
    #[cfg(target_arch = "x86_64")]
    allow(libc::SYS_epoll_wait, "waiting for what comes first"),
    allow(libc::SYS_eventfd2, "the runtime wakes itself by it"),
    allow_if(libc::SYS_fcntl, 1, FCNTL, "descriptors that do not block"),
    allow_if(libc::SYS_ioctl, 1, IOCTL, "descriptors that do not block"),
    kill_if(libc::SYS_mmap, 2, PROT_EXEC, "no page becomes code"),
    allow_if(libc::SYS_mmap, 3, PLAIN_MEMORY, "the allocator"),
    kill_if(libc::SYS_mprotect, 2, PROT_EXEC, "no page becomes code"),
    allow(libc::SYS_mprotect, "the allocator"),
    allow(libc::SYS_munmap, "the allocator"),
    allow_if(libc::SYS_mremap, 3, &[0, 1], "the allocator; not to a place that is taken"),
    allow(libc::SYS_brk, "the allocator"),
    allow_if(libc::SYS_madvise, 2, &[4, 8], "the allocator: free pages go back"),
    allow_if(libc::SYS_futex, 1, FUTEX_OPERATIONS, "locks of the C library"),
    allow(libc::SYS_sched_yield, "locks of the C library"),
    allow(libc::SYS_getrandom, "keys of connections, numbers of questions"),
    allow_if(libc::SYS_clock_gettime, 0, CLOCKS, "time of day and deadlines"),
    allow(libc::SYS_restart_syscall, "made by the kernel itself"),
    allow(libc::SYS_exit_group, "the end"),
];

fn filter() -> Vec<Op> {
    compile(POLICY, Action::Kill)
}

/// No file, no socket or process of another domain, no TCP but to these ports; every port where there are none.
fn landlock(ports: &[u16]) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let rules =
        Ruleset::default().handle_access(AccessFs::from_all(abi))?.handle_access(AccessNet::BindTcp)?;
    let rules = if ports.is_empty() { rules } else { rules.handle_access(AccessNet::ConnectTcp)? };
    let mut made = rules.scope(Scope::from_all(abi))?.create()?;
    for &port in ports {
        made = made.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    made.restrict_self()?;
    Ok(())
}

pub(super) fn lock(ports: &[u16]) -> Result<(), ConfineError> {
    use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
    // Secrets of apps pass through this memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("dumpable"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("death signal"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("no new privileges"))?;
    sys::refuse_new_code().map_err(at("no new code"))?;
    landlock(ports).map_err(std::io::Error::other).map_err(at("landlock"))?;
    // Last: from here on nothing above could run any more.
    sys::seccomp(&filter()).map_err(at("seccomp"))
}

#[cfg(test)]
mod tests {
    use super::super::filter::{code, run};
    use super::*;

    #[test]
    fn it_connects_and_computes_and_does_nothing_else() {
        let ops = filter();
        let fails = code(Action::Fail(libc::EAFNOSUPPORT as u16));
        let (allowed, killed) = (code(Action::Allow), code(Action::Kill));
        for (number, arguments, expect) in [
            (libc::SYS_socket, [2, 1, 0, 0, 0, 0], allowed),
            (libc::SYS_socket, [10, 2, 0, 0, 0, 0], allowed),
            (libc::SYS_socket, [1, 1, 0, 0, 0, 0], fails),
            (libc::SYS_socket, [16, 3, 0, 0, 0, 0], fails),
            (libc::SYS_socket, [17, 3, 0, 0, 0, 0], fails),
            (libc::SYS_socketpair, [1, 1, 0, 0, 0, 0], allowed),
            (libc::SYS_connect, [5, 0, 0, 0, 0, 0], allowed),
            (libc::SYS_bind, [5, 0, 0, 0, 0, 0], killed),
            (libc::SYS_listen, [5, 1, 0, 0, 0, 0], killed),
            (libc::SYS_accept4, [5, 0, 0, 0, 0, 0], killed),
            (libc::SYS_openat, [0; 6], killed),
            (libc::SYS_execve, [0; 6], killed),
            (libc::SYS_execveat, [0; 6], killed),
            (libc::SYS_clone, [0; 6], killed),
            (libc::SYS_clone3, [0; 6], killed),
            (libc::SYS_ptrace, [0; 6], killed),
            (libc::SYS_process_vm_readv, [0; 6], killed),
            (libc::SYS_kill, [1, 9, 0, 0, 0, 0], killed),
            (libc::SYS_mount, [0; 6], killed),
            (libc::SYS_unshare, [0; 6], killed),
            (libc::SYS_setns, [0; 6], killed),
            (libc::SYS_bpf, [0; 6], killed),
            (libc::SYS_io_uring_setup, [0; 6], killed),
            (libc::SYS_prctl, [0; 6], killed),
            (libc::SYS_setsockopt, [5, 0, 35, 0, 0, 0], killed),
            (libc::SYS_setsockopt, [5, 1, 16, 0, 0, 0], killed),
            (libc::SYS_recvmsg, [3, 0, 0, 0, 0, 0], killed),
            (libc::SYS_fcntl, [5, 4, 0x2000, 0, 0, 0], killed),
            (libc::SYS_mmap, [0, 4096, 3, 0x01, 4, 0], killed),
            (libc::SYS_mmap, [0, 4096, 3, 0x32, u64::MAX, 0], killed),
            (libc::SYS_mremap, [0, 4096, 8192, 3, 0, 0], killed),
            (libc::SYS_madvise, [0, 4096, 100, 0, 0, 0], killed),
            (libc::SYS_rt_sigaction, [11, 0, 0, 8, 0, 0], killed),
            (libc::SYS_setsockopt, [5, 6, 1, 0, 0, 0], allowed),
            (libc::SYS_ioctl, [5, 0x8912, 0, 0, 0, 0], killed),
            (libc::SYS_mmap, [0, 4096, 7, 0x22, u64::MAX, 0], killed),
            (libc::SYS_mmap, [0, 4096, 3, 0x22, u64::MAX, 0], allowed),
            (libc::SYS_mprotect, [0, 4096, 5, 0, 0, 0], killed),
            (libc::SYS_memfd_create, [0; 6], killed),
            (libc::SYS_exit_group, [0; 6], allowed),
        ] {
            assert_eq!(run(&ops, number, arguments), expect, "{number} {arguments:?}");
        }
        assert_eq!(run(&ops, 0x4000_0000, [0; 6]), killed, "x32");
    }

    #[test]
    fn every_rule_has_a_reason() {
        assert!(POLICY.iter().all(|rule| rule.reason.len() >= 7));
    }
}
