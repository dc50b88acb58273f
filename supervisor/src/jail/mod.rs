//! The launcher: makes, checks, limits and kills locked processes. Knows nothing of the kernel.
//!
//! The main process of `fazt proc start` becomes the launcher by [`run`]; it starts the supervisor, which takes
//! over what it was given by [`inherited`]. The launcher is the only holder of capabilities. It never reads a
//! byte of the network or of an app: what reaches it are packets of fixed size from the supervisor
//! ([`fazt_ipc::launch`]), hostile once the supervisor is broken, and what the kernel says of processes.
//!
//! ```text
//! run ─ probe ─ judge ─▶ refuse, or
//!       image, shared namespaces, cgroup tree (leaves of an earlier life removed)
//!       ┌─▶ supervisor ─ poll: orders · failures of set-up · Ready · exits · signals ─┐
//!       └──────── it died: kill every process it asked for, back off ◀───────────────┘─▶ exit with its code
//! ```

mod cgroup;
mod child;
mod handover;
mod image;
mod launcher;
mod layers;
mod limits;
mod notify;
mod outward;
mod profile;
mod spawn;
mod supervise;
mod user;
mod verify;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys;

use cgroup::{Place, Tree};
use child::above;
use image::Spaces;
use launcher::Launcher;
use layers::Probe;
use outward::Outward;
use spawn::Means;
use supervise::Recipe;
use user::User;

pub use handover::{Facts, Inherited, SignOfLife, inherited};

/// First argument by which the program knows that the launcher started it as the supervisor.
pub const SUPERVISE: &str = "__supervise";
/// First argument by which the program knows that it runs in a build jail: fd 3 is its socket, and it locks
/// itself down before it reads a byte of it.
pub const BUILD: &str = "__build";
/// First argument by which the program knows that it runs in a store jail: as with [`BUILD`].
pub const STORE: &str = "__store";
/// First argument by which the program knows that it opens connections to elsewhere: fd 3 is its socket, 4 to 7 are
/// files that it reads and closes before it locks itself down.
pub const EGRESS: &str = "__egress";

/// What the launcher is given.
#[derive(Debug)]
pub struct LaunchOptions {
    /// The worker program, as embedded.
    pub worker_image: &'static [u8],
    /// Listening sockets, bound while there was the right to. They outlive every supervisor.
    pub listeners: Vec<OwnedFd>,
    /// The data folder. Belongs to the supervisor's user.
    pub data: PathBuf,
    /// Layers may be missing for an ordinary user.
    pub dev: bool,
    /// Layers that may be missing for root: `sandbox.allow_missing` of config.toml.
    pub allow_missing: Vec<String>,
    /// Arguments of the supervisor after [`SUPERVISE`].
    pub supervisor_args: Vec<String>,
    /// Arguments of egress after [`EGRESS`].
    pub egress_args: Vec<String>,
}

