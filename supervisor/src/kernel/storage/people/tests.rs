//! People over a real file: what expires, what ends with what, what is told when something ends. And a model
//! that must agree with the file after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::kernel::security::book::Scope;
use crate::kernel::security::identity::{
    By, Choice, Client, Entered, FIRST_LINK_MS, FRESH_MS, Known, Opened, SESSION_MS_MAX,
};
use crate::kernel::security::{Fixed, Identity, IdentityError, Secret, World as _};
use fazt_ipc::ids::AppId;

const START_MS: u64 = 1_800_000_000_000;
const GOOD: &str = "correct horse battery";

type Told = Arc<Mutex<Vec<(UserId, Option<AppId>)>>>;

struct Stage {
    identity: Arc<Identity>,
    storage: Arc<Storage>,
    world: Arc<Fixed>,
    told: Told,
    _data: tempfile::TempDir,
}

fn stage() -> Stage {
    let data = tempfile::tempdir().expect("folder");
    let storage = Storage::open(data.path()).expect("storage");
    let world = Fixed::at(START_MS);
    let identity = Identity::new(Arc::clone(&storage) as Arc<dyn Book>, Arc::clone(&world) as _, &[7; 32]);
    let told = Told::default();
    let tell = Arc::clone(&told);
    identity.on_end(move |user, app| tell.lock().expect("told").push((user, app)));
    Stage { identity, storage, world, told, _data: data }
}

fn client() -> Client {
    at([192, 0, 2, 1])
}

fn at(address: [u8; 4]) -> Client {
    Client { address: IpAddr::from(address), device: None, agent: "a browser".into() }
}

const fn choice<'a>(name: &'a str, password: &'a str) -> Choice<'a> {
    Choice { name, password, code: "", keeps_passkeys: false }
}

fn by() -> By {
    By::console()
}

impl Stage {
    fn told(&self) -> Vec<(UserId, Option<AppId>)> {
        std::mem::take(&mut self.told.lock().expect("told"))
    }

    async fn user(&self, name: &str) -> UserId {
        self.identity.add_user(name, Role::Member, Apps::All, &by()).await.expect("added").0.id
    }

    /// A session without the cost of a password.
    fn session(&self, user: UserId, parent: Option<SessionId>, app: Option<AppId>) -> (Secret, SessionId) {
        let (secret, mut random) = (Secret::new(&*self.world), [0; 16]);
        self.world.fill(&mut random);
        let now = self.world.now_ms();
        let session = Session {
            id: SessionId::new(now, u128::from_le_bytes(random)),
            user,
            parent,
            app,
            created_unix_ms: now,
            seen_unix_ms: now,
            expires_unix_ms: now + SESSION_MS_MAX,
            address: String::new(),
            proved_unix_ms: now,
            agent: String::new(),
        };
        let (epoch, most) = (self.epoch(user), SessionsMax { homes: 50, below_each: 50 });
        self.storage.add_session(secret.mark(), &session, epoch, most).expect("book").expect("opened");
        (secret, session.id)
    }

    fn epoch(&self, user: UserId) -> u64 {
        Book::account(&*self.storage, user).expect("book").expect("a user").epoch
    }

    /// Signs in where no code is asked for.
    async fn enter(&self, name: &str, password: &str, client: &Client) -> Result<Opened, IdentityError> {
        match self.identity.sign_in(name, password, client).await? {
            Entered::Opened(opened) => Ok(opened),
            Entered::Code(_) => panic!("a code is asked for"),
        }
    }

    async fn known(&self, secret: &Secret) -> Known {
        self.identity.session(secret, None).await.expect("book").expect("open")
    }

    async fn is_open(&self, secret: &Secret, app: Option<AppId>) -> bool {
        self.identity.session(secret, app).await.expect("book").is_some()
    }
}

#[tokio::test]
async fn the_first_link_makes_the_one_owner_and_is_spent() {
    let stage = stage();
    let (first, _) = stage.identity.first_link().await.expect("book").expect("no password yet");
    let (link, expires) = stage.identity.first_link().await.expect("book").expect("no password yet");
    assert_eq!(expires, START_MS + FIRST_LINK_MS);
    let client = client();
    let join = |link| stage.identity.join(link, choice("Olga ", GOOD), &client);
    assert!(matches!(join(&first).await, Err(IdentityError::Link)), "replaced by the next");
    stage.world.pass(FIRST_LINK_MS);
    assert!(matches!(join(&link).await, Err(IdentityError::Link)), "over");
    let (link, _) = stage.identity.first_link().await.expect("book").expect("no password yet");
    let opened = join(&link).await.expect("in");
    assert_eq!((opened.person.name(), opened.person.role()), ("olga", Role::Owner));
    assert!(stage.is_open(&opened.secret, None).await);
    assert!(stage.identity.first_link().await.expect("book").is_none());
    assert_eq!(stage.identity.users().await.expect("book").len(), 1);
    let again = stage.identity.add_user("other", Role::Owner, Apps::All, &by()).await;
    assert!(matches!(again, Err(IdentityError::Owner(_))));
}

