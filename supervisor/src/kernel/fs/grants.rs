//! What apps ask for and what the owner said: consent with a deploy, `grant` and `revoke` at any time.
//!
//! Asks come from manifests and are hostile; answers come from whoever commands the server. An app has what its
//! live version asks for **and** the owner granted. What is held here is read by calls of running workers: an answer
//! holds for the next of them.
//!
//! ```text
//! new ──deploy with consent──▶ granted ◀──grant / revoke──▶ refused
//!  └──first deploy, nobody asked──▶ unanswered ──deploy with consent, grant──▶ granted
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use fazt_ipc::control::{Answer, Consent, GrantChange, GrantList, PermissionInfo, Review};
use fazt_ipc::ids::AppId;

use super::shared::unix_ms;
use super::{Fs, FsError, Manifest, Release, deploy, lock, read, write};
use crate::kernel::security::Permission;
use crate::kernel::storage::GrantRow;

/// Permissions that one order may name: more than a manifest can ask for.
const NAMED_MAX: usize = 256;

/// What was said to one app. Shared by all its releases and their workers.
#[derive(Debug, Default)]
pub struct Grants {
    /// Bits of permissions that are one word, for calls that ask each time.
    flags: AtomicU8,
    answers: RwLock<BTreeMap<Permission, GrantRow>>,
}

const fn bit(permission: &Permission) -> u8 {
    match permission {
        Permission::Schedule => 1,
        Permission::Push => 2,
        Permission::Sql => 4,
        Permission::Spaces => 8,
        Permission::Net(_) | Permission::Apps { .. } => 0,
    }
}

impl Grants {
    fn put(&self, rows: impl IntoIterator<Item = GrantRow>) {
        let mut answers = write(&self.answers);
        for row in rows {
            answers.insert(row.permission.clone(), row);
        }
        self.recount(&answers);
    }

    fn recount(&self, answers: &BTreeMap<Permission, GrantRow>) {
        let granted = answers.values().filter(|row| row.answer == Answer::Granted);
        self.flags.store(granted.fold(0, |flags, row| flags | bit(&row.permission)), Relaxed);
    }

    fn has(&self, permission: &Permission) -> bool {
        match bit(permission) {
            0 => self.any(|row| row.permission.covers(permission)),
            bit => self.flags.load(Relaxed) & bit != 0,
        }
    }

    fn any(&self, holds: impl Fn(&GrantRow) -> bool) -> bool {
        read(&self.answers).values().any(|row| row.answer == Answer::Granted && holds(row))
    }
}

/// Every app's answers.
#[derive(Default)]
pub(super) struct Book(RwLock<HashMap<AppId, Arc<Grants>>>);

impl Book {
    pub(super) fn new(rows: Vec<(AppId, GrantRow)>) -> Self {
        let book = Self::default();
        rows.into_iter().for_each(|(app, row)| book.of(app).put([row]));
        book
    }

    /// What was said to an app.
    pub(super) fn of(&self, app: AppId) -> Arc<Grants> {
        if let Some(grants) = read(&self.0).get(&app) {
            return Arc::clone(grants);
        }
        Arc::clone(write(&self.0).entry(app).or_default())
    }

    /// Forgets an app, and what others may of it.
    pub(super) fn remove(&self, app: AppId) {
        let mut apps = write(&self.0);
        if let Some(gone) = apps.remove(&app) {
            // Its workers may still run for a moment.
            let mut answers = write(&gone.answers);
            answers.clear();
            gone.recount(&answers);
        }
        for grants in apps.values() {
            write(&grants.answers).retain(|_, row| row.target != Some(app));
        }
    }
}

impl Release {
    /// Whether the app may: this version asks for it, and the owner granted it.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.asks_for(permission) && self.grants.has(permission)
    }

    /// Whether this version asks for a permission, or for more.
    #[must_use]
    pub fn asks_for(&self, permission: &Permission) -> bool {
        let asked = &self.manifest.permissions;
        match permission {
            Permission::Schedule => asked.schedule,
            Permission::Push => asked.push,
            Permission::Sql => asked.sql,
            Permission::Spaces => asked.spaces,
            other => self.manifest.asks().iter().any(|ask| ask.covers(other)),
        }
    }

    /// Every host that the app's `fetch` may reach, as patterns: of what this version asks for and what was granted, the
    /// narrower.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let answers = read(&self.grants.answers);
        let granted = answers.values().filter(|row| row.answer == Answer::Granted);
        let mut hosts = Vec::new();
        for row in granted {
            for asked in &self.manifest.permissions.net {
                let wanted = Permission::Net(asked.clone());
                match &row.permission {
                    had if had.covers(&wanted) => hosts.push(asked.clone()),
                    Permission::Net(had) if wanted.covers(&row.permission) => hosts.push(had.clone()),
                    _ => {}
                }
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Whether the app may read, or `write`, what the app `other` of that name exports. An answer was about the app
    /// that had the name then.
    #[must_use]
    pub fn may_use(&self, name: &str, other: AppId, write: bool) -> bool {
        let wanted = Permission::Apps { app: name.to_owned(), write };
        self.asks_for(&wanted)
            && self.grants.any(|row| row.target == Some(other) && row.permission.covers(&wanted))
    }
}

/// What whoever deploys says to what the app asks for.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// None: nobody was asked.
    pub consent: Option<Consent>,
    /// Name of who deploys.
    pub by: String,
}

