//! Clocks, randomness, the socket, the end: what a process asks the system.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CPU time that this thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Monotonic time in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Ends the process at once, without anything that might write or signal.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(code) }
}

/// The socket to the kernel: descriptor 3, put there by the launcher.
///
/// Call it once: two owners of one descriptor would close it under each other.
#[must_use]
pub fn kernel_socket() -> File {
    // SAFETY: the launcher leaves exactly one end of the socket pair open there; nothing else owns it.
    unsafe { File::from_raw_fd(3) }
}

/// Has a read from `socket` for which nothing comes in so many milliseconds end with `WouldBlock`. Unlike a wait
/// before each read it costs no system call.
///
/// # Errors
/// When the system refuses.
pub fn limit_reads(socket: &File, ms: u32) -> std::io::Result<()> {
    let time = libc::timeval {
        tv_sec: libc::time_t::from(ms / 1000),
        tv_usec: libc::suseconds_t::from(ms % 1000) * 1000,
    };
    let bytes = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `time`.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            bytes,
        )
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Waits until `socket` can be read, at most `timeout_ns`. False: the time is over.
///
/// # Errors
/// When the system refuses to wait.
pub fn wait_readable(socket: &File, timeout_ns: u64) -> std::io::Result<bool> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: one valid pollfd, a valid timespec, no signal mask.
    match unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match std::io::Error::last_os_error() {
            error if error.kind() == std::io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// Fills `into` from the kernel's generator by its system call alone: there is no file to open in the sandbox.
pub fn random(into: &mut [u8]) {
    for chunk in into.chunks_mut(256) {
        // Up to 256 bytes come whole and uninterrupted once the kernel's pool is ready, which it is when a
        // server runs.
        // SAFETY: the pointer and length are the chunk's.
        let got = unsafe { libc::getrandom(chunk.as_mut_ptr().cast(), chunk.len(), 0) };
        assert_eq!(usize::try_from(got), Ok(chunk.len()), "the kernel gives random bytes");
    }
}
