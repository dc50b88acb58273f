//! The system calls of the lock-down and of the escapes that test it. `unsafe` of the sandbox lives here.
#![expect(unsafe_code, reason = "system calls that no safe wrapper offers")]

use fazt_ipc::launch::{EXIT_MEMORY, EXIT_STACK};

use super::filter::Op;

fn check(result: libc::c_long) -> Result<i64, i32> {
    if result >= 0 {
        return Ok(result);
    }
    Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// `prctl` of an option that takes one number.
pub(super) fn prctl(option: i32, value: u64) -> Result<(), i32> {
    prctl2(option, value, 0)
}

/// `prctl` of an option that takes two numbers.
pub(super) fn prctl2(option: i32, first: u64, second: u64) -> Result<(), i32> {
    // SAFETY: callers in this module's parent pass only options whose arguments are numbers, so the kernel
    // neither reads nor writes memory.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, first, second, 0u64, 0u64) }).map(drop)
}

/// No further process or thread of this process.
pub(super) fn no_processes() -> Result<(), i32> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a whole `rlimit` that outlives the call, which only reads it.
    check(libc::c_long::from(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &none) })).map(drop)
}

/// Installs a filter on every thread; from now on it judges each call.
pub(super) fn seccomp(ops: &'static [Op]) -> Result<(), i32> {
    #[repr(C)]
    struct Program {
        count: libc::c_ushort,
        ops: *const Op,
    }
    let count = libc::c_ushort::try_from(ops.len()).map_err(|_| libc::E2BIG)?;
    let program = Program { count, ops: ops.as_ptr() };
    // SAFETY: `Program` has the layout of `sock_fprog` and `Op` that of `sock_filter`; both outlive the call,
    // which copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    // With TSYNC a positive number names a thread that could not be filtered.
    match check(result)? {
        0 => Ok(()),
        _ => Err(libc::EBUSY),
    }
}

/// Version of Landlock.
pub(super) fn landlock_abi() -> Result<i64, i32> {
    // SAFETY: with the flag VERSION (1) the kernel takes a null pointer and size 0, and touches no memory.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, 1u32) })
}

fn ruleset(rights: &[u64]) -> Result<i32, i32> {
    // SAFETY: `rights` is the prefix of `landlock_ruleset_attr` (words of 64 bits) of the size passed along;
    // the kernel only reads it.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, rights.as_ptr(), size_of_val(rights), 0u32)
    })?;
    i32::try_from(fd).map_err(|_| libc::EBADF)
}

fn close(fd: i32) {
    // SAFETY: callers pass a descriptor that they have just been given and use no more.
    unsafe { libc::close(fd) };
}

/// Whether the kernel knows all these rights.
pub(super) fn landlock_knows(rights: &[u64]) -> bool {
    ruleset(rights).map(close).is_ok()
}

/// Puts on a domain that handles `rights` and allows nothing.
pub(super) fn landlock_restrict(rights: &[u64]) -> Result<(), i32> {
    let fd = ruleset(rights)?;
    // SAFETY: takes two numbers.
    let result = check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd, 0u32) });
    close(fd);
    result.map(drop)
}

/// A system call as an attacker makes it: any number, any arguments. The result is the kernel's, negative for
/// an error.
pub(super) fn raw(number: i64, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: used by `escape` alone, in a locked process whose only purpose is to be killed for it; the
    // pointers it passes are to its own statics and to an arena that nothing else uses.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result >= 0 { result } else { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(1)) }
}

/// A system call through the gate of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub(super) fn raw_i386(number: u32, first: u32, second: u32) -> i64 {
    let result: i64;
    // SAFETY: as `raw`; every register that the gate may change is declared, `rbx` is restored.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inlateout("rax") i64::from(number) => result,
            in("rcx") u64::from(second),
            in("rdx") 0u64,
            in("rsi") 0u64,
            in("rdi") 0u64,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

