//! From a checked text to a [`Manifest`], and what follows from the files beside it.

use std::collections::BTreeMap;

use fazt_ipc::limits::{ENV_DEFAULTS_BYTES_MAX, MANIFEST_BYTES_MAX};
use fazt_ipc::wire::kernel::BindingKind;

use super::json::{self, Node, Value};
use super::shape::{self, MANIFEST, Shape};
use super::{
    Access, AppAccess, Collection, Cron, EnvVar, Exports, FieldType, Limits, Manifest, ManifestError,
    Permissions,
};
use crate::build::{is_script, like};
use crate::kernel::fs::FsError;
use crate::kernel::fs::cron::{CronError, Schedule};
use crate::kernel::fs::shared::unix_ms;
use crate::kernel::security::Permission;
use crate::kernel::storage::data::{CollectionSchema, DataSchema, FieldKind};

/// Behaviour of an app that does not say.
const COMPATIBILITY_DATE_DEFAULT: &str = "2026-11-20";

impl Default for Manifest {
    fn default() -> Self {
        Self {
            name: None,
            version: String::new(),
            description: String::new(),
            license: String::new(),
            homepage: String::new(),
            icon: None,
            main: None,
            assets: None,
            spa: false,
            server_first: Vec::new(),
            compatibility_date: COMPATIBILITY_DATE_DEFAULT.into(),
            access: None,
            collections: BTreeMap::new(),
            permissions: Permissions::default(),
            exports: Exports::default(),
            cron: Vec::new(),
            env: Vec::new(),
            bindings: None,
            limits: Limits::default(),
        }
    }
}

/// JSON Schema of `app.json`, for editors.
#[must_use]
pub fn json_schema() -> String {
    let mut whole = shape::schema(&Shape::Object(MANIFEST));
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = "app.json of a Fazt app".into();
    let mut text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    text.push('\n');
    text
}

/// `./public/` and `public` are the same; `.` is the top.
pub(crate) fn relative(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    let path = path.trim_end_matches('/');
    if path == "." { "" } else { path }
}

