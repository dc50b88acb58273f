//! `package-lock.json`: every package by the place where it is put; before npm 7 one inside the other.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::job::Refusal;
use super::graph::{Graph, Node};

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion", default)]
    version: u32,
    packages: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    dependencies: BTreeMap<String, Old>,
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

/// A package as npm 6 wrote it, with those that are in its own folder.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Old {
    version: String,
    resolved: Option<String>,
    integrity: String,
    bundled: bool,
    requires: Value,
    dependencies: BTreeMap<String, Old>,
}

pub(super) fn read(text: &str) -> Result<Graph, Refusal> {
    let lock: Lock = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Refusal(format!("it cannot be read: {error}")))?;
    let mut graph = Graph::default();
    let packages = match (lock.version, lock.packages) {
        (2 | 3, Some(packages)) => packages,
        (1, _) => {
            for (name, entry) in lock.dependencies {
                add(&mut graph, "", name, entry);
            }
            return Ok(graph);
        }
        (version, _) => {
            return Err(Refusal(format!(
                "its version {version} is not known; the author can run `npm install --package-lock-only`"
            )));
        }
    };
    for (place, entry) in packages {
        let own = place.rsplit("node_modules/").next().unwrap_or(&place).to_owned();
        let name = entry.name.unwrap_or(own);
        let link = entry.link.then(|| entry.resolved.clone().unwrap_or_default());
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
            url: entry.resolved.unwrap_or_default(),
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

/// Puts a package of npm 6 at its place, and those inside it at theirs. The parser bounds how deep that goes.
fn add(graph: &mut Graph, above: &str, name: String, entry: Old) {
    let place = if above.is_empty() {
        format!("node_modules/{name}")
    } else {
        format!("{above}/node_modules/{name}")
    };
    // Another package under this name: `npm:other@1.0.0`.
    let other = entry.version.strip_prefix("npm:").and_then(|other| other.rsplit_once('@'));
    let (real, version) = other.unwrap_or((&name, &entry.version));
    let node = Node {
        name: real.to_owned(),
        version: version.to_owned(),
        url: entry.resolved.unwrap_or_default(),
        integrity: entry.integrity,
        bundled: entry.bundled,
        imports: entry.requires.as_object().into_iter().flat_map(|names| names.keys().cloned()).collect(),
        ..Node::default()
    };
    for (name, inner) in entry.dependencies {
        add(graph, &place, name, inner);
    }
    graph.0.insert(place, node);
}
