//! `pnpm-lock.yaml` of pnpm 8 and later: packages by name and version, and for each what its imports mean. pnpm links
//! them to each other; here there are no links, and each is put where those that import it find it, as npm does.
//!
//! Only what pnpm itself writes is read: one entry on a line, two spaces for each step inwards. Everything else of YAML
//! is not understood, and what is not understood is not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::job::Refusal;
use super::super::limits::PACKAGES_MAX;
use super::graph::{Graph, Node};
use super::usual_url;

/// What the file says, before anything has a place.
#[derive(Default)]
struct Lock {
    version: String,
    /// What the app itself imports: name, and which package.
    top: BTreeMap<String, String>,
    /// Hash and address of each package, by name and version.
    packages: BTreeMap<String, (String, Option<String>)>,
    /// What each package imports, by name, version and the packages that it was resolved with.
    imports: BTreeMap<String, BTreeMap<String, String>>,
}

pub(super) fn read(text: &str, registry: &str, names: &BTreeSet<&str>) -> Result<Graph, Refusal> {
    let lock = parse(text);
    if !lock.version.starts_with("6.") && !lock.version.starts_with("9.") {
        let version: String = lock.version.chars().take(20).collect();
        return Err(Refusal(format!("its version `{version}` is not known; pnpm 8 to 10 write 6.0 and 9.0")));
    }
    let mut graph = Graph::default();
    let mut work: VecDeque<(String, String)> = VecDeque::new();
    for name in names {
        if let Some(id) = lock.top.get(*name) {
            put(&lock, &mut graph, &mut work, format!("node_modules/{name}"), id, registry)?;
        }
    }
    // All that one imports is put before what those import: nothing that comes later hides what was found before.
    while let Some((place, id)) = work.pop_front() {
        for (name, id) in lock.imports.get(&id).into_iter().flatten() {
            let found = graph.find(&place, name).map(str::to_owned);
            let same = found.as_ref().and_then(|found| graph.0.get(found)).is_some_and(|node| node.id == *id);
            if same {
                continue;
            }
            let free = if found.is_none() {
                format!("node_modules/{name}")
            } else {
                format!("{place}/node_modules/{name}")
            };
            put(&lock, &mut graph, &mut work, free, id, registry)?;
        }
    }
    Ok(graph)
}

fn put(
    lock: &Lock,
    graph: &mut Graph,
    work: &mut VecDeque<(String, String)>,
    place: String,
    id: &str,
    registry: &str,
) -> Result<(), Refusal> {
    if graph.0.len() >= PACKAGES_MAX || place.len() > 400 {
        return Err(Refusal(format!("the app needs more than {PACKAGES_MAX} packages")));
    }
    // Without what it was resolved with: `a@1.0.0(b@2.0.0)`.
    let plain = id.split('(').next().unwrap_or(id);
    let (name, version) = plain
        .get(1..)
        .and_then(|rest| rest.find('@'))
        .map_or((plain, ""), |at| (&plain[..=at], &plain[at + 2..]));
    let (integrity, tarball) = lock.packages.get(plain).cloned().unwrap_or_default();
    let node = Node {
        name: name.to_owned(),
        version: version.to_owned(),
        url: tarball.unwrap_or_else(|| usual_url(registry, name, version)),
        integrity,
        id: id.to_owned(),
        imports: lock.imports.get(id).into_iter().flat_map(|names| names.keys().cloned()).collect(),
        ..Node::default()
    };
    graph.0.insert(place.clone(), node);
    work.push_back((place, id.to_owned()));
    Ok(())
}

/// One pass over the lines. A key inwards belongs to the last one outwards.
fn parse(text: &str) -> Lock {
    let mut lock = Lock::default();
    let mut path: Vec<String> = Vec::new();
    for line in text.lines() {
        let inner = line.trim_start_matches(' ');
        let depth = (line.len() - inner.len()) / 2;
        if inner.is_empty() || inner.starts_with(['#', '-']) || depth > path.len() || depth > 4 {
            continue;
        }
        let Some((key, value)) = entry(inner) else { continue };
        path.truncate(depth);
        path.push(key.to_owned());
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        match keys[..] {
            ["lockfileVersion"] => value.clone_into(&mut lock.version),
            // One app in the repository, or several of which it is the one at the top.
            [
                "importers",
                ".",
                "dependencies" | "devDependencies" | "optionalDependencies",
                name,
                "version",
            ]
            | ["dependencies" | "devDependencies" | "optionalDependencies", name, "version"] => {
                lock.top.insert(name.to_owned(), id(name, value));
            }
            ["packages", package, "resolution"] => {
                let field = |name: &str| {
                    let inside = value.strip_prefix('{')?.strip_suffix('}')?;
                    let mut fields = inside.split(',').map(str::trim);
                    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
                };
                let plain = bare(package).split('(').next().unwrap_or_default();
                lock.packages
                    .insert(plain.to_owned(), (field("integrity").unwrap_or_default(), field("tarball")));
            }
            ["snapshots" | "packages", package, "dependencies", name] => {
                let imports = lock.imports.entry(bare(package).to_owned()).or_default();
                imports.insert(name.to_owned(), id(name, value));
            }
            _ => {}
        }
    }
    lock
}

/// `key: value`, the key perhaps in quotes.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = match line.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?,
        None => {
            let end = line.find(": ").or_else(|| line.strip_suffix(':').map(str::len))?;
            line.split_at(end)
        }
    };
    let value = rest.strip_prefix(':')?.trim();
    let quoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    Some((key, quoted.unwrap_or(value)))
}

/// pnpm 8 writes a slash in front.
fn bare(id: &str) -> &str {
    id.strip_prefix('/').unwrap_or(id)
}

/// Which package a name means: a version of it, or another one in full.
fn id(name: &str, value: &str) -> String {
    let plain = value.split('(').next().unwrap_or(value);
    // A scope has an `@` of its own in front.
    let full = value.starts_with('/') || plain.get(1..).is_some_and(|rest| rest.contains('@'));
    if full { bare(value).to_owned() } else { format!("{name}@{value}") }
}
