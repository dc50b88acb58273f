//! Failures of operations as [`Failed`], with the status that their kind says.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use fazt_ipc::control::{ErrorKind, Failed, Problem};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::kernel::fs::FsError;
use crate::kernel::proc::DispatchError;
use crate::kernel::security::{IdentityError, Refusal};

/// An operation that was not done.
#[derive(Debug)]
pub(crate) struct Refused(Problem);

impl Refused {
    /// Of this kind, saying what happened and what to do.
    pub(crate) fn new(code: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Problem { code, message: message.into(), hint: hint.into() })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.0.code == ErrorKind::Failed {
            tracing::warn!(error = self.0.message, "an operation failed");
        }
        let kind = self.0.code;
        let mut response = (status, Json(Failed { error: self.0 })).into_response();
        match kind {
            ErrorKind::RateLimited => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            ErrorKind::Unauthenticated => {
                let bearer = HeaderValue::from_static("Bearer realm=\"fazt\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            }
            _ => {}
        }
        response
    }
}

impl From<FsError> for Refused {
    fn from(error: FsError) -> Self {
        Self(error.into())
    }
}

impl From<IdentityError> for Refused {
    fn from(error: IdentityError) -> Self {
        use IdentityError as E;
        let (kind, hint) = match &error {
            E::Wrong | E::Passkey | E::Code | E::Confirm | E::Rank(_) => (ErrorKind::PermissionDenied, ""),
            E::Stale => (ErrorKind::Conflict, "look again, and try once more"),
            E::Wait(_) | E::Busy => (ErrorKind::Failed, "try again later"),
            E::Link => (ErrorKind::NotFound, ""),
            E::Name | E::Password(_) | E::Again => (ErrorKind::Invalid, ""),
            E::Taken => {
                (ErrorKind::Conflict, "choose another name: fazt user list shows those that are taken")
            }
            E::Unknown("session", _) => (ErrorKind::NotFound, "fazt user sessions NAME lists them"),
            E::Unknown("token", _) => (ErrorKind::NotFound, "fazt security tokens lists them"),
            E::Unknown(..) => (ErrorKind::NotFound, "fazt user list lists them"),
            E::Owner(_) => (ErrorKind::Conflict, ""),
            E::Full(_) => (ErrorKind::TooLarge, ""),
            E::Failed(_) => (ErrorKind::Failed, "fazt storage check looks at the databases"),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::PermissionDenied, refusal.to_string(), "")
    }
}

impl From<DispatchError> for Refused {
    fn from(error: DispatchError) -> Self {
        let hint = match &error {
            DispatchError::LoadFailed
            | DispatchError::Exception
            | DispatchError::NoHandler
            | DispatchError::Died => "`fazt proc logs APP` has the reason with file and line",
            DispatchError::Quarantined => {
                "`fazt proc logs APP` has the reason; `fazt proc wake APP` lifts the quarantine when you trust the app again"
            }
            DispatchError::NotSetUp => "`fazt app env APP` shows which are required",
            DispatchError::NoWorker => "`fazt proc doctor` says which part of the sandbox is missing",
            DispatchError::Overloaded | DispatchError::WakeTimeout => {
                "try again when the server is less busy"
            }
            _ => "",
        };
        Self::new(ErrorKind::Failed, error.to_string(), hint)
    }
}

impl From<JsonRejection> for Refused {
    fn from(error: JsonRejection) -> Self {
        let kind = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
            _ => ErrorKind::Invalid,
        };
        Self::new(kind, error.body_text(), "")
    }
}

impl From<QueryRejection> for Refused {
    fn from(error: QueryRejection) -> Self {
        Self::new(ErrorKind::Invalid, error.body_text(), "")
    }
}
