//! Why a system call did not do what it was asked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The `name` of the exception that an app sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The owner has not granted this.
    PermissionDenied,
    /// It concerns a person and nobody is signed in.
    SignInRequired,
    /// It does not exist, or is not yours: the same answer.
    NotFound,
    /// Somebody else was first.
    Conflict,
    /// An argument is not of the form that the call takes.
    InvalidArgument,
    /// A query is not of the form that storage takes.
    InvalidQuery,
    /// A quota of the app is used up.
    QuotaExceeded,
    /// A value is over its bound.
    TooLarge,
    /// Too many calls in too short a time.
    RateLimited,
    /// The kernel cannot do it now; trying again may help.
    Unavailable,
    /// The kernel failed; the operator's log says why.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::PermissionDenied,
        Self::SignInRequired,
        Self::NotFound,
        Self::Conflict,
        Self::InvalidArgument,
        Self::InvalidQuery,
        Self::QuotaExceeded,
        Self::TooLarge,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A refused or failed call, as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// Kind: the exception's `name`.
    pub code: ErrorCode,
    /// What happened, why, what to do, for the app's author.
    pub message: String,
    /// The grant that is missing, `net:api.github.com`; empty unless `PermissionDenied`.
    pub permission: String,
}

impl CallError {
    /// An error without a permission.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), permission: String::new() }
    }
}
