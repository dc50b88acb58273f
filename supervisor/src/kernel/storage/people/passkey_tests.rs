//! Passkeys over a real file, with an authenticator in software: what a browser and its device would send.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fazt_ipc::ids::AppId;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::kernel::security::identity::{By, Choice, Client, Entered, Known};
use crate::kernel::security::passkey::Origin;
use crate::kernel::security::{Fixed, Identity, IdentityError, Secret};

/// What a device keeps of one passkey.
struct Device {
    key: SigningKey,
    id: Vec<u8>,
    user_handle: Value,
    count: u32,
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A CBOR head: major type and length.
fn cbor(major: u8, length: usize) -> Vec<u8> {
    match length {
        0..24 => vec![major << 5 | length as u8],
        24..256 => vec![major << 5 | 24, length as u8],
        _ => vec![major << 5 | 25, (length >> 8) as u8, length as u8],
    }
}

fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    [cbor(2, bytes.len()), bytes.to_vec()].concat()
}

fn cbor_text(text: &str) -> Vec<u8> {
    [cbor(3, text.len()), text.as_bytes().to_vec()].concat()
}

fn client_data(kind: &str, challenge: &Value, origin: &str) -> Vec<u8> {
    json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false })
        .to_string()
        .into_bytes()
}

impl Device {
    fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).expect("a key");
        Self { key, id: vec![seed; 32], user_handle: Value::Null, count: 0 }
    }

    /// Flags: present, verified, and with `more` what follows.
    fn authenticator_data(&mut self, domain: &str, flags: u8, more: &[u8]) -> Vec<u8> {
        self.count += 1;
        [&Sha256::digest(domain)[..], &[flags], &self.count.to_be_bytes(), more].concat()
    }

    /// `navigator.credentials.create`
    fn create(&mut self, options: &Value, domain: &str, origin: &str) -> Value {
        let options = &options["publicKey"];
        self.user_handle = options["user"]["id"].clone();
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..65]);
        // A COSE key: EC2, ES256, P-256.
        let cose =
            [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21][..], &cbor_bytes(x), &[0x22], &cbor_bytes(y)].concat();
        let length = (self.id.len() as u16).to_be_bytes();
        let more = [&[0; 16][..], &length, &self.id, &cose].concat();
        let data = self.authenticator_data(domain, 0x45, &more);
        let object = [
            cbor(5, 3),
            cbor_text("fmt"),
            cbor_text("none"),
            cbor_text("attStmt"),
            cbor(5, 0),
            cbor_text("authData"),
            cbor_bytes(&data),
        ]
        .concat();
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "extensions": {},
            "response": {
                "attestationObject": text(&object),
                "clientDataJSON": text(&client_data("webauthn.create", &options["challenge"], origin)),
            },
        })
    }

    /// `navigator.credentials.get`
    fn get(&mut self, options: &Value, domain: &str, origin: &str, flags: u8) -> Value {
        let client = client_data("webauthn.get", &options["publicKey"]["challenge"], origin);
        let data = self.authenticator_data(domain, flags, &[]);
        let signed = [&data[..], &Sha256::digest(&client)].concat();
        let signature: DerSignature = self.key.sign(&signed);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "extensions": {},
            "response": {
                "authenticatorData": text(&data), "clientDataJSON": text(&client),
                "signature": text(signature.as_bytes()), "userHandle": self.user_handle,
            },
        })
    }
}

const GOOD: &str = "correct horse battery";
const VERIFIED: u8 = 0x05;
const PRESENT: u8 = 0x01;

struct Stage {
    identity: Arc<Identity>,
    world: Arc<Fixed>,
    known: Known,
    secret: Secret,
    origin: Origin,
    client: Client,
    _data: tempfile::TempDir,
}

/// A server whose owner is signed in.
async fn stage() -> Stage {
    let data = tempfile::tempdir().expect("folder");
    let storage = Storage::open(data.path()).expect("storage");
    let world = Fixed::at(1_800_000_000_000);
    let identity = Identity::new(storage as Arc<dyn Book>, Arc::clone(&world) as _, &[7; 32]);
    let client = Client { address: [192, 0, 2, 1].into(), device: None, agent: "a browser".into() };
    let (link, _) = identity.first_link().await.expect("book").expect("a link");
    let opened = {
        let choice = Choice { name: "olga", password: GOOD, code: "", keeps_passkeys: false };
        identity.join(&link, choice, &client).await.expect("in")
    };
    let known = identity.session(&opened.secret, None).await.expect("book").expect("open");
    let origin = Origin { url: "https://cloud.example".into(), domain: "cloud.example".into() };
    Stage { identity, world, known, secret: opened.secret, origin, client, _data: data }
}

