//! Passkeys of users: made at home, used at the door.

use std::sync::PoisonError;

use fazt_ipc::ids::UserId;
use serde_json::Value;

use super::super::book::{Account, PasskeyRow};
use super::super::edge::Person;
use super::super::passkey::{Challenges, NotGood, Origin, id_of};
use super::super::secret::Secret;
use super::super::throttle::network;
use super::entry::Opened;
use super::{Client, Identity, IdentityError, Known};

/// Passkeys of one user.
const PASSKEYS_MAX: u64 = 20;

impl From<NotGood> for IdentityError {
    fn from(_: NotGood) -> Self {
        Self::Passkey
    }
}

impl Identity {
    fn challenges<T>(&self, work: impl FnOnce(&mut Challenges) -> T) -> T {
        work(&mut self.challenges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a browser needs to make a passkey for somebody, and the ticket that its answer comes with.
    ///
    /// # Errors
    /// When it was not confirmed that it is they, there are too many, or the origin cannot have any.
    pub async fn passkey_begin(
        &self,
        known: &Known,
        origin: &Origin,
    ) -> Result<(Secret, Value), IdentityError> {
        self.fresh(known)?;
        let person = &known.person;
        let have = self.passkeys(person.id()).await?;
        if have.len() as u64 >= PASSKEYS_MAX {
            return Err(IdentityError::Full("passkeys"));
        }
        let have: Vec<String> = have.into_iter().map(|row| row.key).collect();
        let who = (person.id(), person.name());
        let (ticket, options) =
            self.challenges(|challenges| challenges.register(who, &have, origin, &*self.world))?;
        Ok((ticket, serde_json::to_value(options).map_err(|_| IdentityError::Passkey)?))
    }

    /// Takes in the passkey that a browser made.
    ///
    /// # Errors
    /// When the answer is not good.
    pub async fn passkey_add(
        &self,
        known: &Known,
        ticket: &Secret,
        answer: Value,
        origin: &Origin,
        client: &Client,
    ) -> Result<(), IdentityError> {
        self.fresh(known)?;
        let person = &known.person;
        let answer = serde_json::from_value(answer).map_err(|_| IdentityError::Passkey)?;
        let now = self.world.now_ms();
        let user = person.id();
        let made = self.challenges(|open| open.registered(user, ticket, &answer, origin, now))?;
        let row = PasskeyRow {
            id: made.id,
            user,
            note: client.agent.clone(),
            key: made.key,
            created_unix_ms: now,
            used_unix_ms: 0,
        };
        let epoch = person.epoch();
        if !self.ask(move |book| book.add_passkey(&row, epoch, PASSKEYS_MAX)).await? {
            return Err(IdentityError::Stale);
        }
        self.note(person.name(), "passkey.add", "", true, Some(client), "").await;
        Ok(())
    }

    /// What a browser needs to sign somebody in, and the ticket that its answer comes with.
    ///
    /// # Errors
    /// When the origin cannot have passkeys.
    pub fn passkey_ask(&self, origin: &Origin, client: &Client) -> Result<(Secret, Value), IdentityError> {
        let holder = network(client.address);
        let (ticket, options) =
            self.challenges(|challenges| challenges.enter(holder, origin, &*self.world))?;
        Ok((ticket, serde_json::to_value(options).map_err(|_| IdentityError::Passkey)?))
    }

    /// Opens a session for a passkey.
    ///
    /// # Errors
    /// [`IdentityError::Passkey`], whatever is not good about it.
    pub async fn passkey_enter(
        &self,
        ticket: &Secret,
        answer: Value,
        origin: &Origin,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        let account = self.passkey_judge(ticket, answer, origin, client).await?;
        let opened = self.open(&account, client).await?;
        self.note(&account.name, "sign-in", "", true, Some(client), "passkey").await;
        Ok(opened)
    }

    /// Takes a passkey as a proof that it is still the user of this session.
    ///
    /// # Errors
    /// [`IdentityError::Passkey`], whatever is not good about it.
    pub async fn passkey_confirm(
        &self,
        known: &Known,
        ticket: &Secret,
        answer: Value,
        origin: &Origin,
        client: &Client,
    ) -> Result<(), IdentityError> {
        let account = self.passkey_judge(ticket, answer, origin, client).await?;
        self.proved(known, &account, client).await.map_err(|error| match error {
            IdentityError::Wrong => IdentityError::Passkey,
            error => error,
        })
    }

    /// Whose passkey this is. Nobody is made to wait here: a signature cannot be guessed, and each try needs a
    /// challenge, of which a network has few.
    async fn passkey_judge(
        &self,
        ticket: &Secret,
        answer: Value,
        origin: &Origin,
        client: &Client,
    ) -> Result<Account, IdentityError> {
        let answer: webauthn_rs::prelude::PublicKeyCredential =
            serde_json::from_value(answer).map_err(|_| IdentityError::Passkey)?;
        let now = self.world.now_ms();
        let asked = id_of(answer.get_credential_id());
        let found = self.ask(move |book| book.passkey(&asked)).await?;
        let kept = found.as_ref().map(|(row, _)| (row.user, row.key.as_str()));
        let judged = self.challenges(|challenges| challenges.entered(ticket, &answer, kept, origin, now));
        let (Ok(key), Some((row, account))) = (judged, found) else {
            self.note_refused("somebody", "sign-in", client, "passkey").await;
            return Err(IdentityError::Passkey);
        };
        self.ask(move |book| book.passkey_used(&row.id, &key, now)).await?;
        Ok(account)
    }

    /// Passkeys of a user.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, IdentityError> {
        self.ask(move |book| book.passkeys(user)).await
    }

    /// Removes one of somebody's own passkeys.
    ///
    /// # Errors
    /// When they have none of this id.
    pub async fn passkey_remove(&self, person: &Person, id: &str) -> Result<(), IdentityError> {
        let (user, asked) = (person.id(), id.to_owned());
        if !self.ask(move |book| book.remove_passkey(user, &asked)).await? {
            return Err(IdentityError::Unknown("passkey", id.chars().take(64).collect()));
        }
        self.forget();
        self.note(person.name(), "passkey.remove", "", true, None, "").await;
        Ok(())
    }
}
