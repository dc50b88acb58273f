//! Sessions: found by what a cookie holds, opened at an app's origin by a code, listed, ended.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use fazt_ipc::ids::{AppId, SessionId, UserId};

use super::super::book::{Session, SessionsMax};
use super::super::codes::{Grant, near};
use super::super::edge::Person;
use super::super::secret::{Mark, Secret};
use super::entry::Opened;
use super::{By, Client, Identity, IdentityError, KNOWN_MAX};

/// A session is over after this time: 30 days. It does not grow by being used.
pub const SESSION_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Sessions of one user at the OS origin, one for each browser; the one that was not used for longest ends for
/// another.
pub(super) const HOMES_MAX: u64 = 50;
/// Sessions at apps' origins that hang on one of those: as many apps as one uses in a month.
pub(super) const BELOW_EACH_MAX: u64 = 200;
/// How exact a session's last use is.
const SEEN_MS: u64 = 60 * 60 * 1_000;

/// A session that was found, and whose.
#[derive(Debug, Clone)]
pub struct Known {
    /// The session.
    pub id: SessionId,
    /// The one at the OS origin that it hangs on.
    pub parent: Option<SessionId>,
    /// Where it counts; none: at the OS origin.
    pub app: Option<AppId>,
    /// Whose.
    pub person: Arc<Person>,
    pub(super) proved_unix_ms: u64,
    expires_unix_ms: u64,
    seen_unix_ms: u64,
}

/// Somebody arrived at an app's origin with a code.
#[derive(Debug)]
pub struct Arrived {
    /// The session at the app's origin.
    pub opened: Opened,
    /// Path to go on to.
    pub to: String,
}

impl Identity {
    /// The session that this secret opens at the origin of `app` (none: the OS origin), if it is in memory.
    /// `None`: ask [`Self::session`]. `Some(None)`: there is none.
    #[must_use]
    pub fn session_cached(&self, secret: &Secret, app: Option<AppId>) -> Option<Option<Known>> {
        let now = self.world.now_ms();
        let known = self.cache().by_mark.get(&secret.mark()).cloned()?;
        // To be noted as seen, it is asked for again.
        (now < known.seen_unix_ms + SEEN_MS).then(|| known.at(app, now))
    }

    /// The session that this secret opens at the origin of `app` (none: the OS origin).
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn session(&self, secret: &Secret, app: Option<AppId>) -> Result<Option<Known>, IdentityError> {
        if let Some(known) = self.session_cached(secret, app) {
            return Ok(known);
        }
        let (mark, now) = (secret.mark(), self.world.now_ms());
        loop {
            let epoch = self.cache().epoch;
            let found = self
                .ask(move |book| {
                    let found = book.session(mark)?;
                    if let Some((session, _)) = &found
                        && now >= session.seen_unix_ms + SEEN_MS
                    {
                        book.session_seen(session.id, now)?;
                    }
                    Ok(found)
                })
                .await?;
            let Some((session, account)) = found else { return Ok(None) };
            let known = Known {
                id: session.id,
                parent: session.parent,
                app: session.app,
                person: Arc::new(Person::of(&account)),
                proved_unix_ms: session.proved_unix_ms,
                expires_unix_ms: session.expires_unix_ms,
                seen_unix_ms: now,
            };
            let mut cache = self.cache();
            if cache.epoch != epoch {
                // Something ended while the book was read: the answer may be of before.
                continue;
            }
            if cache.by_mark.len() >= KNOWN_MAX {
                cache.by_mark.clear();
            }
            cache.by_mark.insert(mark, known.clone());
            return Ok(known.at(app, now));
        }
    }

