//! What the supervisor may not do: as data, with a reason for each rule.
//!
//! The supervisor runs an async runtime, a database and TLS, whose calls change with their versions: it is told
//! what it must never do. The build role computes: it is told what it may do, in `build.rs`.

use libc::c_long;

use super::filter::{Action, Rule, When, compile};
use crate::sys::Op;

const fn kill(number: c_long, reason: &'static str) -> Rule {
    Rule { number, when: When::Always, action: Action::Kill, reason }
}

const fn fail(number: c_long, errno: i32, reason: &'static str) -> Rule {
    Rule { number, when: When::Always, action: Action::Fail(errno as u16), reason }
}

const fn allow(number: c_long, when: When, reason: &'static str) -> Rule {
    Rule { number, when, action: Action::Allow, reason }
}

const PROGRAMS: &str = "starts no program: processes are the launcher's to make";
const OTHERS: &str = "looks into no other process";
const MOUNTS: &str = "changes no mount, root or namespace";
const KERNEL: &str = "does not change, load or replace the kernel";
const CLOCKS: &str = "does not set the machine's clocks";
const WIDE: &str = "a large part of the kernel with a record of holes, not needed";
const HANDLES: &str = "opens files by path only, where Landlock sees it";

/// Every namespace flag of clone.
const NAMESPACES: u32 = 0x7e02_0080;

const SUPERVISOR: &[Rule] = &[
    kill(libc::SYS_execve, PROGRAMS),
    kill(libc::SYS_execveat, PROGRAMS),
    Rule { number: libc::SYS_clone, when: When::AnyBit(0, NAMESPACES), action: Action::Kill, reason: MOUNTS },
    fail(
        libc::SYS_clone3,
        libc::ENOSYS,
        "its flags lie in memory, where a filter cannot see them; clone follows",
    ),
    kill(libc::SYS_ptrace, OTHERS),
    kill(libc::SYS_process_vm_readv, OTHERS),
    kill(libc::SYS_process_vm_writev, OTHERS),
    kill(libc::SYS_process_madvise, OTHERS),
    kill(libc::SYS_pidfd_getfd, OTHERS),
    kill(libc::SYS_kcmp, OTHERS),
    kill(libc::SYS_move_pages, OTHERS),
    kill(libc::SYS_migrate_pages, OTHERS),
    kill(libc::SYS_mount, MOUNTS),
    kill(libc::SYS_umount2, MOUNTS),
    kill(libc::SYS_pivot_root, MOUNTS),
    kill(libc::SYS_chroot, MOUNTS),
    kill(libc::SYS_fsopen, MOUNTS),
    kill(libc::SYS_fsmount, MOUNTS),
    kill(libc::SYS_fspick, MOUNTS),
    kill(libc::SYS_open_tree, MOUNTS),
    kill(libc::SYS_move_mount, MOUNTS),
    kill(libc::SYS_mount_setattr, MOUNTS),
    kill(libc::SYS_unshare, MOUNTS),
    kill(libc::SYS_setns, MOUNTS),
    kill(libc::SYS_bpf, WIDE),
    kill(libc::SYS_perf_event_open, WIDE),
    kill(libc::SYS_userfaultfd, WIDE),
    kill(libc::SYS_io_uring_setup, WIDE),
    kill(libc::SYS_io_uring_enter, WIDE),
    kill(libc::SYS_io_uring_register, WIDE),
    kill(libc::SYS_keyctl, WIDE),
    kill(libc::SYS_add_key, WIDE),
    kill(libc::SYS_request_key, WIDE),
    kill(libc::SYS_fanotify_init, WIDE),
    kill(libc::SYS_vmsplice, WIDE),
    kill(libc::SYS_personality, WIDE),
    kill(libc::SYS_remap_file_pages, WIDE),
    kill(libc::SYS_shmget, WIDE),
    kill(libc::SYS_msgget, WIDE),
    kill(libc::SYS_semget, WIDE),
    kill(libc::SYS_open_by_handle_at, HANDLES),
    kill(libc::SYS_name_to_handle_at, HANDLES),
    kill(libc::SYS_init_module, KERNEL),
    kill(libc::SYS_finit_module, KERNEL),
    kill(libc::SYS_delete_module, KERNEL),
    kill(libc::SYS_kexec_load, KERNEL),
    kill(libc::SYS_reboot, KERNEL),
    kill(libc::SYS_swapon, KERNEL),
    kill(libc::SYS_swapoff, KERNEL),
    kill(libc::SYS_acct, KERNEL),
    kill(libc::SYS_quotactl, KERNEL),
    kill(libc::SYS_syslog, KERNEL),
    kill(libc::SYS_sethostname, KERNEL),
    kill(libc::SYS_setdomainname, KERNEL),
    kill(libc::SYS_settimeofday, CLOCKS),
    kill(libc::SYS_clock_settime, CLOCKS),
    kill(libc::SYS_adjtimex, CLOCKS),
    kill(libc::SYS_clock_adjtime, CLOCKS),
    #[cfg(target_arch = "x86_64")]
    kill(libc::SYS_modify_ldt, WIDE),
    #[cfg(target_arch = "x86_64")]
    kill(libc::SYS_iopl, KERNEL),
    #[cfg(target_arch = "x86_64")]
    kill(libc::SYS_ioperm, KERNEL),
    #[cfg(target_arch = "x86_64")]
    kill(libc::SYS_fork, PROGRAMS),
    #[cfg(target_arch = "x86_64")]
    kill(libc::SYS_vfork, PROGRAMS),
    allow(libc::SYS_socket, When::OneOf(0, &[1, 2, 10]), "Unix and Internet sockets"),
    fail(libc::SYS_socket, libc::EAFNOSUPPORT, "no netlink, packet, kernel crypto or other families"),
];