/// What becomes of what a manifest asks for, with what was said before and is said now. `exists`: an older version is
/// live, and stays so when this is refused.
fn decide(
    app: &str,
    asks: &[Permission],
    before: &BTreeMap<Permission, GrantRow>,
    exists: bool,
    consent: Option<&Consent>,
) -> Result<Vec<(Permission, Answer)>, FsError> {
    let state = |ask: &Permission| answer(ask, before).0;
    let Some(consent) = consent else {
        let new: Vec<_> = asks.iter().filter(|ask| state(ask) == Answer::New).cloned().collect();
        if exists && !new.is_empty() {
            return Err(FsError::Waits { app: app.into(), permissions: new });
        }
        return Ok(new.into_iter().map(|ask| (ask, Answer::Unanswered)).collect());
    };
    let named = named(app, &consent.grant, asks)?;
    let mut rows: Vec<_> = named.iter().map(|permission| (permission.clone(), Answer::Granted)).collect();
    for ask in asks {
        if matches!(state(ask), Answer::New | Answer::Unanswered)
            && !named.iter().any(|named| named.covers(ask))
        {
            rows.push((ask.clone(), if consent.all { Answer::Granted } else { Answer::Refused }));
        }
    }
    Ok(rows)
}

/// What was said to an ask, and by whom.
fn answer<'a>(
    ask: &Permission,
    before: &'a BTreeMap<Permission, GrantRow>,
) -> (Answer, Option<&'a GrantRow>) {
    let granted = |row: &&GrantRow| row.answer == Answer::Granted && row.permission.covers(ask);
    match before.get(ask).or_else(|| before.values().find(granted)) {
        Some(row) => (row.answer, Some(row)),
        None => (Answer::New, None),
    }
}

/// Permissions by their texts, each asked for.
fn named(app: &str, texts: &[String], asks: &[Permission]) -> Result<Vec<Permission>, FsError> {
    if texts.len() > NAMED_MAX {
        return Err(FsError::TooLarge(format!("{} permissions are named; at most {NAMED_MAX}", texts.len())));
    }
    let one = |text: &String| {
        let permission: Permission = text.parse()?;
        if asks.iter().any(|ask| ask.covers(&permission)) {
            return Ok(permission);
        }
        Err(FsError::NotAsked { app: app.into(), permission, asks: asks.to_vec() })
    };
    texts.iter().map(one).collect()
}

fn info(permission: &Permission, reason: &str, said: (Answer, Option<&GrantRow>)) -> PermissionInfo {
    PermissionInfo {
        permission: permission.to_string(),
        means: permission.means(),
        reason: reason.to_owned(),
        risk: permission.risk(),
        answer: said.0,
        answered_unix_ms: said.1.map(|row| row.answered_unix_ms),
        answered_by: said.1.map(|row| row.answerer.clone()),
    }
}

/// What a manifest asks for, the riskiest first, with what was said.
pub(super) fn list(manifest: &Manifest, grants: &Grants) -> Vec<PermissionInfo> {
    let before = read(&grants.answers);
    let mut list: Vec<_> =
        manifest.asks().iter().map(|ask| info(ask, manifest.reason(ask), answer(ask, &before))).collect();
    list.sort_by_key(|info| std::cmp::Reverse(info.risk));
    list
}

impl Fs {
    /// What an app asks for, and what was said.
    ///
    /// # Errors
    /// When there is no such app or version, or it cannot be read.
    pub async fn grants(&self, name: &str) -> Result<GrantList, FsError> {
        let release = self.release(self.row(name)?.id).await?;
        let mut permissions = list(&release.manifest, &release.grants);
        let asks = release.manifest.asks();
        for (permission, row) in &*read(&release.grants.answers) {
            // Narrower than what is asked for, or no longer asked for.
            if row.answer == Answer::Granted && !asks.contains(permission) {
                let reason = if release.asks_for(permission) { "" } else { "no longer asked for" };
                permissions.push(info(permission, reason, (row.answer, Some(row))));
            }
        }
        Ok(GrantList { app: name.to_owned(), permissions })
    }

