//! Passkeys: signing in with what a device or a password store keeps, by `webauthn-rs`. The answers of browsers
//! are hostile and are judged by that library alone, for the exact origin of the OS and no sibling of it.
//!
//! Nobody is asked for a name: the browser shows the passkeys that it has for this origin, so no answer tells
//! who has one.

use fazt_ipc::ids::UserId;
use webauthn_rs::prelude::{
    CreationChallengeResponse, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse, Url, Uuid,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};
use webauthn_rs_proto::ResidentKeyRequirement;

use super::World;
use super::secret::{Mark, Secret};
use super::waiting::Waiting;

/// A challenge is worthless after this time.
const CHALLENGE_MS_MAX: u64 = 5 * 60 * 1_000;
/// Challenges at once.
const CHALLENGES_MAX: usize = 512;
/// Challenges at once of one user who makes a passkey, or one network of strangers who use one.
const CHALLENGES_EACH_MAX: usize = 16;
/// Largest answer of a browser, and largest key that is kept.
pub const ANSWER_BYTES_MAX: usize = 12 * 1024;

/// The OS origin, as browsers name it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `https://example.org`
    pub url: String,
    /// `example.org`
    pub domain: String,
}

/// Why a passkey is not taken. Says nothing of whose it might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this passkey is not good here")]
pub struct NotGood;

/// What a challenge is for.
enum Challenge {
    Register(UserId, Box<PasskeyRegistration>),
    Enter(Box<DiscoverableAuthentication>),
}

/// Challenges that wait for their answer.
pub struct Challenges(Waiting<Challenge>);

impl Default for Challenges {
    fn default() -> Self {
        Self(Waiting::new(CHALLENGES_MAX, CHALLENGES_EACH_MAX))
    }
}

/// A passkey that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Id of the credential, in base64url.
    pub id: String,
    /// The public key and what belongs to it, as JSON.
    pub key: String,
}

impl Challenges {
    /// Begins to make a passkey for somebody, who has those of these ids: what the browser is given.
    ///
    /// # Errors
    /// When the origin cannot have passkeys.
    pub fn register(
        &mut self,
        (user, name): (UserId, &str),
        have: &[String],
        origin: &Origin,
        world: &dyn World,
    ) -> Result<(Secret, CreationChallengeResponse), NotGood> {
        let exclude = have.iter().filter_map(|key| read(key)).map(|key| key.cred_id().clone()).collect();
        let (mut options, state) = webauthn(origin)?
            .start_passkey_registration(handle(user), name, name, Some(exclude))
            .map_err(|_| NotGood)?;
        // So that the browser finds it without being told whose it is.
        if let Some(selection) = &mut options.public_key.authenticator_selection {
            selection.require_resident_key = true;
            selection.resident_key = Some(ResidentKeyRequirement::Required);
        }
        let holder = Mark::of(&[b"user", user.to_string().as_bytes()]);
        let challenge = Challenge::Register(user, Box::new(state));
        Ok((self.0.keep(holder, challenge, CHALLENGE_MS_MAX, world), options))
    }

    /// Takes in what a browser made for `user`. The challenge is spent, whatever the outcome.
    ///
    /// # Errors
    /// When the answer is not good.
    pub fn registered(
        &mut self,
        user: UserId,
        ticket: &Secret,
        answer: &RegisterPublicKeyCredential,
        origin: &Origin,
        now_ms: u64,
    ) -> Result<Made, NotGood> {
        let Some(Challenge::Register(of, state)) = self.0.take(ticket, now_ms) else { return Err(NotGood) };
        if of != user {
            return Err(NotGood);
        }
        let key = webauthn(origin)?.finish_passkey_registration(answer, &state).map_err(|_| NotGood)?;
        let id = id_of(key.cred_id().as_ref());
        let key = serde_json::to_string(&key).map_err(|_| NotGood)?;
        if key.len() > ANSWER_BYTES_MAX { Err(NotGood) } else { Ok(Made { id, key }) }
    }

    /// Begins to sign somebody in, who is in the network `holder`: what the browser is given.
    ///
    /// # Errors
    /// When the origin cannot have passkeys.
    pub fn enter(
        &mut self,
        holder: Mark,
        origin: &Origin,
        world: &dyn World,
    ) -> Result<(Secret, RequestChallengeResponse), NotGood> {
        let (options, state) = webauthn(origin)?.start_discoverable_authentication().map_err(|_| NotGood)?;
        Ok((self.0.keep(holder, Challenge::Enter(Box::new(state)), CHALLENGE_MS_MAX, world), options))
    }

    /// Judges a browser's answer by the key that is kept of `user`: the key as it is to be kept from now on. The
    /// challenge is spent, whatever the outcome.
    ///
    /// # Errors
    /// When the answer is not good.
    pub fn entered(
        &mut self,
        ticket: &Secret,
        answer: &PublicKeyCredential,
        kept: Option<(UserId, &str)>,
        origin: &Origin,
        now_ms: u64,
    ) -> Result<String, NotGood> {
        let Some(Challenge::Enter(state)) = self.0.take(ticket, now_ms) else { return Err(NotGood) };
        let (user, kept) = kept.ok_or(NotGood)?;
        let mut key = read(kept).ok_or(NotGood)?;
        let webauthn = webauthn(origin)?;
        let (of, _) = webauthn.identify_discoverable_authentication(answer).map_err(|_| NotGood)?;
        if of != handle(user) {
            return Err(NotGood);
        }
        let known = DiscoverableKey::from(&key);
        let result =
            webauthn.finish_discoverable_authentication_v2(answer, *state, &known).map_err(|_| NotGood)?;
        if !result.user_verified() {
            return Err(NotGood);
        }
        key.update_credential(&result);
        serde_json::to_string(&key).map_err(|_| NotGood)
    }
}

/// Id of a credential in text.
#[must_use]
pub fn id_of(credential: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(credential)
}

/// The library for one exact origin: no subdomain, no other port.
fn webauthn(origin: &Origin) -> Result<Webauthn, NotGood> {
    let url = Url::parse(&origin.url).map_err(|_| NotGood)?;
    let builder = WebauthnBuilder::new(&origin.domain, &url).map_err(|_| NotGood)?;
    builder.allow_subdomains(false).allow_any_port(false).rp_name("Fazt").build().map_err(|_| NotGood)
}

/// What browsers know a user by: not the id that apps see.
fn handle(user: UserId) -> Uuid {
    let mark = Mark::of(&[b"fazt passkey user", user.to_string().as_bytes()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&mark.0[..16]);
    Uuid::from_bytes(bytes)
}

fn read(key: &str) -> Option<Passkey> {
    serde_json::from_str(key).ok()
}
