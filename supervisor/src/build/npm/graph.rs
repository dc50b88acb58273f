//! What a lock file says, in one form: packages by their place, and what each of them imports.

use std::collections::{BTreeMap, BTreeSet};

use super::super::job::Refusal;
use super::super::limits::PACKAGES_MAX;
use super::{Needs, Package, is_name, is_version, usual_url};

/// A package at its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) version: String,
    /// Where its author had it from; empty: a registry.
    pub(super) url: String,
    pub(super) integrity: String,
    /// Which of several of that version it is, where a lock file tells them apart.
    pub(super) id: String,
    /// Folder of the repository that stands for it.
    pub(super) link: Option<String>,
    /// It comes inside the package that it is a part of.
    pub(super) bundled: bool,
    /// Names that it may import; those that are not there were optional.
    pub(super) imports: Vec<String>,
}

/// Places of packages, as `node_modules/a/node_modules/b`, and folders of the repository that stand for packages.
#[derive(Debug, Default)]
pub(super) struct Graph(pub(super) BTreeMap<String, Node>);

impl Graph {
    /// Where a package at `from` finds `name`: in its own folder of packages, or in that of a folder above.
    pub(super) fn find(&self, from: &str, name: &str) -> Option<&str> {
        let mut below = from;
        loop {
            let place = if below.is_empty() {
                format!("node_modules/{name}")
            } else {
                format!("{below}/node_modules/{name}")
            };
            if let Some((place, _)) = self.0.get_key_value(&place) {
                return Some(place);
            }
            if below.is_empty() {
                return None;
            }
            // A folder of the repository has the repository above it.
            below = below.rfind("/node_modules/").map_or("", |at| &below[..at]);
        }
    }

    /// Everything that the names lead to, from the top.
    pub(super) fn needs(&self, names: &BTreeSet<&str>, registry: &str) -> Result<Needs, Refusal> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let mut queue: Vec<&str> = names.iter().filter_map(|name| self.find("", name)).collect();
        while let Some(place) = queue.pop() {
            if !found.insert(place) {
                continue;
            }
            if found.len() > PACKAGES_MAX {
                return Err(Refusal(format!("the app needs more than {PACKAGES_MAX} packages")));
            }
            let Some(node) = self.0.get(place) else { continue };
            // What a folder of the repository imports is looked up from where it is.
            let from = node.link.as_deref().unwrap_or(place);
            let node = node.link.as_deref().and_then(|folder| self.0.get(folder)).unwrap_or(node);
            queue.extend(node.imports.iter().filter_map(|name| self.find(from, name)));
        }
        let mut needs = Needs::default();
        for place in found {
            let Some(node) = self.0.get(place) else { continue };
            match &node.link {
                Some(folder) => needs.links.push((place.to_owned(), folder.clone())),
                None if node.bundled => {}
                None => needs.packages.push(node.package(place, registry)?),
            }
        }
        Ok(needs)
    }
}

impl Node {
    fn package(&self, place: &str, registry: &str) -> Result<Package, Refusal> {
        let Self { name, version, url, integrity, .. } = self;
        let refuse = |why: &str| Err(Refusal(format!("the package `{name}` {why}")));
        let plain = place.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'));
        if !is_name(name) || !is_version(version) || !plain || place.len() > 400 {
            return refuse("has a name, version or place that cannot be");
        }
        // Which registry its author asked does not matter: it is asked for by its name and version where everything
        // is, and what comes has to have the hash. What never was in a registry is in none.
        let last = name.rsplit('/').next().unwrap_or(name);
        let file = |version: &str| format!("/{last}-{version}.tgz");
        let published = url.is_empty()
            || (url.starts_with("https://") || url.starts_with("http://"))
                && (url.ends_with(&file(version)) || url.ends_with(&file(&version.replace('+', "%2B"))));
        if !published {
            return refuse("does not come from a registry, and is taken from nowhere else");
        }
        let hash = integrity.split_whitespace().find(|hash| hash.starts_with("sha512-"));
        let package = Package {
            path: place.to_owned(),
            name: name.clone(),
            version: version.clone(),
            url: usual_url(registry, name, version),
            integrity: hash.unwrap_or_default().to_owned(),
        };
        match package.hash() {
            Some(_) => Ok(package),
            None => {
                refuse("has no SHA-512 in the lock file, so that nobody could say whether what comes is it")
            }
        }
    }
}
