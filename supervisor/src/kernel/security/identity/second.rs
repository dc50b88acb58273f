//! Codes of an authenticator app beside the password, and recovery codes for whoever lost it. A passkey needs
//! none: it is two things by itself.

use std::sync::PoisonError;

use fazt_ipc::ids::{SessionId, UserId};

use super::super::book::{Account, Totp};
use super::super::secret::{Mark, Secret};
use super::super::totp;
use super::entry::Opened;
use super::{Client, Identity, IdentityError, Known};

/// Time for the code after the password.
const HALF_MS_MAX: u64 = 5 * 60 * 1_000;
/// Time to bring the secret into an app.
const OFFER_MS_MAX: u64 = 15 * 60 * 1_000;
/// Of either at once: only those get so far whose password was right.
pub(super) const HALVES_MAX: usize = 512;
/// Of one user.
pub(super) const EACH_MAX: usize = 8;

/// Somebody whose password was right.
pub(super) struct Half {
    user: UserId,
    name: String,
    epoch: u64,
}

/// A secret that was shown to a session.
pub(super) struct Offered {
    session: SessionId,
    secret: Vec<u8>,
}

/// What is shown to somebody who wants codes to be asked for.
#[derive(Debug)]
pub struct Enrolment {
    /// Comes back with the first code.
    pub ticket: Secret,
    /// The secret in text.
    pub text: String,
    /// What an app reads from a picture.
    pub uri: String,
}

fn holder(user: UserId) -> Mark {
    Mark::of(&[b"user", user.to_string().as_bytes()])
}

impl Identity {
    /// A ticket for somebody whose password was right.
    pub(super) fn half_in(&self, account: &Account) -> Secret {
        let half = Half { user: account.id, name: account.name.clone(), epoch: account.epoch };
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.keep(holder(account.id), half, HALF_MS_MAX, &*self.world)
    }

    /// Opens a session for the ticket of a right password and the code that was missing.
    ///
    /// # Errors
    /// [`IdentityError::Code`] when the code is not good, and the ticket goes on; [`IdentityError::Stale`] when
    /// the ticket is not.
    pub async fn sign_in_code(
        &self,
        ticket: &Secret,
        code: &str,
        client: &Client,
    ) -> Result<Opened, IdentityError> {
        let now = self.world.now_ms();
        let half = {
            let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
            halves.look(ticket, now).map(|half| (half.user, half.name.clone(), half.epoch))
        };
        let (user, name, epoch) = half.ok_or(IdentityError::Stale)?;
        let account = self.ask(move |book| book.account_named(&name)).await?;
        let account = account.filter(|account| account.id == user && account.epoch == epoch);
        let account = account.ok_or(IdentityError::Stale)?;
        self.code(&account, code, "sign-in", client).await?;
        let taken = self.halves.lock().unwrap_or_else(PoisonError::into_inner).take(ticket, now);
        taken.ok_or(IdentityError::Stale)?;
        let opened = self.open(&account, client).await?;
        self.note(&account.name, "sign-in", "", true, Some(client), "with a code").await;
        Ok(opened)
    }

