//! People, sessions, tokens and the audit log, as the command line shows them. No answer but [`SignInLink`] and
//! [`MadeToken`] holds a secret, and those only once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, TokenId, UserId};

/// What a person may do on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses the apps that the owner admitted them to.
    Member,
    /// Runs the server beside the owner; every app but those of the owner alone.
    Admin,
    /// Owns the server. There is exactly one.
    Owner,
}

impl Role {
    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is member, admin or owner")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;
    fn from_str(text: &str) -> Result<Self, NoRole> {
        match text {
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            "owner" => Ok(Self::Owner),
            _ => Err(NoRole),
        }
    }
}

/// A person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserInfo {
    /// Stable id.
    pub id: UserId,
    /// Name to sign in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Names of the apps for members that they are admitted to; none: all.
    pub apps: Option<Vec<String>>,
    /// They have set a password.
    pub password: bool,
    /// Codes of an authenticator app are asked for beside it.
    #[serde(default)]
    pub totp: bool,
    /// Sessions that are open, counting one for each browser.
    pub sessions: u64,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// `fazt user add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewUser {
    /// Name to sign in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Names of the apps for members that they are admitted to; none: all.
    #[serde(default)]
    pub apps: Option<Vec<String>>,
}

/// A user who was added, and how they get in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddedUser {
    /// The user.
    pub user: UserInfo,
    /// Where they choose a password, once.
    pub link: SignInLink,
}

/// `fazt user invite`: whoever opens the link first chooses a name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewInvite {
    /// What they may do.
    pub role: Role,
    /// Names of the apps for members that they are admitted to; none: all.
    #[serde(default)]
    pub apps: Option<Vec<String>>,
    /// Seconds until the link is worthless; none: the server's default.
    #[serde(default)]
    pub expires_s: Option<u64>,
}

/// A link that works once. A secret until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInLink {
    /// The link.
    pub url: String,
    /// When it is worthless, in milliseconds since 1970.
    pub expires_unix_ms: u64,
}

/// `fazt user passwd`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewPassword {
    /// The password.
    pub password: String,
    /// Codes of the user's app are asked for no more.
    #[serde(default)]
    pub reset_totp: bool,
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

/// `fazt user passwd`: a link with which the user chooses a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewLink {
    /// It ends the codes of the user's app too.
    #[serde(default)]
    pub reset_totp: bool,
}

/// `fazt user role`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewRole {
    /// What they may do from now on.
    pub role: Role,
}

/// Which apps for members a user is admitted to from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Admission {
    /// Names of apps; none: all.
    pub apps: Option<Vec<String>>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionInfo {
    /// Its id: what `fazt user revoke-session` takes.
    pub id: SessionId,
    /// Whose.
    pub user: String,
    /// Name of the app at whose origin it is; none: the OS origin, on which those of apps hang.
    pub app: Option<String>,
    /// Opened, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Last used, to within an hour, in milliseconds since 1970.
    pub seen_unix_ms: u64,
    /// Over, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// Address of the client that opened it.
    pub address: String,
    /// What the client called itself; hostile text.
    pub agent: String,
}

/// `fazt security token new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewToken {
    /// Name of the user it acts for; none: the owner.
    #[serde(default)]
    pub user: Option<String>,
    /// `admin`, `app:NAME` or `deploy:NAME`.
    pub scope: String,
    /// Seconds until it is worthless; none: the server's default.
    #[serde(default)]
    pub expires_s: Option<u64>,
    /// What it is for, in the owner's words.
    #[serde(default)]
    pub note: String,
}

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenInfo {
    /// Its id: what `fazt security token rm` takes.
    pub id: TokenId,
    /// Whom it acts for.
    pub user: String,
    /// `admin`, `app:NAME` or `deploy:NAME`.
    pub scope: String,
    /// What it is for.
    pub note: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Last used, to within an hour, in milliseconds since 1970; 0: never.
    pub used_unix_ms: u64,
    /// Worthless from then on, in milliseconds since 1970.
    pub expires_unix_ms: u64,
}

/// A new token. It is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeToken {
    /// `fazt_…`
    pub token: String,
    /// Which it is.
    pub info: TokenInfo,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("info", &self.info).finish_non_exhaustive()
    }
}

/// One decision, as the audit log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditLine {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Who: a user's name, `console`, or the name that somebody claimed.
    pub who: String,
    /// What was tried: `sign-in`, `user.add`, `session.revoke`…
    pub action: String,
    /// On what: a user, a session, an app; may be empty.
    pub target: String,
    /// It was done or allowed.
    pub ok: bool,
    /// Address of the client; empty for the console.
    pub address: String,
    /// More, for the owner; may be empty.
    pub detail: String,
}

/// Who commands, as the server sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Myself {
    /// A user's name, or `console`.
    pub name: String,
    /// What they may do on this server.
    pub role: Role,
    /// `admin`, `app:NAME` or `deploy:NAME`: how far the token reaches.
    pub scope: String,
    /// Version of Fazt there.
    pub version: String,
}
