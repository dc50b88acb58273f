//! Why a call was not done, as the app may know it. What SQLite says stays in the operator's log: its messages
//! name tables.

use fazt_ipc::syscall::ErrorCode;
use rusqlite::ErrorCode as Sqlite;

/// A call on data that was not done; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DataError {
    /// Kind.
    pub code: ErrorCode,
    /// What is wrong and what would be right, for the app's author.
    pub message: String,
    /// The permission that is missing; empty unless one is.
    pub permission: &'static str,
}

/// What a write is told on a full disk.
pub(super) const NO_ROOM: &str = "there is no room on the server's disk; reading goes on";

pub(super) type Result<T> = std::result::Result<T, DataError>;

impl DataError {
    pub(in crate::kernel::storage) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), permission: "" }
    }

    /// The app space and named spaces are a permission.
    pub(super) fn spaces_not_granted() -> Self {
        let message = "the app may not use the app space and named spaces: permission `spaces` is not granted. \
            Ask for it in app.json ({ \"permissions\": { \"spaces\": true } })";
        Self { code: ErrorCode::PermissionDenied, message: message.into(), permission: "spaces" }
    }

    pub(in crate::kernel::storage) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    pub(super) fn query(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidQuery, message)
    }

    pub(super) fn large(what: &str, bytes: usize, bytes_max: usize) -> Self {
        Self::new(ErrorCode::TooLarge, format!("{what} has {bytes} bytes; at most {bytes_max}"))
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// What an app learns of a failure of SQLite. `Corrupt` and the like are the caller's to act on.
    pub(super) fn sqlite(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => Self::unavailable(NO_ROOM),
            Some(Sqlite::OperationInterrupted) => Self::query(
                "the query took too long: declare an index for the fields that it asks for or orders by, in app.json under collections",
            ),
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => {
                Self::unavailable("the app's data is being changed by a deploy; try again")
            }
            _ if starved(error) => {
                Self::unavailable("storage has no memory left for this; try again, or ask for less at once")
            }
            Some(Sqlite::TooBig) => Self::new(ErrorCode::TooLarge, "a value is too large to be stored"),
            Some(Sqlite::DatabaseCorrupt | Sqlite::NotADatabase) => {
                tracing::error!(%error, "a cartridge is damaged");
                Self::unavailable("the app's data file is damaged; the operator can restore it")
            }
            _ => {
                tracing::error!(%error, "a call on data failed");
                Self::new(ErrorCode::Internal, "storage failed; the server's log says why")
            }
        }
    }
}

/// Whether the memory of all databases together is used up.
pub(in crate::kernel::storage) fn starved(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == Sqlite::OutOfMemory || error.extended_code == rusqlite::ffi::SQLITE_IOERR_NOMEM
    })
}

/// Whether the connection that said so is of no more use.
pub(super) fn fatal(error: &rusqlite::Error) -> bool {
    !starved(error)
        && matches!(
            error.sqlite_error_code(),
            Some(
                Sqlite::DatabaseCorrupt | Sqlite::NotADatabase | Sqlite::SystemIoFailure | Sqlite::CannotOpen
            )
        )
}