#[tokio::test]
async fn of_many_who_spend_a_link_at_once_one_gets_in() {
    let stage = stage();
    let (link, _) = stage.identity.invite(Role::Member, Apps::All, None, &by()).await.expect("link");
    let tries: Vec<_> = (0..12)
        .map(|at| {
            let (identity, link) = (Arc::clone(&stage.identity), link.clone());
            tokio::spawn(
                async move { identity.join(&link, choice(&format!("user{at}"), GOOD), &client()).await },
            )
        })
        .collect();
    let mut joined = 0;
    for attempt in tries {
        match attempt.await.expect("task") {
            Ok(_) => joined += 1,
            Err(error) => assert!(matches!(error, IdentityError::Link), "{error}"),
        }
    }
    assert_eq!((joined, stage.identity.users().await.expect("book").len()), (1, 1));
}

#[tokio::test]
async fn a_taken_name_leaves_the_link_good() {
    let stage = stage();
    stage.user("anna").await;
    let (link, _) = stage.identity.invite(Role::Admin, Apps::All, None, &by()).await.expect("link");
    let taken = stage.identity.join(&link, choice("anna", GOOD), &client()).await;
    assert!(matches!(taken, Err(IdentityError::Taken)), "{taken:?}");
    let opened = stage.identity.join(&link, choice("berta", GOOD), &client()).await.expect("in");
    assert_eq!(opened.person.role(), Role::Admin);
}

#[tokio::test]
async fn a_new_password_ends_sessions_and_links_and_opens_the_account() {
    let stage = stage();
    let anna = stage.user("anna").await;
    let (old, _) = stage.session(anna, None, None);
    assert!(stage.is_open(&old, None).await);
    let (link, _) = stage.identity.enter_link("anna", false, &by()).await.expect("link");
    stage.identity.set_password("anna", GOOD, false, &by()).await.expect("set");
    assert!(!stage.is_open(&old, None).await);
    assert!(matches!(stage.identity.linked(&link).await, Err(IdentityError::Link)));
    assert_eq!(stage.told(), [(anna, None)]);
    let client = client();
    let sign_in = |password| stage.enter("Anna", password, &client);
    assert!(matches!(sign_in("correct horse batterz").await, Err(IdentityError::Wrong)));
    let opened = sign_in(GOOD).await.expect("in");
    assert!(stage.is_open(&opened.secret, None).await);
    assert!(!stage.is_open(&opened.secret, Some(AppId::new(1, 1))).await, "at its own origin only");
    stage.world.pass(SESSION_MS_MAX);
    assert!(!stage.is_open(&opened.secret, None).await, "over, though it is in memory");
}

#[tokio::test]
async fn the_end_of_a_session_is_told_for_each_app_it_was_in() {
    let stage = stage();
    let (one, two) = (AppId::new(1, 1), AppId::new(1, 2));
    let anna = stage.user("anna").await;
    let (home, id) = stage.session(anna, None, None);
    let (at_one, _) = stage.session(anna, Some(id), Some(one));
    let (at_two, two_id) = stage.session(anna, Some(id), Some(two));
    for (secret, app) in [(&home, None), (&at_one, Some(one)), (&at_two, Some(two))] {
        assert!(stage.is_open(secret, app).await);
    }
    stage.identity.revoke_session(two_id, &by()).await.expect("revoked");
    assert_eq!(stage.told(), [(anna, Some(two))]);
    assert!(stage.is_open(&at_one, Some(one)).await && !stage.is_open(&at_two, Some(two)).await);
    let known = stage.identity.session(&at_one, Some(one)).await.expect("book").expect("open");
    stage.identity.sign_out(&known, &client()).await.expect("out");
    assert_eq!(stage.told(), [(anna, Some(one))]);
    assert!(!stage.is_open(&home, None).await && !stage.is_open(&at_one, Some(one)).await);
    assert!(matches!(
        stage.identity.revoke_session(id, &by()).await,
        Err(IdentityError::Unknown("session", _))
    ));
}

