//! Whom a worker acts for. Known from the socket a worker was spawned behind, never from a message.

use std::fmt;

use fazt_ipc::ids::UserId;

/// Whom a worker acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Somebody who is not signed in: no `user` space.
    Anonymous,
    /// The app itself: schedules, jobs, webhooks; the `app` space only.
    Service,
    /// A person who is signed in.
    User(UserId),
}

impl Principal {
    /// The person, if it is one.
    #[must_use]
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Anonymous | Self::Service => None,
        }
    }
}

/// Its name in tables and logs.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Service => f.write_str("service"),
            Self::User(user) => user.fmt(f),
        }
    }
}
