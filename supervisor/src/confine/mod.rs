//! The trusted processes confine themselves: the supervisor before it parses its first byte of the network, the
//! build role before it parses its first script, the store role before it is handed a file.
//!
//! Both must be called while the process has one thread: what they put on is inherited by later threads.
//!
//! | task | file |
//! |---|---|
//! | forbid the supervisor a system call | `policy.rs`, with the reason |
//! | allow the build role one | `build.rs` |
//! | allow the store role one | `store.rs`, with the reason |
//! | allow the egress role one, and a port | `egress.rs`, with the reason |
//! | how a policy becomes a filter | `filter.rs` |

mod build;
mod egress;
mod filter;
mod policy;
mod store;

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::sys;

/// A step of the confinement failed. The process must not go on.
#[derive(Debug, thiserror::Error)]
#[error("cannot confine this process: {step}: {error}")]
pub struct ConfineError {
    /// Which step.
    pub step: &'static str,
    /// What the system said.
    pub error: io::Error,
}

fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |error| ConfineError { step, error: error.into() }
}

/// Facts of the kernel that the supervisor reads: memory pressure, memory and load of the machine, itself.
const READABLE: [&str; 8] = [
    "/proc/pressure",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/stat",
    "/proc/self",
    "/sys/fs/cgroup",
    "/etc/localtime",
    // The database seeds its random numbers from it.
    "/dev/urandom",
];

/// Confines the supervisor: no new privileges, no capability, files only under `data` and a few facts of the
/// kernel, no system call that starts programs, traces, mounts or reconfigures the kernel.
///
/// # Errors
/// When a step fails.
pub fn supervisor(data: &Path) -> Result<(), ConfineError> {
    common()?;
    // Before seccomp, which leaves Landlock's own calls alone but nothing else that this takes.
    landlock(&[data], &READABLE).map_err(at("landlock"))?;
    sys::seccomp(&policy::supervisor()).map_err(at("seccomp"))
}

/// Confines the build role inside its jail: memory, the socket, and nothing else.
///
/// # Errors
/// When a step fails.
pub fn build() -> Result<(), ConfineError> {
    build::lock()
}

/// Confines the store role inside its jail: memory, the socket, and two descriptors that come over it.
///
/// # Errors
/// When a step fails.
pub fn store() -> Result<(), ConfineError> {
    store::lock()
}

/// The two descriptors have come: takes the right away to be handed more.
///
/// # Errors
/// When it stays.
pub fn store_holds_its_files() -> io::Result<()> {
    store::lock_again()
}

/// Confines the egress role: connections to these TCP ports, to any where there are none, the socket, memory, and
/// nothing else.
///
/// # Errors
/// When a step fails.
pub fn egress(ports: &[u16]) -> Result<(), ConfineError> {
    egress::lock(ports)
}

fn common() -> Result<(), ConfineError> {
    // Secrets and other people's rows lie in this memory: no core dump, and nobody of the same user may look.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).map_err(at("core"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("dumpable"))?;
    // The launcher has taken them away; a supervisor that was started otherwise has them no longer either.
    let _ = rustix::thread::clear_ambient_capability_set();
    let nothing = CapabilitySet::empty();
    let sets = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
    rustix::thread::set_capabilities(None, sets).map_err(at("capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("no new privileges"))?;
    sys::refuse_new_code().map_err(at("no new code"))
}

/// Every right that the crate and the kernel know is handled; `write` is given back whole, `read` for reading. No
/// TCP port may be bound or connected: listening sockets are inherited, requests outwards are another role's.
fn landlock(write: &[&Path], read: &[&str]) -> io::Result<()> {
    let abi = ABI::V6;
    let rules = || -> Result<(), landlock::RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(read, AccessFs::from_read(abi) & !AccessFs::Execute))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(write, AccessFs::from_all(abi) & !AccessFs::Execute))?
            .restrict_self()?;
        Ok(())
    };
    rules().map_err(io::Error::other)
}