#[tokio::test]
async fn a_code_opens_nothing_once_its_session_ended() {
    let stage = stage();
    let app = AppId::new(1, 1);
    let anna = stage.user("anna").await;
    let (home, id) = stage.session(anna, None, None);
    let state = Secret::new(&*stage.world);
    let known = stage.identity.session(&home, None).await.expect("book").expect("open");
    let good = stage.identity.pass(&known, app, (state.mark(), client().address), "/x".into());
    let arrived = stage.identity.arrive(&good, app, &state, &client()).await.expect("book").expect("in");
    assert_eq!(arrived.to, "/x");
    assert!(stage.is_open(&arrived.opened.secret, Some(app)).await);
    let late = stage.identity.pass(&known, app, (state.mark(), client().address), "/".into());
    stage.identity.revoke_session(id, &by()).await.expect("revoked");
    assert!(stage.identity.arrive(&late, app, &state, &client()).await.expect("book").is_none());
    assert!(!stage.is_open(&arrived.opened.secret, Some(app)).await);
}

#[tokio::test]
async fn a_token_expires_is_removed_and_goes_with_its_user() {
    let stage = stage();
    let app = AppId::new(1, 1);
    stage.user("anna").await;
    let account = stage.identity.user("anna").await.expect("anna");
    let console = by();
    let make = |life| stage.identity.new_token(&account, Scope::App(app), "for a test", Some(life), &console);
    let (short, _) = make(1_000).await.expect("token");
    let (long, token) = make(1_000_000).await.expect("token");
    let (third, _) = make(1_000_000).await.expect("token");
    let good = async |text: &str| stage.identity.bearer(text).await.expect("book").is_some();
    assert!(good(&short).await && good(&long).await);
    stage.world.pass(1_000);
    assert!(!good(&short).await && good(&long).await);
    for bad in ["fazt_", "", &long[5..], &format!("{long}x"), "fazt_' OR 1=1"] {
        assert!(!good(bad).await, "{bad}");
    }
    stage.identity.remove_token(token.id, &by()).await.expect("removed");
    assert_eq!(stage.told(), [(account.id, Some(app))]);
    assert!(!good(&long).await && good(&third).await);
    stage.identity.remove_user("anna", &by()).await.expect("removed");
    assert!(!good(&third).await);
}

#[tokio::test]
async fn whoever_guesses_at_an_account_does_not_lock_its_owner_out() {
    let stage = stage();
    stage.user("anna").await;
    stage.identity.set_password("anna", GOOD, false, &by()).await.expect("set");
    let known = stage.enter("anna", GOOD, &at([198, 51, 100, 7])).await.expect("in").device;
    assert!(known.is_some(), "this browser is known from now on");
    let guesser = at([203, 0, 113, 1]);
    for _ in 0..5 {
        assert!(matches!(stage.enter("anna", "wrong horse", &guesser).await, Err(IdentityError::Wrong)));
    }
    assert!(matches!(stage.enter("anna", GOOD, &guesser).await, Err(IdentityError::Wait(_))), "even so");
    stage.enter("anna", GOOD, &client()).await.expect("from another network");
    let known = Client { device: known, ..guesser };
    let opened = stage.enter("anna", GOOD, &known).await.expect("from the same one, in a known browser");
    assert!(opened.device.is_none(), "which is known already");
    let of_others = stage.user("berta").await;
    let _ = stage.session(of_others, None, None);
    assert!(matches!(stage.enter("berta", GOOD, &known).await, Err(IdentityError::Wrong)), "berta's is not");
}

