//! `package-lock.json` of npm 7 and later: every package by the place where it is put.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::job::Refusal;
use super::graph::{Graph, Node};
use super::usual_url;

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion", default)]
    version: u32,
    packages: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: Option<String>,
    version: String,
    resolved: Option<String>,
    integrity: String,
    link: bool,
    in_bundle: bool,
    dependencies: BTreeMap<String, serde::de::IgnoredAny>,
    peer_dependencies: BTreeMap<String, serde::de::IgnoredAny>,
    optional_dependencies: BTreeMap<String, serde::de::IgnoredAny>,
}

pub(super) fn read(text: &str, registry: &str) -> Result<Graph, Refusal> {
    let lock: Lock = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Refusal(format!("it cannot be read: {error}")))?;
    let (2 | 3, Some(packages)) = (lock.version, lock.packages) else {
        return Err(Refusal(
            "it was written by an old npm; the author can run `npm install --package-lock-only` with npm 7 or later".into(),
        ));
    };
    let mut graph = Graph::default();
    for (place, entry) in packages {
        let own = place.rsplit("node_modules/").next().unwrap_or(&place).to_owned();
        let name = entry.name.unwrap_or(own);
        let link = entry.link.then(|| entry.resolved.clone().unwrap_or_default());
        let url = match entry.resolved {
            Some(url) => url,
            None => usual_url(registry, &name, &entry.version),
        };
        let imports = entry
            .dependencies
            .into_keys()
            .chain(entry.peer_dependencies.into_keys())
            // For one system or another, or not at all: what is not there is not missed.
            .filter(|name| !entry.optional_dependencies.contains_key(name))
            .collect();
        let node = Node {
            name,
            version: entry.version,
            url,
            integrity: entry.integrity,
            link,
            bundled: entry.in_bundle,
            imports,
            id: String::new(),
        };
        graph.0.insert(place, node);
    }
    Ok(graph)
}
