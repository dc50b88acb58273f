//! Apps from elsewhere: how an install goes on, and where a version came from.

use serde::{Deserialize, Serialize};

use super::Problem;

/// Where a version came from. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OriginInfo {
    /// As somebody would type it again: `github.com/owner/repo@branch#folder`.
    pub source: String,
    /// Address of the repository.
    pub url: String,
    /// Full name of the branch or tag, such as `refs/tags/v1`; empty: the commit itself was named.
    pub reference: String,
    /// Folder of the repository that is the app; empty: its top.
    pub folder: String,
    /// The commit, 40 digits.
    pub commit: String,
    /// Hash of the commit's whole tree, 40 digits.
    pub tree: String,
    /// When the commit was made, in seconds since 1970, as its author says.
    pub committed_unix_s: u64,
}

/// `fazt app install`: where from, and under which name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Install {
    /// `github.com/owner/repo`, a URL; each with `@branch|tag|commit` and `#folder`.
    pub source: String,
    /// Name of the app; none: the one of its manifest, else that of the repository.
    #[serde(default)]
    pub name: Option<String>,
    /// Token for a private repository; it is not kept.
    #[serde(default)]
    pub token: Option<String>,
}

/// `fazt app update`: to what.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Update {
    /// Another branch, tag or commit than the one that the app came from.
    #[serde(default)]
    pub reference: Option<String>,
    /// Token for a private repository; it is not kept.
    #[serde(default)]
    pub token: Option<String>,
}

/// How far an install or update has come. The last line is one of the last three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum InstallLine {
    /// Others are being fetched, and it waits for them.
    Wait {
        /// How many.
        before: u64,
    },
    /// A server is asked for the commit.
    Resolve {
        /// Address of the repository.
        url: String,
    },
    /// The commit is known, and comes.
    Fetch {
        /// 40 digits.
        commit: String,
        /// Bytes that have come.
        bytes: u64,
    },
    /// It is unpacked, in a jail.
    Unpack,
    /// Packages that it needs come.
    Packages {
        /// Those that are here.
        done: u64,
        /// Those that it needs.
        total: u64,
    },
    /// It is bundled, in a jail.
    Bundle,
    /// It is here, and not live: a deploy that waits for its last step.
    Ready {
        /// Names the deploy.
        deploy: String,
    },
    /// The app runs this commit already.
    Current {
        /// Name of the app.
        app: String,
        /// 40 digits.
        commit: String,
    },
    /// Nothing has changed.
    Failed {
        /// Why.
        error: Problem,
    },
}
