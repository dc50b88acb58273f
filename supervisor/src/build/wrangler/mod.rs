//! A repository for Cloudflare Workers without an `app.json`: its `wrangler.toml`, `.json` or `.jsonc` says what it is,
//! and becomes the manifest that the owner is shown. What Fazt does not have is listed, and the app is not installed.
//!
//! | Wrangler | here |
//! |---|---|
//! | `main`, `compatibility_date`, `alias`, `define`, `rules` | the bundle |
//! | `assets.directory`, `not_found_handling`, `run_worker_first` | `assets`, `spa`, `serverFirst` |
//! | `vars` | `env` with defaults, those that are no text as JSON |
//! | `kv_namespaces`, `r2_buckets`, `d1_databases`, `assets.binding` | `bindings` |
//! | `d1_databases.migrations_dir` | migrations, in order |
//! | `queues.producers` | `bindings` and the permission `schedule` |
//! | `triggers.crons` | `cron` and the permission `schedule` |

mod config;
mod cron;
mod package;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::bundle::{BUNDLE, Entry};
use super::inspect::Migrations;
use super::job::{Refusal, RepoFile};
use super::limits::CONFIG_BYTES_MAX;

pub(super) use config::find;

/// Migrations of one database.
const MIGRATIONS_MAX: usize = 500;

/// What a configuration comes to.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) manifest: Map<String, Value>,
    /// The script, if there is one.
    pub(super) entry: Option<Entry>,
    /// What there is not here.
    pub(super) missing: Vec<String>,
    pub(super) migrations: Vec<Migrations>,
    pub(super) warnings: Vec<String>,
}

/// Sections that need what Fazt has not, with what it is.
const LACKING: [(&str, &str); 21] = [
    ("durable_objects", "Durable Objects"),
    ("ai", "Workers AI"),
    ("analytics_engine_datasets", "Analytics Engine"),
    ("browser", "Browser Rendering"),
    ("cloudchamber", "Cloudchamber"),
    ("containers", "Containers"),
    ("data_blobs", "data blobs"),
    ("dispatch_namespaces", "Workers for Platforms"),
    ("hyperdrive", "Hyperdrive"),
    ("images", "Images"),
    ("mtls_certificates", "client certificates"),
    ("pipelines", "Pipelines"),
    ("ratelimits", "rate limits"),
    ("secrets_store_secrets", "Secrets Store"),
    ("send_email", "sending mail"),
    ("services", "service bindings"),
    ("site", "Workers Sites"),
    ("text_blobs", "text blobs"),
    ("unsafe", "unsafe bindings"),
    ("vectorize", "Vectorize"),
    ("wasm_modules", "WebAssembly"),
];
/// Sections that are about Cloudflare's side and mean nothing here.
const ELSEWHERE: [&str; 32] = [
    "$schema",
    "account_id",
    "compatibility_flags",
    "dev",
    "first_party_worker",
    "find_additional_modules",
    "keep_names",
    "keep_vars",
    "legacy_env",
    "limits",
    "logfwdr",
    "logpush",
    "minify",
    "no_bundle",
    "node_compat",
    "observability",
    "placement",
    "preserve_file_names",
    "preview_urls",
    "route",
    "routes",
    "send_metrics",
    "tail_consumers",
    "topLevel",
    "tsconfig",
    "upload_source_maps",
    "target_type",
    "type",
    "usage_model",
    "webpack_config",
    "workers_dev",
    "zone_id",
];
/// Sections that are read below.
const READ: [&str; 17] = [
    "alias",
    "assets",
    "base_dir",
    "build",
    "compatibility_date",
    "d1_databases",
    "define",
    "env",
    "kv_namespaces",
    "main",
    "migrations",
    "name",
    "queues",
    "r2_buckets",
    "rules",
    "triggers",
    "vars",
];

