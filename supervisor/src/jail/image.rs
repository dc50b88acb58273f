//! The programs that jailed processes run, and the namespaces that they share: made once, when the launcher
//! starts.

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

use crate::sys;

use super::child::above;
use super::limits::{SEAL_WAIT, SWEEP};

/// What begins a frame of zstd (RFC 8878, section 3.1.1), and no program.
const ZSTD: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Puts a program, or one compressed by zstd, into memory that nobody can change any more, not even the launcher.
pub(super) fn sealed(name: &str, bytes: &[u8], executable: bool) -> io::Result<OwnedFd> {
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let kind = if executable { MemfdFlags::EXEC } else { MemfdFlags::NOEXEC_SEAL };
    let memory = match rustix::fs::memfd_create(name, base | kind) {
        // Kernels before 6.3 know neither flag; there every memfd may be executed.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, base)?,
        other => other?,
    };
    let mut file = std::fs::File::from(memory);
    if bytes.starts_with(&ZSTD) {
        zstd::stream::copy_decode(bytes, &mut file)?;
    } else {
        file.write_all(bytes)?;
    }
    let memory = OwnedFd::from(file);
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    seal(&memory, seals)?;
    // A program that is open for writing cannot be run: opened again for reading, the first descriptor goes.
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    above(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Seals against writing. The kernel refuses with `EBUSY` while somebody holds a page of the file, and gives up
/// waiting after a tenth of a second: the reclaim of a busy machine can take longer over one.
fn seal(memory: &OwnedFd, seals: SealFlags) -> io::Result<()> {
    let start = std::time::Instant::now();
    loop {
        match rustix::fs::fcntl_add_seals(memory, seals) {
            Err(rustix::io::Errno::BUSY) if start.elapsed() < SEAL_WAIT => std::thread::sleep(SWEEP),
            other => return Ok(other?),
        }
    }
}

/// The program that is running, whatever has become of its path since.
pub(super) fn own() -> io::Result<OwnedFd> {
    above(rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// `/dev/null`
pub(super) fn null() -> io::Result<OwnedFd> {
    above(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Processes share their IPC namespace, so nothing may come into being there by which two of them could meet: no
/// memory segment, queue or semaphore. The limits belong to the namespace of the calling thread, and so does the
/// mount, which is for a unit in which `/proc/sys` is read-only. Where neither can be done, `proc doctor` says so.
fn allow_no_segments() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    let _ = mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .and_then(|()| mount(c"proc", c"/proc", c"proc", MountFlags::NOSUID | MountFlags::NODEV, None));
    for (file, none) in [("shmmni", "0"), ("msgmni", "0"), ("sem", "0 0 0 0")] {
        let _ = std::fs::write(format!("/proc/sys/kernel/{file}"), none);
    }
}

/// Namespaces in which there is nothing: no interface that is up, no socket, and nothing by which processes meet.
#[derive(Debug)]
pub(super) struct Spaces {
    pub(super) network: OwnedFd,
    pub(super) ipc: OwnedFd,
}

impl Spaces {
    /// Makes both in a thread that ends at once; the descriptors keep them alive.
    pub(super) fn make() -> io::Result<Self> {
        let made = std::thread::spawn(|| -> io::Result<Self> {
            sys::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWNS)?;
            allow_no_segments();
            let open = |name: &str| {
                let path = format!("/proc/thread-self/ns/{name}");
                above(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
            };
            Ok(Self { network: open("net")?, ipc: open("ipc")? })
        });
        made.join().map_err(|_| io::Error::other("the thread for the namespaces ended"))?
    }
}
