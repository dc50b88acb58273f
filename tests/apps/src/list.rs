//! What is tried: `list.json`. It names repositories of other people; nothing of them is in here.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// An application of somebody else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Name of the app here.
    pub name: String,
    /// `https://github.com/owner/name`.
    pub repository: String,
    /// The commit that is installed.
    pub commit: String,
    /// Folder inside it.
    #[serde(default)]
    pub folder: String,
    /// What of Workers it uses.
    pub exercises: String,
    /// Parts of the message with which it must be refused; empty: it must work.
    #[serde(default)]
    pub refused: Vec<String>,
    /// What its owner sets.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Main module, for Wrangler, where its configuration names none.
    pub main: Option<String>,
    /// What is asked, in order.
    #[serde(default)]
    pub requests: Vec<Ask>,
    /// Names in JSON bodies whose values are each side's own, such as how long something took.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// What the answers say where it does not work, and why it does not.
    pub fails: Option<(String, String)>,
    /// Differences that are known: how the line about each begins, and its reason.
    #[serde(default)]
    pub differs: BTreeMap<String, String>,
}

/// A request, or a run of a schedule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    #[serde(default = "get")]
    pub method: String,
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Text, or JSON to be written as text.
    #[serde(default)]
    pub body: Value,
    /// Keeps parts of the answer for `{name}` in later requests: `/pointer` into JSON, `field:name`, or `body`.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Instead of a request: the schedule with this number, as the configuration lists them, from 1.
    pub cron: Option<usize>,
    /// What Wrangler calls that schedule.
    #[serde(default)]
    pub schedule: String,
}

fn get() -> String {
    "GET".into()
}

/// Reads the list.
pub fn read() -> Result<Vec<App>> {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/list.json"))?;
    serde_json::from_slice(&text).context("list.json")
}