/// Understands a configuration. `files`: the repository, by path.
///
/// # Errors
/// When it cannot be read.
pub(super) fn understand(config: &RepoFile, files: &[RepoFile]) -> Result<Made, Refusal> {
    if config.bytes.len() > CONFIG_BYTES_MAX {
        let bytes = config.bytes.len();
        return Err(Refusal(format!("`{}` has {bytes} bytes; at most {CONFIG_BYTES_MAX}", config.path)));
    }
    let whole = config::parse(config)?;
    let mut made = Made::default();
    let whole = environment(whole, files, &mut made);
    for (key, value) in &whole {
        let there = match value {
            Value::Object(entries) => !entries.is_empty(),
            Value::Array(entries) => !entries.is_empty(),
            Value::Null => false,
            _ => true,
        };
        if let Some((_, what)) = LACKING.iter().find(|(name, _)| name == key) {
            if there {
                made.missing.push(format!("{what} (`{key}` in {})", config.path));
            }
        } else if !READ.contains(&key.as_str()) && !ELSEWHERE.contains(&key.as_str()) {
            made.warnings.push(format!("`{key}` in {} is not understood, and left out", config.path));
        }
    }
    let reader = Reader { config, whole: &whole, files };
    reader.about(&mut made);
    reader.script(&mut made)?;
    reader.assets(&mut made)?;
    reader.variables(&mut made);
    reader.storage(&mut made)?;
    reader.queues(&mut made)?;
    reader.cron(&mut made);
    Ok(made)
}

/// Sections that an environment has of its own: it has none of those at the top.
const NOT_INHERITED: [&str; 27] = [
    "ai",
    "analytics_engine_datasets",
    "browser",
    "cloudchamber",
    "containers",
    "d1_databases",
    "define",
    "dispatch_namespaces",
    "durable_objects",
    "hyperdrive",
    "images",
    "kv_namespaces",
    "mtls_certificates",
    "pipelines",
    "queues",
    "r2_buckets",
    "ratelimits",
    "secrets_store_secrets",
    "send_email",
    "services",
    "tail_consumers",
    "unsafe",
    "vars",
    "vectorize",
    "version_metadata",
    "worker_loaders",
    "workflows",
];

/// The configuration as the author deploys it: with the environment that their own command for that names.
fn environment(mut whole: Map<String, Value>, files: &[RepoFile], made: &mut Made) -> Map<String, Value> {
    let Some(Value::Object(mut environments)) = whole.remove("env") else { return whole };
    let package = package::read(files);
    let Some(name) = package::environment(&package) else { return whole };
    let Some(Value::Object(own)) = environments.remove(&name) else { return whole };
    made.warnings.push(format!("it is set up as its author deploys it: in the environment `{name}`"));
    whole.retain(|key, _| !NOT_INHERITED.contains(&key.as_str()));
    // Where it is reached, and how it is called, is the owner's here.
    whole.extend(own.into_iter().filter(|(key, _)| key != "name"));
    whole
}

struct Reader<'a> {
    config: &'a RepoFile,
    whole: &'a Map<String, Value>,
    files: &'a [RepoFile],
}

