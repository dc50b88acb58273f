//! `bun.lock`: JSON with commas at its ends; every package by the names that lead to it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::job::Refusal;
use super::super::jsonc::without_comments;
use super::graph::{Graph, Node};

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion")]
    version: u32,
    #[serde(default)]
    packages: BTreeMap<String, Vec<Value>>,
}

pub(super) fn read(text: &str) -> Result<Graph, Refusal> {
    let lock: Lock = serde_json::from_str(&without_comments(text))
        .map_err(|error| Refusal(format!("it cannot be read: {error}")))?;
    if lock.version > 1 {
        return Err(Refusal(format!("its version {} is not known", lock.version)));
    }
    let mut graph = Graph::default();
    for (names, entry) in lock.packages {
        // `["name@version", where, { dependencies, … }, "sha512-…"]`; a folder of the repository has one element.
        let Some(id) = entry.first().and_then(Value::as_str) else {
            return Err(Refusal("it cannot be read: a package has no name".into()));
        };
        let Some((name, version)) = id.get(1..).and_then(|rest| rest.find('@')).map(|at| id.split_at(at + 1))
        else {
            return Err(Refusal("it cannot be read: a package has no version".into()));
        };
        let version = &version[1..];
        let about = entry.iter().find(|value| value.is_object());
        let names_of = |key: &str| {
            let found = about.and_then(|about| about[key].as_object());
            found.into_iter().flat_map(|names| names.keys().cloned()).collect::<Vec<_>>()
        };
        let texts: Vec<&str> = entry.iter().skip(1).filter_map(Value::as_str).collect();
        let node = Node {
            name: name.to_owned(),
            version: version.to_owned(),
            url: match texts.first() {
                Some(url) if url.starts_with("http") => (*url).to_owned(),
                _ => String::new(),
            },
            integrity: texts.last().map_or(String::new(), |hash| (*hash).to_owned()),
            link: version.strip_prefix("workspace:").map(str::to_owned),
            bundled: about.is_some_and(|about| about["bundled"] == true),
            imports: [names_of("dependencies"), names_of("peerDependencies")].concat(),
            id: String::new(),
        };
        graph.0.insert(place(&names), node);
    }
    Ok(graph)
}

/// `a/@b/c` is `c` of the scope `b`, inside `a`.
fn place(names: &str) -> String {
    let mut place = String::new();
    let mut parts = names.split('/');
    while let Some(part) = parts.next() {
        if !place.is_empty() {
            place.push('/');
        }
        place.push_str("node_modules/");
        place.push_str(part);
        if part.starts_with('@')
            && let Some(name) = parts.next()
        {
            place.push('/');
            place.push_str(name);
        }
    }
    place
}
