//! Short-lived tokens for one audience: an app shows another service whom it acts for. JWT with EdDSA (RFC 7519,
//! RFC 8037) and nothing else: no other algorithm is read, so none can be chosen by an attacker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use fazt_ipc::ids::AppId;
use serde::{Deserialize, Serialize};

use super::edge::Person;
use super::secret::Mark;

/// A token is worthless after this time: long enough for a few calls, short enough to need no list of those that
/// were taken back.
pub const JWT_SECONDS: u64 = 10 * 60;
/// Longest token that is read.
const JWT_BYTES_MAX: usize = 4 * 1024;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it: the OS origin.
    pub iss: String,
    /// Whom it is about: a user id.
    pub sub: String,
    /// For whom it is: one app's origin.
    pub aud: String,
    /// Made, in seconds since 1970.
    pub iat: u64,
    /// Worthless from then on, in seconds since 1970.
    pub exp: u64,
    /// The user's name.
    pub name: String,
    /// The user's role on this server.
    pub role: String,
    /// Id of the app.
    pub app: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    typ: String,
    kid: String,
}

/// The server's key for tokens.
pub struct Jwt {
    key: SigningKey,
    id: String,
}

impl Jwt {
    /// With this seed, which is the server's secret.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let id = Mark::of(&[b"fazt jwt key", key.verifying_key().as_bytes()]).text();
        Self { key, id: id[..16].to_owned() }
    }

    /// A token about `person` for `audience`, made by `issuer`.
    #[must_use]
    pub fn mint(
        &self,
        person: &Person,
        app: AppId,
        issuer: &str,
        audience: &str,
        now_ms: u64,
    ) -> (String, u64) {
        let now = now_ms / 1_000;
        let claims = Claims {
            iss: issuer.to_owned(),
            sub: person.id().to_string(),
            aud: audience.to_owned(),
            iat: now,
            exp: now + JWT_SECONDS,
            name: person.name().to_owned(),
            role: person.role().name().to_owned(),
            app: app.to_string(),
        };
        let head = Head { alg: "EdDSA".into(), typ: "JWT".into(), kid: self.id.clone() };
        let part = |bytes: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default());
        let signed = format!("{}.{}", part(serde_json::to_vec(&head)), part(serde_json::to_vec(&claims)));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        (format!("{signed}.{signature}"), claims.exp * 1_000)
    }

    /// What a token says, if this server made it for this audience and it is not over. Nothing of a token that
    /// is not good is believed.
    #[must_use]
    pub fn read(&self, token: &str, audience: &str, now_ms: u64) -> Option<Claims> {
        (token.len() <= JWT_BYTES_MAX).then_some(())?;
        let (signed, signature) = token.rsplit_once('.')?;
        let signature: [u8; 64] = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
        let key = self.key.verifying_key();
        key.verify_strict(signed.as_bytes(), &Signature::from_bytes(&signature)).ok()?;
        let (head, claims) = signed.split_once('.')?;
        let head: Head = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let now = now_ms / 1_000;
        let good = head.alg == "EdDSA" && head.kid == self.id && claims.aud == audience && now < claims.exp;
        good.then_some(claims)
    }

    /// The public key, as a JSON Web Key Set (RFC 7517).
    #[must_use]
    pub fn key_set(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        serde_json::json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x,
        }] })
    }
}

#[cfg(test)]
mod tests {
    use fazt_ipc::control::Role;
    use fazt_ipc::ids::UserId;

    use super::super::book::{Account, Apps};
    use super::*;

    fn person() -> Person {
        Person::of(&Account {
            totp: false,
            epoch: 0,
            id: UserId::new(7, 7),
            name: "anna".into(),
            role: Role::Member,
            apps: Apps::All,
            password: None,
            created_unix_ms: 0,
        })
    }

    #[test]
    fn a_token_is_good_for_one_audience_for_a_while() {
        let jwt = Jwt::new(&[7; 32]);
        let (token, expires) = jwt.mint(&person(), AppId::new(1, 1), "http://os", "http://notes.os", 5_000);
        let claims = jwt.read(&token, "http://notes.os", 5_000).expect("good");
        assert_eq!((claims.name.as_str(), claims.iat, claims.exp), ("anna", 5, 5 + JWT_SECONDS));
        assert_eq!(claims.sub, UserId::new(7, 7).to_string());
        assert!(jwt.read(&token, "http://other.os", 5_000).is_none());
        assert!(jwt.read(&token, "http://notes.os", expires).is_none());
        assert!(Jwt::new(&[8; 32]).read(&token, "http://notes.os", 5_000).is_none(), "another server");
        assert!(!jwt.key_set().to_string().contains(&URL_SAFE_NO_PAD.encode([7; 32])));
    }

    #[test]
    fn a_token_that_was_touched_says_nothing() {
        let jwt = Jwt::new(&[7; 32]);
        let (token, _) = jwt.mint(&person(), AppId::new(1, 1), "http://os", "http://notes.os", 5_000);
        let read = |token: &str| jwt.read(token, "http://notes.os", 5_000);
        for at in 0..token.len() {
            let mut touched = token.clone().into_bytes();
            touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).expect("text");
            assert!(touched == token || read(&touched).is_none(), "letter {at}");
        }
        let (_, rest) = token.split_once('.').expect("three parts");
        for alg in ["none", "HS256", "EdDSA"] {
            let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{}"}}"#, jwt.id));
            let forged = format!("{head}.{rest}");
            assert!(forged == token || read(&forged).is_none(), "{alg}");
            let bare = forged.rsplit_once('.').expect("parts").0.to_owned();
            assert!(
                read(&bare).is_none() && read(&format!("{bare}.")).is_none(),
                "{alg} without a signature"
            );
        }
        for bad in ["", ".", "..", "a.b.c", &"a".repeat(10_000)] {
            assert!(read(bad).is_none(), "{bad:.20}");
        }
    }
}
