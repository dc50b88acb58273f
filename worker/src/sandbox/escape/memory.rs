//! Escapes through memory: code made at run time, mappings of the program replaced, other gates of the kernel.

use super::super::sys;
use super::{ALL, attacks, call, room};

const PAGE: u64 = 4096;
const PRIVATE_ANONYMOUS: u64 = 0x22;
/// Two pages that may be written.
fn pages() -> u64 {
    call(libc::SYS_mmap, &[0, 2 * PAGE, 3, PRIVATE_ANONYMOUS, ALL, 0]).cast_unsigned()
}

/// An address inside the program's code, on a page.
fn code() -> u64 {
    (code as fn() -> u64) as usize as u64 & !(PAGE - 1)
}

#[cfg(target_arch = "x86_64")]
mod gates {
    use super::{call, room, sys};

    pub(super) fn i386(number: u32, first: u32) -> i64 {
        sys::raw_i386(number, first, 0)
    }
    pub(super) fn x32(number: libc::c_long) -> i64 {
        call(0x4000_0000 | number, &[3, room(), 1])
    }
    pub(super) fn old(number: libc::c_long, arguments: &[u64]) -> i64 {
        call(number, arguments)
    }
    pub(super) const OPEN: libc::c_long = libc::SYS_open;
    pub(super) const CREAT: libc::c_long = libc::SYS_creat;
    pub(super) const FORK: libc::c_long = libc::SYS_fork;
    pub(super) const VFORK: libc::c_long = libc::SYS_vfork;
    pub(super) const MODIFY_LDT: libc::c_long = libc::SYS_modify_ldt;
    pub(super) const ARCH_PRCTL: libc::c_long = libc::SYS_arch_prctl;
    pub(super) const IOPL: libc::c_long = libc::SYS_iopl;
    pub(super) const IOPERM: libc::c_long = libc::SYS_ioperm;
    pub(super) const DUP2: libc::c_long = libc::SYS_dup2;
    pub(super) const POLL: libc::c_long = libc::SYS_poll;
    pub(super) const SELECT: libc::c_long = libc::SYS_select;
    pub(super) const EPOLL_CREATE: libc::c_long = libc::SYS_epoll_create;
    pub(super) const ALARM: libc::c_long = libc::SYS_alarm;
    pub(super) const TIME: libc::c_long = libc::SYS_time;
}

/// Calls that this processor does not have end as a number that no call has.
#[cfg(not(target_arch = "x86_64"))]
mod gates {
    use super::call;

    const NONE: libc::c_long = 0xffff;
    pub(super) fn i386(_: u32, _: u32) -> i64 {
        call(NONE, &[])
    }
    pub(super) fn x32(_: libc::c_long) -> i64 {
        call(NONE, &[])
    }
    pub(super) fn old(_: libc::c_long, arguments: &[u64]) -> i64 {
        call(NONE, arguments)
    }
    pub(super) const OPEN: libc::c_long = NONE;
    pub(super) const CREAT: libc::c_long = NONE;
    pub(super) const FORK: libc::c_long = NONE;
    pub(super) const VFORK: libc::c_long = NONE;
    pub(super) const MODIFY_LDT: libc::c_long = NONE;
    pub(super) const ARCH_PRCTL: libc::c_long = NONE;
    pub(super) const IOPL: libc::c_long = NONE;
    pub(super) const IOPERM: libc::c_long = NONE;
    pub(super) const DUP2: libc::c_long = NONE;
    pub(super) const POLL: libc::c_long = NONE;
    pub(super) const SELECT: libc::c_long = NONE;
    pub(super) const EPOLL_CREATE: libc::c_long = NONE;
    pub(super) const ALARM: libc::c_long = NONE;
    pub(super) const TIME: libc::c_long = NONE;
}
use gates::{i386, old, x32};

