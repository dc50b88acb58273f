//! What a repository is, before anything of it is built: its manifest, or one made from what it has instead; the
//! packages that it needs; what it needs that there is not. Inside the jail.

use fazt_ipc::limits::MANIFEST_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bundle::{self, BUNDLE, Entry};
use super::job::{Refusal, RepoFile};
use super::npm::{self, Package};
use super::{is_script, wrangler};

/// Main modules of an app that names none.
const MAINS: [&str; 6] = ["server.js", "server.ts", "server.mjs", "server.mts", "server.tsx", "server.jsx"];

/// How a repository is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspect {
    /// Where packages come from, such as `https://registry.example.org`, without a slash at its end.
    pub registry: String,
}

/// What is to become of a repository. It came out of a jail: texts may be the author's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Text of `app.json`; empty: the app has none, and needs none.
    pub manifest: String,
    /// What it was made from, such as `wrangler.toml`; empty: it is the author's.
    pub made_from: String,
    /// What the app needs that there is not, a line each. If there is any, it is not installed.
    pub missing: Vec<String>,
    /// Packages to be fetched before it can be bundled.
    pub packages: Vec<Package>,
    /// Folders of the repository that stand for packages: where, and which.
    pub links: Vec<(String, String)>,
    /// What is bundled; none: the files are deployed as they are, see `unbundled` of the kernel.
    pub entry: Option<Entry>,
    /// SQL to be run before the app is, in this order.
    pub migrations: Vec<Migrations>,
    /// What the owner should know.
    pub warnings: Vec<String>,
}

/// Migrations of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Migrations {
    /// Name of its binding.
    pub binding: String,
    /// Paths of files in the repository, in order.
    pub files: Vec<String>,
}

/// Looks at a repository; `files` by path.
///
/// # Errors
/// What is wrong with its configuration, scripts or lock file.
pub(super) fn inspect(job: &Inspect, files: Vec<RepoFile>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    let own = files.iter().find(|file| file.path == "app.json");
    let mut manifest = None;
    if let Some(own) = own {
        plan.manifest =
            String::from_utf8(own.bytes.clone()).map_err(|_| Refusal("`app.json` is not UTF-8".into()))?;
        // What is wrong with it is told by who knows its grammar; here it is only asked for its script.
        manifest = serde_json::from_str::<Value>(&plan.manifest).ok();
        let named = manifest.as_ref().and_then(|manifest| manifest["main"].as_str());
        let named = named.map(|main| main.trim_start_matches("./"));
        plan.entry = main(&files, named).map(|main| Entry { main, ..Entry::default() });
    } else if let Some(config) = wrangler::find(&files) {
        let made = wrangler::understand(config, &files)?;
        plan.manifest = serde_json::to_string_pretty(&made.manifest).unwrap_or_default();
        plan.made_from = config.path.clone();
        if plan.manifest.len() > MANIFEST_BYTES_MAX {
            let (from, bytes) = (&config.path, plan.manifest.len());
            return Err(Refusal(format!(
                "`{from}` comes to {bytes} bytes of app.json; at most {MANIFEST_BYTES_MAX}"
            )));
        }
        (plan.entry, plan.missing, plan.migrations) = (made.entry, made.missing, made.migrations);
        plan.warnings = made.warnings;
        if plan.entry.is_none() && !made.manifest.contains_key("assets") && plan.missing.is_empty() {
            return Err(Refusal(format!("`{}` names neither a script nor assets", config.path)));
        }
    } else {
        plan.entry = main(&files, None).map(|main| Entry { main, ..Entry::default() });
    }
    // Nothing is scanned, fetched or built for what cannot be installed.
    let Some(entry) = plan.entry.clone().filter(|_| plan.missing.is_empty()) else {
        plan.entry = None;
        return Ok(plan);
    };
    let package = files.iter().any(|file| file.path == "package.json");
    if plan.made_from.is_empty() && !package {
        plan.entry = None;
        return Ok(plan);
    }
    let names = bundle::scan(&entry, files.clone())?;
    if plan.made_from.is_empty() && names.is_empty() && !bundle::has_paths(&files) {
        // Nothing but its own files, named as they are: they are deployed so.
        plan.entry = None;
        return Ok(plan);
    }
    let needs = npm::needs(&files, &names, &job.registry)?;
    (plan.packages, plan.links) = (needs.packages, needs.links);
    if plan.made_from.is_empty() {
        let mut manifest = manifest.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        manifest["main"] = BUNDLE.into();
        plan.manifest = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    }
    Ok(plan)
}

/// Reads every text that is read of a repository, for fuzzers. Says whether one of them was understood.
pub(super) fn read_texts(files: &[RepoFile]) -> bool {
    let names = std::collections::BTreeSet::from(["a".to_owned()]);
    let made = wrangler::find(files).map(|config| wrangler::understand(config, files));
    let needs = npm::needs(files, &names, "https://registry.example.org");
    let text = |file: &RepoFile| String::from_utf8_lossy(&file.bytes).into_owned();
    let settings = files.iter().find(|file| file.path == "tsconfig.json").map(|file| {
        let paths = super::tsconfig::paths(&text(file), |_| Some(text(file)));
        super::tsconfig::settings(&file.path, &text(file)).is_ok() || paths.is_some()
    });
    made.is_some_and(|made| made.is_ok())
        || needs.is_ok_and(|needs| needs != npm::Needs::default())
        || settings == Some(true)
}

/// The main module of an app with a manifest of its own, or without any.
fn main(files: &[RepoFile], named: Option<&str>) -> Option<String> {
    let has = |path: &str| files.iter().any(|file| file.path == path);
    match named {
        Some(main) => (has(main) && is_script(main)).then(|| main.to_owned()),
        None => MAINS.iter().find(|main| has(main)).map(|main| (*main).to_owned()),
    }
}
