//! Users and the links that bring them in. What the console and admins do; that they may is decided before.

use fazt_ipc::control::Role;
use fazt_ipc::ids::UserId;

use super::super::book::{Account, Apps, Invite, Keeps, Purpose};
use super::super::password;
use super::super::secret::{Mark, Secret};
use super::super::turns::Holder;
use super::{By, Identity, IdentityError};

/// Longest name.
pub const NAME_BYTES_MAX: usize = 32;
/// A link is worthless after this time, unless said otherwise: three days.
pub const LINK_MS_DEFAULT: u64 = 3 * 24 * 60 * 60 * 1_000;
/// The longest that a link may live.
pub const LINK_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Users of one server.
const USERS_MAX: usize = 10_000;
/// The owner's first link is worthless after this time: whoever installs a server opens it at once, and a log
/// may have it. The next start, or the console, makes another.
pub const FIRST_LINK_MS: u64 = 24 * 60 * 60 * 1_000;
/// A link for a new password is worthless after this time.
const ENTER_LINK_MS: u64 = 60 * 60 * 1_000;
/// What the owner is called until they choose.
const OWNER: &str = "owner";

/// Whether somebody can be called so.
#[must_use]
pub fn name_is_good(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
        // Names of principals that are not people.
        && !matches!(name, "anonymous" | "service" | "console")
}

impl Identity {
    /// Makes the owner if there is none. While the owner has no password: a link to set one, which replaces the
    /// one before.
    ///
    /// # Errors
    /// When the book cannot be written.
    pub async fn first_link(&self) -> Result<Option<(Secret, u64)>, IdentityError> {
        let accounts = self.users().await?;
        let owner = match accounts.into_iter().find(|account| account.role == Role::Owner) {
            Some(owner) => owner,
            None => {
                let now = self.world.now_ms();
                let owner = Account {
                    id: UserId::new(now, self.random_id()),
                    name: OWNER.into(),
                    role: Role::Owner,
                    apps: Apps::All,
                    password: None,
                    totp: false,
                    epoch: 0,
                    created_unix_ms: now,
                };
                let made = owner.clone();
                self.ask(move |book| book.add_account(&made)).await?;
                owner
            }
        };
        if owner.password.is_some() {
            return Ok(None);
        }
        let purpose = Purpose::Enter { user: owner.id, resets_totp: false };
        self.link(purpose, FIRST_LINK_MS).await.map(Some)
    }

    /// The user of this id.
    pub(super) async fn account(&self, user: UserId) -> Result<Account, IdentityError> {
        let found = self.ask(move |book| book.account(user)).await?;
        found.ok_or_else(|| IdentityError::Unknown("user", user.to_string()))
    }

