//! The policy, rule by rule, on a reader of the filter's instructions: what is allowed, what is not, on both
//! processors. The same on the real kernel: the attack matrix in `tests/jail`.

use super::filter::{ABOVE, ALLOW, ANY_BIT, Arch, EQUAL, Filter, KILL, LOAD, Op, RETURN, Test, Width};
use super::policy::{FILTER, POLICY};

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

/// What the kernel would do with a call.
fn run(ops: &[Op], audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&audit.to_le_bytes());
    for (at, argument) in arguments.iter().enumerate() {
        data[16 + 8 * at..24 + 8 * at].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut loaded) = (0, 0u32);
    loop {
        let op = ops[at];
        let jump = |holds: bool| at + 1 + usize::from(if holds { op.then } else { op.or_else });
        at = match op.code {
            LOAD => {
                let from = op.k as usize;
                loaded = u32::from_le_bytes(data[from..from + 4].try_into().expect("four bytes"));
                at + 1
            }
            EQUAL => jump(loaded == op.k),
            ABOVE => jump(loaded > op.k),
            ANY_BIT => jump(loaded & op.k != 0),
            RETURN => return op.k,
            other => panic!("instruction {other:#x}"),
        };
    }
}

fn allowed(arch: Arch, number: u32, arguments: [u64; 6]) -> bool {
    match run(Filter::compile(&POLICY, arch).as_slice(), arch.audit(), number, arguments) {
        ALLOW => true,
        KILL => false,
        other => panic!("action {other:#x}"),
    }
}

/// Arguments with which every condition of a rule holds.
fn fitting(rule: &super::filter::Rule) -> [u64; 6] {
    let mut arguments = [0; 6];
    for condition in rule.conditions {
        arguments[usize::from(condition.argument)] = match condition.test {
            Test::OneOf(values) => u64::from(values[0]),
            Test::AtMost(most) => u64::from(most),
            Test::Within(bits) => u64::from(bits),
        };
    }
    arguments
}

#[test]
fn every_rule_allows_what_it_says_and_each_condition_bites() {
    for arch in ARCHES {
        for rule in &POLICY {
            let number = rule.call.number(arch);
            let good = fitting(rule);
            assert!(allowed(arch, number, good), "{} with {good:?} on {arch:?}", rule.call.name);
            for condition in rule.conditions {
                let at = usize::from(condition.argument);
                let mut bad = good;
                bad[at] = match condition.test {
                    Test::OneOf(values) => u64::from(*values.iter().max().expect("values")) + 1,
                    Test::AtMost(most) => u64::from(most) + 1,
                    Test::Within(bits) => u64::from(bits) + 1,
                };
                assert!(!allowed(arch, number, bad), "{} with {bad:?} on {arch:?}", rule.call.name);
                // The kernel looks at the high half of a long, so the filter must; of an int it does not.
                let mut high = good;
                high[at] |= 1 << 32;
                assert_eq!(
                    allowed(arch, number, high),
                    condition.width == Width::Word,
                    "{} with {high:?} on {arch:?}",
                    rule.call.name
                );
            }
        }
    }
}

#[test]
fn every_value_of_a_list_is_allowed() {
    for arch in ARCHES {
        for rule in &POLICY {
            for condition in rule.conditions {
                let Test::OneOf(values) = condition.test else { continue };
                for &value in values {
                    let mut arguments = fitting(rule);
                    arguments[usize::from(condition.argument)] = u64::from(value);
                    assert!(allowed(arch, rule.call.number(arch), arguments), "{} {value}", rule.call.name);
                }
            }
        }
    }
}

#[test]
fn every_other_number_is_killed() {
    for arch in ARCHES {
        let known: Vec<u32> = POLICY.iter().map(|rule| rule.call.number(arch)).collect();
        for number in (0..2_000).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            if !known.contains(&number) {
                assert!(!allowed(arch, number, [3; 6]), "{number} on {arch:?}");
            }
        }
        assert_eq!(
            known.iter().collect::<std::collections::BTreeSet<_>>().len(),
            POLICY.len(),
            "a number twice"
        );
    }
}

#[test]
fn another_architecture_is_killed_whatever_it_calls() {
    for arch in ARCHES {
        let filter = Filter::compile(&POLICY, arch);
        for audit in
            [0x4000_0003, 0x4000_0028, 0, if arch == Arch::X86_64 { 0xc000_00b7 } else { 0xc000_003e }]
        {
            for rule in &POLICY {
                assert_eq!(run(filter.as_slice(), audit, rule.call.number(arch), fitting(rule)), KILL);
            }
        }
    }
}

