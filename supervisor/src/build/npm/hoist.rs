//! Packages that a lock file has by name and version, put where those that import them find them, as npm does: some
//! programs link packages to each other, and here there are no links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::job::Refusal;
use super::super::limits::PACKAGES_MAX;
use super::graph::{Graph, Node};

/// What a lock file says, before anything has a place. A package is named `name@version`, perhaps with the packages
/// that it was resolved with behind it: `a@1.0.0(b@2.0.0)`.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// What the app itself imports: name, and which package.
    pub(super) top: BTreeMap<String, String>,
    /// Hash and address of each package, by name and version.
    pub(super) packages: BTreeMap<String, (String, Option<String>)>,
    /// What each package imports.
    pub(super) imports: BTreeMap<String, BTreeMap<String, String>>,
}

impl Resolved {
    /// Everything that the names lead to, each at a place.
    pub(super) fn place(&self, names: &BTreeSet<&str>) -> Result<Graph, Refusal> {
        let mut graph = Graph::default();
        let mut work: VecDeque<(String, String)> = VecDeque::new();
        for name in names {
            if let Some(id) = self.top.get(*name) {
                self.put(&mut graph, &mut work, format!("node_modules/{name}"), id)?;
            }
        }
        // All that one imports is put before what those import: nothing that comes later hides what was found before.
        while let Some((place, id)) = work.pop_front() {
            for (name, id) in self.imports.get(&id).into_iter().flatten() {
                let found = graph.find(&place, name).map(str::to_owned);
                let same =
                    found.as_ref().and_then(|found| graph.0.get(found)).is_some_and(|node| node.id == *id);
                if same {
                    continue;
                }
                let free = if found.is_none() {
                    format!("node_modules/{name}")
                } else {
                    format!("{place}/node_modules/{name}")
                };
                self.put(&mut graph, &mut work, free, id)?;
            }
        }
        Ok(graph)
    }

    fn put(
        &self,
        graph: &mut Graph,
        work: &mut VecDeque<(String, String)>,
        place: String,
        id: &str,
    ) -> Result<(), Refusal> {
        if graph.0.len() >= PACKAGES_MAX || place.len() > 400 {
            return Err(Refusal(format!("the app needs more than {PACKAGES_MAX} packages")));
        }
        let plain = id.split('(').next().unwrap_or(id);
        let (name, version) = plain
            .get(1..)
            .and_then(|rest| rest.find('@'))
            .map_or((plain, ""), |at| (&plain[..=at], &plain[at + 2..]));
        let (integrity, tarball) = self.packages.get(plain).cloned().unwrap_or_default();
        let node = Node {
            name: name.to_owned(),
            version: version.to_owned(),
            url: tarball.unwrap_or_default(),
            integrity,
            id: id.to_owned(),
            imports: self.imports.get(id).into_iter().flat_map(|names| names.keys().cloned()).collect(),
            ..Node::default()
        };
        graph.0.insert(place.clone(), node);
        work.push_back((place, id.to_owned()));
        Ok(())
    }
}
