//! What apps store, as the command line shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A row of `fazt storage usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StorageUse {
    /// Name of the app.
    pub app: String,
    /// What its data takes in its file, with its indexes.
    pub data_bytes: u64,
    /// What its blobs take beside it.
    pub blobs_bytes: u64,
    /// What its files of raw SQL take, with what is being written to them.
    pub sql_bytes: u64,
    /// The sum of these three.
    pub used_bytes: u64,
    /// Quota of that.
    pub data_bytes_max: u64,
    /// Keys and documents.
    pub rows: u64,
    /// Quota of those.
    pub rows_max: u64,
    /// What its deployed files take in its file, with what was built from them.
    pub files_bytes: u64,
    /// Its whole folder on disk.
    pub disk_bytes: u64,
    /// Why the rest is not known; none: it is.
    pub trouble: Option<String>,
}

/// A row of `fazt storage collections`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// The active version names it; else its documents wait for one that does.
    pub active: bool,
    /// Documents, of all spaces.
    pub docs: u64,
    /// Types of fields, as the manifest spells them.
    pub schema: BTreeMap<String, String>,
    /// Indexes that the active version declares.
    pub indexes: Vec<Vec<String>>,
}

/// `fazt storage query` and `explain`. `T` is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StorageQuery<T> {
    /// Collection.
    pub collection: String,
    /// As whom: the name of a user, `anonymous` or `service`; none: the owner.
    #[serde(default)]
    pub user: Option<String>,
    /// `user`, `app`, or the id of a named space; none: `user`.
    #[serde(default)]
    pub space: Option<String>,
    /// Which documents; none: all.
    #[serde(rename = "where", default = "none")]
    #[cfg_attr(feature = "schema", schemars(rename = "where", default))]
    pub filter: Option<T>,
    /// Fields, each with whether it is descending.
    #[serde(default)]
    pub order: Vec<(String, bool)>,
    /// Documents of a page; none: 100.
    #[serde(default)]
    pub limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

fn none<T>() -> Option<T> {
    None
}

/// A page of documents. `T` is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoragePage<T> {
    /// Documents.
    pub items: Vec<T>,
    /// Where the next page starts; none: this was the last.
    pub cursor: Option<String>,
}

/// `fazt storage explain`: what the security layer makes of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Who asks: `anonymous`, `service` or a user's id.
    pub principal: String,
    /// The statement. It runs on a connection that shows the spaces below and nothing else.
    pub sql: String,
    /// SQLite's plan for it.
    pub plan: Vec<String>,
    /// The spaces that the connection is confined to.
    pub spaces: Vec<ReachedSpace>,
}

/// A space that somebody reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReachedSpace {
    /// Its number in the app's file.
    pub number: u64,
    /// `user`, `app` or `named`.
    pub kind: String,
    /// Its id; empty unless it is a named one.
    pub id: String,
    /// Its name; empty unless it is a named one.
    pub name: String,
    /// `reader`, `writer` or `manager`.
    pub role: String,
}

/// A row of `fazt storage check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Checked {
    /// The app; none: the server's own database.
    pub app: Option<String>,
    /// The file.
    pub file: String,
    /// It is sound.
    pub ok: bool,
    /// What is wrong with it; empty when nothing is.
    pub detail: String,
}
