//! The worker locks itself down: after the engine is warm and before the first byte of an app.
//!
//! Called once by `main`, on the only thread. The launcher has already taken away files, network, other
//! processes, capabilities and the user (its own list is in `jail/child.rs`); what only the process itself can
//! give up is given up here. Whatever fails, the process must end: nobody is told that it is ready.
//!
//! | task | file |
//! |---|---|
//! | allow or forbid a system call | `policy.rs`, with the reason |
//! | how a policy becomes a filter | `filter.rs` |
//! | what Landlock handles | `landlock.rs` |
//! | escapes that `proc doctor` and the tests try | `escape/` |

pub mod escape;
pub mod filter;
mod landlock;
pub mod policy;
mod sys;

pub use sys::{RustAllocator, end_at_stack_overflow, gettimeofday, time};
#[cfg(test)]
mod tests;

/// A step of the lock-down failed. The process must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lock-down failed at {step}: errno {errno}")]
pub struct LockError {
    /// Which step.
    pub step: &'static str,
    /// What the kernel said.
    pub errno: i32,
}

impl LockError {
    const fn at(step: &'static str) -> impl Fn(i32) -> Self {
        move |errno| Self { step, errno }
    }
}

/// Locks the process down for good. Returns the Landlock ABI in force; 0 where the kernel has none.
///
/// # Errors
/// When a step fails; the process is then half locked and must end.
pub fn lock() -> Result<u8, LockError> {
    let abi = walls()?;
    // Last: from here on the list above could not run any more.
    sys::seccomp(policy::FILTER.as_slice()).map_err(LockError::at("seccomp"))?;
    Ok(abi)
}

/// Everything but seccomp. On its own only for the children of `proc doctor` that show what the other layers
/// hold; such a child is never sent an app.
fn walls() -> Result<u8, LockError> {
    // Nobody of the same uid may look into this memory, and its /proc entries belong to root.
    sys::prctl(libc::PR_SET_DUMPABLE, 0).map_err(LockError::at("dumpable"))?;
    // The launcher's setresuid, and exec of a program it may not read, clear it: set it once more.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).map_err(LockError::at("pdeathsig"))?;
    // No page that could be written may become code. Kernels before 6.3 do not know it; seccomp refuses
    // PROT_EXEC there too.
    match sys::prctl(libc::PR_SET_MDWE, u64::from(libc::PR_MDWE_REFUSE_EXEC_GAIN)) {
        Ok(()) | Err(libc::EINVAL) => {}
        Err(errno) => return Err(LockError { step: "mdwe", errno }),
    }
    // A huge page for a small heap would cost 2 MiB for each idle worker.
    sys::prctl(libc::PR_SET_THP_DISABLE, 1).map_err(LockError::at("thp"))?;
    // Best effort: processors and kernels without the control answer ENODEV, ENXIO or EPERM.
    for control in [libc::PR_SPEC_STORE_BYPASS, libc::PR_SPEC_INDIRECT_BRANCH] {
        let _ =
            sys::prctl2(libc::PR_SET_SPECULATION_CTRL, control as u64, libc::PR_SPEC_FORCE_DISABLE as u64);
    }
    // Not earlier: with it, exec fails as soon as a second process has the same uid.
    sys::no_processes().map_err(LockError::at("nproc"))?;
    // After everything that opens files (nothing does), before seccomp, which forbids the call itself.
    landlock::restrict()
}
