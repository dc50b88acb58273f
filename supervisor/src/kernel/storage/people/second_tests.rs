//! Codes of an app beside the password, over a real file.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::kernel::security::book::Apps;
use crate::kernel::security::identity::{By, Choice, Client, Entered, Known, Opened};
use crate::kernel::security::{Fixed, Identity, IdentityError, Secret, World as _, code_at};

const GOOD: &str = "correct horse battery";
const STEP_MS: u64 = 30_000;

struct Stage {
    identity: Arc<Identity>,
    world: Arc<Fixed>,
    client: Client,
    data: tempfile::TempDir,
}

/// A server with the user anna, who has a password.
async fn stage() -> Stage {
    let data = tempfile::tempdir().expect("folder");
    let storage = Storage::open(data.path()).expect("storage");
    let world = Fixed::at(1_800_000_000_000);
    let identity = Identity::new(storage as Arc<dyn Book>, Arc::clone(&world) as _, &[7; 32]);
    let client = Client { address: IpAddr::from([192, 0, 2, 1]), device: None, agent: "a browser".into() };
    identity.add_user("anna", Role::Member, Apps::All, &By::console()).await.expect("added");
    identity.set_password("anna", GOOD, false, &By::console()).await.expect("set");
    Stage { identity, world, client, data }
}

