//! What is remembered of people: the trait that `storage` implements. Each call is one transaction, and blocks.

use fazt_ipc::control::{AuditLine, Role};
use fazt_ipc::ids::{AppId, SessionId, TokenId, UserId};

use super::secret::Mark;

/// The book could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The name is another user's.
    #[error("this name is taken")]
    Taken,
    /// There are as many as there may be.
    #[error("there are too many {0} already")]
    Full(&'static str),
    /// The database.
    #[error("{0}")]
    Failed(String),
}

/// Which apps for members somebody is admitted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apps {
    /// All of them.
    All,
    /// These.
    Some(Vec<AppId>),
}

impl Apps {
    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, app: AppId) -> bool {
        match self {
            Self::All => true,
            Self::Some(apps) => apps.contains(&app),
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Stable id.
    pub id: UserId,
    /// Name to sign in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Which apps for members.
    pub apps: Apps,
    /// Hash of the password, if one was set.
    pub password: Option<String>,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The one at the OS origin that it hangs on; none: it is one.
    pub parent: Option<SessionId>,
    /// The app at whose origin it is; none: the OS origin.
    pub app: Option<AppId>,
    /// Opened, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Last used, to within an hour.
    pub seen_unix_ms: u64,
    /// Over.
    pub expires_unix_ms: u64,
    /// Address of the client that opened it.
    pub address: String,
    /// What the client called itself.
    pub agent: String,
}

/// What a link does when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Lets an existing user set a password.
    Enter(UserId),
    /// Makes a user.
    Join {
        /// What they may do.
        role: Role,
        /// Which apps for members.
        apps: Apps,
    },
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// What it does.
    pub purpose: Purpose,
    /// Worthless from then on, in milliseconds since 1970.
    pub expires_unix_ms: u64,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Command the server, as far as its user may.
    Admin,
    /// Act as its user on one app's origin.
    App(AppId),
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whom it acts for.
    pub user: UserId,
    /// What it may do.
    pub scope: Scope,
    /// What it is for.
    pub note: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Last used, to within an hour; 0: never.
    pub used_unix_ms: u64,
    /// Worthless from then on.
    pub expires_unix_ms: u64,
}

/// A passkey: its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyRow {
    /// Id of the credential, in base64url.
    pub id: String,
    /// Whose.
    pub user: UserId,
    /// What it was made with.
    pub note: String,
    /// The public key and what belongs to it, as JSON.
    pub key: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Last used; 0: never.
    pub used_unix_ms: u64,
}

/// What is remembered of people.
pub trait Book: Send + Sync + 'static {
    /// Every user, by name.
    fn accounts(&self) -> Result<Vec<Account>, BookError>;
    /// The user of this name.
    fn account_named(&self, name: &str) -> Result<Option<Account>, BookError>;
    /// Adds a user.
    fn add_account(&self, account: &Account) -> Result<(), BookError>;
    /// Removes a user with sessions, links and tokens. Whether there was one.
    fn remove_account(&self, user: UserId) -> Result<bool, BookError>;
    /// Sets which apps a user is admitted to.
    fn set_apps(&self, user: UserId, apps: &Apps) -> Result<(), BookError>;
    /// Sets a password, ends the user's sessions and makes their links worthless.
    fn set_password(&self, user: UserId, hash: &str) -> Result<(), BookError>;

    /// Remembers a link; one for the same user before it is worthless.
    fn add_invite(&self, mark: Mark, invite: &Invite, now_ms: u64) -> Result<(), BookError>;
    /// What a link does, if it is still good.
    fn invite(&self, mark: Mark, now_ms: u64) -> Result<Option<(Invite, Option<Account>)>, BookError>;
    /// Spends a link: once, whoever else tries at the same time. Makes the user `joining` with that id, name and
    /// password, or gives the link's own user the password (and the name, if it is the owner's first time).
    /// None: the link is no longer good, and nothing has changed. When the name is taken the link stays good.
    fn redeem(&self, mark: Mark, joining: &Joining, now_ms: u64) -> Result<Option<Account>, BookError>;

    /// Remembers a session. The user's oldest ends when there are more than `most`.
    fn add_session(&self, mark: Mark, session: &Session, most: u64) -> Result<(), BookError>;
    /// A session by its secret's mark, with its user.
    fn session(&self, mark: Mark) -> Result<Option<(Session, Account)>, BookError>;
    /// Notes that a session was used.
    fn session_seen(&self, id: SessionId, now_ms: u64) -> Result<(), BookError>;
    /// Sessions of one user, or of all.
    fn sessions(&self, user: Option<UserId>) -> Result<Vec<Session>, BookError>;
    /// Ends a session and those that hang on it: which ended.
    fn end_session(&self, id: SessionId) -> Result<Vec<Session>, BookError>;
    /// Forgets what is over.
    fn sweep(&self, now_ms: u64) -> Result<(), BookError>;

    /// Remembers a token; refused when the user has `most`.
    fn add_token(&self, mark: Mark, token: &Token, most: u64) -> Result<(), BookError>;
    /// A token by its mark, with its user.
    fn token(&self, mark: Mark) -> Result<Option<(Token, Account)>, BookError>;
    /// Notes that a token was used.
    fn token_used(&self, id: TokenId, now_ms: u64) -> Result<(), BookError>;
    /// All tokens.
    fn tokens(&self) -> Result<Vec<Token>, BookError>;
    /// Removes a token: which it was.
    fn remove_token(&self, id: TokenId) -> Result<Option<Token>, BookError>;

    /// Remembers a passkey; refused when the user has `most`.
    fn add_passkey(&self, row: &PasskeyRow, most: u64) -> Result<(), BookError>;
    /// A passkey, with its user.
    fn passkey(&self, id: &str) -> Result<Option<(PasskeyRow, Account)>, BookError>;
    /// Notes that a passkey was used, and its key as it is now.
    fn passkey_used(&self, id: &str, key: &str, now_ms: u64) -> Result<(), BookError>;
    /// Passkeys of a user.
    fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, BookError>;
    /// Removes one of a user's passkeys. Whether there was one.
    fn remove_passkey(&self, user: UserId, id: &str) -> Result<bool, BookError>;

    /// Writes a decision down; the oldest go when there are too many.
    fn note(&self, line: &AuditLine) -> Result<(), BookError>;
    /// Decisions since then, oldest first, at most `most`: the newest of them.
    fn audit(&self, since_ms: u64, most: u32) -> Result<Vec<AuditLine>, BookError>;
}

/// Who spends a link.
#[derive(Debug, Clone)]
pub struct Joining {
    /// Id of the user if one is made.
    pub id: UserId,
    /// Name that was chosen; not used where the user has one.
    pub name: String,
    /// Hash of the password that was chosen.
    pub password: String,
}
