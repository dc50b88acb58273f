//! The three ways in which a configuration is written.

use serde_json::{Map, Value};

use super::super::job::{Refusal, RepoFile};
use super::super::jsonc::without_comments;

/// In the order in which Wrangler looks.
const NAMES: [&str; 3] = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

/// The configuration at the top, if there is one.
pub(in super::super) fn find(files: &[RepoFile]) -> Option<&RepoFile> {
    NAMES.iter().find_map(|name| files.iter().find(|file| file.path == *name))
}

pub(super) fn parse(file: &RepoFile) -> Result<Map<String, Value>, Refusal> {
    let wrong = |why: String| Refusal(format!("`{}` cannot be read: {}", file.path, why.replace('\n', " ")));
    let text = std::str::from_utf8(&file.bytes).map_err(|_| wrong("it is not UTF-8".into()))?;
    let text = text.trim_start_matches('\u{feff}');
    let value: Value = if file.path.ends_with(".toml") {
        let table: toml::Table = toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        serde_json::to_value(table).map_err(|error| wrong(error.to_string()))?
    } else {
        serde_json::from_str(&without_comments(text)).map_err(|error| wrong(error.to_string()))?
    };
    match value {
        Value::Object(whole) => Ok(whole),
        _ => Err(wrong("it is no object".into())),
    }
}
