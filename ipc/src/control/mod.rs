//! What the command line and the server say to each other: JSON over HTTP on `run/control.sock`, and later the
//! same under `https://DOMAIN/api/`.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /api/status` | | [`Status`] |
//! | `POST /api/stop` | | `{}`; the server drains and exits |
//! | `GET /api/processes` | | `[`[`Process`]`]` |
//! | `GET /api/doctor` | | [`Doctor`] |
//! | `GET /metrics` | | Prometheus text |
//! | `GET /api/apps` | | `[`[`App`]`]` |
//! | `GET /api/apps/NAME` | | [`App`] |
//! | `DELETE /api/apps/NAME?keep_data=BOOL` | | `{}` |
//! | `POST /api/apps/NAME/rename` | [`Rename`] | [`App`] |
//! | `POST /api/apps/NAME/kill`, `hibernate`, `wake`, `restart` | | [`Changed`] |
//! | `GET /api/apps/NAME/versions` | | `[`[`Version`]`]` |
//! | `POST /api/apps/NAME/rollback` | [`Rollback`] | [`Version`] |
//! | `GET /api/apps/NAME/env` | | [`EnvList`] |
//! | `POST /api/apps/NAME/env` | [`EnvChange`] | [`EnvList`] |
//! | `POST /api/apps/NAME/deploys` | [`DeployPlan`] | [`DeployTicket`]; makes the app if there is none |
//! | `PUT /api/deploys/ID/files/SHA256` | bytes | `{}` |
//! | `POST /api/deploys/ID/commit` | | [`Deployed`] |
//! | `DELETE /api/deploys/ID` | | `{}` |
//! | `GET /api/apps/NAME/files?path=P` | | [`Listing`] |
//! | `GET /api/apps/NAME/file?path=P` | | bytes |
//! | `GET /api/apps/NAME/logs?since_ms=T&follow=BOOL` | | newline-separated [`LogLine`] |
//! | `GET /api/apps/NAME/trace` | | newline-separated [`TraceLine`], as it happens |
//! | `GET /api/storage` | | `[`[`StorageUse`]`]` |
//! | `GET /api/storage/check?app=NAME` | | `[`[`Checked`]`]` |
//! | `GET /api/apps/NAME/collections` | | `[`[`CollectionInfo`]`]` |
//! | `POST /api/apps/NAME/query` | [`StorageQuery`] | [`StoragePage`] |
//! | `POST /api/apps/NAME/explain` | [`StorageQuery`] | [`Explanation`] |
//! | `GET /api/users/NAME/export` | | a tar archive |
//! | `GET /api/users` | | `[`[`UserInfo`]`]` |
//! | `POST /api/users` | [`NewUser`] | [`AddedUser`] |
//! | `DELETE /api/users/NAME` | | `{}` |
//! | `POST /api/users/NAME/password` | [`NewPassword`] | `{}` |
//! | `POST /api/users/NAME/link` | | [`SignInLink`] |
//! | `POST /api/users/NAME/apps` | [`Admission`] | [`UserInfo`] |
//! | `GET /api/users/NAME/sessions` | | `[`[`SessionInfo`]`]` |
//! | `DELETE /api/sessions/ID` | | `{}` |
//! | `POST /api/invites` | [`NewInvite`] | [`SignInLink`] |
//! | `GET /api/tokens` | | `[`[`TokenInfo`]`]` |
//! | `POST /api/tokens` | [`NewToken`] | [`MadeToken`] |
//! | `DELETE /api/tokens/ID` | | `{}` |
//! | `GET /api/audit?since_ms=T&follow=BOOL` | | newline-separated [`AuditLine`] |
//!
//! Every failure is [`Failed`] with a status that [`ErrorKind::http_status`] gives.

mod app;
mod proc;
mod storage;
mod user;

use serde::{Deserialize, Serialize};

pub use app::*;
pub use proc::*;
pub use storage::*;
pub use user::*;

/// Kind of a failure: decides exit code and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// It did not work.
    Failed,
    /// What was asked for is malformed.
    Invalid,
    /// It does not exist.
    NotFound,
    /// The caller may not.
    PermissionDenied,
    /// Something else is in the way: a name that is taken, a version that moved.
    Conflict,
    /// A bound was reached.
    TooLarge,
    /// The server is not there, or is stopping.
    Unreachable,
}

impl ErrorKind {
    /// Exit code of the command line: 0 ok, 1 failed, 2 usage, 3 not found, 4 permission denied, 5 conflict,
    /// 6 server unreachable.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::TooLarge => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::PermissionDenied => 4,
            Self::Conflict => 5,
            Self::Unreachable => 6,
        }
    }

    /// HTTP status of the admin API.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Failed => 500,
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::PermissionDenied => 403,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unreachable => 503,
        }
    }
}

/// A failure as every `--json` prints it and every API call answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The failure.
    pub error: Problem,
}

/// What happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Kind.
    pub code: ErrorKind,
    /// What happened and why.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}
