//! API tokens: `fazt_` and a secret, for programs that act for a user.

use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::control::Role;
use fazt_ipc::ids::{AppId, TokenId, UserId};

use super::super::book::{Account, Scope, Token};
use super::super::edge::Person;
use super::super::secret::Secret;
use super::{By, Identity, IdentityError, KNOWN_MAX, Known};

/// What every token begins with, so that scanners for leaked secrets know it.
pub const TOKEN_PREFIX: &str = "fazt_";
/// A token is worthless after this time, unless said otherwise: 90 days.
pub const TOKEN_MS_DEFAULT: u64 = 90 * 24 * 60 * 60 * 1_000;
/// The longest that a token may live: two years.
const TOKEN_MS_MAX: u64 = 730 * 24 * 60 * 60 * 1_000;
/// Tokens of one user.
const TOKENS_PER_USER_MAX: u64 = 100;
/// Longest note.
const NOTE_BYTES_MAX: usize = 200;
/// A token whose request goes on is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How exact a token's last use is.
const USED_MS: u64 = 60 * 60 * 1_000;

/// Somebody who showed a token.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Which token.
    pub id: TokenId,
    /// Whom it acts for.
    pub person: Arc<Person>,
    /// What it may do.
    pub scope: Scope,
    expires_unix_ms: u64,
    seen_unix_ms: u64,
}

impl Identity {
    /// Who shows this token (`fazt_…`), and what it may do. None: it is not good.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn bearer(&self, token: &str) -> Result<Option<Bearer>, IdentityError> {
        let Some(secret) = token.strip_prefix(TOKEN_PREFIX).and_then(Secret::read) else { return Ok(None) };
        let (mark, now) = (secret.mark(), self.world.now_ms());
        let known = self.cache().tokens.get(&mark).cloned();
        if let Some(known) = known.filter(|known| now < known.seen_unix_ms + USED_MS) {
            return Ok((now < known.expires_unix_ms).then_some(known));
        }
        loop {
            let epoch = self.cache().epoch;
            let found = self
                .ask(move |book| {
                    let found = book.token(mark)?;
                    if let Some((token, _)) = &found
                        && now >= token.used_unix_ms + USED_MS
                    {
                        book.token_used(token.id, now)?;
                    }
                    Ok(found)
                })
                .await?;
            let Some((token, account)) = found else { return Ok(None) };
            let bearer = Bearer {
                id: token.id,
                person: Arc::new(Person::of(&account)),
                scope: token.scope,
                expires_unix_ms: token.expires_unix_ms,
                seen_unix_ms: now,
            };
            let mut cache = self.cache();
            if cache.epoch != epoch {
                // It may have been removed while the book was read.
                continue;
            }
            if cache.tokens.len() >= KNOWN_MAX {
                cache.tokens.clear();
            }
            cache.tokens.insert(mark, bearer.clone());
            return Ok((now < bearer.expires_unix_ms).then_some(bearer));
        }
    }

    /// Returns when a token that was shown is no longer good, or its user has another role.
    pub async fn revoked(&self, token: &str, role: Role) {
        let mut changes = self.changes.subscribe();
        loop {
            // Read after the subscription: a change between the two is not missed. While the book cannot be read,
            // what was let in stays.
            match self.bearer(token).await {
                Ok(Some(bearer)) if bearer.person.role() == role => {}
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "a token cannot be looked up again"),
            }
            // Now and then also unasked: a token ends with its time.
            let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
        }
    }

    /// Makes a token for `account`. The text is shown this once.
    ///
    /// # Errors
    /// When the user has too many.
    pub async fn new_token(
        &self,
        account: &Account,
        scope: Scope,
        note: &str,
        life_ms: Option<u64>,
        by: &By,
    ) -> Result<(String, Token), IdentityError> {
        by.may_change(account)?;
        let now = self.world.now_ms();
        let secret = Secret::new(&*self.world);
        let life = life_ms.unwrap_or(TOKEN_MS_DEFAULT).min(TOKEN_MS_MAX);
        let cut = note.char_indices().take_while(|(at, letter)| at + letter.len_utf8() <= NOTE_BYTES_MAX);
        let token = Token {
            id: TokenId::new(now, self.random_id()),
            user: account.id,
            scope,
            note: cut.map(|(_, letter)| letter).collect(),
            created_unix_ms: now,
            used_unix_ms: 0,
            expires_unix_ms: now.saturating_add(life),
        };
        let (mark, made, epoch) = (secret.mark(), token.clone(), account.epoch);
        if !self.ask(move |book| book.add_token(mark, &made, epoch, TOKENS_PER_USER_MAX)).await? {
            return Err(IdentityError::Stale);
        }
        let detail = match scope {
            Scope::Admin => "admin".to_owned(),
            Scope::App(app) => app.to_string(),
            Scope::Deploy(app) => format!("deploy {app}"),
        };
        let (id, detail) = (token.id.to_string(), format!("{} {detail}", account.name));
        self.note(by.name(), "token.new", &id, true, None, &detail).await;
        Ok((format!("{TOKEN_PREFIX}{}", secret.expose()), token))
    }

    /// Makes a token for one app for somebody who just confirmed that it is they.
    ///
    /// # Errors
    /// When it was not confirmed, or they have too many.
    pub async fn new_own_token(
        &self,
        known: &Known,
        app: AppId,
        note: &str,
    ) -> Result<String, IdentityError> {
        self.fresh(known)?;
        let account = self.account(known.person.id()).await?;
        let account = Account { epoch: known.person.epoch(), ..account };
        let by = By::person(&known.person);
        let (text, _) = self.new_token(&account, Scope::App(app), note, None, &by).await?;
        Ok(text)
    }

    /// All tokens; those of one user where `user` says.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn tokens(&self, user: Option<UserId>) -> Result<Vec<Token>, IdentityError> {
        let tokens = self.ask(|book| book.tokens()).await?;
        Ok(tokens.into_iter().filter(|token| user.is_none_or(|user| user == token.user)).collect())
    }

    /// Removes one of somebody's own tokens. Another's is not there for them.
    ///
    /// # Errors
    /// When they have none of this id.
    pub async fn remove_own_token(&self, person: &Person, id: TokenId) -> Result<(), IdentityError> {
        if !self.tokens(Some(person.id())).await?.iter().any(|token| token.id == id) {
            return Err(IdentityError::Unknown("token", id.to_string()));
        }
        self.remove_token(id, &By::person(person)).await
    }

    /// Removes a token. What runs for its user where it counted ends.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_token(&self, id: TokenId, by: &By) -> Result<(), IdentityError> {
        let found = self.tokens(None).await?.into_iter().find(|token| token.id == id);
        let found = found.ok_or_else(|| IdentityError::Unknown("token", id.to_string()))?;
        by.may_change(&self.account(found.user).await?)?;
        let removed = self.ask(move |book| book.remove_token(id)).await?;
        let token = removed.ok_or_else(|| IdentityError::Unknown("token", id.to_string()))?;
        match token.scope {
            Scope::App(app) => self.end(token.user, Some(app)),
            Scope::Admin | Scope::Deploy(_) => self.forget(),
        }
        self.note(by.name(), "token.rm", &id.to_string(), true, None, "").await;
        Ok(())
    }
}

impl Bearer {
    /// Whether the token acts as its user on this app's origin.
    #[must_use]
    pub fn acts_on(&self, app: AppId) -> bool {
        self.scope == Scope::App(app)
    }
}
