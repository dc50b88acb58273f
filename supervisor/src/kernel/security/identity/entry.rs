//! Ways in: a name with a password, or a link. Whether a user exists shows neither in words nor in time.

use std::sync::{Arc, PoisonError};

use fazt_ipc::ids::{SessionId, UserId};

use super::super::book::{Account, Joining, Keeps, Purpose, Session, SessionsMax};
use super::super::edge::Person;
use super::super::password;
use super::super::secret::{Mark, Secret};
use super::super::throttle::network;
use super::super::turns::Holder;
use super::people::name_is_good;
use super::sessions::{BELOW_EACH_MAX, HOMES_MAX};
use super::{Client, Identity, IdentityError, SESSION_MS_MAX};

/// A session that was opened. The secret is for the client's cookie and nobody else.
#[derive(Debug)]
pub struct Opened {
    /// What the cookie holds.
    pub secret: Secret,
    /// What the browser keeps so that it is known again; none: it is known already.
    pub device: Option<Secret>,
    /// Who signed in.
    pub person: Arc<Person>,
    /// Seconds until the session is over.
    pub seconds: u64,
}

/// What a right password led to.
#[derive(Debug)]
pub enum Entered {
    /// In.
    Opened(Opened),
    /// Half in: the code of an app is still missing. The ticket is for the form that asks for it.
    Code(Secret),
}

/// What a link is for, as its page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Whose it is; none: whoever opens it chooses a name.
    pub name: Option<String>,
    /// They may choose another name: the owner, the first time.
    pub renames: bool,
    /// The code of an app is asked for too.
    pub code: bool,
    /// They have passkeys, which end unless they are kept.
    pub passkeys: bool,
}

/// What somebody who opens a link chooses.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// A name, where there is one to choose.
    pub name: &'a str,
    /// A password.
    pub password: &'a str,
    /// The code of an app, where one is asked for.
    pub code: &'a str,
    /// The passkeys there are stay.
    pub keeps_passkeys: bool,
}

