//! People over a real file: what expires, what ends with what, what is told when something ends. And a model
//! that must agree with the file after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::kernel::security::identity::{Client, LINK_MS_DEFAULT, SESSION_MS_MAX};
use crate::kernel::security::{Fixed, Identity, IdentityError, Secret, World as _};

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
    Client { address: IpAddr::from([192, 0, 2, 1]), agent: "a browser".into() }
}

impl Stage {
    fn told(&self) -> Vec<(UserId, Option<AppId>)> {
        std::mem::take(&mut self.told.lock().expect("told"))
    }

    async fn user(&self, name: &str) -> UserId {
        self.identity.add_user(name, Role::Member, Apps::All, "test").await.expect("added").0.id
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
            agent: String::new(),
        };
        self.storage.add_session(secret.mark(), &session, 500).expect("session");
        (secret, session.id)
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
    assert_eq!(expires, START_MS + LINK_MS_DEFAULT);
    let client = client();
    let join = |link| stage.identity.join(link, "Olga ", GOOD, &client);
    assert!(matches!(join(&first).await, Err(IdentityError::Link)), "replaced by the next");
    stage.world.pass(LINK_MS_DEFAULT);
    assert!(matches!(join(&link).await, Err(IdentityError::Link)), "over");
    let (link, _) = stage.identity.first_link().await.expect("book").expect("no password yet");
    let opened = join(&link).await.expect("in");
    assert_eq!((opened.person.name(), opened.person.role()), ("olga", Role::Owner));
    assert!(stage.is_open(&opened.secret, None).await);
    assert!(stage.identity.first_link().await.expect("book").is_none());
    assert_eq!(stage.identity.users().await.expect("book").len(), 1);
    let again = stage.identity.add_user("other", Role::Owner, Apps::All, "test").await;
    assert!(matches!(again, Err(IdentityError::Owner(_))));
}

#[tokio::test]
async fn of_many_who_spend_a_link_at_once_one_gets_in() {
    let stage = stage();
    let (link, _) = stage.identity.invite(Role::Member, Apps::All, None, "test").await.expect("link");
    let tries: Vec<_> = (0..12)
        .map(|at| {
            let (identity, link) = (Arc::clone(&stage.identity), link.clone());
            tokio::spawn(async move { identity.join(&link, &format!("user{at}"), GOOD, &client()).await })
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
    let (link, _) = stage.identity.invite(Role::Admin, Apps::All, None, "test").await.expect("link");
    let taken = stage.identity.join(&link, "anna", GOOD, &client()).await;
    assert!(matches!(taken, Err(IdentityError::Taken)), "{taken:?}");
    let opened = stage.identity.join(&link, "berta", GOOD, &client()).await.expect("in");
    assert_eq!(opened.person.role(), Role::Admin);
}

#[tokio::test]
async fn a_new_password_ends_sessions_and_links_and_opens_the_account() {
    let stage = stage();
    let anna = stage.user("anna").await;
    let (old, _) = stage.session(anna, None, None);
    assert!(stage.is_open(&old, None).await);
    let (link, _) = stage.identity.enter_link("anna", "test").await.expect("link");
    stage.identity.set_password("anna", GOOD, "test").await.expect("set");
    assert!(!stage.is_open(&old, None).await);
    assert!(matches!(stage.identity.linked(&link).await, Err(IdentityError::Link)));
    assert_eq!(stage.told(), [(anna, None)]);
    let client = client();
    let sign_in = |password| stage.identity.sign_in("Anna", password, &client);
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
    stage.identity.revoke_session(two_id, "test").await.expect("revoked");
    assert_eq!(stage.told(), [(anna, Some(two))]);
    assert!(stage.is_open(&at_one, Some(one)).await && !stage.is_open(&at_two, Some(two)).await);
    let known = stage.identity.session(&at_one, Some(one)).await.expect("book").expect("open");
    stage.identity.sign_out(&known, &client()).await.expect("out");
    assert_eq!(stage.told(), [(anna, Some(one))]);
    assert!(!stage.is_open(&home, None).await && !stage.is_open(&at_one, Some(one)).await);
    assert!(matches!(
        stage.identity.revoke_session(id, "test").await,
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
    let good = stage.identity.code(&known, app, state.mark(), "/x".into());
    let arrived = stage.identity.arrive(&good, app, &state, &client()).await.expect("book").expect("in");
    assert_eq!(arrived.to, "/x");
    assert!(stage.is_open(&arrived.opened.secret, Some(app)).await);
    let late = stage.identity.code(&known, app, state.mark(), "/".into());
    stage.identity.revoke_session(id, "test").await.expect("revoked");
    assert!(stage.identity.arrive(&late, app, &state, &client()).await.expect("book").is_none());
    assert!(!stage.is_open(&arrived.opened.secret, Some(app)).await);
}

#[tokio::test]
async fn a_token_expires_is_removed_and_goes_with_its_user() {
    let stage = stage();
    let app = AppId::new(1, 1);
    stage.user("anna").await;
    let account = stage.identity.user("anna").await.expect("anna");
    let make = |life| stage.identity.new_token(&account, Scope::App(app), "for a test", Some(life), "test");
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
    stage.identity.remove_token(token.id, "test").await.expect("removed");
    assert_eq!(stage.told(), [(account.id, Some(app))]);
    assert!(!good(&long).await && good(&third).await);
    stage.identity.remove_user("anna", "test").await.expect("removed");
    assert!(!good(&third).await);
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
    let _ = stage.identity.sign_in("anna", "wrong horse battery", &client()).await;
    let (lines, _) = stage.identity.audit(0).await.expect("book");
    let lines: Vec<_> = lines.iter().map(|line| (line.who.as_str(), line.action.as_str(), line.ok)).collect();
    assert_eq!(lines, [("test", "user.add", true), ("anna", "app.enter", false), ("anna", "sign-in", false)]);
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
                        let code = stage.identity.code(&known, app, state.mark(), "/".into());
                        let arrived = stage.identity.arrive(&code, app, &state, &client()).await.expect("book");
                        let secret = arrived.expect("an open session").opened.secret;
                        let known = stage.identity.session(&secret, Some(app)).await.expect("book").expect("open");
                        let (user, parent, expires) = (home.user, Some(home.id), home.expires);
                        all.push(Modelled { secret, id: known.id, user, parent, app: Some(app), expires });
                    }
                    Step::End(at) => {
                        let Some(session) = all.get(at) else { continue };
                        let _ = stage.identity.revoke_session(session.id, "test").await;
                        let children = all.iter().filter(|other| other.parent == Some(session.id));
                        ended.extend(children.map(|child| child.id).chain([session.id]));
                    }
                    Step::RemoveUser(user) => {
                        if users.remove(&user).is_some() {
                            stage.identity.remove_user(&format!("user{user}"), "test").await.expect("removed");
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
