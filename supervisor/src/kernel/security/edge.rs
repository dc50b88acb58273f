//! The decision at the HTTP edge: may this visitor reach this app, and as whom.

use fazt_ipc::control::Access;
use fazt_ipc::ids::AppId;

use super::Principal;

/// Who stands at the door. Made by the edge from what the client proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// Nobody who signed in.
    Stranger,
}

/// Leave to act on one app as one principal. Only [`decide`] makes it.
#[must_use = "an authority that is not handed on was asked for in vain"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    app: AppId,
    principal: Principal,
}

impl Authority {
    /// The app it is good for.
    #[must_use]
    pub const fn app(self) -> AppId {
        self.app
    }

    /// Whom the worker will act for.
    #[must_use]
    pub const fn principal(self) -> Principal {
        self.principal
    }
}

/// Why a visitor may not go on. The edge answers 403 to both until sign-in exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Members only.
    #[error("this app is for its members, and signing in is not possible yet")]
    MembersOnly,
    /// The owner only.
    #[error("this app is for the owner of this server, and signing in is not possible yet")]
    OwnerOnly,
}

/// May `visitor` reach `app`, whose access rule is `access`?
///
/// # Errors
/// When not; the visitor learns only the access rule.
pub fn decide(app: AppId, access: Access, visitor: Visitor) -> Result<Authority, Denied> {
    match (access, visitor) {
        (Access::Public, Visitor::Stranger) => Ok(Authority { app, principal: Principal::Anonymous }),
        (Access::Members, Visitor::Stranger) => Err(Denied::MembersOnly),
        (Access::Owner, Visitor::Stranger) => Err(Denied::OwnerOnly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_reaches_public_apps_only() {
        let app = AppId::new(1, 1);
        let stranger = |access| decide(app, access, Visitor::Stranger).map(Authority::principal);
        assert_eq!(stranger(Access::Public), Ok(Principal::Anonymous));
        assert_eq!(stranger(Access::Members), Err(Denied::MembersOnly));
        assert_eq!(stranger(Access::Owner), Err(Denied::OwnerOnly));
    }

    #[test]
    fn leave_is_for_the_app_that_was_asked_about() {
        let app = AppId::new(1, 1);
        let leave = decide(app, Access::Public, Visitor::Stranger).expect("public");
        assert_eq!(leave.app(), app);
    }
}
