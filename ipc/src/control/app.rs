//! Apps, versions, deploys and files, as the command line shows them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OriginInfo, PermissionInfo, State};
use crate::ids::{AppId, VersionId};

/// Who may reach an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anyone.
    Public,
    /// Signed-in users whom the owner admitted.
    Members,
    /// The owner alone.
    Owner,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// The name that routes to it.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Who may reach it.
    pub access: Access,
    /// Its active version, if any deploy succeeded.
    pub version: Option<Version>,
    /// State of its busiest worker.
    pub state: State,
    /// `manifest.description`
    pub description: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Size of its folder on disk.
    pub disk_bytes: u64,
}

/// A deployed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// Counts the deploys of the app from 1; what `rollback` takes.
    pub number: u64,
    /// `manifest.version`, or empty.
    pub version: String,
    /// Hash of all paths and contents.
    pub tree_sha256: String,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Deployed, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// It is the one that runs.
    pub active: bool,
    /// Where it came from, if it was installed from elsewhere.
    #[serde(default)]
    pub origin: Option<OriginInfo>,
}

/// A file that a deploy consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanFile {
    /// Path inside the app.
    pub path: String,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// First step of a deploy: the whole list of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployPlan {
    /// Every file, `app.json` included.
    pub files: Vec<PlanFile>,
}

/// What the server still needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeployTicket {
    /// Names the deploy in the next steps.
    pub id: String,
    /// SHA-256 of the contents that the server does not have.
    pub missing: Vec<String>,
}

/// A deploy that is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deployed {
    /// The app as it is now.
    pub app: App,
    /// Its new version; the old one where nothing had changed.
    pub version: Version,
    /// Nothing had changed.
    pub unchanged: bool,
    /// Contents that travelled.
    pub files_sent: u64,
    /// What it asks for, and what was said to it.
    pub permissions: Vec<PermissionInfo>,
    /// Things worth knowing that are not errors.
    pub warnings: Vec<String>,
}

/// `fazt app rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rename {
    /// The new name.
    pub name: String,
}

/// `fazt app rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rollback {
    /// Number of the version; none: the one before the active one.
    pub number: Option<u64>,
}

/// A path inside an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileInfo {
    /// Path.
    pub path: String,
    /// It is a folder.
    pub dir: bool,
    /// Size of the content; of all below for a folder.
    pub bytes: u64,
    /// Size of the content as stored, with its compressed forms.
    pub stored_bytes: u64,
    /// SHA-256, or empty for a folder.
    pub sha256: String,
    /// Media type, or empty for a folder.
    pub media_type: String,
}

/// `fazt fs ls`, `fazt fs stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listing {
    /// What the path itself is.
    pub entry: FileInfo,
    /// What is in it, for a folder, sorted by path.
    pub children: Vec<FileInfo>,
}

/// `fazt app env`: the variables of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvList {
    /// Name of the app.
    pub app: String,
    /// Those that its manifest declares, and those that were set, by name.
    pub variables: Vec<EnvInfo>,
    /// Things worth knowing that are not errors.
    pub notes: Vec<String>,
}

/// A variable of an app. No answer holds a secret value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvInfo {
    /// Its name in `env`.
    pub name: String,
    /// The owner gave it a value.
    pub set: bool,
    /// The value that was set, where that is no secret.
    pub value: Option<String>,
    /// Its value where none is set.
    pub default: Option<String>,
    /// The manifest names it.
    pub declared: bool,
    /// The app's server does not start without it.
    pub required: bool,
    /// Its value is never shown again.
    pub secret: bool,
    /// What the manifest says of it.
    pub description: String,
    /// When it was set, in milliseconds since 1970.
    pub set_unix_ms: Option<u64>,
}

/// `fazt app env APP set`, `unset`: all of it happens, or nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvChange {
    /// New values by name.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Names of which the values go.
    #[serde(default)]
    pub unset: Vec<String>,
}

impl EnvChange {
    /// Whether a variable may have this name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        name.len() <= crate::limits::ENV_NAME_BYTES_MAX
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}

impl fmt::Debug for EnvChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.set.keys().collect();
        f.debug_struct("EnvChange").field("set", &names).field("unset", &self.unset).finish()
    }
}
