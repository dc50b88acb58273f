//! Who says what is to be done to people: the console, or somebody who signed in. One may act on whoever is below
//! one, and on oneself; the console on everybody.

use fazt_ipc::control::Role;

use super::super::book::Account;
use super::super::edge::Person;
use super::{CONSOLE, IdentityError};

/// By whose word something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    name: String,
    /// None: the console, above everybody.
    role: Option<Role>,
}

impl By {
    /// Whoever commands over the control socket.
    #[must_use]
    pub fn console() -> Self {
        Self { name: CONSOLE.into(), role: None }
    }

    /// Somebody who proved who they are.
    #[must_use]
    pub fn person(person: &Person) -> Self {
        Self { name: person.name().to_owned(), role: Some(person.role()) }
    }

    /// The name in the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// May they give somebody this role?
    ///
    /// # Errors
    /// When it is not below their own.
    pub fn may_give(&self, role: Role) -> Result<(), IdentityError> {
        match self.role {
            Some(own) if role >= own => {
                Err(IdentityError::Rank("nobody gives a role that is not below their own"))
            }
            _ => Ok(()),
        }
    }

    /// May they change this account, or what belongs to it?
    ///
    /// # Errors
    /// When it is neither their own nor below theirs.
    pub fn may_change(&self, account: &Account) -> Result<(), IdentityError> {
        match self.role {
            Some(own) if account.role >= own && account.name != self.name => {
                Err(IdentityError::Rank("nobody changes the account of somebody who is not below them"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use fazt_ipc::ids::UserId;

    use super::super::super::book::Apps;
    use super::*;

    fn account(name: &str, role: Role) -> Account {
        Account {
            id: UserId::new(1, 1),
            name: name.into(),
            role,
            apps: Apps::All,
            password: None,
            totp: false,
            epoch: 0,
            created_unix_ms: 0,
        }
    }

    #[test]
    fn the_matrix_of_who_may_change_whom() {
        let mut text = String::new();
        for (who, by) in [
            ("console", By::console()),
            ("owner", By::person(&Person::of(&account("olga", Role::Owner)))),
            ("admin", By::person(&Person::of(&account("bo", Role::Admin)))),
            ("member", By::person(&Person::of(&account("anna", Role::Member)))),
        ] {
            let may = |yes: bool| if yes { "yes" } else { "no" };
            for role in [Role::Member, Role::Admin, Role::Owner] {
                let gives = may(by.may_give(role).is_ok());
                let changes = may(by.may_change(&account("other", role)).is_ok());
                text.push_str(&format!("{who} {role}: gives {gives}, changes {changes}\n"));
            }
        }
        assert_eq!(
            text,
            "console member: gives yes, changes yes\n\
             console admin: gives yes, changes yes\n\
             console owner: gives yes, changes yes\n\
             owner member: gives yes, changes yes\n\
             owner admin: gives yes, changes yes\n\
             owner owner: gives no, changes no\n\
             admin member: gives yes, changes yes\n\
             admin admin: gives no, changes no\n\
             admin owner: gives no, changes no\n\
             member member: gives no, changes no\n\
             member admin: gives no, changes no\n\
             member owner: gives no, changes no\n"
        );
        let bo = account("bo", Role::Admin);
        assert!(By::person(&Person::of(&bo)).may_change(&bo).is_ok(), "oneself");
    }
}