impl Manifest {
    /// Parses and checks the bytes of `app.json`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse_as(bytes, false)
    }

    /// The same for a version that is to be new, which is held to more.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse_new(bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse_as(bytes, true)
    }

    fn parse_as(bytes: &[u8], is_new: bool) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            let message = format!("{} bytes; at most {MANIFEST_BYTES_MAX}", bytes.len());
            return Err(ManifestError { line: 1, column: 1, message });
        }
        let text = std::str::from_utf8(bytes).map_err(|wrong| {
            let good = String::from_utf8_lossy(&bytes[..wrong.valid_up_to()]);
            json::error(&good, good.len(), "not UTF-8")
        })?;
        let root = json::parse(text)?;
        shape::check(text, "app.json", &root, &Shape::Object(MANIFEST))?;
        let manifest = Self::read(&Reader(&root));
        manifest.agree(text, &root)?;
        if is_new {
            manifest.agree_new(text, &root)?;
        }
        Ok(manifest)
    }

    fn read(root: &Reader<'_>) -> Self {
        let path = |name: &str| root.text(name).map(|path| relative(&path).to_owned());
        let permissions = root.object("permissions");
        let limits = root.object("limits");
        let default = Limits::default();
        Self {
            name: root.text("name"),
            version: root.text("version").unwrap_or_default(),
            description: root.text("description").unwrap_or_default(),
            license: root.text("license").unwrap_or_default(),
            homepage: root.text("homepage").unwrap_or_default(),
            icon: path("icon"),
            main: path("main"),
            assets: path("assets"),
            spa: root.flag("spa"),
            server_first: root.list("serverFirst", Reader::own_text),
            compatibility_date: root
                .text("compatibilityDate")
                .unwrap_or_else(|| COMPATIBILITY_DATE_DEFAULT.into()),
            access: root.text("access").map(|access| match access.as_str() {
                "public" => Access::Public,
                "members" => Access::Members,
                _ => Access::Owner,
            }),
            collections: root.object("collections").entries(|_, collection| Collection {
                indexes: collection.list("indexes", |index| index.items(Reader::own_text)),
                schema: collection.object("schema").entries(|_, field| match field.own_text().as_str() {
                    "string" => FieldType::String,
                    "integer" => FieldType::Integer,
                    "number" => FieldType::Number,
                    "boolean" => FieldType::Boolean,
                    _ => FieldType::Json,
                }),
            }),
            permissions: Permissions {
                net: permissions.list("net", Reader::own_text),
                schedule: permissions.flag("schedule"),
                push: permissions.flag("push"),
                sql: permissions.flag("sql"),
                spaces: permissions.flag("spaces"),
                apps: permissions.object("apps").entries(|_, level| level.access()),
                reasons: permissions.object("reasons").entries(|_, reason| reason.own_text()),
            },
            exports: Exports {
                collections: root.object("exports").object("collections").entries(|_, level| level.access()),
                blobs: root.object("exports").object("blobs").entries(|_, level| level.access()),
            },
            cron: root.list("cron", |cron| Cron {
                name: cron.text("name").unwrap_or_default(),
                schedule: cron.text("schedule").unwrap_or_default(),
                event: cron.text("event").or_else(|| cron.text("schedule")).unwrap_or_default(),
                timezone: cron.text("timezone").unwrap_or_else(|| "UTC".into()),
                run_missed_once: cron.text("missed").as_deref() == Some("run-once"),
                overlaps: cron.text("overlap").as_deref() == Some("run"),
                per_user: cron.flag("perUser"),
            }),
            env: root.list("env", |env| EnvVar {
                name: env.text("name").unwrap_or_default(),
                required: env.flag("required"),
                // What the app may not see, others may not either.
                secret: env.flag("secret") || env.get("inject").is_some(),
                inject: env.list("inject", Reader::own_text),
                description: env.text("description").unwrap_or_default(),
                default: env.text("default"),
                json: env.flag("json"),
            }),
            bindings: root.get("bindings").map(|bindings| {
                bindings.entries(|_, kind| match kind.own_text().as_str() {
                    "kv" => BindingKind::Kv,
                    "r2" => BindingKind::R2,
                    "queue" => BindingKind::Queue,
                    "assets" => BindingKind::Assets,
                    _ => BindingKind::D1,
                })
            }),
            limits: Limits {
                memory_mib: limits.number("memoryMiB").unwrap_or(default.memory_mib),
                cpu_ms: limits.number("cpuMs").unwrap_or(default.cpu_ms),
                wall_s: limits.number("wallS").unwrap_or(default.wall_s),
                storage_mib: limits.number("storageMiB").unwrap_or(default.storage_mib),
            },
        }
    }

    /// What it asks the owner for.
    #[must_use]
    pub fn asks(&self) -> Vec<Permission> {
        let Permissions { net, schedule, push, sql, spaces, apps, reasons: _ } = &self.permissions;
        let flags = [
            (*schedule, Permission::Schedule),
            (*push, Permission::Push),
            (*sql, Permission::Sql),
            (*spaces, Permission::Spaces),
        ];
        let mut asks: Vec<_> = net.iter().cloned().map(Permission::Net).collect();
        asks.extend(
            apps.iter().map(|(app, access)| Permission::Apps {
                app: app.clone(),
                write: *access == AppAccess::Write,
            }),
        );
        asks.extend(flags.into_iter().filter(|(asked, _)| *asked).map(|(_, permission)| permission));
        let mut seen = std::collections::BTreeSet::new();
        asks.retain(|ask| seen.insert(ask.clone()));
        asks
    }

    /// Why it asks for a permission, in its own words; may be empty.
    #[must_use]
    pub fn reason(&self, permission: &Permission) -> &str {
        let reasons = &self.permissions.reasons;
        let all = match permission {
            Permission::Net(_) => reasons.get("net"),
            Permission::Apps { .. } => reasons.get("apps"),
            _ => None,
        };
        reasons.get(&permission.to_string()).or(all).map_or("", String::as_str)
    }

    /// What a version that is new must keep to, beyond what one that is live already does.
    fn agree_new(&self, text: &str, root: &Node) -> Result<(), ManifestError> {
        let at = Reader(root).get("cron").map_or(root.at, |node| node.0.at);
        let wrong = |message: String| Err(json::error(text, at, message));
        for cron in &self.cron {
            let name = &cron.name;
            if cron.per_user {
                return wrong(format!(
                    "`{name}` in `cron` is `perUser`, which is not possible yet: members cannot opt in. Without it, it \
                     runs once as the app itself"
                ));
            }
            match Schedule::parse(&cron.schedule, &cron.timezone) {
                Err(CronError::Zone) => {
                    return wrong(format!("the `timezone` of `{name}` in `cron` is {}", CronError::Zone));
                }
                Err(error) => return wrong(format!("the `schedule` of `{name}` in `cron` is {error}")),
                Ok(schedule) if schedule.after(unix_ms()).is_none() => {
                    return wrong(format!(
                        "the `schedule` of `{name}` in `cron` names a day that never comes"
                    ));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// What no single value can say.
    fn agree(&self, text: &str, root: &Node) -> Result<(), ManifestError> {
        let at = |key: &str| Reader(root).get(key).map_or(root.at, |node| node.0.at);
        if !self.cron.is_empty() && !self.permissions.schedule {
            let message = "`cron` needs the permission: add `\"permissions\": { \"schedule\": true }`";
            return Err(json::error(text, at("cron"), message));
        }
        for (number, cron) in self.cron.iter().enumerate() {
            if self.cron[..number].iter().any(|other| other.name == cron.name) {
                return Err(json::error(text, at("cron"), format!("two runs are named `{}`", cron.name)));
            }
        }
        for (number, env) in self.env.iter().enumerate() {
            if self.env[..number].iter().any(|other| other.name == env.name) {
                return Err(json::error(text, at("env"), format!("two variables are named `{}`", env.name)));
            }
        }
        if let Some(env) = self.env.iter().find(|env| !env.inject.is_empty() && env.default.is_some()) {
            let message =
                format!("`{}` has `inject` and `default`: a secret that is written here is none", env.name);
            return Err(json::error(text, at("env"), message));
        }
        let defaults =
            self.env.iter().map(|env| env.name.len() + env.default.as_ref().map_or(0, String::len));
        if defaults.sum::<usize>() > ENV_DEFAULTS_BYTES_MAX {
            let message =
                format!("names and defaults of `env` are over {ENV_DEFAULTS_BYTES_MAX} bytes together");
            return Err(json::error(text, at("env"), message));
        }
        for (name, kind) in self.bindings.iter().flatten() {
            let wrong = |message: String| Err(json::error(text, at("bindings"), message));
            if self.env.iter().any(|env| env.name == *name) {
                return wrong(format!(
                    "`{name}` is a variable of `env` and a binding: both are named in `env`"
                ));
            }
            // Files that everybody who reaches the app is served.
            if *kind == BindingKind::Assets {
                continue;
            }
            if *kind == BindingKind::Queue {
                if !self.permissions.schedule {
                    let grant = "add `\"permissions\": { \"schedule\": true }`";
                    return wrong(format!(
                        "`bindings.{name}` enqueues jobs, which needs a permission: {grant}"
                    ));
                }
                continue;
            }
            if !self.permissions.spaces {
                let grant = "add `\"permissions\": { \"spaces\": true }`";
                return wrong(format!(
                    "`bindings.{name}` keeps its data in the app's space, which needs a permission: {grant}"
                ));
            }
            if *kind == BindingKind::D1 && !self.permissions.sql {
                let grant = "add `\"sql\": true` to `permissions`";
                return wrong(format!(
                    "`bindings.{name}` is an SQL database, which needs a permission: {grant}"
                ));
            }
        }
        for name in self.exports.collections.keys() {
            if !self.collections.contains_key(name) {
                let message =
                    format!("`exports.collections` names `{name}`, which is not one of `collections`");
                return Err(json::error(text, at("exports"), message));
            }
        }
        for (name, collection) in &self.collections {
            for field in collection.indexes.iter().flatten() {
                if !collection.schema.contains_key(field) {
                    let message = format!(
                        "an index of `collections.{name}` names `{field}`, which is not in its schema"
                    );
                    return Err(json::error(text, at("collections"), message));
                }
            }
        }
        Ok(())
    }

    /// Whether the server answers a path before its assets do.
    #[must_use]
    pub fn is_server_first(&self, path: &str) -> bool {
        let (except, first): (Vec<&String>, Vec<&String>) =
            self.server_first.iter().partition(|pattern| pattern.starts_with('!'));
        first.iter().any(|pattern| like(pattern, path))
            && !except.iter().any(|pattern| like(&pattern[1..], path))
    }

    /// What of storage is in `env`. An app that does not say has the usual names for what it may use, where
    /// no variable has them.
    #[must_use]
    pub fn bindings(&self) -> Vec<(String, BindingKind)> {
        if let Some(bindings) = &self.bindings {
            return bindings.iter().map(|(name, kind)| (name.clone(), *kind)).collect();
        }
        let Permissions { spaces, sql, .. } = self.permissions;
        let usual = [
            ("BUCKET", BindingKind::R2, spaces),
            ("DB", BindingKind::D1, spaces && sql),
            ("KV", BindingKind::Kv, spaces),
        ];
        let free = |name: &str| self.env.iter().all(|env| env.name != name);
        usual
            .into_iter()
            .filter(|(name, _, granted)| *granted && free(name))
            .map(|(name, kind, _)| (name.to_owned(), kind))
            .collect()
    }

    /// What storage is told of it.
    #[must_use]
    pub fn data(&self) -> DataSchema {
        let kind = |kind: &FieldType| match kind {
            FieldType::String => FieldKind::String,
            FieldType::Integer => FieldKind::Integer,
            FieldType::Number => FieldKind::Number,
            FieldType::Boolean => FieldKind::Boolean,
            FieldType::Json => FieldKind::Json,
        };
        let collections = self.collections.iter().map(|(name, collection)| {
            let fields = collection.schema.iter().map(|(field, of)| (field.clone(), kind(of))).collect();
            (name.clone(), CollectionSchema { fields, indexes: collection.indexes.clone() })
        });
        DataSchema {
            spaces: self.permissions.spaces,
            storage_mib: self.limits.storage_mib,
            collections: collections.collect(),
        }
    }

    /// Fills in what follows from the app's files, and checks what names them.
    ///
    /// # Errors
    /// When a file or folder that is named does not exist, or there is nothing to serve.
    pub(in crate::kernel::fs) fn complete(
        &mut self,
        has_file: impl Fn(&str) -> bool,
        has_folder: impl Fn(&str) -> bool,
    ) -> Result<(), FsError> {
        const MAINS: [&str; 6] =
            ["server.js", "server.ts", "server.mjs", "server.mts", "server.tsx", "server.jsx"];
        let wrong = |message: String| Err(FsError::BadDeploy(message));
        match &self.main {
            None => self.main = MAINS.iter().find(|path| has_file(path)).map(|path| (*path).to_owned()),
            Some(main) if !has_file(main) => {
                return wrong(format!("app.json: `main` is `{main}`, which is not among the files"));
            }
            Some(main) if !is_script(main) => {
                return wrong(format!(
                    "app.json: `main` is `{main}`, which is not a script (.js .mjs .ts .tsx .jsx)"
                ));
            }
            Some(_) => {}
        }
        match self.assets.as_deref() {
            None if has_folder("public") => self.assets = Some("public".into()),
            None if self.main.is_none() && has_file("index.html") => self.assets = Some(String::new()),
            None => {}
            Some("") if self.main.is_some() => {
                return wrong(
                    "app.json: `assets` cannot be the top of an app that has a server, or its code would be served; put what is served into a folder such as `public`".into(),
                );
            }
            Some("") => {}
            Some(assets) if !has_folder(assets) => {
                return wrong(format!(
                    "app.json: `assets` is `{assets}`, and no file is in a folder of that name"
                ));
            }
            Some(_) => {}
        }
        let (main, assets) = (self.main.as_deref(), self.assets.as_deref());
        if main.is_none() && assets.is_none() {
            return wrong(
                "there is nothing to serve: an app has an index.html, a folder public/, or a server.js (or `main` and `assets` in app.json)".into(),
            );
        }
        if let (Some(main), Some(assets)) = (main, assets)
            && main.strip_prefix(assets).is_some_and(|rest| rest.starts_with('/'))
        {
            return wrong(format!(
                "app.json: `main` (`{main}`) is inside `assets` (`{assets}`), so it would be served"
            ));
        }
        if self.spa {
            let index = match assets {
                None => return wrong("app.json: `spa` needs assets with an index.html".into()),
                Some("") => "index.html".to_owned(),
                Some(assets) => format!("{assets}/index.html"),
            };
            if !has_file(&index) {
                return wrong(format!("app.json: `spa` needs `{index}`"));
            }
        }
        Ok(())
    }
}

/// Reads checked values; what is absent gives nothing.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

static NOTHING: Node = Node { at: 0, value: Value::Null };

impl<'a> Reader<'a> {
    fn get(&self, key: &str) -> Option<Reader<'a>> {
        match &self.0.value {
            Value::Object(entries) => {
                entries.iter().find(|(name, _, _)| name == key).map(|(_, _, node)| Reader(node))
            }
            _ => None,
        }
    }

    fn object(&self, key: &str) -> Reader<'a> {
        self.get(key).unwrap_or(Reader(&NOTHING))
    }

    /// How far something is open, checked before.
    fn access(&self) -> AppAccess {
        if self.own_text() == "write" { AppAccess::Write } else { AppAccess::Read }
    }

    fn own_text(&self) -> String {
        match &self.0.value {
            Value::Text(text) => text.clone(),
            _ => String::new(),
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|node| node.own_text())
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| node.0.value == Value::Bool(true))
    }

    fn number(&self, key: &str) -> Option<u32> {
        match self.get(key)?.0.value {
            // Inside u32: the shape's bounds were checked.
            Value::Number(number) => Some(number as u32),
            _ => None,
        }
    }

    fn items<T>(&self, one: impl Fn(&Reader<'a>) -> T) -> Vec<T> {
        match &self.0.value {
            Value::List(items) => items.iter().map(|item| one(&Reader(item))).collect(),
            _ => Vec::new(),
        }
    }

    fn list<T>(&self, key: &str, one: impl Fn(&Reader<'a>) -> T) -> Vec<T> {
        self.object(key).items(one)
    }

    fn entries<T>(&self, one: impl Fn(&str, &Reader<'a>) -> T) -> BTreeMap<String, T> {
        match &self.0.value {
            Value::Object(entries) => {
                entries.iter().map(|(key, _, node)| (key.clone(), one(key, &Reader(node)))).collect()
            }
            _ => BTreeMap::new(),
        }
    }
}
