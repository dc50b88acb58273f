//! The role's life: what it does before it is locked, and what after.

use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::engine::Engine;
use super::sys::{self, Files};
use fazt_ipc::store::limits::{CPU_GRACE, REQUEST_BYTES_MAX, TIDY_CPU};
use fazt_ipc::store::{FILES, FILES_TO_READ, Malformed, READY, length, read_request};

/// Numbers at which the two descriptors arrive: the lowest that are free, since nothing else is open. The policy
/// knows them.
pub(crate) const DATABASE: i32 = 4;
/// See [`DATABASE`].
pub(crate) const WAL: i32 = 5;

/// Why the role ended before its socket did.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket or a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The kernel said something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Before the lock-down: what the C library and SQLite would open or ask for later, and a lower turn at the CPU than
/// those who serve requests.
///
/// # Errors
/// When a step fails.
pub fn prepare() -> io::Result<()> {
    // A panic has nobody to tell: standard error is not among what may be written to.
    std::panic::set_hook(Box::new(|_| crate::sys::exit(fazt_ipc::launch::EXIT_PANIC)));
    sys::no_handlers();
    sys::know_time_zone();
    sys::no_files_of_its_own()?;
    sys::end_when_late()?;
    rustix::process::nice(5)?;
    Ok(())
}

/// Locked, and on: says so, takes the two files, gives up taking more, answers until the socket closes.
/// `descriptors_are_here` tightens the lock.
///
/// # Errors
/// When the socket fails, or the kernel says something else.
pub fn serve(
    socket: &mut std::fs::File,
    descriptors_are_here: impl FnOnce() -> io::Result<()>,
) -> Result<(), ServeError> {
    socket.write_all(READY)?;
    let files = take_files(socket.as_fd())?;
    descriptors_are_here()?;
    let files = sys::register(c"fazt", files)?;
    let mut engine = Engine::open(c"fazt", files)?;
    let mut buffer = Vec::new();
    while let Some(bytes) = next(socket, &mut buffer)? {
        let request = read_request(&buffer[..bytes])?;
        sys::arm(Duration::from_millis(u64::from(request.cpu_ms)) + CPU_GRACE)?;
        let answer = engine.answer(&request)?;
        // The change was made: that this takes its time is no fault of the statement.
        sys::arm(TIDY_CPU)?;
        engine.tidy();
        sys::arm(Duration::ZERO)?;
        socket.write_all(&answer)?;
        if buffer.capacity() > 256 * 1024 {
            buffer = Vec::new();
        }
    }
    engine.close();
    Ok(())
}

/// The next request into the buffer; `None`: there is none any more.
fn next(socket: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<usize>, ServeError> {
    let mut head = [0; 4];
    match socket.read(&mut head)? {
        0 => return Ok(None),
        some => socket.read_exact(&mut head[some..])?,
    }
    let bytes = length(head, REQUEST_BYTES_MAX)?;
    buffer.resize(bytes, 0);
    socket.read_exact(&mut buffer[..bytes])?;
    Ok(Some(bytes))
}

fn take_files(socket: std::os::fd::BorrowedFd<'_>) -> Result<Files, ServeError> {
    let mut word = [0; FILES.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let came = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut word)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(io::Error::from)?;
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let [database, wal] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| Malformed("not two descriptors"))?;
    let expected = (database.as_raw_fd(), wal.as_raw_fd()) == (DATABASE, WAL);
    let read_only = &word == FILES_TO_READ;
    if came.bytes == FILES.len() && (&word == FILES || read_only) && expected {
        Ok(Files::new(database, wal, read_only))
    } else {
        Err(Malformed("other descriptors").into())
    }
}
