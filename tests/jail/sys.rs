//! The `unsafe` lines of these tests: descriptors that a jailed process has by number only.
#![expect(unsafe_code, reason = "they are inherited, not made")]

use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

/// Descriptor 3.
pub(crate) fn socket() -> BorrowedFd<'static> {
    // SAFETY: the launcher puts the socket there before this program starts, and nobody closes it.
    unsafe { BorrowedFd::borrow_raw(3) }
}

/// Puts the socket at standard output too.
pub(crate) fn replace_standard_output() {
    // SAFETY: open since before this program started; never dropped, so nobody sees it closed.
    let mut output = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(1) });
    rustix::io::dup2(socket(), &mut output).expect("standard output replaced");
}

/// Closes what a process that opens connections to elsewhere is handed, as the real one does before its lock.
pub(crate) fn close_what_was_handed() {
    for number in 4..8 {
        // SAFETY: the launcher puts files there before this program starts, and nobody else here knows them.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
}
