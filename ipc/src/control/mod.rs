//! What the command line and the server say to each other: JSON over HTTP on `run/control.sock`, and the same under
//! `https://DOMAIN/api/`.
//!
//! The operations are a table in the supervisor: `kernel/net/control/table.rs`, from which routes and the OpenAPI
//! description follow; here are the types of what travels.
//!
//! Every failure is [`Failed`] with a status that [`ErrorKind::http_status`] gives.

mod app;
mod grant;
mod install;
mod net;
mod proc;
mod schedule;
mod storage;
mod user;

use serde::{Deserialize, Serialize};

pub use app::*;
pub use grant::*;
pub use install::*;
pub use net::*;
pub use proc::*;
pub use schedule::*;
pub use storage::*;
pub use user::*;

/// Kind of a failure: decides exit code and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The caller did not prove who they are.
    Unauthenticated,
    /// The caller asks too often.
    RateLimited,
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
            Self::Failed | Self::TooLarge | Self::RateLimited => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::PermissionDenied | Self::Unauthenticated => 4,
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
            Self::Unauthenticated => 401,
            Self::RateLimited => 429,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unreachable => 503,
        }
    }
}

/// A failure as every `--json` prints it and every API call answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failed {
    /// The failure.
    pub error: Problem,
}

/// What happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct Problem {
    /// Kind.
    pub code: ErrorKind,
    /// What happened and why.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}