impl Reader<'_> {
    fn get(&self, key: &str) -> &Value {
        self.whole.get(key).unwrap_or(&Value::Null)
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &Value> {
        self.get(key).as_array().into_iter().flatten()
    }

    fn wrong<T>(&self, what: &str) -> Result<T, Refusal> {
        Err(Refusal(format!("`{}`: {what}", self.config.path)))
    }

    fn has(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
    }

    fn has_folder(&self, folder: &str) -> bool {
        self.files.iter().any(|file| file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    }

    fn about(&self, made: &mut Made) {
        let name: String = self
            .get("name")
            .as_str()
            .unwrap_or_default()
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
            .take(63)
            .collect();
        let name = name.trim_matches('-');
        if !name.is_empty() {
            made.manifest.insert("name".into(), name.into());
        }
        if let Some(date) = self.get("compatibility_date").as_str() {
            made.manifest.insert("compatibilityDate".into(), date.into());
        }
        let package = package::read(self.files);
        for (key, chars) in [("version", 64), ("description", 500), ("license", 100)] {
            if let Some(text) = package[key].as_str() {
                let text: String =
                    text.chars().take(chars).map(|c| if c.is_control() { ' ' } else { c }).collect();
                made.manifest.insert(key.into(), text.into());
            }
        }
        if let Some(command) = self.get("build")["command"].as_str() {
            let command: String = command.chars().take(80).collect();
            // What it makes is not there, or it is: then it has been made before, or is not needed to bundle.
            made.warnings
                .push(format!("the author's own program `{command}` would be run to build it; it is not"));
        }
    }

    /// Where the main module is: said by the configuration, or by what older versions of Wrangler went by.
    fn main(&self) -> Option<String> {
        if let Some(main) = self.get("main").as_str() {
            return Some(relative(main).to_owned());
        }
        // Wrangler 1, modules.
        let upload = &self.get("build")["upload"];
        if let Some(main) = upload["main"].as_str() {
            let folder = relative(upload["dir"].as_str().unwrap_or("dist"));
            let main = relative(main);
            return Some(if folder.is_empty() { main.to_owned() } else { format!("{folder}/{main}") });
        }
        let package = package::read(self.files);
        // Named on the command line: `wrangler deploy src/index.ts`.
        let named =
            package::arguments_of(&package, "wrangler").map(relative).find(|path| self.is_script(path));
        if let Some(main) = named {
            return Some(main.to_owned());
        }
        // Wrangler 1, service workers.
        let old = self.get("type").is_string();
        let main = old
            .then(|| relative(package["main"].as_str().unwrap_or("index.js")))
            .filter(|path| self.is_script(path));
        main.map(str::to_owned)
    }

    fn is_script(&self, path: &str) -> bool {
        super::is_script(path) && self.has(path)
    }

    fn script(&self, made: &mut Made) -> Result<(), Refusal> {
        let Some(main) = self.main() else { return Ok(()) };
        let main = main.as_str();
        if !self.has(main) {
            let what = format!(
                "`main` is `{main}`, which is not in the repository; is it made by a build? Such are not run"
            );
            return self.wrong(&what);
        }
        let mut entry = Entry { main: main.to_owned(), ..Entry::default() };
        for rule in self.list("rules") {
            let globs = rule["globs"].as_array().into_iter().flatten();
            let globs = globs.filter_map(|glob| glob.as_str().map(str::to_owned));
            match rule["type"].as_str() {
                Some("Text") => entry.text.extend(globs),
                Some("Data" | "CompiledWasm") => entry.data.extend(globs),
                _ => {}
            }
        }
        let pairs = |key: &str| {
            let pairs = self.get(key).as_object().into_iter().flatten();
            pairs.filter_map(|(from, to)| Some((from.clone(), to.as_str()?.to_owned()))).collect::<Vec<_>>()
        };
        entry.alias = pairs("alias")
            .into_iter()
            .map(|(from, to)| match to.strip_prefix("./") {
                Some(path) => (from, format!("/app/{path}")),
                None => (from, to),
            })
            .collect();
        entry.define = pairs("define");
        made.entry = Some(entry);
        made.manifest.insert("main".into(), BUNDLE.into());
        Ok(())
    }

    fn assets(&self, made: &mut Made) -> Result<(), Refusal> {
        let assets = self.get("assets");
        let folder = assets["directory"].as_str().or_else(|| assets.as_str());
        let Some(folder) = folder.map(relative) else { return Ok(()) };
        if !self.has_folder(folder) && !folder.is_empty() {
            made.missing.push(format!(
                "a build by the author's own program, which makes the folder `{folder}` of its assets and is never run"
            ));
            return Ok(());
        }
        made.manifest.insert("assets".into(), if folder.is_empty() { "." } else { folder }.into());
        if assets["not_found_handling"] == "single-page-application" {
            made.manifest.insert("spa".into(), true.into());
        }
        if let Some(binding) = assets["binding"].as_str() {
            self.bind(made, binding, "assets")?;
        }
        let first: Vec<&str> = match &assets["run_worker_first"] {
            Value::Bool(true) => vec!["/*"],
            Value::Array(paths) => paths.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !first.is_empty() {
            made.manifest.insert("serverFirst".into(), first.into());
        }
        for file in ["_headers", "_redirects"] {
            if self.has(&if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }) {
                made.warnings.push(format!("`{file}` among the assets is not followed"));
            }
        }
        let usual = [None, Some("auto-trailing-slash")];
        if !usual.contains(&assets["html_handling"].as_str()) {
            made.warnings.push(format!("`html_handling` is not followed: {}", assets["html_handling"]));
        }
        Ok(())
    }

    fn bind(&self, made: &mut Made, name: &str, kind: &str) -> Result<(), Refusal> {
        let bindings = made.manifest.entry("bindings").or_insert_with(|| json!({}));
        let Some(bindings) = bindings.as_object_mut() else { return Ok(()) };
        if bindings.insert(name.to_owned(), kind.into()).is_some() {
            return self.wrong(&format!("two bindings are named `{name}`"));
        }
        Ok(())
    }

    fn variables(&self, made: &mut Made) {
        let mut env = Vec::new();
        for (name, value) in self.get("vars").as_object().into_iter().flatten() {
            env.push(match value {
                Value::String(text) => json!({ "name": name, "default": text }),
                other => json!({ "name": name, "default": other.to_string(), "json": true }),
            });
        }
        if !env.is_empty() {
            made.manifest.insert("env".into(), env.into());
        }
    }

    fn storage(&self, made: &mut Made) -> Result<(), Refusal> {
        for (key, kind) in [("kv_namespaces", "kv"), ("r2_buckets", "r2"), ("d1_databases", "d1")] {
            for one in self.list(key) {
                let Some(binding) = one["binding"].as_str() else {
                    return self.wrong(&format!("one of `{key}` has no `binding`"));
                };
                self.bind(made, binding, kind)?;
                permit(made, "spaces");
                if kind == "d1" {
                    permit(made, "sql");
                    self.migrations(made, binding, one["migrations_dir"].as_str())?;
                }
            }
        }
        Ok(())
    }

    /// What sends; what takes the messages is a handler of the script.
    fn queues(&self, made: &mut Made) -> Result<(), Refusal> {
        for producer in self.get("queues")["producers"].as_array().into_iter().flatten() {
            let Some(binding) = producer["binding"].as_str() else {
                return self.wrong("one of `queues.producers` has no `binding`");
            };
            self.bind(made, binding, "queue")?;
            permit(made, "schedule");
        }
        Ok(())
    }

    /// The files of a database's folder that end in `.sql`, by name, as Wrangler runs them.
    fn migrations(&self, made: &mut Made, binding: &str, folder: Option<&str>) -> Result<(), Refusal> {
        let named = folder.is_some();
        let folder = relative(folder.unwrap_or("migrations"));
        let below = |file: &&RepoFile| {
            let rest = file.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|name| name.ends_with(".sql") && !name.contains('/'))
        };
        let files: Vec<String> = self.files.iter().filter(below).map(|file| file.path.clone()).collect();
        if files.is_empty() {
            if named {
                made.warnings.push(format!("there are no migrations in `{folder}`"));
            }
            return Ok(());
        }
        if files.len() > MIGRATIONS_MAX {
            return self.wrong(&format!("{} migrations; at most {MIGRATIONS_MAX}", files.len()));
        }
        made.migrations.push(Migrations { binding: binding.to_owned(), files });
        Ok(())
    }

    fn cron(&self, made: &mut Made) {
        let mut runs = Vec::new();
        let crons = self.get("triggers")["crons"].as_array().into_iter().flatten();
        for (at, written) in crons.filter_map(Value::as_str).enumerate() {
            match cron::translate(written) {
                Ok(schedule) => {
                    let mut run = json!({ "name": format!("cron-{}", at + 1), "schedule": schedule });
                    if schedule != written {
                        // Scripts tell their schedules apart by their text.
                        run["event"] = written.into();
                    }
                    runs.push(run);
                }
                Err(why) => made.missing.push(format!("the schedule `{written}`: {why}")),
            }
        }
        if !runs.is_empty() {
            made.manifest.insert("cron".into(), runs.into());
            permit(made, "schedule");
        }
    }
}

/// Asks for a permission.
fn permit(made: &mut Made, permission: &str) {
    made.manifest.entry("permissions").or_insert_with(|| json!({}))[permission] = true.into();
}

/// `./public/` is `public`; `.` is the top.
fn relative(path: &str) -> &str {
    let mut path = path.trim_end_matches('/');
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if path == "." { "" } else { path }
}
