//! Whom a worker acts for, told to whatever answers its calls.

use fazt_ipc::ids::AppId;

use super::{Authority, Principal};

/// An app and the principal that one of its workers acts for. It follows from the socket that the worker was
/// given, never from a message: `proc` makes it when it binds a worker to its principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    app: AppId,
    principal: Principal,
}

impl Actor {
    /// Of the worker of a slot: the decision was made when the slot was.
    #[must_use]
    pub(crate) const fn of_worker(app: AppId, principal: Principal) -> Self {
        Self { app, principal }
    }

    /// Of an operator who looks at an app's data as somebody sees it: admitted by whoever answers operators,
    /// and written into the audit log.
    #[must_use]
    pub(crate) const fn of_operator(app: AppId, whom: Principal) -> Self {
        Self { app, principal: whom }
    }

    /// The app.
    #[must_use]
    pub const fn app(self) -> AppId {
        self.app
    }

    /// The principal.
    #[must_use]
    pub const fn principal(self) -> Principal {
        self.principal
    }
}

impl From<&Authority> for Actor {
    fn from(leave: &Authority) -> Self {
        Self { app: leave.app(), principal: leave.principal() }
    }
}