/// Calls that reach far when their arguments are free: each must say why it is allowed and under what condition.
#[test]
fn every_rule_has_a_reason_and_every_risky_one_a_condition() {
    const RISKY: [&str; 9] =
        ["read", "write", "ppoll", "mmap", "mprotect", "mremap", "madvise", "futex", "clock_gettime"];
    for rule in &POLICY {
        assert!(rule.reason.len() >= 20, "{} has no reason", rule.call.name);
        if RISKY.contains(&rule.call.name) {
            assert!(!rule.conditions.is_empty(), "{} is allowed with any argument", rule.call.name);
        }
    }
    for name in ["clone", "execve", "prctl", "ioctl", "open", "socket", "sendmsg", "kill", "tgkill", "close"]
    {
        assert!(POLICY.iter().all(|rule| !rule.call.name.starts_with(name)), "{name} must not be allowed");
    }
}

#[test]
fn the_numbers_are_those_of_the_c_library() {
    let here: [(&str, libc::c_long); 16] = [
        ("read", libc::SYS_read),
        ("write", libc::SYS_write),
        ("ppoll", libc::SYS_ppoll),
        ("clock_gettime", libc::SYS_clock_gettime),
        ("mmap", libc::SYS_mmap),
        ("mprotect", libc::SYS_mprotect),
        ("munmap", libc::SYS_munmap),
        ("brk", libc::SYS_brk),
        ("mremap", libc::SYS_mremap),
        ("madvise", libc::SYS_madvise),
        ("futex", libc::SYS_futex),
        ("getrandom", libc::SYS_getrandom),
        ("exit_group", libc::SYS_exit_group),
        ("rt_sigreturn", libc::SYS_rt_sigreturn),
        ("restart_syscall", libc::SYS_restart_syscall),
        ("sigaltstack", libc::SYS_sigaltstack),
    ];
    for (rule, (name, number)) in POLICY.iter().zip(here) {
        assert_eq!((rule.call.name, i64::from(rule.call.number(Arch::HERE))), (name, number));
    }
}

#[test]
fn the_filter_in_the_program_is_this_policy_and_stays_small() {
    assert_eq!(FILTER.as_slice(), Filter::compile(&POLICY, Arch::HERE).as_slice());
    assert!(FILTER.as_slice().len() <= 150, "{} instructions", FILTER.as_slice().len());
}

#[test]
fn there_are_enough_escapes_and_each_has_its_own_name() {
    let count = super::escape::count();
    assert!(count >= 128, "{count} escapes");
    let names: std::collections::BTreeSet<_> = (0..count).filter_map(super::escape::name).collect();
    assert_eq!(names.len(), count);
    assert!(names.iter().all(|name| !name.contains(['\t', '\n'])));
}

/// The table of gains is what the other tests believe: what goes out of the process may not be in it.
#[test]
fn an_escape_that_goes_out_of_its_process_has_no_gain() {
    const OUT: [&str; 36] = [
        "openat /etc/passwd",
        "openat / as a folder",
        "openat ../",
        "openat a ",
        "openat /proc",
        "openat /dev",
        "openat2",
        "open_by_handle_at",
        "mkdirat",
        "mknodat",
        "unlinkat",
        "renameat2",
        "linkat",
        "symlinkat",
        "truncate",
        "fanotify_init",
        "connect ",
        "send ",
        "socket raw",
        "socket packet",
        "clone",
        "fork",
        "execve",
        "ptrace seize",
        "kill a stranger",
        "setuid",
        "setres",
        "setgroups",
        "capset",
        "unshare",
        "setns",
        "mount",
        "pivot_root",
        "bpf",
        "init_module",
        "reboot",
    ];
    for number in 0..super::escape::count() {
        let name = super::escape::name(number).unwrap_or_default();
        if OUT.iter().any(|start| name.starts_with(start)) {
            assert_eq!(super::escape::gain(name), "", "{name}");
        }
    }
}

#[test]
fn every_gain_is_of_an_escape() {
    let source = include_str!("escape/gain.rs");
    let (_, table) = source.split_once("match name {").expect("the table");
    let names: std::collections::BTreeSet<_> =
        (0..super::escape::count()).filter_map(super::escape::name).collect();
    for quoted in table.split('"').skip(1).step_by(2).filter(|text| !text.is_empty()) {
        assert!(names.contains(quoted), "{quoted}");
    }
}

/// The library's own would make a call that kills the worker where the clock is not in shared memory.
#[test]
fn the_clock_that_the_engine_asks_is_ours() {
    let ours = [super::gettimeofday as *const (), super::time as *const ()];
    assert_eq!([libc::gettimeofday as *const (), libc::time as *const ()], ours);
}