/// Why there is no launcher, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A step of the start failed.
    #[error("{what}: {error}")]
    Start {
        /// Which step.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The configuration allows something to be missing that may not be.
    #[error("sandbox.allow_missing of config.toml: {0}")]
    Names(String),
    /// The sandbox is not whole and nobody allowed that.
    #[error("this machine lacks a layer of the sandbox:\n{0}")]
    Missing(String),
    /// The supervisor sent something that is no order.
    #[error("the supervisor sent a malformed order: everything was stopped")]
    Malformed,
    /// What the launcher hands to the supervisor is not there.
    #[error("not started by the launcher: {0}")]
    NotInherited(&'static str),
}

fn start_error<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> JailError {
    move |error| JailError::Start { what: what.to_owned(), error: error.into() }
}

/// Becomes the launcher: starts the supervisor and serves it until it ends. The process must have one thread.
///
/// # Errors
/// When the machine lacks a layer, the start fails, or the supervisor breaks the contract.
pub fn run(options: LaunchOptions) -> Result<ExitCode, JailError> {
    raise_descriptors().map_err(start_error("descriptors"))?;
    let low = reserve_low_descriptors().map_err(start_error("descriptors"))?;
    let data = options.data.canonicalize().map_err(start_error("data folder"))?;
    if options.listeners.len() > handover::LISTENERS_MAX {
        let error = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(start_error("more than 32 listening sockets")(error));
    }
    let listeners: io::Result<Vec<OwnedFd>> = options.listeners.into_iter().map(above).collect();
    let listeners = listeners.map_err(start_error("listening sockets"))?;

    let privileged = layers::privileged();
    let (tree, spaces) = if privileged {
        let tree = Tree::make(&Place::find(&data), machine_bytes());
        (tree, Spaces::make().map(Some).map_err(|error| error.to_string()))
    } else {
        (Tree::none(), Ok(None))
    };
    let probe = Probe::ask(privileged, &tree, &spaces);
    let judged = layers::judge(&probe);
    layers::check_names(&judged, &options.allow_missing).map_err(|refusal| {
        tree.clear();
        JailError::Names(refusal)
    })?;
    let missing =
        layers::decide(&judged, options.dev, privileged, &options.allow_missing).map_err(|refusal| {
            tree.clear();
            JailError::Missing(refusal)
        })?;

    let user = privileged.then(user::supervisor);
    if let Some(user) = user {
        user::own(&data, user).map_err(start_error("giving the data folder to the supervisor's user"))?;
    }
    let means =
        means(tree, spaces.unwrap_or_default(), options.worker_image, Outward::new(&options.egress_args))
            .map_err(start_error("programs"))?;
    let facts = Facts {
        data,
        dev: options.dev,
        layers: judged.into_iter().map(|one| one.layer).collect(),
        missing,
        generation_first: 1,
        restarts: 0,
        listeners: listeners.len(),
    };
    let recipe = Recipe::new(listeners, &options.supervisor_args, user);
    let signals = sys::signals(&[libc::SIGTERM, libc::SIGINT]).map_err(start_error("signals"))?;
    if privileged {
        keep_few_capabilities().map_err(start_error("capabilities"))?;
    }
    let outcome = Launcher::new(means, recipe, facts, signals)?.run();
    drop(low);
    outcome
}

/// A login or a unit begins with 1,024: too few for the processes that a busy server keeps.
fn raise_descriptors() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(limits::LAUNCHER_FILES, |most| most.min(limits::LAUNCHER_FILES));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    }
    Ok(())
}

/// Children put what they inherit at low numbers; nothing of the launcher's may lie there.
fn reserve_low_descriptors() -> io::Result<Vec<OwnedFd>> {
    /// Above what a supervisor inherits.
    const FIRST: i32 = 64;
    let mut reserved = vec![image::null()?];
    loop {
        let next = rustix::io::fcntl_dupfd_cloexec(&reserved[0], 0)?;
        if std::os::fd::AsRawFd::as_raw_fd(&next) >= FIRST {
            return Ok(reserved);
        }
        reserved.push(next);
    }
}

fn means(tree: Tree, spaces: Option<Spaces>, worker_image: &[u8], outward: Outward) -> io::Result<Means> {
    let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|about| about.st_ino);
    let (mut strange, mut shared) = (Vec::new(), Vec::new());
    if let Some(spaces) = &spaces {
        for name in verify::NAMESPACES {
            strange.push((name, verify::namespace("self", name)?));
        }
        shared = vec![("net", inode(&spaces.network)?), ("ipc", inode(&spaces.ipc)?)];
    }
    let worker = image::sealed("fazt-worker", worker_image, true)?;
    // Copying it has read several megabytes of this program that nobody reads again.
    sys::page_out(worker_image);
    Ok(Means {
        tree,
        spaces,
        worker,
        own: image::own()?,
        null: image::null()?,
        user: User { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() },
        outward,
        strange,
        shared,
    })
}

/// Of root's many rights the launcher keeps those that making a jail takes, and the one to tell the supervisor,
/// which is another user's, to stop.
fn keep_few_capabilities() -> io::Result<()> {
    let kept = layers::CAPABILITIES | CapabilitySet::KILL;
    let now = rustix::thread::capabilities(None)?.permitted & kept;
    let sets = CapabilitySets { effective: now, permitted: now, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Memory of the machine; 0 where it cannot be known.
fn machine_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    total.map_or(0, |kib: u64| kib * 1024)
}
