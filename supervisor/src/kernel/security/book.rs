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
    /// Codes of an app are asked for beside the password.
    pub totp: bool,
    /// Grows whenever a way in is taken away or another password is set: what was checked before counts no more.
    pub epoch: u64,
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
    /// When its user last showed who they are, in milliseconds since 1970; 0 at an app's origin.
    pub proved_unix_ms: u64,
    /// Address of the client that opened it.
    pub address: String,
    /// What the client called itself.
    pub agent: String,
}

/// What a link does when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Lets an existing user set a password.
    Enter {
        /// Whom.
        user: UserId,
        /// It ends the codes of their app too.
        resets_totp: bool,
    },
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
    /// Act as its user on one app's origin; of an admin also look at the app and its processes.
    App(AppId),
    /// Change one app's code and variables, as far as its user may, and look at it. On its origin it is nobody.
    Deploy(AppId),
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

/// What a new password leaves as it is; sessions and links always end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// Passkeys.
    pub passkeys: bool,
    /// Tokens.
    pub tokens: bool,
    /// That codes of an app are asked for.
    pub totp: bool,
}

/// How many sessions there may be.
#[derive(Debug, Clone, Copy)]
pub struct SessionsMax {
    /// Of one user at the OS origin.
    pub homes: u64,
    /// At apps' origins, hanging on one of those.
    pub below_each: u64,
}

/// What codes of an app are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// The latest step whose code was used.
    pub step: u64,
}

/// What is remembered of people.
pub trait Book: Send + Sync + 'static {
    /// Every user, by name.
    fn accounts(&self) -> Result<Vec<Account>, BookError>;
    /// A user.
    fn account(&self, user: UserId) -> Result<Option<Account>, BookError>;
    /// The user of this name.
    fn account_named(&self, name: &str) -> Result<Option<Account>, BookError>;
    /// Adds a user.
    fn add_account(&self, account: &Account) -> Result<(), BookError>;
    /// Removes a user with sessions, links and tokens. Whether there was one.
    fn remove_account(&self, user: UserId) -> Result<bool, BookError>;
    /// Sets which apps a user is admitted to.
    fn set_apps(&self, user: UserId, apps: &Apps) -> Result<(), BookError>;
    /// Sets a role. Who is no longer more than a member loses the tokens that command the server.
    fn set_role(&self, user: UserId, role: Role) -> Result<(), BookError>;
    /// Sets a password, ends the user's sessions and what else is not kept, and makes their links worthless.
    /// With `epoch`: only if the account is still the one of that epoch. The new epoch; none: it is not.
    fn set_password(
        &self,
        user: UserId,
        hash: &str,
        keeps: Keeps,
        epoch: Option<u64>,
    ) -> Result<Option<u64>, BookError>;

    /// Remembers a link; one for the same user before it is worthless.
    fn add_invite(&self, mark: Mark, invite: &Invite, now_ms: u64) -> Result<(), BookError>;
    /// What a link does, if it is still good.
    fn invite(&self, mark: Mark, now_ms: u64) -> Result<Option<(Invite, Option<Account>)>, BookError>;
    /// Spends a link: once, whoever else tries at the same time. Makes the user `joining` with that id, name and
    /// password, or gives the link's own user the password (and the name, if it is the owner's first time).
    /// None: the link is no longer good, and nothing has changed. When the name is taken the link stays good.
    fn redeem(&self, mark: Mark, joining: &Joining, now_ms: u64) -> Result<Option<Account>, BookError>;

    /// Remembers a session, if the account is still the one of this epoch and the session it hangs on is open.
    /// One of the same browser at the same app takes the place of the one before. Those that were not used for
    /// longest end when there are more than `most`: they are handed back. None: nothing was opened.
    fn add_session(
        &self,
        mark: Mark,
        session: &Session,
        epoch: u64,
        most: SessionsMax,
    ) -> Result<Option<Vec<Session>>, BookError>;
    /// Notes that the user of a session showed who they are, if the account is still the one of this epoch.
    /// Whether it is.
    fn session_proved(&self, id: SessionId, epoch: u64, now_ms: u64) -> Result<bool, BookError>;
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

    /// Remembers a token, if the account is still the one of this epoch; refused when the user has `most`.
    /// Whether it is.
    fn add_token(&self, mark: Mark, token: &Token, epoch: u64, most: u64) -> Result<bool, BookError>;
    /// A token by its mark, with its user.
    fn token(&self, mark: Mark) -> Result<Option<(Token, Account)>, BookError>;
    /// Notes that a token was used.
    fn token_used(&self, id: TokenId, now_ms: u64) -> Result<(), BookError>;
    /// All tokens.
    fn tokens(&self) -> Result<Vec<Token>, BookError>;
    /// Removes a token: which it was.
    fn remove_token(&self, id: TokenId) -> Result<Option<Token>, BookError>;

    /// Remembers a passkey, if the account is still the one of this epoch; refused when the user has `most`.
    /// Whether it is.
    fn add_passkey(&self, row: &PasskeyRow, epoch: u64, most: u64) -> Result<bool, BookError>;
    /// A passkey, with its user.
    fn passkey(&self, id: &str) -> Result<Option<(PasskeyRow, Account)>, BookError>;
    /// Notes that a passkey was used, and its key as it is now.
    fn passkey_used(&self, id: &str, key: &str, now_ms: u64) -> Result<(), BookError>;
    /// Passkeys of a user.
    fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, BookError>;
    /// Removes one of a user's passkeys. Whether there was one.
    fn remove_passkey(&self, user: UserId, id: &str) -> Result<bool, BookError>;

    /// The codes of a user's app, if they are asked for.
    fn totp(&self, user: UserId) -> Result<Option<Totp>, BookError>;
    /// Has codes asked for from now on, and keeps these recovery codes, if the account is still the one of this
    /// epoch. Whether it is.
    fn set_totp(&self, user: UserId, totp: &Totp, codes: &[Mark], epoch: u64) -> Result<bool, BookError>;
    /// Spends the code of a step: once, whoever else tries at the same time. Whether it was still good.
    fn totp_used(&self, user: UserId, step: u64) -> Result<bool, BookError>;
    /// Asks for codes no more. Whether they were asked for.
    fn remove_totp(&self, user: UserId, epoch: u64) -> Result<bool, BookError>;
    /// Other recovery codes in place of those there are, if codes are asked for and the account is still the one
    /// of this epoch. Whether it is so.
    fn set_recovery(&self, user: UserId, codes: &[Mark], epoch: u64) -> Result<bool, BookError>;
    /// Spends a recovery code: once. Whether there was such a one.
    fn recovery_used(&self, user: UserId, code: Mark) -> Result<bool, BookError>;
    /// How many recovery codes are left.
    fn recovery_left(&self, user: UserId) -> Result<u64, BookError>;

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
    /// The passkeys that the user has stay.
    pub keeps_passkeys: bool,
    /// The account whose link it is, as it was when it was looked at.
    pub epoch: Option<u64>,
}
