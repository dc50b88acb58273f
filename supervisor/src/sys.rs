//! Every `unsafe` line of this crate, behind safe functions: system calls of launcher, child and confinement that
//! no safe wrapper offers.
//!
//! Called by `jail`, `confine` and `kernel/rest.rs` only. No hostile byte comes here.
#![expect(unsafe_code, reason = "the one place of this crate where it is allowed")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result >= 0 { Ok(result) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that this process was started with. `None`: it is not open.
///
/// To be called once for each number, before anything else of the process opens or owns descriptors.
pub(crate) fn take_inherited(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer; it fails for a number that is not open.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: sets a flag of the descriptor, which is open as was just seen.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: open, and by this function's contract nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One side of [`clone3`].
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The caller, with the child's number and a descriptor for it.
    Parent(Pid, OwnedFd),
}

/// Makes a process that is a copy of this one, with the namespaces of `flags`, in the cgroup `leaf`.
///
/// The caller has one thread, so that the copy may go on as any process; it must end in an exec or an exit.
pub(crate) fn clone3(flags: u64, leaf: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    /// `struct clone_args`, version 2.
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut arguments = Arguments {
        flags: flags | CLONE_CLEAR_SIGHAND | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Arguments::default()
    };
    if let Some(leaf) = leaf {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = leaf.as_raw_fd() as u64;
    }
    // SAFETY: `arguments` has the kernel's layout and size; without CLONE_VM the child runs on a copy of this
    // stack, as after fork, and with one thread no lock is held by anybody.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) })?;
    match Pid::from_raw(i32::try_from(pid).unwrap_or(0)) {
        None => Ok(Cloned::Child),
        // SAFETY: the kernel has just put an open descriptor there, and nobody else knows it.
        Some(pid) => Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Runs the program behind `exe`. Returns only when that fails.
pub(crate) fn exec(exe: BorrowedFd<'_>, arguments: &[&CStr], environment: &[&CStr]) -> io::Error {
    let list = |texts: &[&CStr]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (list(arguments), list(environment));
    // SAFETY: both lists end in a null pointer and hold pointers to strings that live until the call returns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            exe.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Ends the process at once, with nothing of its own run.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: takes a number; nothing of this process is used after it.
    unsafe { libc::_exit(code) }
}

/// Puts `fd` at the number `to`, to stay open over an exec. Whatever was there is closed: only for a process that
/// is about to exec and uses nothing of what it had at low numbers.
pub(crate) fn place(fd: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: takes two numbers. By this function's contract nothing that owns `to` is used again.
    check(libc::c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), to) })).map(drop)
}

/// Has the system take the memory of bytes that will hardly be read again, if it can get them back from the
/// program's file. Best effort: kernels before 5.4 do not know the advice.
pub(crate) fn page_out(bytes: &[u8]) {
    advise(bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len(), libc::MADV_PAGEOUT);
}

/// Lets go of this program's code and constants: what is used again comes back page by page from the page cache.
/// For a process whose start took much code that it never runs again.
pub(crate) fn forget_code() {
    unsafe extern "C" {
        /// First byte of the program as loaded; made by the linker.
        static __executable_start: u8;
        /// End of its code; made by the linker. What lies between is constants and code, in this order.
        static etext: u8;
    }
    advise((&raw const __executable_start) as usize, (&raw const etext) as usize, libc::MADV_DONTNEED);
}

/// Advises on the whole pages between two addresses: of memory whose content the advice does not change.
fn advise(from: usize, to: usize, advice: libc::c_int) {
    const PAGE: usize = 4096;
    let (first, end) = (from.next_multiple_of(PAGE), to / PAGE * PAGE);
    if first < end {
        // SAFETY: PAGEOUT never changes what memory holds. DONTNEED is given for constants and code alone, a
        // private mapping of the program's file that was never writable: it is read from the file again.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, advice) };
    }
}

/// Gives free pages of the C library's heaps back to the system.
pub(crate) fn trim_heap() {
    // SAFETY: takes a number.
    unsafe { libc::malloc_trim(0) };
}

