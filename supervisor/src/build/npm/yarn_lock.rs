//! `yarn.lock` of yarn 1: packages by the names and ranges that lead to them. What the app itself asks for is in its
//! `package.json`. Later yarns keep hashes of archives that they make themselves, which say nothing of what a registry
//! sends.

use std::collections::{BTreeMap, BTreeSet};

use super::super::job::Refusal;
use super::graph::Graph;
use super::hoist::Resolved;

/// One package, as the file has it.
#[derive(Default)]
struct Entry {
    /// `name@range`, all that lead to it.
    keys: Vec<String>,
    version: String,
    resolved: String,
    integrity: String,
    /// Name and range.
    imports: Vec<(String, String)>,
}

/// `declared`: names and ranges of the app's `package.json`.
pub(super) fn read(
    text: &str,
    names: &BTreeSet<&str>,
    declared: &BTreeMap<String, String>,
) -> Result<Graph, Refusal> {
    if text.lines().any(|line| line.starts_with("__metadata:")) {
        return Err(Refusal(
            "it was written by yarn 2 or later, which notes no hashes of what a registry sends; its author can run `npm install --package-lock-only` and commit package-lock.json".into(),
        ));
    }
    let entries = parse(text);
    // `name@range` to `name@version`.
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    for entry in &entries {
        for key in &entry.keys {
            let (name, range) = split(key);
            // Another package under this name: `npm:other@^1`.
            let name = range.strip_prefix("npm:").map_or(name, |other| split(other).0);
            ids.insert(key, format!("{name}@{}", entry.version));
        }
    }
    let mut lock = Resolved::default();
    for name in names {
        let exact = declared.get(*name).and_then(|range| ids.get(format!("{name}@{range}").as_str()));
        // Imported without being declared: whichever was installed for others.
        let any = || ids.iter().find(|(key, _)| split(key).0 == *name).map(|(_, id)| id);
        if let Some(id) = exact.or_else(any) {
            lock.top.insert((*name).to_owned(), id.clone());
        }
    }
    for entry in &entries {
        let Some(id) = entry.keys.first().and_then(|key| ids.get(key.as_str())) else { continue };
        let url = entry.resolved.split('#').next().unwrap_or_default().to_owned();
        let url = Some(url).filter(|url| !url.is_empty());
        lock.packages.insert(id.clone(), (entry.integrity.clone(), url));
        let imports = lock.imports.entry(id.clone()).or_default();
        for (name, range) in &entry.imports {
            if let Some(id) = ids.get(format!("{name}@{range}").as_str()) {
                imports.insert(name.clone(), id.clone());
            }
        }
    }
    lock.place(names)
}

/// Name and range of `name@range`; a scope has an `@` of its own in front.
fn split(key: &str) -> (&str, &str) {
    let at = key.get(1..).and_then(|rest| rest.find('@'));
    at.map_or((key, ""), |at| (&key[..=at], &key[at + 2..]))
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        let inner = line.trim_start_matches(' ');
        let depth = line.len() - inner.len();
        if inner.is_empty() || inner.starts_with('#') {
            continue;
        }
        if depth == 0 {
            let keys = inner.strip_suffix(':').unwrap_or(inner).split(", ");
            let keys = keys.map(|key| key.trim_matches('"').to_owned()).collect();
            entries.push(Entry { keys, ..Entry::default() });
            inside = false;
            continue;
        }
        let Some(entry) = entries.last_mut() else { continue };
        if depth == 2 {
            inside = inner == "dependencies:";
        }
        let Some((key, value)) = pair(inner) else { continue };
        match (depth, key) {
            (2, "version") => value.clone_into(&mut entry.version),
            (2, "resolved") => value.clone_into(&mut entry.resolved),
            (2, "integrity") => value.clone_into(&mut entry.integrity),
            (4, name) if inside => entry.imports.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    entries
}

/// `key value`, either perhaps in quotes. A hash has none, and may be several.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\" ")?,
        None => line.split_once(' ')?,
    };
    Some((key, value.trim().trim_matches('"')))
}