impl Stage {
    async fn add(&self, device: &mut Device) {
        let (ticket, options) = self.identity.passkey_begin(&self.known, &self.origin).await.expect("begun");
        let answer = device.create(&options, &self.origin.domain, &self.origin.url);
        let added = self.identity.passkey_add(&self.known, &ticket, answer, &self.origin, &self.client).await;
        added.expect("added");
    }

    async fn enter(&self, ticket: &Secret, answer: Value) -> Result<String, IdentityError> {
        let opened = self.identity.passkey_enter(ticket, answer, &self.origin, &self.client).await?;
        Ok(opened.person.name().to_owned())
    }
}

#[tokio::test]
async fn a_passkey_signs_in_at_the_exact_origin_and_each_challenge_once() {
    let stage = stage().await;
    let mut device = Device::new(7);
    stage.add(&mut device).await;
    let (domain, url) = (stage.origin.domain.clone(), stage.origin.url.clone());
    let ask = || stage.identity.passkey_ask(&stage.origin, &stage.client).expect("asked");
    let (ticket, options) = ask();
    let answer = device.get(&options, &domain, &url, VERIFIED);
    assert_eq!(stage.enter(&ticket, answer.clone()).await.expect("in"), "olga");
    assert!(stage.enter(&ticket, answer).await.is_err(), "the challenge is spent");
    // Origins of siblings and others, another domain, an unverified user, another challenge, a late answer.
    for (origin, of, flags) in [
        ("https://notes.cloud.example", domain.as_str(), VERIFIED),
        ("https://cloud.example:8443", &domain, VERIFIED),
        ("http://cloud.example", &domain, VERIFIED),
        ("https://evil.example", &domain, VERIFIED),
        (&url, "evil.example", VERIFIED),
        (&url, &domain, PRESENT),
    ] {
        let (ticket, options) = ask();
        let answer = device.get(&options, of, origin, flags);
        assert!(stage.enter(&ticket, answer).await.is_err(), "{origin} {of} {flags}");
    }
    let ((_, options), (ticket, _)) = (ask(), ask());
    let answer = device.get(&options, &domain, &url, VERIFIED);
    assert!(stage.enter(&ticket, answer).await.is_err(), "the answer to another challenge");
    let (ticket, options) = ask();
    let answer = device.get(&options, &domain, &url, VERIFIED);
    stage.world.pass(5 * 60 * 1_000);
    assert!(stage.enter(&ticket, answer).await.is_err(), "late");
}

#[tokio::test]
async fn a_key_that_is_not_kept_opens_nothing_and_one_that_was_removed_neither() {
    let stage = stage().await;
    let mut device = Device::new(7);
    let (domain, url) = (stage.origin.domain.clone(), stage.origin.url.clone());
    let enter = async |device: &mut Device| {
        let (ticket, options) = stage.identity.passkey_ask(&stage.origin, &stage.client).expect("asked");
        let answer = device.get(&options, &domain, &url, VERIFIED);
        stage.enter(&ticket, answer).await
    };
    assert!(enter(&mut device).await.is_err(), "nobody's");
    stage.add(&mut device).await;
    assert!(enter(&mut device).await.is_ok());
    // Another key under the same id; the same key for another user.
    let mut forger = Device { id: device.id.clone(), ..Device::new(9) };
    forger.user_handle = device.user_handle.clone();
    assert!(enter(&mut forger).await.is_err());
    let handle = std::mem::replace(&mut device.user_handle, json!(text(&[1; 16])));
    assert!(enter(&mut device).await.is_err());
    device.user_handle = handle;
    assert!(enter(&mut device).await.is_ok());
    // A copy that counts from the beginning again.
    let mut copy = Device { user_handle: device.user_handle.clone(), ..Device::new(7) };
    assert!(enter(&mut copy).await.is_err(), "a cloned device");
    let mine = stage.identity.passkeys(stage.known.person.id()).await.expect("book");
    assert_eq!((mine.len(), mine[0].note.as_str()), (1, "a browser"));
    stage.identity.passkey_remove(&stage.known.person, &mine[0].id).await.expect("removed");
    assert!(stage.identity.passkey_remove(&stage.known.person, &mine[0].id).await.is_err());
    assert!(enter(&mut device).await.is_err());
}

