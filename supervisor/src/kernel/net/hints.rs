//! What an app's author is told of fields that the edge took away: each field once a version, in the app's log.
//! The names come from a worker and are hostile; so many are remembered, then nothing more is told.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fazt_ipc::ids::{AppId, VersionId};
use http::header::HeaderName;

use super::fields::Dropped;

/// Fields told of a version. An app can make up names that begin with `x-fazt-`; nobody reads so many.
const FIELDS_MAX: usize = 16;
/// Apps remembered. Beyond it all are forgotten, and told once more.
const APPS_MAX: usize = 1_024;

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Hints(Mutex<HashMap<AppId, Told>>);

#[derive(Debug)]
struct Told {
    version: VersionId,
    /// Names with the reason: one field may lose something for several.
    fields: Vec<(HeaderName, &'static str)>,
}

impl Hints {
    /// A line for each field of `dropped` that this version's author has not been told of.
    pub(crate) fn fresh(&self, app: AppId, version: VersionId, dropped: &[Dropped]) -> Vec<String> {
        let worth = dropped.iter().filter_map(|one| Some((&one.name, one.why?)));
        let mut lines = Vec::new();
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, why) in worth {
            if apps.len() >= APPS_MAX && !apps.contains_key(&app) {
                apps.clear();
            }
            let told = apps.entry(app).or_insert_with(|| Told { version, fields: Vec::new() });
            if told.version != version {
                *told = Told { version, fields: Vec::new() };
            }
            let known = told.fields.iter().any(|(field, reason)| field == name && *reason == why);
            if !known && told.fields.len() < FIELDS_MAX {
                told.fields.push((name.clone(), why));
                lines.push(format!("field `{name}` of an answer did not go out as the app set it: {why}"));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(name: &str, why: Option<&'static str>) -> Dropped {
        Dropped { name: HeaderName::from_bytes(name.as_bytes()).expect("a name"), why }
    }

    #[test]
    fn a_field_is_told_once_a_version() {
        let hints = Hints::default();
        let (app, other) = (AppId::new(1, 1), AppId::new(1, 2));
        let (one, two) = (VersionId::new(1, 1), VersionId::new(2, 2));
        let server = [dropped("server", Some("why")), dropped("content-length", None)];
        let lines = hints.fresh(app, one, &server);
        assert_eq!(lines, ["field `server` of an answer did not go out as the app set it: why"]);
        assert!(hints.fresh(app, one, &server).is_empty());
        assert_eq!(hints.fresh(app, one, &[dropped("server", Some("another reason"))]).len(), 1);
        assert_eq!(hints.fresh(other, one, &server).len(), 1, "a neighbour has its own");
        assert_eq!(hints.fresh(app, two, &server).len(), 1, "a new version is told again");
    }

    #[test]
    fn an_app_that_makes_names_up_fills_neither_log_nor_memory() {
        let hints = Hints::default();
        let many: Vec<_> = (0..1_000).map(|n| dropped(&format!("x-fazt-{n}"), Some("why"))).collect();
        assert_eq!(hints.fresh(AppId::new(1, 1), VersionId::new(1, 1), &many).len(), FIELDS_MAX);
        for n in 0..3_000 {
            assert_eq!(hints.fresh(AppId::new(2, n), VersionId::new(1, 1), &many[..1]).len(), 1);
        }
        assert!(hints.0.lock().expect("not poisoned").len() <= APPS_MAX);
    }
}
