//! Exceptions as the kernel is told of them.

use fazt_ipc::limits::ERROR_BYTES_MAX;
use fazt_ipc::wire::{Failure, FailureKind};
use rquickjs::{Array, Error, Value};

use super::{Dispatch, Fatal};
use crate::link::cut;

/// The failure that every open request gets when the engine cannot go on.
pub(crate) fn fatal(fatal: Fatal, cpu_ms: u64, heap_bytes: usize) -> Failure {
    let message = match fatal.0 {
        FailureKind::OutOfMemory => {
            format!("the app used up its {} MiB of memory (limits.memoryMiB)", heap_bytes / (1024 * 1024))
        }
        _ => format!("the app used up its {cpu_ms} ms of CPU time for one request (limits.cpuMs)"),
    };
    Failure { kind: fatal.0, message, stack: String::new() }
}

/// The pending exception, or the error itself where there is none.
pub(crate) fn of_exception(dispatch: &Dispatch<'_>, kind: FailureKind, error: &Error) -> Failure {
    if matches!(error, Error::Exception) {
        let value = dispatch.ctx.catch();
        return of_value(dispatch, kind, value);
    }
    Failure { kind, message: error.to_string(), stack: String::new() }
}

/// What was thrown.
pub(crate) fn of_value<'js>(dispatch: &Dispatch<'js>, kind: FailureKind, value: Value<'js>) -> Failure {
    let described = dispatch.describe.call::<_, Array<'js>>((value,));
    let text = |at| {
        let text = described.as_ref().ok().and_then(|pair| pair.get::<String>(at).ok()).unwrap_or_default();
        cut(&text, ERROR_BYTES_MAX / 2).to_owned()
    };
    Failure { kind, message: text(0), stack: text(1) }
}