#[tokio::test]
async fn a_passkey_confirms_that_it_is_still_they_and_is_added_by_nobody_else() {
    let stage = stage().await;
    let mut device = Device::new(7);
    stage.add(&mut device).await;
    let (domain, url) = (stage.origin.domain.clone(), stage.origin.url.clone());
    stage.world.pass(10 * 60 * 1_000);
    let known = async || stage.identity.session(&stage.secret, None).await.expect("book").expect("open");
    let begun = stage.identity.passkey_begin(&known().await, &stage.origin).await;
    assert!(matches!(begun, Err(IdentityError::Confirm)), "the sign-in is long ago");
    let confirm = async |device: &mut Device| {
        let (ticket, options) = stage.identity.passkey_ask(&stage.origin, &stage.client).expect("asked");
        let answer = device.get(&options, &domain, &url, VERIFIED);
        let (known, origin) = (known().await, &stage.origin);
        stage.identity.passkey_confirm(&known, &ticket, answer, origin, &stage.client).await
    };
    assert!(confirm(&mut Device::new(9)).await.is_err(), "nobody's");
    assert!(stage.identity.passkey_begin(&known().await, &stage.origin).await.is_err());
    confirm(&mut device).await.expect("it is she");
    stage.identity.passkey_begin(&known().await, &stage.origin).await.expect("confirmed");
}

#[tokio::test]
async fn a_reset_ends_passkeys_and_tokens_unless_they_are_kept() {
    let stage = stage().await;
    let user = stage.known.person.id();
    let app = AppId::new(1, 1);
    let left = async || {
        let passkeys = stage.identity.passkeys(user).await.expect("book").len();
        (passkeys, stage.identity.tokens(Some(user)).await.expect("book").len())
    };
    let mut session = stage.secret.clone();
    let refill = async |secret: &Secret, device: &mut Device| {
        let known = stage.identity.session(secret, None).await.expect("book").expect("open");
        stage.identity.new_own_token(&known, app, "").await.expect("a token");
        let (ticket, options) = stage.identity.passkey_begin(&known, &stage.origin).await.expect("begun");
        let answer = device.create(&options, &stage.origin.domain, &stage.origin.url);
        stage
            .identity
            .passkey_add(&known, &ticket, answer, &stage.origin, &stage.client)
            .await
            .expect("added");
    };
    let mut made = 0;
    for (keeps_passkeys, expect) in [(true, (1, 0)), (false, (0, 0))] {
        made += 1;
        refill(&session, &mut Device::new(made)).await;
        let (link, _) = stage.identity.enter_link("olga", false, &By::console()).await.expect("link");
        assert!(stage.identity.linked(&link).await.expect("good").passkeys, "she is asked");
        let choice = Choice { name: "", password: GOOD, code: "", keeps_passkeys };
        session = stage.identity.join(&link, choice, &stage.client).await.expect("in").secret;
        assert_eq!(left().await, expect, "by a link, passkeys kept: {keeps_passkeys}");
    }
    refill(&session, &mut Device::new(10)).await;
    stage.identity.set_password("olga", GOOD, false, &By::console()).await.expect("set");
    assert_eq!(left().await, (0, 0), "on the console");
    let opened = stage.identity.sign_in("olga", GOOD, &stage.client).await.expect("in");
    let Entered::Opened(opened) = opened else { panic!("a code is asked for") };
    let mut session = opened.secret;
    for (keeps, expect) in [(true, (1, 1)), (false, (0, 0))] {
        made += 1;
        if expect != left().await {
            refill(&session, &mut Device::new(20 + made)).await;
        }
        let known = stage.identity.session(&session, None).await.expect("book").expect("open");
        session =
            stage.identity.change_password(&known, GOOD, keeps, &stage.client).await.expect("set").secret;
        assert_eq!(left().await, expect, "by herself, kept: {keeps}");
    }
}

/// Strangers ask for challenges as often as they like: whoever asked once is still answered.
#[tokio::test]
async fn strangers_push_out_nobody_elses_challenge() {
    let stage = stage().await;
    let mut device = Device::new(7);
    stage.add(&mut device).await;
    let (domain, url) = (stage.origin.domain.clone(), stage.origin.url.clone());
    let (ticket, options) = stage.identity.passkey_ask(&stage.origin, &stage.client).expect("asked");
    for n in 0..2_000u32 {
        let address = std::net::IpAddr::from([203, 0, 113, (n % 7) as u8]);
        let stranger = Client { address, ..stage.client.clone() };
        stage.identity.passkey_ask(&stage.origin, &stranger).expect("asked");
    }
    let answer = device.get(&options, &domain, &url, VERIFIED);
    assert_eq!(stage.enter(&ticket, answer).await.expect("in"), "olga");
}