/// Reads one byte of an address that is no object of this program.
pub(super) fn peek(address: usize) -> u8 {
    // SAFETY: used by `escape` alone, which wants the fault.
    unsafe { std::ptr::read_volatile(address as *const u8) }
}

/// Ends the process at once.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: takes a number; nothing of this process is used after it.
    unsafe { libc::_exit(code) }
}

// ------------------------------------------------------------------------------- ends that are no attack

/// libc's allocator for Rust's own memory. When there is no more the process ends: the library's own way is to print
/// and to abort, and the sandbox takes either for an attack.
#[derive(Debug)]
pub struct RustAllocator;

impl RustAllocator {
    fn got(pointer: *mut u8) -> *mut u8 {
        if pointer.is_null() { crate::sys::exit_now(EXIT_MEMORY) } else { pointer }
    }
}

// SAFETY: everything is left to the system's allocator, which keeps the promises of the trait.
unsafe impl std::alloc::GlobalAlloc for RustAllocator {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        Self::got(unsafe { std::alloc::System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        Self::got(unsafe { std::alloc::System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: std::alloc::Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        Self::got(unsafe { std::alloc::System.realloc(pointer, layout, new_size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: the caller's promise.
        unsafe { std::alloc::System.dealloc(pointer, layout) }
    }
}

/// Has a stack overflow end the process with [`EXIT_STACK`]. The library's own handler, whose alternate stack this one
/// runs on, prints and aborts. Any other fault stays what it is: a sign of an attack.
pub fn end_at_stack_overflow() {
    // SAFETY: a zeroed sigaction is a valid one; the handler has the signature that SA_SIGINFO means.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        let mut end = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_STACK, &raw mut end);
        let here = (&raw const action) as usize;
        let size = usize::try_from(end.rlim_cur).unwrap_or(STACK_ASSUMED).min(STACK_ASSUMED);
        STACK_LOW.store(here.saturating_sub(size), std::sync::atomic::Ordering::Relaxed);
    }
}

/// Where the stack of the main thread may reach down to, roughly.
static STACK_LOW: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
/// Stack of the main thread (`RLIMIT_STACK`).
const STACK_ASSUMED: usize = 8 << 20;
/// How far from its expected end an overflow faults.
const STACK_SLACK: usize = 1 << 20;

extern "C" fn on_fault(_: std::ffi::c_int, info: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {
    // SAFETY: the kernel passes valid information with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if address.abs_diff(STACK_LOW.load(std::sync::atomic::Ordering::Relaxed)) < STACK_SLACK {
        crate::sys::exit_now(EXIT_STACK);
    }
    // SAFETY: abort does not return.
    unsafe { libc::abort() }
}

// -------------------------------------------------------------------------------------------- the clock

/// The C library's clock, in its place. The library asks the kernel's page of shared code for it; where the machine's
/// clock cannot be read there (some virtual machines, and every user-mode kernel) it falls back to a system call of its
/// own that the sandbox takes for an attack. This one falls back to `clock_gettime`, which is allowed.
///
/// # Safety
/// `time` is null or may be written to.
// SAFETY: the name is the C library's, whose definition gives way to one of the program; it does the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, _zone: *mut libc::c_void) -> libc::c_int {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call; `time` by this function's contract.
    unsafe {
        if libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) != 0 {
            return -1;
        }
        if let Some(time) = time.as_mut() {
            *time = libc::timeval { tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1_000 };
        }
    }
    0
}

/// As [`gettimeofday`], in seconds.
///
/// # Safety
/// `out` is null or may be written to.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut libc::time_t) -> libc::time_t {
    let mut now = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: `now` outlives the call; `out` by this function's contract.
    unsafe {
        gettimeofday(&raw mut now, std::ptr::null_mut());
        if let Some(out) = out.as_mut() {
            *out = now.tv_sec;
        }
    }
    now.tv_sec
}