    /// Gives permissions and takes others away: all of it, or nothing. Holds for the next call of running workers.
    ///
    /// # Errors
    /// When one is none, is not asked for, or is to be taken away and was not there.
    pub async fn change_grants(
        self: &Arc<Self>,
        name: &str,
        change: GrantChange,
        by: String,
    ) -> Result<GrantList, FsError> {
        let name = name.to_owned();
        self.finish(move |fs| async move {
            let _alone = fs.lock(name.clone()).await;
            let release = fs.release(fs.row(&name)?.id).await?;
            let asks = release.manifest.asks();
            let mut rows: Vec<_> = named(&name, &change.grant, &asks)?
                .into_iter()
                .map(|permission| (permission, Answer::Granted))
                .collect();
            for text in &change.revoke {
                let permission: Permission = text.parse()?;
                let there =
                    read(&release.grants.answers).contains_key(&permission) || asks.contains(&permission);
                if !there {
                    return Err(FsError::NotGranted { app: name, permission });
                }
                rows.push((permission, Answer::Refused));
            }
            fs.answer(release.app, rows, &by).await?;
            fs.grants(&name).await
        })
        .await
    }

    /// Writes answers down, then lets them hold.
    pub(super) async fn answer(
        &self,
        app: AppId,
        answers: Vec<(Permission, Answer)>,
        by: &str,
    ) -> Result<(), FsError> {
        if answers.is_empty() {
            return Ok(());
        }
        let now = unix_ms();
        let row = |(permission, answer): (Permission, Answer)| GrantRow {
            target: match &permission {
                Permission::Apps { app, .. } => self.route(app),
                _ => None,
            },
            permission,
            answer,
            answered_unix_ms: now,
            answerer: by.to_owned(),
        };
        let rows: Vec<_> = answers.into_iter().map(row).collect();
        let written = rows.clone();
        self.shared.storage.kernel(move |kernel| kernel.answer_grants(app, &written)).await?;
        self.shared.grants.of(app).put(rows);
        // What may do something without a request now does, or does no more.
        self.shared.timetable.ring(app);
        Ok(())
    }

    /// What an open deploy would make live, and what it asks for.
    ///
    /// # Errors
    /// When it is not open, or its manifest is missing still or refused.
    pub async fn review(&self, deploy: &str) -> Result<Review, FsError> {
        let open = lock(&self.deploys).get(deploy)?.clone();
        let row = self.target(&open.name).await?;
        let (app, exists) = (row.as_ref().map(|row| row.id), self.route(&open.name).is_some());
        let manifest = deploy::manifest(&self.shared, app, &open).await?;
        let permissions = match app {
            Some(app) => list(&manifest, &self.shared.grants.of(app)),
            None => list(&manifest, &Grants::default()),
        };
        Ok(Review {
            app: open.name,
            exists,
            waits: exists && permissions.iter().any(|info| info.answer == Answer::New),
            version: manifest.version,
            description: manifest.description,
            license: manifest.license,
            homepage: manifest.homepage,
            files: open.files.len() as u64,
            bytes: open.files.iter().map(|file| file.bytes).sum(),
            permissions,
            origin: open.source.as_ref().map(|source| source.origin.clone()),
        })
    }

