//! The committed expectations: which files are not run and which subtests fail, each with its reason.
//!
//! `expectations.json`: `{"FILE": {"skip": "reason"}}` or `{"FILE": {"fail": {"SUBTEST": "reason"}}}`. A subtest
//! that ends in `*` stands for all that begin so (and need not match at all).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Expectations of all files.
#[derive(Debug, Default)]
pub(crate) struct Expectations(BTreeMap<String, Value>);

impl Expectations {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map(Self).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Why a file is not run.
    pub(crate) fn skip(&self, file: &str) -> Option<&str> {
        self.0.get(file)?.get("skip")?.as_str()
    }

    /// Why a subtest fails, if that is expected.
    pub(crate) fn fails(&self, file: &str, subtest: &str) -> Option<&str> {
        let fails = self.0.get(file)?.get("fail")?.as_object()?;
        let found = fails.iter().find(|(name, _)| match name.strip_suffix('*') {
            Some(start) => subtest.starts_with(start),
            None => *name == subtest,
        });
        found?.1.as_str()
    }

    /// The exact subtests that are expected to fail in a file.
    pub(crate) fn exact(&self, file: &str) -> impl Iterator<Item = &str> {
        let fails = self.0.get(file).and_then(|entry| entry.get("fail")).and_then(Value::as_object);
        fails.into_iter().flatten().map(|(name, _)| name.as_str()).filter(|name| !name.ends_with('*'))
    }

    /// Every file that is named.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every reason with the number of entries that give it: (reason, files skipped, subtests).
    pub(crate) fn reasons(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut reasons: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for entry in self.0.values() {
            if let Some(reason) = entry.get("skip").and_then(Value::as_str) {
                reasons.entry(reason).or_default().0 += 1;
            }
            for (_, reason) in entry.get("fail").and_then(Value::as_object).into_iter().flatten() {
                reasons.entry(reason.as_str().unwrap_or_default()).or_default().1 += 1;
            }
        }
        reasons
    }
}
