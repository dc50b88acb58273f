//! Which message may be sent when. Both sides hold the same table: the worker to fail early, the kernel to
//! kill.

use super::{KernelKind, WireError, WorkerKind};

/// Where a worker's connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Locking itself down; has said nothing.
    Booting,
    /// Locked and warm, in the pool.
    Locked,
    /// Configured; modules are arriving.
    Loading,
    /// Compiling scripts to bytecode; exits afterwards.
    Compiling,
    /// The app's top level is running.
    Starting,
    /// Serving.
    Running,
    /// Finishing what is open; takes nothing new.
    Draining,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] = [
        Self::Booting,
        Self::Locked,
        Self::Loading,
        Self::Compiling,
        Self::Starting,
        Self::Running,
        Self::Draining,
    ];

    /// The phase after the kernel has sent `kind`.
    ///
    /// # Errors
    /// When `kind` may not be sent now.
    pub const fn sent_by_kernel(self, kind: KernelKind) -> Result<Self, WireError> {
        use KernelKind as K;
        use Phase as P;
        match (self, kind) {
            (P::Locked, K::Configure) => Ok(P::Loading),
            (P::Loading, K::Module | K::ModuleData) => Ok(self),
            (P::Loading, K::Start) => Ok(P::Starting),
            (P::Loading, K::Compile) => Ok(P::Compiling),
            // Requests may follow `Start` at once: the worker answers them when its top level is done.
            (P::Starting | P::Running, K::Request | K::Event) => Ok(self),
            (
                P::Starting | P::Running | P::Draining,
                K::Body | K::Abort | K::Credit | K::Reply | K::ReplyBody | K::LongReply,
            ) => Ok(self),
            (P::Starting | P::Running, K::Drain) => Ok(P::Draining),
            _ => Err(WireError::Phase { kind: kind.name(), phase: self }),
        }
    }

    /// The phase after the worker has sent `kind`.
    ///
    /// # Errors
    /// When `kind` may not be sent now.
    pub const fn sent_by_worker(self, kind: WorkerKind) -> Result<Self, WireError> {
        use Phase as P;
        use WorkerKind as W;
        match (self, kind) {
            (P::Booting, W::Ready) => Ok(P::Locked),
            (P::Starting, W::Loaded) => Ok(P::Running),
            // `Drain` may have overtaken `Loaded`.
            (P::Draining, W::Loaded) => Ok(P::Draining),
            (P::Starting | P::Compiling | P::Draining, W::LoadFailed) => Ok(self),
            (P::Compiling, W::Bytecode | W::BytecodeData | W::Compiled) => Ok(self),
            (
                P::Running | P::Draining,
                W::Response
                | W::Body
                | W::Failed
                | W::Settled
                | W::Credit
                | W::StopBody
                | W::Done
                | W::NoRetry,
            ) => Ok(self),
            (
                P::Starting | P::Running | P::Draining,
                W::Call | W::LongCall | W::CallBody | W::CallCredit | W::CancelCall | W::Log,
            ) => Ok(self),
            _ => Err(WireError::Phase { kind: kind.name(), phase: self }),
        }
    }
}
