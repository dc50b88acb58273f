//! Permissions of apps, and what the owner said to them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::OriginInfo;

/// What the owner said to a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes.
    Granted,
    /// No, or not any more.
    Refused,
    /// Nothing, when a script deployed the app: the app goes without.
    Unanswered,
    /// Nobody was asked yet.
    New,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::New => "new",
        })
    }
}

/// How much a permission can cost the owner when the app means harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// It can waste its own quota.
    Low,
    /// It brings people together, or comes to them.
    Medium,
    /// What it sees can leave the server, or it sees what is not its own.
    High,
}

/// A permission that an app asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionInfo {
    /// As commands take it, such as `net:api.github.com`.
    pub permission: String,
    /// What the app may do with it, in plain words.
    pub means: String,
    /// Why the app wants it, in its own words; may be empty.
    pub reason: String,
    /// What it can cost.
    pub risk: Risk,
    /// What the owner said.
    pub answer: Answer,
    /// When they said so, in milliseconds since 1970.
    pub answered_unix_ms: Option<u64>,
    /// Who said so.
    pub answered_by: Option<String>,
}

/// `fazt app grants`: what an app asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantList {
    /// Name of the app.
    pub app: String,
    /// What its live version asks for, and what else was granted to it once.
    pub permissions: Vec<PermissionInfo>,
}

/// `fazt app grant`, `fazt app revoke`: all of it happens, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantChange {
    /// Permissions to give.
    #[serde(default)]
    pub grant: Vec<String>,
    /// Permissions to take away.
    #[serde(default)]
    pub revoke: Vec<String>,
}

/// What somebody says to what a deploy asks for, with its last step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Consent {
    /// Yes to whatever nobody answered yet.
    #[serde(default)]
    pub all: bool,
    /// Yes to these; no to what else is asked for and was not answered yet.
    #[serde(default)]
    pub grant: Vec<String>,
}

/// A deploy before its last step: what it would make live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Review {
    /// Name of the app.
    pub app: String,
    /// There is an app of this name already.
    pub exists: bool,
    /// `manifest.version`
    pub version: String,
    /// `manifest.description`
    pub description: String,
    /// `manifest.license`
    pub license: String,
    /// `manifest.homepage`
    pub homepage: String,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What it asks for.
    pub permissions: Vec<PermissionInfo>,
    /// Where it comes from, if from elsewhere.
    #[serde(default)]
    pub origin: Option<OriginInfo>,
    /// It asks for more than was ever answered, and there is an older version: it waits for an answer.
    pub waits: bool,
}
