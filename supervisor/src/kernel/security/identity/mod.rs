//! Who people are: sign-in, links, sessions, tokens, and what follows when one of them ends.
//!
//! `net` calls it with what clients sent: names, passwords and secrets here are hostile. What is remembered lies
//! behind the trait [`Book`]; clock and randomness behind [`World`].
//!
//! | task | file |
//! |---|---|
//! | a password or a link for a session | `entry.rs` |
//! | a session by its cookie, across origins, ended | `sessions.rs` |
//! | a passkey for a session | `passkeys.rs` |
//! | codes of an app beside the password | `second.rs` |
//! | that it is still they, before what matters | `fresh.rs` |
//! | users, links, roles, admission | `people.rs` |
//! | who says what is to be done | `by.rs` |
//! | API tokens | `tokens.rs` |
//! | the audit log | `audit.rs` |

mod audit;
mod by;
mod entry;
mod fresh;
mod passkeys;
mod people;
mod second;
mod sessions;
mod tokens;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fazt_ipc::control::AuditLine;
use fazt_ipc::ids::{AppId, UserId};
use tokio::sync::{Semaphore, broadcast, watch};

use super::World;
use super::book::{Book, BookError};
use super::codes::Codes;
use super::device::Devices;
use super::jwt::Jwt;
use super::passkey::Challenges;
use super::password::PasswordError;
use super::seal::Sealer;
use super::secret::{Mark, Secret};
use super::throttle::Throttle;
use super::turns::{Holder, Places, Turns};
use super::waiting::Waiting;

pub use audit::{CONSOLE, SERVER};
pub use by::By;
pub use entry::{Choice, Entered, Linked, Opened};
pub use fresh::FRESH_MS;
pub use people::{FIRST_LINK_MS, LINK_MS_DEFAULT, NAME_BYTES_MAX, name_is_good};
pub use second::Enrolment;
pub use sessions::{Arrived, Known, SESSION_MS_MAX};
pub use tokens::{Bearer, TOKEN_MS_DEFAULT, TOKEN_PREFIX};

/// Passwords hashed at once: 19 MiB each.
const HASHING_MAX: usize = 2;
/// Places to wait for a turn at it. Several people may open one link.
const HASHING_PLACES: Places = Places { all: 32, stranger: 4, known: 16 };
/// Questions to the book at once.
const BOOK_MAX: usize = 4;
/// Sessions and tokens kept in memory. When there are more, all are asked for again.
const KNOWN_MAX: usize = 4_096;
/// How often what is over is forgotten. That it is over does not wait for it.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(6 * 60 * 60);
/// Lines of the audit log that a slow follower may be behind.
const AUDIT_BEHIND_MAX: usize = 256;

/// Why it was not done. Nothing here tells whether a user exists.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Name or password.
    #[error("name or password is not right")]
    Wrong,
    /// A passkey.
    #[error("this passkey is not good here")]
    Passkey,
    /// A code of an app, or a recovery code.
    #[error("this code is not right, or was used already: wait for the next one")]
    Code,
    /// What was checked is of before a change.
    #[error("your account was changed meanwhile: sign in again")]
    Stale,
    /// It must be shown anew who asks.
    #[error("confirm first that it is you")]
    Confirm,
    /// Somebody may not do this to somebody of that role.
    #[error("{0}")]
    Rank(&'static str),
    /// Too many tries.
    #[error("too many tries: wait {0} seconds")]
    Wait(u64),
    /// Too much to do.
    #[error("the server is busy: try again in a moment")]
    Busy,
    /// A link that is spent, over or never was.
    #[error("this link is no longer good: it was used, or it is too old. Ask for a new one")]
    Link,
    /// A name that cannot be one.
    #[error(
        "a name is 1 to {NAME_BYTES_MAX} letters a to z, digits, dots, hyphens and underscores, and begins with a letter"
    )]
    Name,
    /// A name of somebody else.
    #[error("this name is taken")]
    Taken,
    /// A password that is not good enough.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A password was not typed twice the same.
    #[error("the two passwords are not the same")]
    Again,
    /// No such user, session, token.
    #[error("there is no {0} {1}")]
    Unknown(&'static str, String),
    /// The owner stays.
    #[error("{0}")]
    Owner(&'static str),
    /// Too many of something.
    #[error("there are too many {0} already: remove some")]
    Full(&'static str),
    /// The database.
    #[error("what is known of people cannot be read or written: {0}")]
    Failed(String),
}

impl From<BookError> for IdentityError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Taken => Self::Taken,
            BookError::Full(what) => Self::Full(what),
            BookError::Failed(why) => Self::Failed(why),
        }
    }
}

/// Where a client is and what it calls itself, for sessions and the audit log.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What it keeps of an earlier sign-in: not a proof of anything but that.
    pub device: Option<Secret>,
    /// `User-Agent`; cut to [`AGENT_BYTES_MAX`].
    pub agent: String,
}

/// Longest `User-Agent` that is kept.
pub const AGENT_BYTES_MAX: usize = 200;