    /// What would become of what a deploy of this app asks for.
    pub(super) fn decide(
        &self,
        name: &str,
        app: AppId,
        manifest: &Manifest,
        said: &Said,
    ) -> Result<Vec<(Permission, Answer)>, FsError> {
        let grants = self.shared.grants.of(app);
        let before = read(&grants.answers);
        decide(name, &manifest.asks(), &before, self.route(name).is_some(), said.consent.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Permission {
        text.parse().expect(text)
    }

    fn held(answers: &[(&str, Answer)]) -> BTreeMap<Permission, GrantRow> {
        let row = |&(text, answer): &(&str, Answer)| {
            let permission = of(text);
            let row = GrantRow {
                permission: permission.clone(),
                target: None,
                answer,
                answered_unix_ms: 1,
                answerer: "owner".into(),
            };
            (permission, row)
        };
        answers.iter().map(row).collect()
    }

    fn outcome(
        asks: &[&str],
        before: &[(&str, Answer)],
        exists: bool,
        consent: Option<Consent>,
    ) -> Result<Vec<String>, String> {
        let asks: Vec<_> = asks.iter().map(|text| of(text)).collect();
        let decided = decide("notes", &asks, &held(before), exists, consent.as_ref());
        let mut rows: Vec<_> = decided
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|(permission, answer)| format!("{permission} {answer}"))
            .collect();
        rows.sort();
        Ok(rows)
    }

    #[test]
    fn what_a_deploy_makes_of_asks_and_answers() {
        use Answer::{Granted, Refused, Unanswered};
        let yes = || Some(Consent { all: true, grant: Vec::new() });
        let some = |texts: &[&str]| {
            Some(Consent { all: false, grant: texts.iter().map(|text| (*text).to_owned()).collect() })
        };
        let check = |asks: &[&str], before: &[(&str, Answer)], exists, consent, expect: &[&str]| {
            assert_eq!(
                outcome(asks, before, exists, consent).as_deref(),
                Ok(&*expect.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()),
                "{asks:?} {before:?}"
            );
        };
        // The first time.
        check(&["sql", "net:a.b"], &[], false, None, &["net:a.b unanswered", "sql unanswered"]);
        check(&["sql", "net:a.b"], &[], false, yes(), &["net:a.b granted", "sql granted"]);
        check(&["sql", "net:a.b"], &[], false, some(&["sql"]), &["net:a.b refused", "sql granted"]);
        check(&["sql", "net:a.b"], &[], false, some(&[]), &["net:a.b refused", "sql refused"]);
        check(&["net:*.a.b"], &[], false, some(&["net:c.a.b"]), &["net:*.a.b refused", "net:c.a.b granted"]);
        // Again: what was answered stays as it is.
        check(&["sql", "push"], &[("sql", Granted), ("push", Refused)], true, None, &[]);
        check(&["sql", "push"], &[("sql", Granted), ("push", Refused)], true, yes(), &[]);
        check(&["sql"], &[("sql", Unanswered)], true, None, &[]);
        check(&["sql"], &[("sql", Unanswered)], true, yes(), &["sql granted"]);
        check(&["push"], &[("push", Refused)], true, some(&["push"]), &["push granted"]);
        check(&["net:c.a.b"], &[("net:*.a.b", Granted)], true, None, &[]);
        // More than before.
        let waits = outcome(&["sql", "net:a.b"], &[("sql", Granted)], true, None).expect_err("more");
        assert!(waits.contains("net:a.b") && !waits.contains("sql"), "{waits}");
        check(&["sql", "net:a.b"], &[("sql", Granted)], true, yes(), &["net:a.b granted"]);
        let wide = outcome(&["net:*.a.b"], &[("net:c.a.b", Granted)], true, None).expect_err("wider");
        assert!(wide.contains("net:*.a.b"), "{wide}");
        // What is not asked for is not granted.
        for text in ["net:c.d", "push", "net:b", "what", ""] {
            let refused = outcome(&["net:a.b"], &[], false, some(&[text])).expect_err(text);
            assert!(refused.contains(text), "{refused}");
        }
    }

    #[test]
    fn a_flag_is_there_as_long_as_it_is_granted() {
        let grants = Grants::default();
        assert!(!grants.has(&Permission::Sql));
        grants.put(held(&[("sql", Answer::Granted), ("net:*.a.b", Answer::Granted)]).into_values());
        assert!(grants.has(&Permission::Sql) && !grants.has(&Permission::Spaces));
        assert!(grants.has(&of("net:c.a.b")) && !grants.has(&of("net:a.b")));
        grants.put(held(&[("sql", Answer::Refused), ("net:*.a.b", Answer::Refused)]).into_values());
        assert!(!grants.has(&Permission::Sql) && !grants.has(&of("net:c.a.b")));
    }

    #[test]
    fn an_app_that_goes_takes_what_others_may_of_it() {
        let (drive, other) = (AppId::new(1, 1), AppId::new(1, 2));
        let mut rows = held(&[("apps:drive:read", Answer::Granted), ("sql", Answer::Granted)]);
        rows.get_mut(&of("apps:drive:read")).expect("a row").target = Some(drive);
        let book = Book::new(rows.into_values().map(|row| (other, row)).collect());
        let grants = book.of(other);
        assert!(grants.has(&of("apps:drive:read")));
        book.remove(drive);
        assert!(!grants.has(&of("apps:drive:read")) && grants.has(&Permission::Sql));
        book.remove(other);
        assert!(!grants.has(&Permission::Sql), "its workers may still run");
    }
}
