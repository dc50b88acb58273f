//! The compile phase: scripts to bytecode, then the process ends.

use fazt_ipc::limits::FRAME_BODY_BYTES_MAX;
use fazt_ipc::wire::worker::Bytecode;
use fazt_ipc::wire::{FailureKind, WorkerKind};

use super::{Link, LinkError};
use crate::dispatch;

impl Link<'_, '_> {
    /// Compiles every script in order of arrival.
    pub(super) fn compile(&mut self) -> Result<(), LinkError> {
        if let Some(configure) = self.configure.take() {
            self.engine.heap().set_limit_bytes(usize::try_from(configure.memory_bytes).unwrap_or(usize::MAX));
        }
        self.engine.modules().compile_only();
        for path in std::mem::take(&mut self.scripts) {
            let ctx = &self.dispatch.ctx;
            match self.engine.modules().compile(ctx, &path) {
                Ok(bytecode) => {
                    self.send(WorkerKind::Bytecode, &Bytecode { path: &path, bytes: bytecode.len() as u32 })?;
                    for chunk in bytecode.chunks(FRAME_BODY_BYTES_MAX) {
                        self.port.frame(WorkerKind::BytecodeData, 0, false, chunk);
                    }
                    self.flush()?;
                }
                Err(error) => {
                    let failure = dispatch::of_exception(&self.dispatch, FailureKind::Load, &error);
                    return self.load_failed(failure);
                }
            }
        }
        self.port.frame(WorkerKind::Compiled, 0, false, &[]);
        Ok(())
    }
}
