//! The decision at the operations of the server: who commands, and how far. Over the control socket it is the
//! console, which the kernel vouches for; over the admin API it is whoever shows a token.
//!
//! | who | may do |
//! |---|---|
//! | the console | everything |
//! | a token `admin` of the owner | everything but what is done on the server itself |
//! | a token `admin` of an admin | the same, but nothing to the owner or other admins (password, links, sessions, tokens), who are not below them, and nothing to an app that is for the owner alone |
//! | a token `app:NAME` of the owner or an admin | with that one app: look at it, its versions, logs, files and variables, and at its processes, which it may end and wake |
//! | a token `deploy:NAME` of the owner or an admin | the same, and deploy to it, roll it back, change its variables; it acts as nobody at the app's own origin |
//! | a token `app:NAME` or `deploy:NAME` of a member | nothing here: the former acts as its user at the app's own origin |
//! | nobody | read the description of the API |

use std::sync::Arc;

use fazt_ipc::control::{Access, Role};
use fazt_ipc::ids::{AppId, TokenId};

use super::book::Scope;
use super::edge::Person;
use super::identity::{Bearer, By, CONSOLE, Client};

/// What an operation asks of whoever wants it done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A token, of whatever scope.
    Token,
    /// Leave to look at the one app that it names, and at its processes: scope `admin`, `app:NAME` or `deploy:NAME`.
    App,
    /// Leave to change what the one app is that it names, its code and its variables: scope `admin` or
    /// `deploy:NAME`.
    Deploy,
    /// Leave to command the server: scope `admin`.
    Server,
    /// It is done on the server itself, over the control socket.
    Console,
}

/// The app that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The app; none: nothing has that name.
    pub app: Option<AppId>,
    /// Who may reach it, as far as it is known.
    pub access: Option<Access>,
}

/// Why an operation is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only over the control socket.
    #[error("this is done on the server itself, not from elsewhere")]
    Console,
    /// The token's scope does not reach it.
    #[error("the scope of this token does not reach that far")]
    Scope,
    /// Members command nothing.
    #[error("only the owner and admins may do this")]
    Member,
    /// It concerns the owner.
    #[error("only the owner of this server may do this")]
    Owner,
}

/// Who commands.
#[derive(Debug, Clone)]
pub struct Commander(Who);

#[derive(Debug, Clone)]
enum Who {
    Console,
    Bearer { person: Arc<Person>, scope: Scope, token: TokenId, client: Client },
}

impl Commander {
    /// Whoever speaks over the control socket: the connection was admitted before a byte of it was read.
    #[must_use]
    pub(crate) const fn console() -> Self {
        Self(Who::Console)
    }

    /// Whoever showed this token.
    #[must_use]
    pub fn bearer(bearer: &Bearer, client: Client) -> Self {
        Self(Who::Bearer {
            person: Arc::clone(&bearer.person),
            scope: bearer.scope,
            token: bearer.id,
            client,
        })
    }

