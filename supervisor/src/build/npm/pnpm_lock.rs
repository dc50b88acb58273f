//! `pnpm-lock.yaml` of pnpm 8 and later: packages by name and version, and for each what its imports mean.
//!
//! Only what pnpm itself writes is read: one entry on a line, two spaces for each step inwards. Everything else of YAML
//! is not understood, and what is not understood is not there.

use std::collections::BTreeSet;

use super::super::job::Refusal;
use super::graph::Graph;
use super::hoist::Resolved;

#[derive(Default)]
struct Lock {
    version: String,
    resolved: Resolved,
}

pub(super) fn read(text: &str, names: &BTreeSet<&str>) -> Result<Graph, Refusal> {
    let lock = parse(text);
    if !lock.version.starts_with("6.") && !lock.version.starts_with("9.") {
        let version: String = lock.version.chars().take(20).collect();
        return Err(Refusal(format!("its version `{version}` is not known; pnpm 8 to 10 write 6.0 and 9.0")));
    }
    lock.resolved.place(names)
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
                lock.resolved.top.insert(name.to_owned(), id(name, value));
            }
            ["packages", package, "resolution"] => {
                let field = |name: &str| {
                    let inside = value.strip_prefix('{')?.strip_suffix('}')?;
                    let mut fields = inside.split(',').map(str::trim);
                    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
                };
                let plain = bare(package).split('(').next().unwrap_or_default();
                lock.resolved
                    .packages
                    .insert(plain.to_owned(), (field("integrity").unwrap_or_default(), field("tarball")));
            }
            ["snapshots" | "packages", package, "dependencies", name] => {
                let imports = lock.resolved.imports.entry(bare(package).to_owned()).or_default();
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