#[tokio::test]
async fn what_was_checked_before_a_reset_opens_nothing_after_it() {
    let stage = stage();
    let anna = stage.user("anna").await;
    let (home, id) = stage.session(anna, None, None);
    let known = stage.known(&home).await;
    let before = stage.epoch(anna);
    stage.identity.set_password("anna", GOOD, false, &by()).await.expect("set");
    assert!(stage.epoch(anna) > before);
    let (secret, most) = (Secret::new(&*stage.world), SessionsMax { homes: 9, below_each: 9 });
    let now = stage.world.now_ms();
    let session = Session {
        id,
        user: anna,
        parent: None,
        app: None,
        created_unix_ms: now,
        seen_unix_ms: now,
        expires_unix_ms: now + 1_000,
        proved_unix_ms: now,
        address: String::new(),
        agent: String::new(),
    };
    let opened = stage.storage.add_session(secret.mark(), &session, before, most).expect("book");
    assert!(opened.is_none(), "no session for the old password");
    let below = Session { parent: Some(SessionId::new(7, 7)), app: Some(AppId::new(1, 1)), ..session };
    let epoch = stage.epoch(anna);
    let opened = stage.storage.add_session(secret.mark(), &below, epoch, most).expect("book");
    assert!(opened.is_none(), "nor below one that has ended");
    for done in [
        stage.identity.change_password(&known, "another horse battery", true, &client()).await.map(drop),
        stage.identity.new_own_token(&known, AppId::new(1, 1), "").await.map(drop),
        stage.identity.confirm(&known, GOOD, "", &client()).await,
    ] {
        assert!(matches!(done, Err(IdentityError::Stale)), "{done:?}");
    }
    assert!(stage.identity.tokens(Some(anna)).await.expect("book").is_empty());
}

#[tokio::test]
async fn what_lets_somebody_stay_in_needs_a_fresh_proof() {
    let stage = stage();
    let anna = stage.user("anna").await;
    stage.identity.set_password("anna", GOOD, false, &by()).await.expect("set");
    let (home, _) = stage.session(anna, None, None);
    let app = AppId::new(1, 1);
    let token = async || stage.identity.new_own_token(&stage.known(&home).await, app, "").await;
    token().await.expect("just signed in");
    stage.world.pass(FRESH_MS);
    let known = stage.known(&home).await;
    for done in [
        token().await.map(drop),
        stage.identity.change_password(&known, "another horse battery", true, &client()).await.map(drop),
        stage.identity.totp_offer(&known, "cloud.example").map(drop),
        stage.identity.totp_remove(&known, &client()).await,
        stage.identity.recovery_anew(&known, &client()).await.map(drop),
    ] {
        assert!(matches!(done, Err(IdentityError::Confirm)), "{done:?}");
    }
    let confirm = async |password: &str| {
        stage.identity.confirm(&stage.known(&home).await, password, "", &client()).await
    };
    assert!(matches!(confirm("wrong horse").await, Err(IdentityError::Wrong)));
    assert!(token().await.is_err());
    confirm(GOOD).await.expect("it is she");
    token().await.expect("confirmed");
    for _ in 0..5 {
        assert!(matches!(confirm("wrong horse").await, Err(IdentityError::Wrong)));
    }
    assert!(matches!(confirm(GOOD).await, Err(IdentityError::Wait(_))), "a thief may not guess either");
    stage.enter("anna", GOOD, &client()).await.expect("and locks nobody out");
}

#[tokio::test]
async fn one_who_comes_again_and_again_has_one_session_for_each_app_and_loses_none() {
    let stage = stage();
    let app = AppId::new(1, 1);
    let anna = stage.user("anna").await;
    let (home, id) = stage.session(anna, None, None);
    let state = Secret::new(&*stage.world);
    let mut last = None;
    for _ in 0..300 {
        let known = stage.known(&home).await;
        let code = stage.identity.pass(&known, app, (state.mark(), client().address), "/".into());
        let arrived = stage.identity.arrive(&code, app, &state, &client()).await.expect("book").expect("in");
        assert!(stage.is_open(&arrived.opened.secret, Some(app)).await);
        if let Some(before) = last.replace(arrived.opened.secret) {
            assert!(!stage.is_open(&before, Some(app)).await, "its place was taken, in memory too");
        }
    }
    assert_eq!(stage.identity.sessions(Some(anna)).await.expect("book").len(), 2);
    assert!(stage.told().is_empty(), "what runs goes on");
    // Somewhere else the code is worth nothing.
    let known = stage.known(&home).await;
    let code = stage.identity.pass(&known, app, (state.mark(), client().address), "/".into());
    let far = at([198, 51, 100, 1]);
    assert!(stage.identity.arrive(&code, app, &state, &far).await.expect("book").is_none());
    // Too many browsers: the one that was not used for longest ends, and at once.
    let (below, _) = stage.session(anna, Some(id), Some(app));
    assert!(stage.is_open(&below, Some(app)).await && stage.is_open(&home, None).await);
    for _ in 0..50 {
        stage.world.pass(1_000);
        stage.session(anna, None, None);
    }
    stage.identity.set_password("anna", GOOD, false, &by()).await.expect("set");
    stage.told();
    let (oldest, _) = stage.session(anna, None, None);
    assert!(stage.is_open(&oldest, None).await);
    for _ in 0..50 {
        stage.world.pass(1_000);
        stage.enter("anna", GOOD, &client()).await.expect("in");
    }
    assert!(!stage.is_open(&oldest, None).await, "though it was in memory");
    assert_eq!(stage.identity.sessions(Some(anna)).await.expect("book").len(), 50);
}

