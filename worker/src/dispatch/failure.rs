//! Exceptions as the kernel is told of them.

use fazt_ipc::limits::ERROR_BYTES_MAX;
use fazt_ipc::wire::{Failure, FailureKind};
use rquickjs::{Array, Ctx, Error, Value};

use super::{Dispatch, Fatal};
use crate::link::cut;

/// The failure that every open request gets when the engine cannot go on.
pub(crate) fn fatal(fatal: &Fatal, cpu_ms: u64, heap_bytes: usize) -> Failure {
    let message = match fatal.kind {
        FailureKind::OutOfMemory => {
            format!("the app used up its {} MiB of memory (limits.memoryMiB)", heap_bytes / (1024 * 1024))
        }
        _ => format!("the app used up its {cpu_ms} ms of CPU time for one request (limits.cpuMs)"),
    };
    Failure { kind: fatal.kind, message, stack: fatal.stack.clone() }
}

/// The app's frames of the pending exception, read without running a script: the engine is torn.
pub(crate) fn pending_stack(ctx: &Ctx<'_>) -> String {
    if !ctx.has_exception() {
        return String::new();
    }
    let value = ctx.catch();
    let stack = value.as_exception().and_then(rquickjs::Exception::stack).unwrap_or_default();
    let own = |line: &&str| {
        !line.trim().is_empty()
            && !["(fazt:", "(node:", "(cloudflare:", "(native)"].iter().any(|part| line.contains(part))
    };
    let lines: Vec<&str> = stack.lines().filter(own).collect();
    cut(&lines.join("\n"), ERROR_BYTES_MAX / 2).to_owned()
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