/// Told when somebody's workers must end: of one app, or of all.
type Ended = dyn Fn(UserId, Option<AppId>) + Send + Sync;

/// Everything about people.
pub struct Identity {
    /// Signs tokens for one audience.
    pub jwt: Jwt,
    book: Arc<dyn Book>,
    world: Arc<dyn World>,
    throttle: Mutex<Throttle>,
    codes: Mutex<Codes>,
    challenges: Mutex<Challenges>,
    /// Those whose password was right, until they say the code of their app.
    halves: Mutex<Waiting<second::Half>>,
    /// Secrets of apps that were shown and not yet confirmed.
    enrolling: Mutex<Waiting<second::Offered>>,
    devices: Devices,
    sealer: Sealer,
    refused: Mutex<audit::Refused>,
    known: Mutex<Cache>,
    turns: Arc<Turns>,
    asking: Semaphore,
    audit: broadcast::Sender<AuditLine>,
    /// Told when what was read before may no longer hold.
    changes: watch::Sender<()>,
    ended: OnceLock<Box<Ended>>,
}

/// Sessions and tokens that were asked for, by their marks.
#[derive(Default)]
struct Cache {
    /// Counts what made answers of the book obsolete.
    epoch: u64,
    by_mark: HashMap<Mark, Known>,
    tokens: HashMap<Mark, tokens::Bearer>,
    /// When a refusal was last written down, so that a client that asks again and again fills nothing.
    noted: HashMap<(UserId, AppId), u64>,
}

impl Identity {
    /// Over what is remembered. `secret` is the server's, and the same at every start: keys come from it.
    #[must_use]
    pub fn new(book: Arc<dyn Book>, world: Arc<dyn World>, secret: &[u8; 32]) -> Arc<Self> {
        Arc::new(Self {
            jwt: Jwt::new(&Mark::of(&[b"fazt jwt", secret]).0),
            book,
            world,
            throttle: Mutex::default(),
            codes: Mutex::default(),
            challenges: Mutex::default(),
            halves: Mutex::new(Waiting::new(second::HALVES_MAX, second::EACH_MAX)),
            enrolling: Mutex::new(Waiting::new(second::HALVES_MAX, second::EACH_MAX)),
            devices: Devices::new(Mark::of(&[b"fazt devices", secret]).0),
            sealer: Sealer::new(&Mark::of(&[b"fazt totp", secret]).0),
            refused: Mutex::default(),
            known: Mutex::default(),
            turns: Turns::new(HASHING_MAX, HASHING_PLACES),
            asking: Semaphore::new(BOOK_MAX),
            audit: broadcast::channel(AUDIT_BEHIND_MAX).0,
            changes: watch::channel(()).0,
            ended: OnceLock::new(),
        })
    }

    /// Says whom to tell when somebody's workers must end. Once; before anybody is served.
    pub fn on_end(&self, tell: impl Fn(UserId, Option<AppId>) + Send + Sync + 'static) {
        let _ = self.ended.set(Box::new(tell));
    }

    /// Forgets sessions, links and tokens that are over: now and then, for ever.
    pub async fn sweep(&self) {
        loop {
            let now = self.world.now_ms();
            if let Err(error) = self.ask(move |book| book.sweep(now)).await {
                tracing::warn!(%error, "what is over cannot be forgotten");
            }
            self.note_sums().await;
            tokio::time::sleep(SWEEP).await;
        }
    }

    /// Clock and randomness.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        &*self.world
    }

    /// Asks the book on a blocking thread.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let broken = |error: &dyn std::fmt::Display| IdentityError::Failed(error.to_string());
        let _turn = self.asking.acquire().await.map_err(|error| broken(&error))?;
        let book = Arc::clone(&self.book);
        let done = tokio::task::spawn_blocking(move || work(&*book)).await;
        Ok(done.map_err(|error| broken(&error))??)
    }

    /// Hashes on a blocking thread, few at a time. Who is gone meanwhile does not make it end sooner, so the turn
    /// is the hashing's own.
    async fn hashing<T: Send + 'static>(
        &self,
        holder: Holder,
        work: impl FnOnce(&dyn World) -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let turn = self.turns.wait(holder).await.ok_or(IdentityError::Busy)?;
        let world = Arc::clone(&self.world);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&*world);
            drop(turn);
            done
        });
        done.await.map_err(|error| IdentityError::Failed(error.to_string()))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read before this moment is asked for again.
    fn forget(&self) {
        let mut cache = self.cache();
        cache.epoch += 1;
        cache.by_mark.clear();
        cache.tokens.clear();
        drop(cache);
        self.changes.send_replace(());
    }

    /// Ends what runs for a user, in one app or in all, after what gave them leave is gone.
    fn end(&self, user: UserId, app: Option<AppId>) {
        self.forget();
        if let Some(tell) = self.ended.get() {
            tell(user, app);
        }
    }

    fn random_id(&self) -> u128 {
        let mut bytes = [0; 16];
        self.world.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}
