//! Ways in: a name with a password, or a link. Whether a user exists shows neither in words nor in time.

use std::sync::{Arc, PoisonError};

use fazt_ipc::ids::{SessionId, UserId};

use super::super::book::{Account, Joining, Purpose, Session};
use super::super::edge::Person;
use super::super::password;
use super::super::secret::Secret;
use super::people::name_is_good;
use super::sessions::SESSIONS_PER_USER_MAX;
use super::{Client, Identity, IdentityError, SESSION_MS_MAX};

/// A session that was opened. The secret is for the client's cookie and nobody else.
#[derive(Debug)]
pub struct Opened {
    /// What the cookie holds.
    pub secret: Secret,
    /// Who signed in.
    pub person: Arc<Person>,
    /// Seconds until the session is over.
    pub seconds: u64,
}

/// What a link is for, as its page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Whose it is; none: whoever opens it chooses a name.
    pub name: Option<String>,
    /// They may choose another name: the owner, the first time.
    pub renames: bool,
}

impl Identity {
    /// Opens a session at the OS origin for a name and a password.
    ///
    /// # Errors
    /// [`IdentityError::Wrong`], [`IdentityError::Wait`] and [`IdentityError::Busy`] say the same of users who
    /// are there and of users who are not.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        let account = self.check(name, password, "sign-in", client).await?;
        let opened = self.open(&account, client).await?;
        self.note(&account.name, "sign-in", "", true, Some(client), "").await;
        Ok(opened)
    }

    /// Sets another password for somebody who knows the one they have. Their sessions end; one is opened anew.
    ///
    /// # Errors
    /// As [`Self::sign_in`], and when the new one is not good enough.
    pub async fn change_password(
        &self,
        person: &Person,
        old: &str,
        new: &str,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        password::acceptable(new, person.name())?;
        let account = self.check(person.name(), old, "user.password", client).await?;
        self.set_password(&account.name, new, &account.name).await?;
        self.open(&account, client).await
    }

    /// The account of this name, for whoever knows its password. `action`: what a wrong one is written down as.
    async fn check(
        &self,
        name: &str,
        password: &str,
        action: &str,
        client: &Client,
    ) -> Result<Account, IdentityError> {
        let now = self.world.now_ms();
        let name = name.trim().to_ascii_lowercase();
        let tried =
            self.throttle.lock().unwrap_or_else(PoisonError::into_inner).begin(&name, client.address, now);
        let tried = match tried {
            Ok(tried) => tried,
            Err(wait_ms) => {
                let seconds = wait_ms.div_ceil(1_000);
                return Err(IdentityError::Wait(seconds));
            }
        };
        let asked = name.clone();
        let account = match name_is_good(&name) {
            true => self.ask(move |book| book.account_named(&asked)).await?,
            // As long as a look into the book: what no user can be called is no secret, but why tell.
            false => self.ask(|book| book.account_named("")).await?,
        };
        let stored = account.as_ref().and_then(|account| account.password.clone());
        let given = password.to_owned();
        let right = self
            .hashing(move |_| {
                let none = stored.is_none();
                let stored = stored.unwrap_or_else(password::nobody);
                password::verify(&given, &stored) && !none
            })
            .await?;
        match account {
            Some(account) if right => {
                self.throttle.lock().unwrap_or_else(PoisonError::into_inner).right(tried);
                Ok(account)
            }
            _ => {
                let claimed: String = name.chars().take(64).collect();
                self.note(&claimed, action, "", false, Some(client), "name or password").await;
                Err(IdentityError::Wrong)
            }
        }
    }

    /// What a link is for. Looking does not spend it: mail programs look.
    ///
    /// # Errors
    /// When it is no longer good.
    pub async fn linked(&self, link: &Secret) -> Result<Linked, IdentityError> {
        let (mark, now) = (link.mark(), self.world.now_ms());
        let found = self.ask(move |book| book.invite(mark, now)).await?;
        let (_, account) = found.ok_or(IdentityError::Link)?;
        Ok(match account {
            Some(account) => {
                let renames = account.renames();
                Linked { name: Some(account.name), renames }
            }
            None => Linked { name: None, renames: false },
        })
    }

    /// Spends a link: sets the password and opens a session. Of several who try at once, one gets in.
    ///
    /// # Errors
    /// When the link is no longer good; when name or password are not (the link stays good then).
    pub async fn join(
        &self,
        link: &Secret,
        name: &str,
        password: &str,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        let now = self.world.now_ms();
        let mark = link.mark();
        let (invite, account) =
            self.ask(move |book| book.invite(mark, now)).await?.ok_or(IdentityError::Link)?;
        let name = name.trim().to_ascii_lowercase();
        let name = match &account {
            Some(account) if !account.renames() || name.is_empty() => account.name.clone(),
            _ => name,
        };
        if !name_is_good(&name) {
            return Err(IdentityError::Name);
        }
        password::acceptable(password, &name)?;
        let given = password.to_owned();
        let hash = self.hashing(move |world| password::hash(&given, world)).await?;
        let joining = Joining { id: UserId::new(now, self.random_id()), name, password: hash };
        let joined = self.ask(move |book| book.redeem(mark, &joining, now)).await?;
        let account = joined.ok_or(IdentityError::Link)?;
        let action = match invite.purpose {
            Purpose::Enter(_) => "user.enter",
            Purpose::Join { .. } => "user.join",
        };
        // A new password ends what was open with the old one.
        self.end(account.id, None);
        self.note(&account.name, action, &account.name, true, Some(client), "").await;
        self.open(&account, client).await
    }

    /// Opens a session at the OS origin.
    pub(super) async fn open(&self, account: &Account, client: &Client) -> Result<Opened, IdentityError> {
        let now = self.world.now_ms();
        let secret = Secret::new(&*self.world);
        let session = Session {
            id: SessionId::new(now, self.random_id()),
            user: account.id,
            parent: None,
            app: None,
            created_unix_ms: now,
            seen_unix_ms: now,
            expires_unix_ms: now + SESSION_MS_MAX,
            address: client.address.to_canonical().to_string(),
            agent: client.agent.clone(),
        };
        let mark = secret.mark();
        self.ask(move |book| book.add_session(mark, &session, SESSIONS_PER_USER_MAX)).await?;
        Ok(Opened { secret, person: Arc::new(Person::of(account)), seconds: SESSION_MS_MAX / 1_000 })
    }
}

impl Account {
    /// The owner chooses a name the first time: before that it is ours.
    pub(crate) fn renames(&self) -> bool {
        self.role == fazt_ipc::control::Role::Owner && self.password.is_none()
    }
}
