//! What deploying and installing need from locked processes. `proc` implements it; `fs` knows nothing of processes.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::error::FsError;
use super::path;
use super::release::Release;
use crate::build::limits::{PACKAGES_MAX, REPOSITORY_FILES_MAX};
use crate::build::{BUNDLE, Bundle, Refusal};
pub use crate::build::{
    Diagnostic, Inspect, Migrations, Package, Plan, RepoFile, Source, StripResult, Stripped, Unpack,
};

/// Turns scripts into what a worker loads, inside jails.
pub trait Builder: Send + Sync {
    /// Looks at every script of the job: strips types and JSX where its path says so (`.ts .mts .cts .tsx
    /// .jsx`), lists its imports.
    fn strip(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Vec<StripResult>, BuildError>>;

    /// Compiles scripts (already JavaScript) to bytecode with a worker in its `Compile` phase. Same order as
    /// the sources. A script that does not compile is a diagnostic, not an error of the whole.
    fn compile(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Compiled, BuildError>>;

    /// Hash of the engine and prelude of the workers that run now; none until a first worker was ready.
    fn engine(&self) -> Option<u64>;
}

/// Tries a version before anybody is led to it.
pub trait Trial: Send + Sync {
    /// Starts the release's server once, for nobody, and ends it again. An error says why it does not start; the
    /// app's log says where.
    fn start(&self, release: Arc<Release>) -> BoxFuture<'static, Result<(), String>>;
}

/// Turns what was fetched from elsewhere into the files of a deploy. Each call is one process in a jail, which is
/// killed at its end, at its deadline, and when the future is dropped; nothing of it stays.
pub trait Prepare: Send + Sync {
    /// Takes one commit out of a pack of Git, as [`super::origin`] asks for it, in the pieces in which it came. What
    /// comes out hashes to the commit. The whole pack has to be here: a process does not wait for a network.
    fn unpack(&self, job: Unpack, pack: Vec<Bytes>) -> BoxFuture<'static, Result<Unpacked, BuildError>>;

    /// Takes the files out of an archive, `.tar.gz` or `.zip`. Nothing says what should be in it.
    fn extract(&self, archive: Vec<Bytes>) -> BoxFuture<'static, Result<Vec<RepoFile>, BuildError>>;

    /// Says what the files of a repository are: the manifest to ask consent for, the packages to fetch, what is
    /// missing here. Runs nothing of it.
    fn inspect(
        &self,
        job: Inspect,
        files: Arc<Vec<RepoFile>>,
    ) -> BoxFuture<'static, Result<Plan, BuildError>>;

    /// Makes the files of a deploy: what is served, the manifest of the plan, and one script of all that the main
    /// module imports. `packages`: as they came, each checked by [`Package::matches`], in the order of the plan.
    fn bundle(
        &self,
        plan: Arc<Plan>,
        files: Arc<Vec<RepoFile>>,
        packages: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Bundled, BuildError>>;
}

/// The files of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundled {
    /// By path.
    pub files: Vec<RepoFile>,
    /// What the author should know.
    pub warnings: Vec<String>,
}

/// Characters of one line of a plan.
const LINE_BYTES_MAX: usize = 400;
/// Lines of each kind in a plan.
const LINES_MAX: usize = 50;

/// Checks what a jail says is to become of a repository: it names only what was asked for, its texts can be shown.
///
/// # Errors
/// When the jail does not keep to what it was asked.
pub(in crate::kernel) fn checked_plan(
    mut plan: Plan,
    job: &Inspect,
    files: &[RepoFile],
) -> Result<Plan, BuildError> {
    let died = |what: &str| Err(BuildError::Died(format!("it answered with {what}")));
    let has = |path: &str| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    for lines in [&mut plan.missing, &mut plan.warnings] {
        lines.truncate(LINES_MAX);
        for line in lines {
            *line = Refusal(std::mem::take(line)).shown();
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        }
    }
    if !plan.made_from.is_empty() && !has(&plan.made_from) {
        return died("a file that there is not");
    }
    if plan.migrations.iter().flat_map(|one| &one.files).any(|path| !has(path)) {
        return died("a migration that there is not");
    }
    if !plan.made_from.is_empty()
        && let Ok(mut manifest) = serde_json::from_str::<serde_json::Value>(&plan.manifest)
        // A worker may be called as it likes where it comes from. Here the owner names it.
        && manifest["name"].as_str().is_some_and(|name| super::name::check(name).is_err())
        && let Some(manifest) = manifest.as_object_mut()
    {
        manifest.remove("name");
        plan.manifest = serde_json::to_string_pretty(manifest).unwrap_or_default();
    }
    let mut places = HashSet::new();
    let fine = plan.packages.len() <= PACKAGES_MAX
        && plan.links.len() <= REPOSITORY_FILES_MAX
        && plan.packages.iter().all(|package| {
            let below = package.url.strip_prefix(&job.registry).and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|below| {
                below.bytes().all(|byte| byte.is_ascii_graphic()) && !below.contains("..")
            }) && package.hash().is_some()
                && path::check(&package.path).is_ok()
                && places.insert(package.path.clone())
        });
    if !fine {
        return died("packages that cannot be");
    }
    for package in &mut plan.packages {
        for text in [&mut package.name, &mut package.version] {
            *text = Refusal(std::mem::take(text)).shown();
        }
    }
    Ok(plan)
}

/// Folder of the assets of an app that serves all of its repository beside a script.
const ALL_SERVED: &str = "public";

/// The files of a deploy of which nothing is bundled: as they are, with the manifest of the plan. Of a repository that
/// has no manifest of its own and no script, only what is served.
///
/// # Errors
/// When they are not what may be deployed.
pub fn unbundled(plan: &Plan, files: &[RepoFile]) -> Result<Vec<RepoFile>, BuildError> {
    if plan.made_from.is_empty() {
        return checked(files.to_vec());
    }
    let manifest: serde_json::Value = serde_json::from_str(&plan.manifest).unwrap_or_default();
    let assets = manifest["assets"].as_str().map(super::manifest::relative).unwrap_or("public");
    let served = files.iter().filter(|file| {
        let below = file.path.strip_prefix(assets).is_some_and(|rest| rest.starts_with('/'));
        (below || assets.is_empty()) && file.path != "app.json"
    });
    let mut deploy: Vec<RepoFile> = served.cloned().collect();
    deploy.push(RepoFile { path: "app.json".into(), bytes: plan.manifest.clone().into_bytes() });
    deploy.sort_by(|a, b| a.path.cmp(&b.path));
    checked(deploy)
}

/// The files of a deploy: what is served and what the manifest names of a repository, and what was made of it.
///
/// # Errors
/// When they are not what may be deployed.
pub(in crate::kernel) fn bundled(
    plan: &Plan,
    files: &[RepoFile],
    bundle: Bundle,
) -> Result<Bundled, BuildError> {
    let mut manifest: serde_json::Value = serde_json::from_str(&plan.manifest).unwrap_or_default();
    let named = |manifest: &serde_json::Value, key: &str| {
        manifest[key].as_str().map(|path| super::manifest::relative(path).to_owned())
    };
    let is_wranglers = !plan.made_from.is_empty();
    // Whoever writes for Wrangler says which folder is served; for Fazt, `public` is.
    let assets = named(&manifest, "assets").or_else(|| (!is_wranglers).then(|| "public".to_owned()));
    let icon = named(&manifest, "icon").filter(|icon| !icon.is_empty());
    let made = [BUNDLE.to_owned(), format!("{BUNDLE}.map"), "app.json".to_owned()];
    let mut deploy: Vec<RepoFile> = if is_wranglers && assets.as_deref() == Some("") {
        // The whole repository is served. What was made of it is not.
        let served = files.iter().filter(|file| file.path.split('/').all(|name| name != "node_modules"));
        let below = |file: &RepoFile| RepoFile {
            path: format!("{ALL_SERVED}/{}", file.path),
            bytes: file.bytes.clone(),
        };
        manifest["assets"] = ALL_SERVED.into();
        served.map(below).collect()
    } else {
        let kept = files.iter().filter(|file| {
            let below = |assets: &String| {
                file.path.strip_prefix(assets.as_str()).is_some_and(|rest| rest.starts_with('/'))
            };
            let migration = plan.migrations.iter().any(|one| one.files.contains(&file.path));
            (assets.as_ref().is_some_and(below) || migration || icon.as_ref() == Some(&file.path))
                && !made.contains(&file.path)
        });
        kept.cloned().collect()
    };
    deploy.push(RepoFile { path: BUNDLE.into(), bytes: bundle.code.into_bytes() });
    if !bundle.map.is_empty() {
        deploy.push(RepoFile { path: format!("{BUNDLE}.map"), bytes: bundle.map.into_bytes() });
    }
    if !plan.manifest.is_empty() {
        let text = match assets.as_deref() {
            Some("") => serde_json::to_string_pretty(&manifest).unwrap_or_default(),
            _ => plan.manifest.clone(),
        };
        deploy.push(RepoFile { path: "app.json".into(), bytes: text.into_bytes() });
    }
    deploy.sort_by(|a, b| a.path.cmp(&b.path));
    let mut warnings = bundle.warnings;
    warnings.truncate(LINES_MAX);
    let warnings = warnings.into_iter().map(|line| Refusal(line).shown()).collect();
    Ok(Bundled { files: checked(deploy)?, warnings })
}

/// A repository at one commit. Paths are checked by the rules of a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The commit that was asked for.
    pub commit: String,
    /// Hash of its whole tree, 40 digits.
    pub tree: String,
    /// When it was made, as its author says.
    pub committed_unix_s: u64,
    /// Its files, or those below the folder that was asked for, by path.
    pub files: Vec<RepoFile>,
}

