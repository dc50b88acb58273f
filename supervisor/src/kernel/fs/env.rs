//! Variables of an app: what its manifest declares, what its owner set, what its workers are given.
//!
//! A value is opened when a worker is about to be given it, and nowhere else. Names and values are the owner's;
//! declarations are the app's and hostile.

use std::collections::BTreeMap;
use std::sync::Arc;

use fazt_ipc::control::{EnvChange, EnvInfo, EnvList};
use fazt_ipc::ids::AppId;
use fazt_ipc::limits::{ENV_BYTES_MAX, ENV_VALUE_BYTES_MAX, ENV_VARIABLES_MAX};
use sha2::{Digest as _, Sha256};

use super::manifest::EnvVar;
use super::shared::unix_ms;
use super::{Fs, FsError, Manifest};
use crate::kernel::security::Sealer;
use crate::kernel::storage::{EnvRow, env_place};

/// What was set for one app, sealed.
#[derive(Debug)]
pub struct Env {
    rows: Vec<EnvRow>,
    revision: u64,
    missing: Vec<String>,
}

impl Env {
    /// These rows, for an app that declares this.
    pub(super) fn new(rows: Vec<EnvRow>, declared: &[EnvVar]) -> Self {
        // Seals are random: another value, or the same one set again, makes another revision.
        let mut hash = Sha256::new();
        for row in &rows {
            hash.update((row.sealed.len() as u64).to_le_bytes());
            hash.update(&row.sealed);
        }
        let revision = hash.finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let missing = missing(&rows, declared).map(|variable| variable.name.clone()).collect();
        Self { rows, revision, missing }
    }

    /// Differs where the variables do.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Names of variables without which the app's server does not start.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Names and values for a worker: those that were set, and the defaults of the others.
    pub(super) fn open(
        &self,
        sealer: &Sealer,
        app: AppId,
        declared: &[EnvVar],
    ) -> Result<Vec<(String, String)>, FsError> {
        let mut values: BTreeMap<&str, String> = declared
            .iter()
            .filter_map(|variable| Some((variable.name.as_str(), variable.default.clone()?)))
            .collect();
        // What is filled in outside is not for the worker.
        let injected = |name: &str| declared.iter().any(|one| one.name == name && !one.inject.is_empty());
        for row in self.rows.iter().filter(|row| !injected(&row.name)) {
            values.insert(&row.name, open(sealer, app, row)?);
        }
        Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Env {
    /// One value that was set.
    pub(super) fn open_one(
        &self,
        sealer: &Sealer,
        app: AppId,
        name: &str,
    ) -> Result<Option<String>, FsError> {
        self.rows.iter().find(|row| row.name == name).map(|row| open(sealer, app, row)).transpose()
    }
}

fn open(sealer: &Sealer, app: AppId, row: &EnvRow) -> Result<String, FsError> {
    let opened = sealer.open(&env_place(app, &row.name), &row.sealed);
    opened.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| FsError::Sealed(row.name.clone()))
}

/// Declared variables that must be set and are not.
fn missing<'a>(rows: &[EnvRow], declared: &'a [EnvVar]) -> impl Iterator<Item = &'a EnvVar> {
    declared.iter().filter(|variable| {
        variable.required && variable.default.is_none() && !rows.iter().any(|row| row.name == variable.name)
    })
}

/// What a deploy says of variables that must be set and are not.
pub(super) fn warnings(app: &str, rows: &[EnvRow], declared: &[EnvVar]) -> Vec<String> {
    let say = |variable: &EnvVar| {
        let name = &variable.name;
        let about = match variable.description.as_str() {
            "" => String::new(),
            about => format!(" ({about})"),
        };
        format!(
            "the variable {name}{about} is required and not set: until it is, whatever the app's server should \
             answer is answered 503. Set it: fazt app env {app} set {name}"
        )
    };
    missing(rows, declared).map(say).collect()
}

impl Fs {
    /// The variables of an app. Values of secrets are not among them.
    ///
    /// # Errors
    /// When there is no such app, or what is stored cannot be read.
    pub async fn env(&self, name: &str) -> Result<EnvList, FsError> {
        let app = self.row(name)?.id;
        let manifest = self.manifest(app).await?;
        let rows = self.env_rows(app).await?;
        self.env_list(app, name, &rows, &manifest.env, Vec::new())
    }

    /// Sets variables of an app and takes others away: all of it, or nothing. Its workers are replaced.
    ///
    /// # Errors
    /// When a name, a value or their number is out of bounds, or one to be taken away is not set.
    pub async fn change_env(self: &Arc<Self>, name: &str, change: EnvChange) -> Result<EnvList, FsError> {
        check(&change)?;
        let name = name.to_owned();
        self.finish(move |fs| async move {
            let _alone = fs.lock(name.clone()).await;
            let app = fs.row(&name)?.id;
            let manifest = fs.manifest(app).await?;
            let declared = manifest.env.clone();
            let bindings = manifest.bindings();
            if let Some((hidden, _)) = bindings.iter().find(|(name, _)| change.set.contains_key(name)) {
                return Err(FsError::Binding(hidden.clone()));
            }
            let before = fs.env_rows(app).await?;
            if let Some(unset) =
                change.unset.iter().find(|unset| !before.iter().any(|row| row.name == **unset))
            {
                return Err(FsError::NotSet { app: name, name: unset.clone() });
            }
            let rows = fs.merge(app, before, &change, &declared)?;
            let set: Vec<EnvRow> =
                rows.iter().filter(|row| change.set.contains_key(&row.name)).cloned().collect();
            let unset = change.unset.clone();
            fs.shared.storage.kernel(move |kernel| kernel.change_env(app, &set, &unset)).await?;
            fs.changed(app);
            let notes = notes(&change, &declared);
            fs.env_list(app, &name, &rows, &declared, notes)
        })
        .await
    }