/// The supervisor's filter.
pub(super) fn supervisor() -> Vec<Op> {
    compile(SUPERVISOR, Action::Allow)
}

#[cfg(test)]
mod tests {
    use super::super::filter::{code, run};
    use super::*;

    /// An argument's place and value.
    type Argument = Option<(u8, u64)>;

    /// An argument with which a rule holds, and one with which it does not.
    fn examples(when: When) -> (Argument, Argument) {
        match when {
            When::Always => (None, None),
            When::OneOf(at, values) => {
                let above = values.iter().max().map_or(0, |most| u64::from(*most) + 1);
                (Some((at, u64::from(values[values.len() - 1]))), Some((at, above)))
            }
            When::AnyBit(at, bits) => (Some((at, u64::from(bits & bits.wrapping_neg()))), Some((at, 0))),
        }
    }

    fn arguments(one: Argument) -> [u64; 6] {
        let mut all = [0; 6];
        if let Some((at, value)) = one {
            all[usize::from(at)] = value;
        }
        all
    }

    #[test]
    fn every_rule_decides_what_it_says_and_its_condition_bites() {
        let ops = supervisor();
        for (at, rule) in SUPERVISOR.iter().enumerate() {
            let (holds, fails) = examples(rule.when);
            let decided = run(&ops, rule.number, arguments(holds));
            assert_eq!(decided, code(rule.action), "rule {at}: {}", rule.reason);
            if fails.is_some() {
                // What a later rule for the same call says, or what becomes of every other.
                let next = SUPERVISOR[at + 1..].iter().find(|next| next.number == rule.number);
                let then = match next {
                    Some(next) if next.when == When::Always => next.action,
                    Some(_) => continue,
                    None => Action::Allow,
                };
                let decided = run(&ops, rule.number, arguments(fails));
                assert_eq!(decided, code(then), "rule {at}: {}", rule.reason);
            }
        }
    }

    #[test]
    fn what_no_rule_names_is_decided_by_the_last_word() {
        assert_eq!(run(&supervisor(), libc::SYS_openat, [0; 6]), code(Action::Allow));
        assert_eq!(run(&supervisor(), 0x4000_0000, [0; 6]), code(Action::Kill), "x32");
    }

    #[test]
    fn a_clone_into_a_namespace_dies() {
        for flag in
            [0x80, 0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
        {
            let decided = run(&supervisor(), libc::SYS_clone, [flag, 0, 0, 0, 0, 0]);
            assert_eq!(decided, code(Action::Kill), "{flag:#x}");
        }
    }

    #[test]
    fn every_rule_has_a_reason() {
        assert!(SUPERVISOR.iter().all(|rule| rule.reason.len() >= 7));
    }
}
