//! From clone to exec: what a new process gives up, in order. Each step says why it stands where it stands; the
//! order was tried and measured, and a step that fails ends the process before any program runs.
//!
//! Runs in the child, on a copy of the launcher's only thread. It reads nothing but its plan.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, LinkNameSpaceType};

use crate::sys;

use super::outward::Outward;
use super::profile::Jail;

/// Number of a step, as in a refusal.
pub(super) type Step = u8;

/// Steps of the set-up.
pub(super) mod step {
    use super::Step;
    /// Waiting for the launcher to put the process into its v1 groups.
    pub(in crate::jail) const JOIN: Step = 1;
    /// Network and IPC namespaces.
    pub(in crate::jail) const NAMESPACES: Step = 3;
    /// Death with the launcher, own session, no file mode, first to die when memory runs out.
    pub(in crate::jail) const SESSION: Step = 4;
    /// Descriptors.
    pub(in crate::jail) const DESCRIPTORS: Step = 5;
    /// Empty root.
    pub(in crate::jail) const ROOT: Step = 6;
    /// Resource limits.
    pub(in crate::jail) const LIMITS: Step = 7;
    /// Capabilities and user.
    pub(in crate::jail) const USER: Step = 8;
    /// No new privileges.
    pub(in crate::jail) const PRIVILEGES: Step = 9;
    /// The program.
    pub(in crate::jail) const EXEC: Step = 10;
    /// Died between exec and Ready: its own lock-down.
    pub(in crate::jail) const LOCK: Step = 12;
}

/// What a child needs to know.
pub(super) struct Plan<'a> {
    pub(super) jail: Jail,
    /// Its arguments.
    pub(super) arguments: &'a [&'a CStr],
    /// It opens connections to elsewhere.
    pub(super) outward: Option<&'a Outward>,
    /// The program.
    pub(super) exe: BorrowedFd<'a>,
    /// Its end of the socket.
    pub(super) socket: BorrowedFd<'a>,
    /// Where a failure is told; closed by exec.
    pub(super) status: BorrowedFd<'a>,
    /// `/dev/null`
    pub(super) null: BorrowedFd<'a>,
    /// Wait until the launcher says go.
    pub(super) wait: bool,
    /// What only a privileged launcher can take away.
    pub(super) privileged: Option<Privileged<'a>>,
}

/// See [`Plan::privileged`].
pub(super) struct Privileged<'a> {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The shared empty network namespace; none: it stays in the machine's.
    pub(super) network: Option<BorrowedFd<'a>>,
    /// The shared empty IPC namespace.
    pub(super) ipc: BorrowedFd<'a>,
}

/// A step that failed.
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) errno: i32,
}

pub(super) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failed>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failed> {
        self.map_err(|error| Failed { step, errno: error.into().raw_os_error().unwrap_or(0) })
    }
}

/// Never returns: exec, or the failure told and exit.
pub(super) fn run(plan: &Plan<'_>) -> ! {
    let Err(failed) = try_run(plan);
    report(plan.status, &failed)
}

/// Tells a failed step to the launcher and ends.
pub(super) fn report(status: BorrowedFd<'_>, failed: &Failed) -> ! {
    let mut message = [failed.step, 0, 0, 0, 0];
    message[1..].copy_from_slice(&failed.errno.to_le_bytes());
    let _ = rustix::net::send(status, &message, rustix::net::SendFlags::empty());
    // Not a return: this is a copy of the launcher, whose destructors are not for it to run.
    sys::exit(127)
}

/// Reads what [`report`] told.
pub(super) fn read_report(message: &[u8]) -> Option<Failed> {
    let (&step, errno) = message.split_first()?;
    Some(Failed { step, errno: i32::from_le_bytes(errno.try_into().ok()?) })
}