attacks! {
    "mmap code" => call(libc::SYS_mmap, &[0, PAGE, 7, PRIVATE_ANONYMOUS, ALL, 0]),
    "mmap code, read only" => call(libc::SYS_mmap, &[0, PAGE, 5, PRIVATE_ANONYMOUS, ALL, 0]),
    "mmap code by the high half" => call(libc::SYS_mmap, &[0, PAGE, 0x4_0000_0003, PRIVATE_ANONYMOUS, ALL, 0]),
    "mmap shared" => call(libc::SYS_mmap, &[0, PAGE, 3, 0x21, ALL, 0]),
    "mmap of the socket" => call(libc::SYS_mmap, &[0, PAGE, 3, 0x02, 3, 0]),
    "mmap fixed over the program" => call(libc::SYS_mmap, &[code(), PAGE, 3, PRIVATE_ANONYMOUS | 0x10, ALL, 0]),
    "mmap at address zero" => call(libc::SYS_mmap, &[0, PAGE, 3, PRIVATE_ANONYMOUS | 0x10, ALL, 0]),
    "mmap growing down" => call(libc::SYS_mmap, &[0, PAGE, 3, PRIVATE_ANONYMOUS | 0x100, ALL, 0]),
    "mmap locked" => call(libc::SYS_mmap, &[0, PAGE, 3, PRIVATE_ANONYMOUS | 0x2000, ALL, 0]),
    "mmap populated" => call(libc::SYS_mmap, &[0, PAGE, 3, PRIVATE_ANONYMOUS | 0x8000, ALL, 0]),
    "mmap huge pages" => call(libc::SYS_mmap, &[0, 0x20_0000, 3, PRIVATE_ANONYMOUS | 0x4_0000, ALL, 0]),
    "mprotect data to code" => call(libc::SYS_mprotect, &[pages(), PAGE, 5]),
    "mprotect data to writable code" => call(libc::SYS_mprotect, &[pages(), PAGE, 7]),
    "mprotect code to writable code" => call(libc::SYS_mprotect, &[code(), PAGE, 7]),
    "mprotect growing down" => call(libc::SYS_mprotect, &[pages(), PAGE, 0x0100_0005]),
    "pkey_mprotect" => call(libc::SYS_pkey_mprotect, &[pages(), PAGE, 7, ALL]),
    "pkey_alloc" => call(libc::SYS_pkey_alloc, &[0, 0]),
    "mremap fixed over the program" => call(libc::SYS_mremap, &[pages(), PAGE, PAGE, 3, code()]),
    "mremap and keep" => call(libc::SYS_mremap, &[pages(), PAGE, PAGE, 5, 0]),
    "remap_file_pages" => call(libc::SYS_remap_file_pages, &[pages(), PAGE, 0, 0, 0]),
    "madvise MADV_HUGEPAGE" => call(libc::SYS_madvise, &[pages(), PAGE, 14]),
    "madvise MADV_REMOVE" => call(libc::SYS_madvise, &[pages(), PAGE, 9]),
    "madvise MADV_HWPOISON" => call(libc::SYS_madvise, &[pages(), PAGE, 100]),
    "mlock" => call(libc::SYS_mlock, &[pages(), PAGE]),
    "mlockall" => call(libc::SYS_mlockall, &[3]),
    "msync" => call(libc::SYS_msync, &[pages(), PAGE, 4]),
    "mincore" => call(libc::SYS_mincore, &[pages(), PAGE, room()]),
    "mseal" => call(462, &[pages(), PAGE, 0]),
    "membarrier" => call(libc::SYS_membarrier, &[0, 0, 0]),
    "userfaultfd" => call(libc::SYS_userfaultfd, &[1]),
    "personality read implies exec" => call(libc::SYS_personality, &[0x0040_0000]),
    "futex lock with priority inheritance" => call(libc::SYS_futex, &[room(), 6, 0, 0, 0, 0]),
    "futex requeue with priority inheritance" => call(libc::SYS_futex, &[room(), 12, 1, 1, room() + 8, 0]),
    "futex wake with an operation" => call(libc::SYS_futex, &[room(), 5, 1, 1, room() + 8, 0]),
    "futex on another clock" => call(libc::SYS_futex, &[room(), 256 | 9, 1, 0, 0, 1]),
    "futex_waitv" => call(libc::SYS_futex_waitv, &[room(), 1, 0, 0, 1]),
    "rseq" => call(libc::SYS_rseq, &[room() + 64, 32, 0, 1]),
    "set_tid_address" => call(libc::SYS_set_tid_address, &[room()]),
    "get_mempolicy" => call(libc::SYS_get_mempolicy, &[room(), 0, 0, 0, 0]),
    "move_pages of another" => call(libc::SYS_move_pages, &[1, 1, room(), 0, room() + 64, 0]),
    "int 0x80 open" => i386(5, 0),
    "int 0x80 execve" => i386(11, 0),
    "int 0x80 getpid" => i386(20, 0),
    "int 0x80 exit by the number of exit_group" => i386(231, 0),
    "int 0x80 read by the number of read" => i386(0, 3),
    "x32 read" => x32(0),
    "x32 write" => x32(1),
    "x32 getpid" => x32(39),
    "x32 execve" => x32(520),
    "open" => old(gates::OPEN, &[super::path(c"/etc/passwd"), 0]),
    "creat" => old(gates::CREAT, &[super::path(c"/x"), 0o600]),
    "fork" => old(gates::FORK, &[]),
    "vfork" => old(gates::VFORK, &[]),
    "modify_ldt" => old(gates::MODIFY_LDT, &[1, room(), 16]),
    "arch_prctl" => old(gates::ARCH_PRCTL, &[0x1004, room()]),
    "iopl" => old(gates::IOPL, &[3]),
    "ioperm" => old(gates::IOPERM, &[0x80, 1, 1]),
    "dup2" => old(gates::DUP2, &[3, 0]),
    "poll" => old(gates::POLL, &[0, 0, 0]),
    "select" => old(gates::SELECT, &[0, 0, 0, 0, super::bytes(&[0; 16])]),
    "epoll_create" => old(gates::EPOLL_CREATE, &[1]),
    "alarm" => old(gates::ALARM, &[1]),
    "time" => old(gates::TIME, &[0]),
    "read the kernel's half of memory" => i64::from(sys::peek(0xffff_8000_0000_0000)),
}