    /// Judges a code of somebody's app, or a recovery code, and spends it. Who gets here knows the password, so
    /// wrong ones may be counted from wherever they come.
    pub(super) async fn code(
        &self,
        account: &Account,
        said: &str,
        action: &str,
        client: &Client,
    ) -> Result<(), IdentityError> {
        let (user, now) = (account.id, self.world.now_ms());
        let of = user.to_string();
        let tried = {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.begin_code(&of, now)
        };
        let tried = tried.map_err(|wait_ms| IdentityError::Wait(wait_ms.div_ceil(1_000)))?;
        let recovery = totp::recovery(said, &of);
        let right = match (totp::digits(said), recovery) {
            (Some(digits), _) => {
                let kept = self.ask(move |book| book.totp(user)).await?;
                let step = kept.and_then(|kept| {
                    let secret = self.sealer.open(of.as_bytes(), &kept.sealed);
                    if secret.is_none() {
                        tracing::error!(
                            user = of,
                            "the secret of an app does not open with the server's key"
                        );
                    }
                    totp::step_of(&digits, &secret?, kept.step, now)
                });
                match step {
                    Some(step) => self.ask(move |book| book.totp_used(user, step)).await?,
                    None => false,
                }
            }
            (None, Some(mark)) => self.ask(move |book| book.recovery_used(user, mark)).await?,
            (None, None) => false,
        };
        if !right {
            self.note_refused(&account.name, action, client, "code").await;
            return Err(IdentityError::Code);
        }
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).right(tried);
        if recovery.is_some() {
            self.note(&account.name, "recovery.used", "", true, Some(client), "").await;
        }
        Ok(())
    }

    /// A new secret for somebody's app. It counts when the first code was right.
    ///
    /// # Errors
    /// When it was not confirmed who asks.
    pub fn totp_offer(&self, known: &Known, host: &str) -> Result<Enrolment, IdentityError> {
        self.fresh(known)?;
        let mut secret = vec![0; totp::SECRET_BYTES];
        self.world.fill(&mut secret);
        let offered = Offered { session: known.id, secret: secret.clone() };
        let ticket = {
            let mut enrolling = self.enrolling.lock().unwrap_or_else(PoisonError::into_inner);
            enrolling.keep(holder(known.person.id()), offered, OFFER_MS_MAX, &*self.world)
        };
        let uri = totp::uri(&secret, host, known.person.name());
        Ok(Enrolment { ticket, text: totp::base32(&secret), uri })
    }

    /// What was offered with this ticket to this session, to show it again after a wrong code.
    #[must_use]
    pub fn totp_offered(&self, known: &Known, ticket: &Secret, host: &str) -> Option<Enrolment> {
        let now = self.world.now_ms();
        let mut enrolling = self.enrolling.lock().unwrap_or_else(PoisonError::into_inner);
        let offered = enrolling.look(ticket, now).filter(|offered| offered.session == known.id)?;
        let uri = totp::uri(&offered.secret, host, known.person.name());
        Some(Enrolment { ticket: ticket.clone(), text: totp::base32(&offered.secret), uri })
    }

    /// Has codes asked for from now on, if `code` is right: the recovery codes, which are shown this once.
    ///
    /// # Errors
    /// [`IdentityError::Code`] when the code is not right, and the offer stands; [`IdentityError::Stale`] when
    /// the offer does not.
    pub async fn totp_enrol(
        &self,
        known: &Known,
        ticket: &Secret,
        code: &str,
        client: &Client,
    ) -> Result<Vec<String>, IdentityError> {
        self.fresh(known)?;
        let (now, person) = (self.world.now_ms(), &known.person);
        let secret = {
            let mut enrolling = self.enrolling.lock().unwrap_or_else(PoisonError::into_inner);
            let offered = enrolling.look(ticket, now).filter(|offered| offered.session == known.id);
            offered.map(|offered| offered.secret.clone())
        };
        let secret = secret.ok_or(IdentityError::Stale)?;
        let digits = totp::digits(code).ok_or(IdentityError::Code)?;
        let step = totp::step_of(&digits, &secret, 0, now).ok_or(IdentityError::Code)?;
        let (user, epoch, of) = (person.id(), person.epoch(), person.id().to_string());
        let broken = || IdentityError::Failed("a secret cannot be sealed".into());
        let mut nonce = [0; 12];
        self.world.fill(&mut nonce);
        let sealed = self.sealer.seal(of.as_bytes(), nonce, &secret).ok_or_else(broken)?;
        let (shown, marks): (Vec<_>, Vec<_>) = totp::recovery_codes(&of, &*self.world).into_iter().unzip();
        let kept = Totp { sealed, step };
        if !self.ask(move |book| book.set_totp(user, &kept, &marks, epoch)).await? {
            return Err(IdentityError::Stale);
        }
        self.enrolling.lock().unwrap_or_else(PoisonError::into_inner).take(ticket, now);
        self.forget();
        self.note(person.name(), "totp.on", "", true, Some(client), "").await;
        Ok(shown)
    }

    /// Asks for codes no more.
    ///
    /// # Errors
    /// When it was not confirmed who asks, or the account has changed.
    pub async fn totp_remove(&self, known: &Known, client: &Client) -> Result<(), IdentityError> {
        self.fresh(known)?;
        let (user, epoch) = (known.person.id(), known.person.epoch());
        if !self.ask(move |book| book.remove_totp(user, epoch)).await? {
            return Err(IdentityError::Stale);
        }
        self.forget();
        self.note(known.person.name(), "totp.off", "", true, Some(client), "").await;
        Ok(())
    }

    /// Other recovery codes in place of those there are: shown this once.
    ///
    /// # Errors
    /// When it was not confirmed who asks, or no codes are asked for.
    pub async fn recovery_anew(&self, known: &Known, client: &Client) -> Result<Vec<String>, IdentityError> {
        self.fresh(known)?;
        let (user, epoch) = (known.person.id(), known.person.epoch());
        let (shown, marks): (Vec<_>, Vec<_>) =
            totp::recovery_codes(&user.to_string(), &*self.world).into_iter().unzip();
        if !self.ask(move |book| book.set_recovery(user, &marks, epoch)).await? {
            return Err(IdentityError::Stale);
        }
        self.note(known.person.name(), "recovery.new", "", true, Some(client), "").await;
        Ok(shown)
    }

    /// How many recovery codes somebody has left.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn recovery_left(&self, user: UserId) -> Result<u64, IdentityError> {
        self.ask(move |book| book.recovery_left(user)).await
    }
}
