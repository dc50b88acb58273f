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

/// A text without Rust's " (os error 2)", wherever the system's own words stand in it.
pub(crate) fn plain(text: &str) -> String {
    let mut pieces = text.split(" (os error ");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once(')').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_follows_the_systems_words_stays() {
        for (text, plain) in [
            ("no number", "no number"),
            ("cannot: gone (os error 2)", "cannot: gone"),
            ("a (x: gone (os error 2)): do this\nb (os error 13): that", "a (x: gone): do this\nb: that"),
        ] {
            assert_eq!(super::plain(text), plain);
        }
    }
}