#[tokio::test]
async fn a_link_is_no_way_to_find_out_who_is_here() {
    let stage = stage();
    for name in ["anna", "berta", "carla"] {
        stage.user(name).await;
    }
    let (link, _) = stage.identity.invite(Role::Member, Apps::All, None, &by()).await.expect("link");
    let join = async |name: &str| stage.identity.join(&link, choice(name, GOOD), &client()).await.map(drop);
    for name in ["anna", "berta", "carla", "anna"].into_iter().cycle().take(16) {
        assert!(matches!(join(name).await, Err(IdentityError::Taken)), "{name}");
    }
    assert!(matches!(join("dora").await, Err(IdentityError::Wait(_))), "taken or not");
    stage.world.pass(60_000);
    join("dora").await.expect("the link is still good");
}

#[tokio::test]
async fn a_role_holds_at_once_and_nobody_raises_anybody_to_their_own() {
    let stage = stage();
    let (link, _) = stage.identity.first_link().await.expect("book").expect("a link");
    let opened = stage.identity.join(&link, choice("olga", GOOD), &client()).await.expect("in");
    let owner = By::person(&opened.person);
    let bo = stage.user("bo").await;
    stage.user("anna").await;
    let (home, _) = stage.session(bo, None, None);
    assert_eq!(stage.known(&home).await.person.role(), Role::Member);
    stage.identity.set_role("bo", Role::Admin, &owner).await.expect("raised");
    assert_eq!(stage.told().last(), Some(&(bo, None)), "what runs for him ends");
    let known = stage.known(&home).await;
    assert_eq!(known.person.role(), Role::Admin, "his session knows it");
    let admin = By::person(&known.person);
    let account = stage.identity.user("bo").await.expect("bo");
    let app = AppId::new(1, 1);
    let mut tokens = Vec::new();
    for scope in [Scope::Admin, Scope::Deploy(app), Scope::App(app)] {
        let made = stage.identity.new_token(&account, scope, "", None, &admin).await.expect("his own");
        let bearer = stage.identity.bearer(&made.0).await.expect("book").expect("good");
        assert_eq!(bearer.scope, scope);
        tokens.push(made.0);
    }
    for (name, role) in
        [("anna", Role::Admin), ("anna", Role::Owner), ("bo", Role::Owner), ("olga", Role::Member)]
    {
        assert!(stage.identity.set_role(name, role, &admin).await.is_err(), "{name} {role}");
    }
    let refused = |error: IdentityError| matches!(error, IdentityError::Rank(_));
    assert!(refused(stage.identity.enter_link("olga", true, &admin).await.map(drop).expect_err("above him")));
    assert!(refused(stage.identity.set_password("olga", GOOD, true, &admin).await.expect_err("above him")));
    assert!(refused(
        stage.identity.invite(Role::Admin, Apps::All, None, &admin).await.map(drop).expect_err("his own")
    ));
    let olgas = stage.identity.user("olga").await.expect("olga");
    let token_of_hers = stage.identity.new_token(&olgas, Scope::Admin, "", None, &admin).await;
    assert!(refused(token_of_hers.map(drop).expect_err("hers")));
    stage.identity.invite(Role::Member, Apps::All, None, &admin).await.expect("below him");
    for (name, role) in [("olga", Role::Admin), ("anna", Role::Owner)] {
        let error = stage.identity.set_role(name, role, &By::console()).await.expect_err("one owner");
        assert!(matches!(error, IdentityError::Owner(_)), "{name}: {error}");
    }
    stage.identity.set_role("bo", Role::Member, &owner).await.expect("back");
    assert_eq!(stage.known(&home).await.person.role(), Role::Member);
    let mut left = Vec::new();
    for token in &tokens {
        left.extend(stage.identity.bearer(token).await.expect("book").map(|bearer| bearer.scope));
    }
    assert_eq!(left, [Scope::App(app)], "he commands nothing any more, also when he is raised again");
}