    /// Makes a code that opens a session at the origin of `app`, for the browser at this address that holds the
    /// state of this mark.
    #[must_use]
    pub fn pass(&self, known: &Known, app: AppId, (state, at): (Mark, IpAddr), to: String) -> Secret {
        let grant = Grant { session: known.id, user: known.person.id(), app, state, near: near(at), to };
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).make(grant, &*self.world)
    }

    /// Takes a code in at the origin of `app` and opens a session there. None: the code is not good.
    ///
    /// # Errors
    /// When the book cannot be written.
    pub async fn arrive(
        &self,
        code: &Secret,
        app: AppId,
        state: &Secret,
        client: &Client,
    ) -> Result<Option<Arrived>, IdentityError> {
        let now = self.world.now_ms();
        let grant = {
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            codes.redeem(code, app, (state, client.address), now)
        };
        let Some(grant) = grant else { return Ok(None) };
        let secret = Secret::new(&*self.world);
        let (mark, id, random) = (secret.mark(), grant.session, self.random_id());
        let (address, agent) = (client.address.to_canonical().to_string(), client.agent.clone());
        let user = grant.user;
        let opened = self
            .ask(move |book| {
                // The session at the OS origin may have ended since.
                let open = book.sessions(Some(user))?;
                let Some(parent) = open.into_iter().find(|open| open.id == id) else { return Ok(None) };
                let Some(account) = book.account(user)? else { return Ok(None) };
                let session = Session {
                    id: SessionId::new(now, random),
                    user,
                    parent: Some(parent.id),
                    app: Some(app),
                    created_unix_ms: now,
                    seen_unix_ms: now,
                    expires_unix_ms: parent.expires_unix_ms,
                    proved_unix_ms: 0,
                    address,
                    agent,
                };
                let most = SessionsMax { homes: HOMES_MAX, below_each: BELOW_EACH_MAX };
                let ended = book.add_session(mark, &session, account.epoch, most)?;
                Ok(ended.map(|ended| (session.expires_unix_ms, account, ended)))
            })
            .await?;
        let Some((expires, account, ended)) = opened else { return Ok(None) };
        // The one before, in whose place it comes, may be in memory. What runs goes on.
        self.forget();
        self.ended(&ended);
        let person = Arc::new(Person::of(&account));
        self.note(&account.name, "session.open", &app.to_string(), true, Some(client), "").await;
        let seconds = expires.saturating_sub(now) / 1_000;
        Ok(Some(Arrived { opened: Opened { secret, device: None, person, seconds }, to: grant.to }))
    }

    /// Signs a browser out: its session at the OS origin ends, and all that hang on it.
    ///
    /// # Errors
    /// When the book cannot be written: then the session goes on.
    pub async fn sign_out(&self, known: &Known, client: &Client) -> Result<(), IdentityError> {
        self.end_tree(known.parent.unwrap_or(known.id)).await?;
        self.note(known.person.name(), "sign-out", "", true, Some(client), "").await;
        Ok(())
    }

    /// Ends a session and those that hang on it, by the word of `by`.
    ///
    /// # Errors
    /// When there is none, or the book cannot be written.
    pub async fn revoke_session(&self, id: SessionId, by: &By) -> Result<(), IdentityError> {
        let open = self.sessions(None).await?;
        let session = open.iter().find(|session| session.id == id);
        let session = session.ok_or_else(|| IdentityError::Unknown("session", id.to_string()))?;
        by.may_change(&self.account(session.user).await?)?;
        let ended = self.end_tree(id).await?;
        if ended.is_empty() {
            return Err(IdentityError::Unknown("session", id.to_string()));
        }
        self.note(by.name(), "session.revoke", &id.to_string(), true, None, "").await;
        Ok(())
    }

    /// Ends one of somebody's own sessions. Another's is not there for them.
    ///
    /// # Errors
    /// When they have none of this id, or the book cannot be written.
    pub async fn revoke_own_session(&self, person: &Person, id: SessionId) -> Result<(), IdentityError> {
        let own = self.sessions(Some(person.id())).await?;
        if !own.iter().any(|session| session.id == id) {
            return Err(IdentityError::Unknown("session", id.to_string()));
        }
        self.revoke_session(id, &By::person(person)).await
    }

    async fn end_tree(&self, id: SessionId) -> Result<Vec<Session>, IdentityError> {
        let ended = self.ask(move |book| book.end_session(id)).await?;
        self.ended(&ended);
        Ok(ended)
    }

    /// What follows the end of sessions.
    pub(super) fn ended(&self, ended: &[Session]) {
        if ended.is_empty() {
            return;
        }
        self.codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .forget(|grant| ended.iter().any(|session| session.id == grant.session));
        self.forget();
        for session in ended {
            if session.app.is_some() {
                self.end(session.user, session.app);
            }
        }
    }

    /// Sessions that are open: of one user, or of all.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn sessions(&self, user: Option<UserId>) -> Result<Vec<Session>, IdentityError> {
        let now = self.world.now_ms();
        let sessions = self.ask(move |book| book.sessions(user)).await?;
        Ok(sessions.into_iter().filter(|session| now < session.expires_unix_ms).collect())
    }
}

impl Known {
    /// A session counts at its own origin, until it is over.
    fn at(self, app: Option<AppId>, now: u64) -> Option<Self> {
        (self.app == app && now < self.expires_unix_ms).then_some(self)
    }
}