/// How a password is checked.
pub(super) struct Checking<'a> {
    /// What a wrong one is written down as.
    pub action: &'a str,
    /// By what those who try are known; none: they are strangers.
    pub known: Option<Mark>,
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
    ) -> Result<Entered, IdentityError> {
        let name = name.trim().to_ascii_lowercase();
        let known = client.device.as_ref().and_then(|device| self.devices.knows(device, &name));
        let account = self.check(&name, password, Checking { action: "sign-in", known }, client).await?;
        if account.totp {
            return Ok(Entered::Code(self.half_in(&account)));
        }
        let opened = self.open(&account, client).await?;
        self.note(&account.name, "sign-in", "", true, Some(client), "").await;
        Ok(Entered::Opened(opened))
    }

    /// The account of this name, for whoever knows its password.
    pub(super) async fn check(
        &self,
        name: &str,
        password: &str,
        checking: Checking<'_>,
        client: &Client,
    ) -> Result<Account, IdentityError> {
        let now = self.world.now_ms();
        let tried = {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.begin(name, client.address, checking.known, now)
        };
        let tried = tried.map_err(|wait_ms| IdentityError::Wait(wait_ms.div_ceil(1_000)))?;
        let asked = name.to_owned();
        let account = match name_is_good(name) {
            true => self.ask(move |book| book.account_named(&asked)).await?,
            // As long as a look into the book: what no user can be called is no secret, but why tell.
            false => self.ask(|book| book.account_named("")).await?,
        };
        let stored = account.as_ref().and_then(|account| account.password.clone());
        let given = password.to_owned();
        let holder = match checking.known {
            Some(known) => Holder::Known(known),
            None => Holder::Stranger(network(client.address)),
        };
        let right = self
            .hashing(holder, move |_| {
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
                self.note_refused(&claimed, checking.action, client, "name or password").await;
                Err(IdentityError::Wrong)
            }
        }
    }

    /// Sets another password for somebody who just confirmed that it is they. All their sessions end; one is
    /// opened anew. With `keeps` passkeys and tokens go on.
    ///
    /// # Errors
    /// When it was not confirmed, the account has changed since, or the password is not good enough.
    pub async fn change_password(
        &self,
        known: &super::Known,
        new: &str,
        keeps: bool,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        self.fresh(known)?;
        let person = &known.person;
        password::acceptable(new, person.name())?;
        let given = new.to_owned();
        let holder = Holder::Known(Mark::of(&[b"user", person.id().to_string().as_bytes()]));
        let hash = self.hashing(holder, move |world| password::hash(&given, world)).await?;
        let (id, epoch) = (person.id(), person.epoch());
        let keeps = Keeps { passkeys: keeps, tokens: keeps, totp: true };
        let epoch = self.ask(move |book| book.set_password(id, &hash, keeps, Some(epoch))).await?;
        let epoch = epoch.ok_or(IdentityError::Stale)?;
        self.end(id, None);
        self.note(person.name(), "user.password", person.name(), true, Some(client), "").await;
        let account = self.user(person.name()).await?;
        // Whatever happened to it since: what is opened is of this password.
        self.open(&Account { epoch, ..account }, client).await
    }

    /// What a link is for. Looking does not spend it: mail programs look.
    ///
    /// # Errors
    /// When it is no longer good.
    pub async fn linked(&self, link: &Secret) -> Result<Linked, IdentityError> {
        let (mark, now) = (link.mark(), self.world.now_ms());
        let found = self
            .ask(move |book| {
                let Some((invite, account)) = book.invite(mark, now)? else { return Ok(None) };
                let passkeys = match &account {
                    Some(account) => !book.passkeys(account.id)?.is_empty(),
                    None => false,
                };
                Ok(Some((invite, account, passkeys)))
            })
            .await?;
        let (invite, account, passkeys) = found.ok_or(IdentityError::Link)?;
        let resets = matches!(invite.purpose, Purpose::Enter { resets_totp: true, .. });
        Ok(match account {
            Some(account) => {
                let (renames, code) = (account.renames(), account.totp && !resets);
                Linked { name: Some(account.name), renames, code, passkeys }
            }
            None => Linked { name: None, renames: false, code: false, passkeys: false },
        })
    }

    /// Spends a link: sets the password and opens a session. Of several who try at once, one gets in.
    ///
    /// # Errors
    /// When the link is no longer good; when what was chosen is not (the link stays good then). How often a
    /// name may turn out to be taken is bounded: a link is no way to find out who is here.
    pub async fn join(
        &self,
        link: &Secret,
        choice: Choice<'_>,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        let now = self.world.now_ms();
        let mark = link.mark();
        let (invite, account) =
            self.ask(move |book| book.invite(mark, now)).await?.ok_or(IdentityError::Link)?;
        let name = choice.name.trim().to_ascii_lowercase();
        let name = match &account {
            Some(account) if !account.renames() || name.is_empty() => account.name.clone(),
            _ => name,
        };
        if !name_is_good(&name) {
            return Err(IdentityError::Name);
        }
        password::acceptable(choice.password, &name)?;
        let tried = {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.begin_link(mark, now)
        };
        let tried = tried.map_err(|wait_ms| IdentityError::Wait(wait_ms.div_ceil(1_000)))?;
        let resets = matches!(invite.purpose, Purpose::Enter { resets_totp: true, .. });
        if let Some(account) = account.as_ref().filter(|account| account.totp && !resets) {
            self.code(account, choice.code, "user.enter", client).await?;
        }
        let given = choice.password.to_owned();
        let hash = self.hashing(Holder::Known(mark), move |world| password::hash(&given, world)).await?;
        let joining = Joining {
            id: UserId::new(now, self.random_id()),
            name: name.clone(),
            password: hash,
            keeps_passkeys: choice.keeps_passkeys,
            epoch: account.map(|account| account.epoch),
        };
        let joined = self.ask(move |book| book.redeem(mark, &joining, now)).await;
        if matches!(joined, Err(IdentityError::Taken)) {
            self.note_refused("somebody", "user.join", client, "the name is taken").await;
        }
        let account = joined?.ok_or(IdentityError::Link)?;
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).right(tried);
        let action = match invite.purpose {
            Purpose::Enter { .. } => "user.enter",
            Purpose::Join { .. } => "user.join",
        };
        // A new password ends what was open with the old one.
        self.end(account.id, None);
        self.note(&account.name, action, &account.name, true, Some(client), "").await;
        self.open(&account, client).await
    }

    /// Opens a session at the OS origin for what was checked of this account, unless it changed since.
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
            proved_unix_ms: now,
            address: client.address.to_canonical().to_string(),
            agent: client.agent.clone(),
        };
        let (mark, epoch) = (secret.mark(), account.epoch);
        let most = SessionsMax { homes: HOMES_MAX, below_each: BELOW_EACH_MAX };
        let ended = self.ask(move |book| book.add_session(mark, &session, epoch, most)).await?;
        self.ended(&ended.ok_or(IdentityError::Stale)?);
        let known = client.device.as_ref().and_then(|device| self.devices.knows(device, &account.name));
        let device = known.is_none().then(|| self.devices.make(&account.name, &*self.world));
        let person = Arc::new(Person::of(account));
        Ok(Opened { secret, device, person, seconds: SESSION_MS_MAX / 1_000 })
    }
}

impl Account {
    /// The owner chooses a name the first time: before that it is ours.
    pub(crate) fn renames(&self) -> bool {
        self.role == fazt_ipc::control::Role::Owner && self.password.is_none()
    }
}
