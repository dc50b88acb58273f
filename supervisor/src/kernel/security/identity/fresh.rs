//! Before what would let somebody stay in (a password, a passkey, a token, codes), whoever asks shows anew that
//! it is they: a browser that was left open, or a session that was stolen, is not enough.

use super::super::book::Account;
use super::super::secret::Mark;
use super::entry::Checking;
use super::{Client, Identity, IdentityError, Known};

/// A proof is fresh for this time: long enough to do what one came for.
pub const FRESH_MS: u64 = 10 * 60 * 1_000;

impl Identity {
    /// Whether the user of this session showed who they are a short while ago.
    #[must_use]
    pub fn is_fresh(&self, known: &Known) -> bool {
        self.world.now_ms() < known.proved_unix_ms.saturating_add(FRESH_MS)
    }

    /// As a condition.
    ///
    /// # Errors
    /// [`IdentityError::Confirm`] when not.
    pub fn fresh(&self, known: &Known) -> Result<(), IdentityError> {
        if self.is_fresh(known) { Ok(()) } else { Err(IdentityError::Confirm) }
    }

    /// Takes the password, and the code where one is asked for, as a proof. Wrong ones are counted for the
    /// session alone: whoever stole it locks out nobody else.
    ///
    /// # Errors
    /// As signing in has them.
    pub async fn confirm(
        &self,
        known: &Known,
        password: &str,
        code: &str,
        client: &Client,
    ) -> Result<(), IdentityError> {
        let counted = Some(Mark::of(&[b"session", known.id.to_string().as_bytes()]));
        let checking = Checking { action: "confirm", known: counted };
        let account = self.check(known.person.name(), password, checking, client).await?;
        if account.totp {
            self.code(&account, code, "confirm", client).await?;
        }
        self.proved(known, &account, client).await
    }

    /// The user of a session showed who they are.
    pub(super) async fn proved(
        &self,
        known: &Known,
        account: &Account,
        client: &Client,
    ) -> Result<(), IdentityError> {
        if account.id != known.person.id() {
            return Err(IdentityError::Wrong);
        }
        let (id, epoch, now) = (known.id, account.epoch, self.world.now_ms());
        if !self.ask(move |book| book.session_proved(id, epoch, now)).await? {
            return Err(IdentityError::Stale);
        }
        self.forget();
        self.note(&account.name, "confirm", "", true, Some(client), "").await;
        Ok(())
    }
}