    /// The rows as they will be, within their bounds.
    fn merge(
        &self,
        app: AppId,
        before: Vec<EnvRow>,
        change: &EnvChange,
        declared: &[EnvVar],
    ) -> Result<Vec<EnvRow>, FsError> {
        let now = unix_ms();
        let mut rows: BTreeMap<String, EnvRow> =
            before.into_iter().map(|row| (row.name.clone(), row)).collect();
        for name in &change.unset {
            rows.remove(name);
        }
        for (name, value) in &change.set {
            let sealer = self.shared.storage.sealer();
            let sealed = sealer.seal(&env_place(app, name), rand::random(), value.as_bytes());
            let sealed = sealed.ok_or_else(|| FsError::TooLarge(format!("the value of {name}")))?;
            let secret = declared.iter().find(|variable| variable.name == *name).is_none_or(|d| d.secret);
            let row = EnvRow { name: name.clone(), sealed, secret, changed_unix_ms: now };
            rows.insert(name.clone(), row);
        }
        let bytes: usize = rows.values().map(|row| row.name.len() + row.sealed.len()).sum();
        if rows.len() > ENV_VARIABLES_MAX || bytes > ENV_BYTES_MAX {
            return Err(FsError::TooLarge(format!(
                "an app has at most {ENV_VARIABLES_MAX} variables of {} KiB together",
                ENV_BYTES_MAX / 1024
            )));
        }
        Ok(rows.into_values().collect())
    }

    /// The manifest of the active version; an app without one has the default.
    async fn manifest(&self, app: AppId) -> Result<Arc<Manifest>, FsError> {
        match self.release(app).await {
            Ok(release) => Ok(Arc::clone(&release.manifest)),
            Err(FsError::NoVersion(_)) => Ok(Arc::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn env_rows(&self, app: AppId) -> Result<Vec<EnvRow>, FsError> {
        Ok(self.shared.storage.kernel(move |kernel| kernel.env(app)).await?)
    }

    fn env_list(
        &self,
        app: AppId,
        name: &str,
        rows: &[EnvRow],
        declared: &[EnvVar],
        notes: Vec<String>,
    ) -> Result<EnvList, FsError> {
        let mut variables: BTreeMap<&str, EnvInfo> = BTreeMap::new();
        for variable in declared {
            let info = EnvInfo {
                name: variable.name.clone(),
                set: false,
                value: None,
                default: variable.default.clone(),
                declared: true,
                required: variable.required,
                secret: variable.secret,
                description: variable.description.clone(),
                set_unix_ms: None,
            };
            variables.insert(&variable.name, info);
        }
        for row in rows {
            let info = variables.entry(&row.name).or_insert_with(|| EnvInfo {
                name: row.name.clone(),
                set: true,
                value: None,
                default: None,
                declared: false,
                required: false,
                secret: true,
                description: String::new(),
                set_unix_ms: None,
            });
            info.set = true;
            info.set_unix_ms = Some(row.changed_unix_ms);
            // A later version of the app cannot make a secret public.
            info.secret |= row.secret;
            if !info.secret {
                info.value = Some(open(self.shared.storage.sealer(), app, row)?);
            }
        }
        Ok(EnvList { app: name.to_owned(), variables: variables.into_values().collect(), notes })
    }
}

/// What the list of changes says by itself.
fn check(change: &EnvChange) -> Result<(), FsError> {
    if change.set.len() + change.unset.len() > 2 * ENV_VARIABLES_MAX {
        return Err(FsError::TooLarge(format!("an app has at most {ENV_VARIABLES_MAX} variables")));
    }
    for name in change.set.keys().chain(&change.unset) {
        if !EnvChange::is_name(name) {
            return Err(FsError::BadVariable(name.chars().take(80).flat_map(char::escape_default).collect()));
        }
    }
    if let Some(both) = change.unset.iter().find(|name| change.set.contains_key(*name)) {
        return Err(FsError::BadDeploy(format!("{both} cannot be set and taken away at once")));
    }
    match change.set.iter().find(|(_, value)| value.len() > ENV_VALUE_BYTES_MAX) {
        None => Ok(()),
        Some((name, value)) => Err(FsError::TooLarge(format!(
            "the value of {name} has {} bytes; at most {ENV_VALUE_BYTES_MAX}",
            value.len()
        ))),
    }
}

fn notes(change: &EnvChange, declared: &[EnvVar]) -> Vec<String> {
    let undeclared =
        change.set.keys().filter(|name| !declared.iter().any(|variable| variable.name == **name));
    let mut notes: Vec<String> = undeclared
        .map(|name| format!("app.json does not declare {name}; the app gets it all the same"))
        .collect();
    let needed = declared.iter().filter(|variable| variable.required && variable.default.is_none());
    let gone = needed.filter(|variable| change.unset.contains(&variable.name));
    notes.extend(gone.map(|variable| {
        format!("{} is required: until it is set again, the app's server does not start", variable.name)
    }));
    notes
}