/// CPU time of this process, in milliseconds. By libc: rustix looks functions up in the vDSO that some kernels
/// (user-mode Linux) do not have, and panics.
pub(crate) fn cpu_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, live for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1000 + time.tv_nsec.cast_unsigned() / 1_000_000
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: takes three numbers.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Moves the calling thread into new namespaces of its own.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: callers pass namespace flags only, never CLONE_FILES.
    check(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Blocks the signals that the launcher reads from a descriptor, and opens that descriptor.
pub(crate) fn signals(which: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: a `sigset_t` of zeros is a value; `sigemptyset` makes it the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a whole `sigset_t`; the numbers are of signals.
    unsafe {
        libc::sigemptyset(&mut set);
        for &signal in which {
            libc::sigaddset(&mut set, signal);
        }
    }
    // SAFETY: reads `set`; the old mask is not asked for.
    check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) }))?;
    // SAFETY: reads `set`; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(libc::c_long::from(fd))?;
    // SAFETY: open, new, and known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Unblocks every signal: a child has its parent's mask, and keeps it over an exec.
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: as in `signals`.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a whole `sigset_t`.
    unsafe { libc::sigemptyset(&mut set) };
    // SAFETY: reads `set`; the old mask is not asked for.
    check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) }))
        .map(drop)
}

/// Leaves the keyring that this process was started with for an empty one of its own. A kernel without keys
/// has nothing to leave; where the call is forbidden, in a container, it is so for every later program too.
pub(crate) fn own_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_ulong = 1;
    // SAFETY: a null name asks for a new keyring without one; nothing is read or written.
    let result = check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0usize) });
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        other => other.map(drop),
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, or -1.
    pub(crate) code: i32,
    /// Signal, or 0.
    pub(crate) signal: i32,
    /// CPU time, user and system.
    pub(crate) cpu_us: u64,
    /// Highest resident memory.
    pub(crate) memory_bytes_peak: u64,
}

/// Reaps the child behind `pidfd` if it has ended.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    // SAFETY: both structures are plain numbers, for which zeros are values.
    let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills both structures, which outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_raw_fd(),
            &raw mut info,
            libc::WEXITED | libc::WNOHANG,
            &raw mut usage,
        )
    })?;
    // SAFETY: `waitid` fills the fields of SIGCHLD, or leaves the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let us = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    let exited = info.si_code == libc::CLD_EXITED;
    Ok(Some(Exit {
        code: if exited { status } else { -1 },
        signal: if exited { 0 } else { status },
        cpu_us: us(usage.ru_utime) + us(usage.ru_stime),
        memory_bytes_peak: usage.ru_maxrss.unsigned_abs() * 1024,
    }))
}

/// One instruction of a filter, laid out as the kernel's `sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Op {
    /// What to do.
    pub(crate) code: u16,
    /// Instructions to skip when a test holds.
    pub(crate) then: u8,
    /// Instructions to skip when it does not.
    pub(crate) or_else: u8,
    /// Constant.
    pub(crate) k: u32,
}

/// Installs a filter of system calls on every thread. Needs no-new-privileges.
pub(crate) fn seccomp(ops: &[Op]) -> io::Result<()> {
    install(ops, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

/// Makes every sync fail that this thread asks for, or one that it starts, as on a disk that fails.
#[cfg(test)]
pub(crate) fn syncs_fail_here() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let op = |code, then, or_else, k| Op { code, then, or_else, k };
    let number = |number: libc::c_long| u32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput);
    let ops = [
        op(0x20, 0, 0, 0),
        op(0x15, 1, 0, number(libc::SYS_fsync)?),
        op(0x15, 0, 1, number(libc::SYS_fdatasync)?),
        op(0x06, 0, 0, 0x0005_0000 | libc::EIO.unsigned_abs()),
        op(0x06, 0, 0, 0x7fff_0000),
    ];
    install(&ops, 0)
}

fn install(ops: &[Op], flags: libc::c_ulong) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        count: libc::c_ushort,
        ops: *const Op,
    }
    let count = libc::c_ushort::try_from(ops.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { count, ops: ops.as_ptr() };
    // SAFETY: `Program` has the layout of `sock_fprog` and `Op` that of `sock_filter`; both outlive the call,
    // which copies them.
    let result = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })?;
    // With TSYNC a positive number names a thread that could not be filtered.
    if result == 0 { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

/// Whether the kernel knows an action of seccomp.
pub(crate) fn seccomp_knows(action: u32) -> bool {
    // SAFETY: the kernel reads the one number that the pointer leads to.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) };
    result == 0
}

/// Version of Landlock; 0: none.
pub(crate) fn landlock_abi() -> u8 {
    // SAFETY: with the flag VERSION (1) the kernel takes a null pointer and size 0, and touches no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, 1u32) };
    u8::try_from(abi.max(0)).unwrap_or(u8::MAX)
}

/// From now on no page of this process that could be written becomes code. Kernels before 6.3 do not know it.
pub(crate) fn refuse_new_code() -> io::Result<()> {
    // SAFETY: takes numbers.
    let result = check(unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    });
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.map(drop),
    }
}