    /// Who it is, for the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Who::Console => CONSOLE,
            Who::Bearer { person, .. } => person.name(),
        }
    }

    /// By whose word something is done to people.
    #[must_use]
    pub fn word(&self) -> By {
        self.person().map_or_else(By::console, By::person)
    }

    /// The person, where it is one.
    #[must_use]
    pub fn person(&self) -> Option<&Person> {
        match &self.0 {
            Who::Console => None,
            Who::Bearer { person, .. } => Some(person),
        }
    }

    /// What they may do on this server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.person().map_or(Role::Owner, Person::role)
    }

    /// How far the token reaches; that of the console is not bounded.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.0 {
            Who::Console => Scope::Admin,
            Who::Bearer { scope, .. } => *scope,
        }
    }

    /// The token that was shown.
    #[must_use]
    pub fn token(&self) -> Option<TokenId> {
        match &self.0 {
            Who::Console => None,
            Who::Bearer { token, .. } => Some(*token),
        }
    }

    /// Where the client is.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.0 {
            Who::Console => None,
            Who::Bearer { client, .. } => Some(client),
        }
    }

    /// May they have an operation done that needs `need`, about `subject` if it is about an app?
    ///
    /// # Errors
    /// When not.
    pub fn may(&self, need: Need, subject: Option<Subject>) -> Result<(), Refusal> {
        let Who::Bearer { person, scope, .. } = &self.0 else { return Ok(()) };
        match need {
            Need::Nothing | Need::Token => return Ok(()),
            Need::Console => return Err(Refusal::Console),
            Need::App | Need::Deploy | Need::Server => {}
        }
        if person.role() < Role::Admin {
            return Err(Refusal::Member);
        }
        let is_about = |own| subject.and_then(|of| of.app) == Some(own);
        let reaches = match scope {
            Scope::Admin => true,
            Scope::App(own) => need == Need::App && is_about(*own),
            Scope::Deploy(own) => matches!(need, Need::App | Need::Deploy) && is_about(*own),
        };
        if !reaches {
            return Err(Refusal::Scope);
        }
        if subject.and_then(|of| of.access) == Some(Access::Owner) {
            self.may_touch(Role::Owner)?;
        }
        Ok(())
    }

    /// May they change anything about somebody of this role?
    ///
    /// # Errors
    /// When it is the owner and they are not.
    pub fn may_touch(&self, role: Role) -> Result<(), Refusal> {
        if role == Role::Owner && self.role() != Role::Owner { Err(Refusal::Owner) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use fazt_ipc::ids::UserId;

    use super::super::book::{Account, Apps};
    use super::*;

    fn bearer(role: Role, scope: Scope) -> Commander {
        let account = Account {
            id: UserId::new(7, 7),
            name: "anna".into(),
            role,
            apps: Apps::All,
            password: None,
            totp: false,
            epoch: 0,
            created_unix_ms: 0,
        };
        let client = Client { address: [192, 0, 2, 1].into(), device: None, agent: String::new() };
        let (person, token) = (Arc::new(Person::of(&account)), TokenId::new(1, 1));
        Commander(Who::Bearer { person, scope, token, client })
    }

    /// Every token at every kind of operation. Whoever changes a word of it changes what a leaked token opens.
    #[test]
    fn the_matrix_of_tokens_and_operations() {
        let (own, other) = (AppId::new(1, 1), AppId::new(1, 2));
        let about = |app: AppId, access| Some(Subject { app: Some(app), access: Some(access) });
        let mut text = String::new();
        for (who, commander) in [
            ("console", Commander::console()),
            ("owner, admin", bearer(Role::Owner, Scope::Admin)),
            ("owner, app", bearer(Role::Owner, Scope::App(own))),
            ("owner, deploy", bearer(Role::Owner, Scope::Deploy(own))),
            ("admin, admin", bearer(Role::Admin, Scope::Admin)),
            ("admin, app", bearer(Role::Admin, Scope::App(own))),
            ("admin, deploy", bearer(Role::Admin, Scope::Deploy(own))),
            ("member, admin", bearer(Role::Member, Scope::Admin)),
            ("member, app", bearer(Role::Member, Scope::App(own))),
            ("member, deploy", bearer(Role::Member, Scope::Deploy(own))),
        ] {
            for (what, need, subject) in [
                ("whoami", Need::Token, None),
                ("its app", Need::App, about(own, Access::Members)),
                ("its app for the owner", Need::App, about(own, Access::Owner)),
                ("another app", Need::App, about(other, Access::Public)),
                ("no app", Need::App, Some(Subject { app: None, access: None })),
                ("deploying it", Need::Deploy, about(own, Access::Members)),
                ("deploying it for the owner", Need::Deploy, about(own, Access::Owner)),
                ("deploying another", Need::Deploy, about(other, Access::Public)),
                ("deploying a new one", Need::Deploy, Some(Subject { app: None, access: None })),
                ("removing its app", Need::Server, about(own, Access::Members)),
                ("the server", Need::Server, None),
                ("the machine", Need::Console, None),
            ] {
                let outcome = match commander.may(need, subject) {
                    Ok(()) => "yes".to_owned(),
                    Err(refusal) => format!("{refusal:?}").to_lowercase(),
                };
                text.push_str(&format!("{who}: {what}: {outcome}\n"));
            }
            // Both gates of an operation on people: the token's reach, and whom it is about.
            let touch = commander.may(Need::Server, None).and_then(|()| commander.may_touch(Role::Owner));
            let touch =
                touch.map_or_else(|refusal| format!("{refusal:?}").to_lowercase(), |()| "yes".to_owned());
            text.push_str(&format!("{who}: the owner's password: {touch}\n"));
        }
        assert_eq!(
            text,
            "console: whoami: yes\n\
             console: its app: yes\n\
             console: its app for the owner: yes\n\
             console: another app: yes\n\
             console: no app: yes\n\
             console: deploying it: yes\n\
             console: deploying it for the owner: yes\n\
             console: deploying another: yes\n\
             console: deploying a new one: yes\n\
             console: removing its app: yes\n\
             console: the server: yes\n\
             console: the machine: yes\n\
             console: the owner's password: yes\n\
             owner, admin: whoami: yes\n\
             owner, admin: its app: yes\n\
             owner, admin: its app for the owner: yes\n\
             owner, admin: another app: yes\n\
             owner, admin: no app: yes\n\
             owner, admin: deploying it: yes\n\
             owner, admin: deploying it for the owner: yes\n\
             owner, admin: deploying another: yes\n\
             owner, admin: deploying a new one: yes\n\
             owner, admin: removing its app: yes\n\
             owner, admin: the server: yes\n\
             owner, admin: the machine: console\n\
             owner, admin: the owner's password: yes\n\
             owner, app: whoami: yes\n\
             owner, app: its app: yes\n\
             owner, app: its app for the owner: yes\n\
             owner, app: another app: scope\n\
             owner, app: no app: scope\n\
             owner, app: deploying it: scope\n\
             owner, app: deploying it for the owner: scope\n\
             owner, app: deploying another: scope\n\
             owner, app: deploying a new one: scope\n\
             owner, app: removing its app: scope\n\
             owner, app: the server: scope\n\
             owner, app: the machine: console\n\
             owner, app: the owner's password: scope\n\
             owner, deploy: whoami: yes\n\
             owner, deploy: its app: yes\n\
             owner, deploy: its app for the owner: yes\n\
             owner, deploy: another app: scope\n\
             owner, deploy: no app: scope\n\
             owner, deploy: deploying it: yes\n\
             owner, deploy: deploying it for the owner: yes\n\
             owner, deploy: deploying another: scope\n\
             owner, deploy: deploying a new one: scope\n\
             owner, deploy: removing its app: scope\n\
             owner, deploy: the server: scope\n\
             owner, deploy: the machine: console\n\
             owner, deploy: the owner's password: scope\n\
             admin, admin: whoami: yes\n\
             admin, admin: its app: yes\n\
             admin, admin: its app for the owner: owner\n\
             admin, admin: another app: yes\n\
             admin, admin: no app: yes\n\
             admin, admin: deploying it: yes\n\
             admin, admin: deploying it for the owner: owner\n\
             admin, admin: deploying another: yes\n\
             admin, admin: deploying a new one: yes\n\
             admin, admin: removing its app: yes\n\
             admin, admin: the server: yes\n\
             admin, admin: the machine: console\n\
             admin, admin: the owner's password: owner\n\
             admin, app: whoami: yes\n\
             admin, app: its app: yes\n\
             admin, app: its app for the owner: owner\n\
             admin, app: another app: scope\n\
             admin, app: no app: scope\n\
             admin, app: deploying it: scope\n\
             admin, app: deploying it for the owner: scope\n\
             admin, app: deploying another: scope\n\
             admin, app: deploying a new one: scope\n\
             admin, app: removing its app: scope\n\
             admin, app: the server: scope\n\
             admin, app: the machine: console\n\
             admin, app: the owner's password: scope\n\
             admin, deploy: whoami: yes\n\
             admin, deploy: its app: yes\n\
             admin, deploy: its app for the owner: owner\n\
             admin, deploy: another app: scope\n\
             admin, deploy: no app: scope\n\
             admin, deploy: deploying it: yes\n\
             admin, deploy: deploying it for the owner: owner\n\
             admin, deploy: deploying another: scope\n\
             admin, deploy: deploying a new one: scope\n\
             admin, deploy: removing its app: scope\n\
             admin, deploy: the server: scope\n\
             admin, deploy: the machine: console\n\
             admin, deploy: the owner's password: scope\n\
             member, admin: whoami: yes\n\
             member, admin: its app: member\n\
             member, admin: its app for the owner: member\n\
             member, admin: another app: member\n\
             member, admin: no app: member\n\
             member, admin: deploying it: member\n\
             member, admin: deploying it for the owner: member\n\
             member, admin: deploying another: member\n\
             member, admin: deploying a new one: member\n\
             member, admin: removing its app: member\n\
             member, admin: the server: member\n\
             member, admin: the machine: console\n\
             member, admin: the owner's password: member\n\
             member, app: whoami: yes\n\
             member, app: its app: member\n\
             member, app: its app for the owner: member\n\
             member, app: another app: member\n\
             member, app: no app: member\n\
             member, app: deploying it: member\n\
             member, app: deploying it for the owner: member\n\
             member, app: deploying another: member\n\
             member, app: deploying a new one: member\n\
             member, app: removing its app: member\n\
             member, app: the server: member\n\
             member, app: the machine: console\n\
             member, app: the owner's password: member\n\
             member, deploy: whoami: yes\n\
             member, deploy: its app: member\n\
             member, deploy: its app for the owner: member\n\
             member, deploy: another app: member\n\
             member, deploy: no app: member\n\
             member, deploy: deploying it: member\n\
             member, deploy: deploying it for the owner: member\n\
             member, deploy: deploying another: member\n\
             member, deploy: deploying a new one: member\n\
             member, deploy: removing its app: member\n\
             member, deploy: the server: member\n\
             member, deploy: the machine: console\n\
             member, deploy: the owner's password: member\n"
        );
    }
}