#[tokio::test]
async fn every_decision_is_in_the_log_and_a_refusal_not_again_and_again() {
    let stage = stage();
    let anna = stage.user("anna").await;
    let (home, _) = stage.session(anna, None, None);
    let person = stage.identity.session(&home, None).await.expect("book").expect("open").person;
    let (_, mut more) = stage.identity.audit(0).await.expect("book");
    for _ in 0..5 {
        let why = crate::kernel::security::Denied::NotOwner;
        stage.identity.turned_away(&person, AppId::new(1, 1), why, &client()).await;
    }
    let _ = stage.enter("anna", "wrong horse battery", &client()).await;
    let (lines, _) = stage.identity.audit(0).await.expect("book");
    let lines: Vec<_> = lines.iter().map(|line| (line.who.as_str(), line.action.as_str(), line.ok)).collect();
    assert_eq!(
        lines,
        [("console", "user.add", true), ("anna", "app.enter", false), ("anna", "sign-in", false)]
    );
    assert_eq!(more.recv().await.expect("a line").action, "app.enter");
}

/// What may happen to sessions.
#[derive(Debug, Clone)]
enum Step {
    Open(usize),
    Enter(usize, u128),
    End(usize),
    RemoveUser(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize).prop_map(Step::Open),
        4 => (0..40usize, 1..4u128).prop_map(|(at, app)| Step::Enter(at, app)),
        2 => (0..40usize).prop_map(Step::End),
        1 => (0..3usize).prop_map(Step::RemoveUser),
        1 => (0..SESSION_MS_MAX / 2).prop_map(Step::Pass),
    ]
}

/// A session in the model.
struct Modelled {
    secret: Secret,
    id: SessionId,
    user: usize,
    parent: Option<SessionId>,
    app: Option<AppId>,
    expires: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sessions_are_open_exactly_when_a_simple_model_says_so(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let stage = stage();
            let mut users = BTreeMap::new();
            for at in 0..3 {
                users.insert(at, stage.user(&format!("user{at}")).await);
            }
            let mut all: Vec<Modelled> = Vec::new();
            let mut ended: BTreeSet<SessionId> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Open(user) => {
                        let Some(&of) = users.get(&user) else { continue };
                        let (secret, id) = stage.session(of, None, None);
                        let expires = stage.world.now_ms() + SESSION_MS_MAX;
                        all.push(Modelled { secret, id, user, parent: None, app: None, expires });
                    }
                    Step::Enter(at, app) => {
                        let Some(home) = all.get(at).filter(|session| session.app.is_none()) else { continue };
                        let (app, state) = (AppId::new(1, app), Secret::new(&*stage.world));
                        let Some(known) = stage.identity.session(&home.secret, None).await.expect("book") else {
                            continue;
                        };
                        let code = stage.identity.pass(&known, app, (state.mark(), client().address), "/".into());
                        let arrived = stage.identity.arrive(&code, app, &state, &client()).await.expect("book");
                        let secret = arrived.expect("an open session").opened.secret;
                        let known = stage.identity.session(&secret, Some(app)).await.expect("book").expect("open");
                        // The browser keeps one session at that origin.
                        let before = all.iter().filter(|other| {
                            other.parent == Some(home.id) && other.app == Some(app)
                        });
                        ended.extend(before.map(|other| other.id));
                        let (user, parent, expires) = (home.user, Some(home.id), home.expires);
                        all.push(Modelled { secret, id: known.id, user, parent, app: Some(app), expires });
                    }
                    Step::End(at) => {
                        let Some(session) = all.get(at) else { continue };
                        let _ = stage.identity.revoke_session(session.id, &by()).await;
                        let children = all.iter().filter(|other| other.parent == Some(session.id));
                        ended.extend(children.map(|child| child.id).chain([session.id]));
                    }
                    Step::RemoveUser(user) => {
                        if users.remove(&user).is_some() {
                            stage.identity.remove_user(&format!("user{user}"), &by()).await.expect("removed");
                        }
                    }
                    Step::Pass(ms) => stage.world.pass(ms),
                }
                for session in &all {
                    let expect = users.contains_key(&session.user)
                        && !ended.contains(&session.id)
                        && stage.world.now_ms() < session.expires;
                    assert_eq!(stage.is_open(&session.secret, session.app).await, expect);
                    let elsewhere = if session.app.is_none() { Some(AppId::new(1, 9)) } else { None };
                    assert!(!stage.is_open(&session.secret, elsewhere).await);
                }
            }
        });
    }
}