/// What an app makes of the text that is shown.
fn app_of(text: &str) -> Vec<u8> {
    let (mut held, mut bits, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
        held = held << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

impl Stage {
    async fn known(&self, secret: &Secret) -> Known {
        self.identity.session(secret, None).await.expect("book").expect("open")
    }

    async fn password(&self) -> Result<Entered, IdentityError> {
        self.identity.sign_in("anna", GOOD, &self.client).await
    }

    async fn without_code(&self) -> Opened {
        match self.password().await.expect("right") {
            Entered::Opened(opened) => opened,
            Entered::Code(_) => panic!("a code is asked for"),
        }
    }

    async fn ticket(&self) -> Secret {
        match self.password().await.expect("right") {
            Entered::Opened(_) => panic!("no code is asked for"),
            Entered::Code(ticket) => ticket,
        }
    }

    async fn enter(&self, code: &str) -> Result<Opened, IdentityError> {
        self.identity.sign_in_code(&self.ticket().await, code, &self.client).await
    }

    /// Has codes asked for: the secret in her app, and her recovery codes.
    async fn enrol(&self) -> (Vec<u8>, Vec<String>) {
        let known = self.known(&self.without_code().await.secret).await;
        let offer = self.identity.totp_offer(&known, "cloud.example").expect("fresh");
        let secret = app_of(&offer.text);
        let wrong = self.identity.totp_enrol(&known, &offer.ticket, "000000", &self.client).await;
        assert!(matches!(wrong, Err(IdentityError::Code)), "{wrong:?}");
        assert!(self.identity.totp_offered(&known, &offer.ticket, "cloud.example").is_some(), "stands");
        let code = code_at(&secret, self.world.now_ms());
        let codes = self.identity.totp_enrol(&known, &offer.ticket, &code, &self.client).await.expect("on");
        (secret, codes)
    }

    fn now(&self, secret: &[u8]) -> String {
        code_at(secret, self.world.now_ms())
    }
}

#[tokio::test]
async fn a_code_is_asked_for_beside_the_password_and_is_good_once() {
    let stage = stage().await;
    let (secret, _) = stage.enrol().await;
    let used = stage.now(&secret);
    assert!(matches!(stage.enter(&used).await, Err(IdentityError::Code)), "used to turn it on");
    stage.world.pass(STEP_MS);
    let code = stage.now(&secret);
    let ticket = stage.ticket().await;
    let opened = stage.identity.sign_in_code(&ticket, &code, &stage.client).await.expect("in");
    assert_eq!(opened.person.name(), "anna");
    let again = stage.identity.sign_in_code(&ticket, &code, &stage.client).await;
    assert!(matches!(again, Err(IdentityError::Stale)), "the ticket is spent");
    assert!(matches!(stage.enter(&code).await, Err(IdentityError::Code)), "and so is the code");
    // A clock that goes slow or fast by a step.
    stage.world.pass(3 * STEP_MS);
    stage.enter(&code_at(&secret, stage.world.now_ms() - STEP_MS)).await.expect("a step late");
    stage.enter(&code_at(&secret, stage.world.now_ms() + STEP_MS)).await.expect("a step early");
    assert!(
        matches!(stage.enter(&stage.now(&secret)).await, Err(IdentityError::Code)),
        "before one that was used"
    );
    let ticket = stage.ticket().await;
    stage.world.pass(5 * 60 * 1_000);
    let late = stage.identity.sign_in_code(&ticket, &stage.now(&secret), &stage.client).await;
    assert!(matches!(late, Err(IdentityError::Stale)), "the password was long ago");
    let forged = Secret::new(&*stage.world);
    let forged = stage.identity.sign_in_code(&forged, &stage.now(&secret), &stage.client).await;
    assert!(matches!(forged, Err(IdentityError::Stale)));
}

#[tokio::test]
async fn of_many_who_use_a_code_at_once_one_gets_in() {
    let stage = stage().await;
    let (secret, codes) = stage.enrol().await;
    stage.world.pass(STEP_MS);
    for code in [stage.now(&secret), codes[0].clone()] {
        let mut tickets = Vec::new();
        for _ in 0..5 {
            tickets.push(stage.ticket().await);
        }
        let tries: Vec<_> = tickets
            .into_iter()
            .map(|ticket| {
                let (identity, code, client) =
                    (Arc::clone(&stage.identity), code.clone(), stage.client.clone());
                tokio::spawn(async move { identity.sign_in_code(&ticket, &code, &client).await.is_ok() })
            })
            .collect();
        let mut entered = 0;
        for attempt in tries {
            entered += usize::from(attempt.await.expect("task"));
        }
        assert_eq!(entered, 1);
    }
}

#[tokio::test]
async fn guessing_codes_is_slow_from_wherever_it_comes_and_does_not_stop_a_passkey_holder() {
    let stage = stage().await;
    let (secret, _) = stage.enrol().await;
    stage.world.pass(STEP_MS);
    let mut tickets = Vec::new();
    for n in 0..6u8 {
        let client = Client { address: IpAddr::from([198, 51, 100, n]), ..stage.client.clone() };
        let Entered::Code(ticket) = stage.identity.sign_in("anna", GOOD, &client).await.expect("right")
        else {
            panic!("no code is asked for")
        };
        tickets.push((ticket, client));
    }
    for (ticket, client) in &tickets[..5] {
        let wrong = stage.identity.sign_in_code(ticket, "123456", client).await;
        assert!(matches!(wrong, Err(IdentityError::Code)), "{wrong:?}");
    }
    let (ticket, client) = &tickets[5];
    let right = stage.identity.sign_in_code(ticket, &stage.now(&secret), client).await;
    assert!(matches!(right, Err(IdentityError::Wait(_))), "{right:?}");
    stage.world.pass(STEP_MS);
    stage.identity.sign_in_code(ticket, &stage.now(&secret), client).await.expect("after the wait");
}

#[tokio::test]
async fn a_recovery_code_lets_in_once_and_new_ones_end_the_old() {
    let stage = stage().await;
    let (_, codes) = stage.enrol().await;
    let user = stage.identity.user("anna").await.expect("anna").id;
    let left = async || stage.identity.recovery_left(user).await.expect("book");
    assert_eq!((codes.len(), left().await), (10, 10));
    let opened = stage.enter(&codes[0].to_uppercase()).await.expect("in");
    assert!(matches!(stage.enter(&codes[0]).await, Err(IdentityError::Code)), "once");
    assert_eq!(left().await, 9);
    let known = stage.known(&opened.secret).await;
    let new = stage.identity.recovery_anew(&known, &stage.client).await.expect("fresh");
    assert!(matches!(stage.enter(&codes[1]).await, Err(IdentityError::Code)), "an old one");
    stage.enter(&new[1]).await.expect("a new one");
    stage.identity.totp_remove(&known, &stage.client).await.expect("off");
    stage.without_code().await;
    assert_eq!(left().await, 0);
    let gone = stage.identity.recovery_anew(&stage.known(&opened.secret).await, &stage.client).await;
    assert!(matches!(gone, Err(IdentityError::Stale)), "there is nothing to recover");
}

#[tokio::test]
async fn a_link_asks_for_the_code_unless_the_console_resets_it() {
    let stage = stage().await;
    let (secret, _) = stage.enrol().await;
    stage.world.pass(STEP_MS);
    let join = async |link: &Secret, code: &str| {
        let choice = Choice { name: "", password: GOOD, code, keeps_passkeys: false };
        stage.identity.join(link, choice, &stage.client).await.map(drop)
    };
    let (link, _) = stage.identity.enter_link("anna", false, &By::console()).await.expect("link");
    assert!(stage.identity.linked(&link).await.expect("good").code);
    assert!(matches!(join(&link, "").await, Err(IdentityError::Code)), "who finds the link has not the app");
    join(&link, &stage.now(&secret)).await.expect("in");
    stage.ticket().await;
    let (link, _) = stage.identity.enter_link("anna", true, &By::console()).await.expect("link");
    assert!(!stage.identity.linked(&link).await.expect("good").code);
    stage.ticket().await;
    join(&link, "").await.expect("in");
    stage.without_code().await;
}

#[tokio::test]
async fn half_a_sign_in_is_worth_nothing_after_a_new_password() {
    let stage = stage().await;
    let (secret, _) = stage.enrol().await;
    stage.world.pass(STEP_MS);
    let ticket = stage.ticket().await;
    stage.identity.set_password("anna", GOOD, false, &By::console()).await.expect("set");
    let late = stage.identity.sign_in_code(&ticket, &stage.now(&secret), &stage.client).await;
    assert!(matches!(late, Err(IdentityError::Stale)), "{late:?}");
}

#[tokio::test]
async fn neither_the_secret_nor_a_recovery_code_lies_in_the_database() {
    let stage = stage().await;
    let (secret, codes) = stage.enrol().await;
    let mut texts: Vec<Vec<u8>> = codes.iter().map(|code| code.replace('-', "").into_bytes()).collect();
    texts.extend(codes.iter().map(|code| code.clone().into_bytes()));
    texts.push(secret);
    let mut files = 0;
    for entry in std::fs::read_dir(stage.data.path()).expect("folder").flatten() {
        if entry.file_type().expect("type").is_file() {
            files += 1;
            let bytes = std::fs::read(entry.path()).expect("file");
            for text in &texts {
                assert!(!bytes.windows(text.len()).any(|part| part == text), "{}", entry.path().display());
            }
        }
    }
    assert!(files > 0);
}
