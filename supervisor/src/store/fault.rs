//! What SQLite's errors are called: a kind for the kernel, and a message for the app's author, which may quote
//! anything, since the file is the app's own.

use rusqlite::{Error, ErrorCode, ffi};

use fazt_ipc::store::Fault;
use fazt_ipc::store::limits::MESSAGE_BYTES_MAX;

/// Why a statement was not done.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) message: String,
}

impl Failed {
    pub(super) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }

    /// As it travels: no longer than its bound.
    pub(super) fn message(&self) -> &str {
        let mut end = self.message.len().min(MESSAGE_BYTES_MAX);
        while !self.message.is_char_boundary(end) {
            end -= 1;
        }
        &self.message[..end]
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let (code, mut message) = match error {
            Error::SqlInputError { error, msg, offset, .. } => (error, format!("{msg} at offset {offset}")),
            Error::SqliteFailure(error, message) => (error, message.unwrap_or_else(|| error.to_string())),
            other => return Self::new(Fault::Query, other.to_string()),
        };
        message.push_str(": ");
        message.push_str(name(code.extended_code & 0xff));
        let extended = extended(code.extended_code);
        if !extended.is_empty() {
            message.push_str(" (extended: ");
            message.push_str(extended);
            message.push(')');
        }
        Self { fault: fault(code), message }
    }
}

fn fault(error: ffi::Error) -> Fault {
    match error.code {
        ErrorCode::TooBig => Fault::TooLarge,
        ErrorCode::DiskFull => Fault::Quota,
        ErrorCode::ReadOnly => Fault::ReadOnly,
        ErrorCode::OperationInterrupted => Fault::Late,
        ErrorCode::OutOfMemory => Fault::Memory,
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Fault::Disk,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Damaged,
        _ => Fault::Query,
    }
}

/// SQLite's name of a primary code.
fn name(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_ABORT => "SQLITE_ABORT",
        ffi::SQLITE_AUTH => "SQLITE_AUTH",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_CANTOPEN => "SQLITE_CANTOPEN",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_FULL => "SQLITE_FULL",
        ffi::SQLITE_INTERRUPT => "SQLITE_INTERRUPT",
        ffi::SQLITE_IOERR => "SQLITE_IOERR",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_MISUSE => "SQLITE_MISUSE",
        ffi::SQLITE_NOMEM => "SQLITE_NOMEM",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        _ => "SQLITE_ERROR",
    }
}

/// SQLite's name of the code that says which constraint.
fn extended(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        _ => "",
    }
}
