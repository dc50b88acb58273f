//! Whom a worker acts for. Known from the socket a worker was spawned behind, never from a message.

use std::fmt;

/// Whom a worker acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Somebody who is not signed in: no `user` space.
    Anonymous,
    /// The app itself: schedules, jobs, webhooks; the `app` space only.
    Service,
}

impl Principal {
    /// Its name in tables and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