    /// Every user.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn users(&self) -> Result<Vec<Account>, IdentityError> {
        self.ask(|book| book.accounts()).await
    }

    /// The user of this name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn user(&self, name: &str) -> Result<Account, IdentityError> {
        let asked = name.to_owned();
        let found = self.ask(move |book| book.account_named(&asked)).await?;
        found.ok_or_else(|| IdentityError::Unknown("user", name.to_owned()))
    }

    /// Adds a user; the link lets them choose a password.
    ///
    /// # Errors
    /// When the name is not good or taken, or the role is the owner's.
    pub async fn add_user(
        &self,
        name: &str,
        role: Role,
        apps: Apps,
        by: &By,
    ) -> Result<(Account, Secret, u64), IdentityError> {
        if !name_is_good(name) {
            return Err(IdentityError::Name);
        }
        one_owner(role)?;
        by.may_give(role)?;
        let now = self.world.now_ms();
        let account = Account {
            id: UserId::new(now, self.random_id()),
            name: name.to_owned(),
            role,
            apps,
            password: None,
            totp: false,
            epoch: 0,
            created_unix_ms: now,
        };
        if self.users().await?.len() >= USERS_MAX {
            return Err(IdentityError::Full("users"));
        }
        let made = account.clone();
        self.ask(move |book| book.add_account(&made)).await?;
        self.note(by.name(), "user.add", name, true, None, role.name()).await;
        let purpose = Purpose::Enter { user: account.id, resets_totp: false };
        let (link, expires) = self.link(purpose, LINK_MS_DEFAULT).await?;
        Ok((account, link, expires))
    }

    /// A link with which somebody becomes a user.
    ///
    /// # Errors
    /// When the role is the owner's, or there are too many links.
    pub async fn invite(
        &self,
        role: Role,
        apps: Apps,
        life_ms: Option<u64>,
        by: &By,
    ) -> Result<(Secret, u64), IdentityError> {
        one_owner(role)?;
        by.may_give(role)?;
        let life = life_ms.unwrap_or(LINK_MS_DEFAULT).min(LINK_MS_MAX);
        let link = self.link(Purpose::Join { role, apps }, life).await?;
        self.note(by.name(), "user.invite", role.name(), true, None, "").await;
        Ok(link)
    }

    /// A link with which a user sets a new password: recovery. With `resets_totp` it ends the codes of their app
    /// too; else one is asked for where the link leads.
    ///
    /// # Errors
    /// When there is no such user, or `by` may not change them.
    pub async fn enter_link(
        &self,
        name: &str,
        resets_totp: bool,
        by: &By,
    ) -> Result<(Secret, u64), IdentityError> {
        let account = self.user(name).await?;
        by.may_change(&account)?;
        let link = self.link(Purpose::Enter { user: account.id, resets_totp }, ENTER_LINK_MS).await?;
        let detail = if resets_totp { "codes of an app end" } else { "" };
        self.note(by.name(), "user.link", name, true, None, detail).await;
        Ok(link)
    }

    async fn link(&self, purpose: Purpose, life_ms: u64) -> Result<(Secret, u64), IdentityError> {
        let now = self.world.now_ms();
        let secret = Secret::new(&*self.world);
        let expires = now.saturating_add(life_ms);
        let (mark, invite) = (secret.mark(), Invite { purpose, expires_unix_ms: expires });
        self.ask(move |book| book.add_invite(mark, &invite, now)).await?;
        Ok((secret, expires))
    }

    /// Sets a user's password by somebody else's word. What was open with the old one ends: sessions, links,
    /// tokens and passkeys, and with `resets_totp` the codes of their app.
    ///
    /// # Errors
    /// When there is no such user, `by` may not change them, or the password is not good enough.
    pub async fn set_password(
        &self,
        name: &str,
        new: &str,
        resets_totp: bool,
        by: &By,
    ) -> Result<(), IdentityError> {
        let account = self.user(name).await?;
        by.may_change(&account)?;
        password::acceptable(new, &account.name)?;
        let given = new.to_owned();
        let holder = Holder::Known(Mark::of(&[b"by", by.name().as_bytes()]));
        let hash = self.hashing(holder, move |world| password::hash(&given, world)).await?;
        let id = account.id;
        let keeps = Keeps { passkeys: false, tokens: false, totp: !resets_totp };
        self.ask(move |book| book.set_password(id, &hash, keeps, None)).await?;
        self.end(id, None);
        self.note(by.name(), "user.password", name, true, None, "").await;
        Ok(())
    }

    /// Gives a user another role. What runs for them ends, so that it holds at once; who is a member now loses
    /// the tokens that command the server.
    ///
    /// # Errors
    /// When there is no such user, it is the owner or would be a second one, or `by` may not do it.
    pub async fn set_role(&self, name: &str, role: Role, by: &By) -> Result<Account, IdentityError> {
        let account = self.user(name).await?;
        by.may_change(&account)?;
        by.may_give(role)?;
        if account.role == Role::Owner && role != Role::Owner {
            return Err(IdentityError::Owner("the owner of the server stays its owner"));
        }
        if account.role == role {
            return Ok(account);
        }
        one_owner(role)?;
        let id = account.id;
        self.ask(move |book| book.set_role(id, role)).await?;
        self.end(id, None);
        self.note(by.name(), "user.role", name, true, None, role.name()).await;
        Ok(Account { role, ..account })
    }

    /// Says which apps for members a user is admitted to. What runs for them in others ends.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn admit(&self, name: &str, apps: Apps, by: &By) -> Result<Account, IdentityError> {
        let account = self.user(name).await?;
        by.may_change(&account)?;
        let (id, set) = (account.id, apps.clone());
        self.ask(move |book| book.set_apps(id, &set)).await?;
        self.end(id, None);
        let detail = match &apps {
            Apps::All => "all".to_owned(),
            Apps::Some(apps) => apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        self.note(by.name(), "user.apps", name, true, None, &detail).await;
        Ok(Account { apps, ..account })
    }

    /// Removes a user with their sessions, links and tokens. What runs for them ends.
    ///
    /// # Errors
    /// When there is no such user, or it is the owner.
    pub async fn remove_user(&self, name: &str, by: &By) -> Result<(), IdentityError> {
        let account = self.user(name).await?;
        by.may_change(&account)?;
        if account.role == Role::Owner {
            return Err(IdentityError::Owner("the owner of the server cannot be removed"));
        }
        let id = account.id;
        self.ask(move |book| book.remove_account(id)).await?;
        self.end(id, None);
        self.note(by.name(), "user.remove", name, true, None, "").await;
        Ok(())
    }
}

fn one_owner(role: Role) -> Result<(), IdentityError> {
    match role {
        Role::Owner => Err(IdentityError::Owner("there is one owner: choose the role admin or member")),
        Role::Admin | Role::Member => Ok(()),
    }
}
