//! The decision at the HTTP edge: may this visitor reach this app, and as whom.

use std::sync::Arc;

use fazt_ipc::control::{Access, Role};
use fazt_ipc::ids::{AppId, UserId};

use super::book::{Account, Apps};
use super::{Actor, Principal};

/// Somebody who proved who they are. Made inside `security` alone, from a session or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    id: UserId,
    name: String,
    role: Role,
    apps: Apps,
    totp: bool,
    epoch: u64,
}

impl Person {
    pub(super) fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            name: account.name.clone(),
            role: account.role,
            apps: account.apps.clone(),
            totp: account.totp,
            epoch: account.epoch,
        }
    }

    /// Stable id.
    #[must_use]
    pub const fn id(&self) -> UserId {
        self.id
    }

    /// Name they sign in with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What they may do on this server.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Codes of an app are asked for when they sign in with a password.
    #[must_use]
    pub const fn totp(&self) -> bool {
        self.totp
    }

    /// Of what they proved: nothing is changed for them by what is older than their account is now.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether they may reach this app if it is for members.
    #[must_use]
    pub fn is_member(&self, app: AppId) -> bool {
        self.role >= Role::Admin || self.apps.contains(app)
    }
}

/// Who stands at the door. Made by the edge from what the client proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Nobody who signed in.
    Stranger,
    /// Somebody who did, at this very origin.
    Known(Arc<Person>),
}

/// Leave to act on one app as one principal. Only [`decide`] makes it.
#[must_use = "an authority that is not handed on was asked for in vain"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    app: AppId,
    principal: Principal,
    person: Option<Arc<Person>>,
}

impl Authority {
    /// The app it is good for.
    #[must_use]
    pub const fn app(&self) -> AppId {
        self.app
    }

    /// Whom the worker will act for.
    #[must_use]
    pub const fn principal(&self) -> Principal {
        self.principal
    }

    /// The person, if it is one.
    #[must_use]
    pub const fn person(&self) -> Option<&Arc<Person>> {
        self.person.as_ref()
    }
}

/// Why a visitor may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody is signed in, and somebody must be.
    #[error("sign in to use this app")]
    SignIn,
    /// Not among the members.
    #[error("this app is for its members, and you are not one of them: ask the owner of this server")]
    NotMember,
    /// The owner only.
    #[error("this app is for the owner of this server alone")]
    NotOwner,
}

/// May `visitor` reach `app`, whose access rule is `access`?
///
/// # Errors
/// When not; the visitor learns only the access rule.
pub fn decide(app: AppId, access: Access, visitor: Visitor) -> Result<Authority, Denied> {
    let person = match visitor {
        Visitor::Stranger if access == Access::Public => {
            return Ok(Authority { app, principal: Principal::Anonymous, person: None });
        }
        Visitor::Stranger => return Err(Denied::SignIn),
        Visitor::Known(person) => person,
    };
    match access {
        Access::Public => {}
        Access::Members if person.is_member(app) => {}
        Access::Members => return Err(Denied::NotMember),
        Access::Owner if person.role == Role::Owner => {}
        Access::Owner => return Err(Denied::NotOwner),
    }
    Ok(Authority { app, principal: Principal::User(person.id), person: Some(person) })
}

/// May the person whom a worker of one app acts for use another app too? `account`: that person as they are now.
///
/// # Errors
/// When not, or when the worker acts for nobody.
pub fn follow(actor: Actor, account: Option<&Account>, app: AppId, access: Access) -> Result<Actor, Denied> {
    let account =
        account.filter(|account| actor.principal().user() == Some(account.id)).ok_or(Denied::SignIn)?;
    let leave = decide(app, access, Visitor::Known(Arc::new(Person::of(account))))?;
    Ok(Actor::from(&leave))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(role: Role, apps: Apps) -> Visitor {
        Visitor::Known(Arc::new(Person {
            id: UserId::new(7, 7),
            name: "anna".into(),
            role,
            apps,
            totp: false,
            epoch: 0,
        }))
    }

    /// Every visitor at every door. Whoever changes a word of it changes who may read somebody's data.
    #[test]
    fn the_matrix_of_roles_and_access() {
        let app = AppId::new(1, 1);
        let mut text = String::new();
        for (who, visitor) in [
            ("stranger", Visitor::Stranger),
            ("guest of another app", person(Role::Member, Apps::Some(vec![AppId::new(1, 2)]))),
            ("guest of this app", person(Role::Member, Apps::Some(vec![AppId::new(1, 2), app]))),
            ("member", person(Role::Member, Apps::All)),
            ("admin", person(Role::Admin, Apps::Some(Vec::new()))),
            ("owner", person(Role::Owner, Apps::Some(Vec::new()))),
        ] {
            for access in [Access::Public, Access::Members, Access::Owner] {
                let outcome = match decide(app, access, visitor.clone()) {
                    Ok(leave) => {
                        assert_eq!(leave.app(), app);
                        assert_eq!(leave.person().is_some(), leave.principal() != Principal::Anonymous);
                        match leave.principal() {
                            Principal::User(_) => "as themselves",
                            Principal::Anonymous => "as anonymous",
                            Principal::Service => "as the app",
                        }
                    }
                    Err(Denied::SignIn) => "must sign in",
                    Err(Denied::NotMember) => "is not a member",
                    Err(Denied::NotOwner) => "is not the owner",
                };
                text.push_str(&format!("{who} at {access:?}: {outcome}\n").to_lowercase());
            }
        }
        assert_eq!(
            text,
            "stranger at public: as anonymous\n\
             stranger at members: must sign in\n\
             stranger at owner: must sign in\n\
             guest of another app at public: as themselves\n\
             guest of another app at members: is not a member\n\
             guest of another app at owner: is not the owner\n\
             guest of this app at public: as themselves\n\
             guest of this app at members: as themselves\n\
             guest of this app at owner: is not the owner\n\
             member at public: as themselves\n\
             member at members: as themselves\n\
             member at owner: is not the owner\n\
             admin at public: as themselves\n\
             admin at members: as themselves\n\
             admin at owner: is not the owner\n\
             owner at public: as themselves\n\
             owner at members: as themselves\n\
             owner at owner: as themselves\n"
        );
    }
}