fn try_run(plan: &Plan<'_>) -> Result<std::convert::Infallible, Failed> {
    // 4. First of all: from here on the launcher's death is this process's.
    die_with_parent().at(step::SESSION)?;
    if plan.wait {
        // The v1 groups are joined from outside; nothing may run before their caps hold.
        wait_for_go(plan.status).at(step::JOIN)?;
    }
    if let Some(privileged) = &plan.privileged {
        // 3. While there is the right to: namespaces that hold nothing, made once for all processes. A fresh
        //    network namespace each time costs 0.4 ms and now and then 6.
        if let Some(network) = privileged.network {
            enter(network, LinkNameSpaceType::Network).at(step::NAMESPACES)?;
        }
        enter(privileged.ipc, LinkNameSpaceType::InterProcessCommunication).at(step::NAMESPACES)?;
    }
    // 4. No terminal, no process group of the launcher's; files that it could make would have no mode.
    rustix::process::setsid().at(step::SESSION)?;
    rustix::process::umask(Mode::from_raw_mode(0o777));
    // While /proc is there: when memory runs out, jailed processes go before everything else.
    first_to_die().at(step::SESSION)?;
    // 5. Landlock does not revoke what is open: three times nothing, one socket, the rest closed by exec.
    descriptors(plan).at(step::DESCRIPTORS)?;
    if plan.privileged.is_some() {
        // 6. Before Landlock, under which nothing can be mounted.
        empty_root().at(step::ROOT)?;
    }
    // 7. Not the number of processes yet: with it, the second process of a uid fails at exec.
    limits(&plan.jail).at(step::LIMITS)?;
    // 8. Capabilities while there is the right to drop them from the bounding set, then the user.
    if let Some(privileged) = &plan.privileged {
        become_nobody(privileged.uid, privileged.gid).at(step::USER)?;
    }
    // 9. Once more: setresuid cleared it.
    die_with_parent().at(step::PRIVILEGES)?;
    //    Without it neither Landlock nor seccomp can be put on.
    rustix::thread::set_no_new_privs(true).at(step::PRIVILEGES)?;
    sys::unblock_signals().at(step::PRIVILEGES)?;
    // 10. A fresh program: new address-space randomness, nothing of the launcher's memory. No environment.
    Err(sys::exec(plan.exe, plan.arguments, &[])).at(step::EXEC)
}

/// The kernel kills this process when the thread that made it ends.
pub(super) fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

fn wait_for_go(status: BorrowedFd<'_>) -> io::Result<()> {
    let mut go = [0u8; 1];
    match rustix::net::recv(status, &mut go, rustix::net::RecvFlags::empty())? {
        (1, _) => Ok(()),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn enter(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace, Some(kind))?)
}

fn first_to_die() -> io::Result<()> {
    let file =
        rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, b"1000")?;
    Ok(())
}

fn descriptors(plan: &Plan<'_>) -> io::Result<()> {
    // The launcher keeps its own descriptors above these numbers, so that none is overwritten here.
    for number in 0..3 {
        sys::place(plan.null, number)?;
    }
    // While there are files to be opened.
    let files = plan.outward.map(|outward| outward.open(plan.null)).transpose()?;
    sys::place(plan.socket, 3)?;
    let mut first = 4;
    for file in files.iter().flatten() {
        sys::place(file.as_fd(), first)?;
        first += 1;
    }
    // Not closed: their numbers are above what exec keeps.
    std::mem::forget(files);
    sys::close_on_exec_from(first)
}

fn empty_root() -> io::Result<()> {
    // Nothing that happens here may show outside.
    rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let nothing = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Any folder that is surely there will do; it becomes the root.
    rustix::mount::mount(c"fazt", c"/proc", c"tmpfs", nothing, c"size=4k,nr_inodes=2,mode=0555")?;
    rustix::process::chdir(c"/proc")?;
    rustix::process::pivot_root(c".", c".")?;
    // The old root lies over the new one at the same place; it goes, with everything mounted in it.
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    rustix::mount::mount_remount(c"/", nothing | MountFlags::RDONLY, c"")?;
    // A process whose root is not the root of its mounts may make no user namespace, in which it would hold every
    // capability again. So the same emptiness lies once more over its root, which stays the one below.
    rustix::mount::mount_bind(c"/", c"/")?;
    Ok(rustix::system::sethostname(b"app")?)
}

fn limits(jail: &Jail) -> io::Result<()> {
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, jail.file_bytes_max),
        (Resource::Nofile, jail.files),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Sigpending, 16),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
        (Resource::Stack, 8 << 20),
        (Resource::As, jail.address_space_bytes),
    ] {
        // A limit that is tighter already stays.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// No capability in any set, and another user, for good.
pub(super) fn become_nobody(uid: u32, gid: u32) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    // Every number: a machine may lack one in the middle, and the next must go all the same.
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // A number that this kernel does not have.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Root's number alone gives nothing any more, even to a program that would get it.
    rustix::thread::set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    // Keys of whoever started the server could be read by whoever possesses their keyring. Now, so that the new
    // one counts for its own user: a user may have 200 keys.
    sys::own_keyring()?;
    // A launcher that is not uid 0 keeps its capabilities over setresuid; nobody else does.
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    Ok(())
}

/// Moves a descriptor to a number that no child overwrites.
pub(super) fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    /// Numbers below are placed in children: 0 to 3 in jailed ones, and the supervisor's inheritance.
    const FIRST: i32 = 64;
    Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), FIRST)?)
}