/// Checks what a jail says are files by the rules of a deploy: paths, twins, sizes.
///
/// # Errors
/// The first that is wrong, with its path.
pub fn checked(files: Vec<RepoFile>) -> Result<Vec<RepoFile>, BuildError> {
    let list: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.len() as u64)).collect();
    match path::check_all(list.into_iter()) {
        Ok(()) => Ok(files),
        Err(error @ (FsError::BadPath { .. } | FsError::TooLarge(_) | FsError::BadDeploy(_))) => {
            Err(BuildError::Refused(error.to_string()))
        }
        Err(error) => Err(BuildError::Died(error.to_string())),
    }
}

/// Bytecode of one engine build.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The engine that made it and can load it.
    pub engine: u64,
    /// In the order of the sources.
    pub modules: Vec<Result<Bytes, Diagnostic>>,
}

/// The jail failed, not the script; or all of its input is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// No locked process could be made.
    #[error("no build process: {0}")]
    Unavailable(String),
    /// The process died, overran its time or memory, or answered nonsense.
    #[error("the build process failed: {0}")]
    Died(String),
    /// What it was given is not taken. For whoever brought it, on one line.
    #[error("{0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<RepoFile> {
        let one =
            |(path, text): &(&str, &str)| RepoFile { path: (*path).into(), bytes: text.as_bytes().to_vec() };
        list.iter().map(one).collect()
    }

    fn paths(files: &[RepoFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    const REGISTRY: &str = "https://registry.example.org";

    fn package(path: &str, url: &str) -> Package {
        let integrity = format!("sha512-{}==", "A".repeat(86));
        Package { path: path.into(), name: "a".into(), version: "1".into(), url: url.into(), integrity }
    }

    #[test]
    fn a_plan_from_a_jail_names_only_what_it_was_asked_for() {
        let job = Inspect { registry: REGISTRY.into() };
        let repository = files(&[("wrangler.toml", "x")]);
        let good = Plan {
            manifest: "{\"name\": \"admin\", \"main\": \"server.js\"}".into(),
            made_from: "wrangler.toml".into(),
            missing: vec!["a\u{1b}[2J\u{202e}b\n".into()],
            packages: vec![package("node_modules/a", &format!("{REGISTRY}/a.tgz"))],
            ..Plan::default()
        };
        let plan = checked_plan(good.clone(), &job, &repository).expect("good");
        assert!(!plan.manifest.contains("admin"), "a name that no app can have: {}", plan.manifest);
        assert!(!plan.missing[0].contains(|c: char| c.is_control() || c == '\u{202e}'), "{:?}", plan.missing);
        let with = |package| Plan { packages: vec![package], ..good.clone() };
        for (why, plan) in [
            ("another registry", with(package("node_modules/a", "https://evil.example/a.tgz"))),
            ("above the registry", with(package("node_modules/a", &format!("{REGISTRY}/../a.tgz")))),
            ("a place that leads elsewhere", with(package("../a", &format!("{REGISTRY}/a.tgz")))),
            ("no hash", with(Package { integrity: String::new(), ..good.packages[0].clone() })),
            ("twice", Plan { packages: [&good.packages[..], &good.packages].concat(), ..good.clone() }),
            ("no such configuration", Plan { made_from: "gone.toml".into(), ..good.clone() }),
            (
                "no such migration",
                Plan {
                    migrations: vec![Migrations { binding: "DB".into(), files: vec!["x.sql".into()] }],
                    ..good.clone()
                },
            ),
        ] {
            assert!(checked_plan(plan, &job, &repository).is_err(), "{why}");
        }
    }

    #[test]
    fn a_deploy_holds_what_is_served_and_what_was_made_and_no_source() {
        let repository = files(&[
            ("app.json", "{}"),
            ("db/1.sql", "SELECT 1"),
            ("logo.svg", "x"),
            ("server.js", "old"),
            ("site/index.html", "x"),
            ("src/secret.ts", "x"),
        ]);
        let plan = Plan {
            manifest: "{\"main\": \"server.js\", \"assets\": \"./site/\", \"icon\": \"logo.svg\"}".into(),
            migrations: vec![Migrations { binding: "DB".into(), files: vec!["db/1.sql".into()] }],
            ..Plan::default()
        };
        let bundle = Bundle { code: "new".into(), map: "{}".into(), ..Bundle::default() };
        let deploy = bundled(&plan, &repository, bundle).expect("fine").files;
        let expect = ["app.json", "db/1.sql", "logo.svg", "server.js", "server.js.map", "site/index.html"];
        assert_eq!(paths(&deploy), expect);
        assert_eq!(deploy[3].bytes, b"new");
        assert_eq!(deploy[0].bytes, plan.manifest.as_bytes());
        let plan = Plan { made_from: "wrangler.toml".into(), ..plan };
        assert_eq!(paths(&unbundled(&plan, &repository).expect("fine")), ["app.json", "site/index.html"]);
        let plan = Plan { made_from: String::new(), ..plan };
        assert_eq!(unbundled(&plan, &repository).expect("fine"), repository);
    }
}
