//! Failures of a command: made here, printed once by `main`. Nothing below `main` ends the process or prints
//! an error itself.

use fazt_ipc::control::{ErrorKind, Problem};

/// Result of a command.
pub(crate) type Done<T = ()> = Result<T, Problem>;

/// A failure: what happened and why, then what to do.
pub(crate) fn problem(code: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { code, message: message.into(), hint: hint.into() }
}

/// It did not work, and there is nothing to advise.
pub(crate) fn failed(message: impl Into<String>) -> Problem {
    problem(ErrorKind::Failed, message, "")
}

/// What was asked for is malformed.
pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    problem(ErrorKind::Invalid, message, hint)
}

/// Says which file an operating system error concerns.
pub(crate) trait Context<T> {
    /// `doing` is "read /etc/x": the message becomes "cannot read /etc/x: No such file or directory".
    fn context(self, doing: impl FnOnce() -> String) -> Done<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Done<T> {
        self.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                std::io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                _ => ErrorKind::Failed,
            };
            problem(code, format!("cannot {}: {}", doing(), plain(&error.to_string())), "")
        })
    }
}

/// The system's own words without Rust's " (os error 2)".
pub(crate) fn plain(text: &str) -> String {
    text.find(" (os error ").map_or(text, |end| &text[..end]).to_owned()
}
