//! From the files of a repository to those of a deploy: what it is, the packages that it needs, one script. All of it is
//! taken apart in jails; here packages are fetched, and compared with what the lock file says of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::control::InstallLine;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::builder::unbundled;
use super::super::outbound::{Cache, Caller, Fault, Outbound, Outgoing};
use super::super::{FsError, Inspect, Manifest, Migrations, Package, Plan, Prepare, RepoFile};
use super::{Failed, Migration, Told, migrate};
use crate::build::limits::{PACKAGE_BYTES_MAX, PACKAGES_BYTES_MAX};

/// Packages that come at once.
const FETCHES_MAX: usize = 6;
/// From the first byte of a question for a package to the last of its answer.
const WALL: Duration = Duration::from_secs(120);

/// What a repository has become.
pub(super) struct Built {
    pub(super) migrations: Vec<Migration>,
    pub(super) files: Vec<RepoFile>,
    /// What the owner should know.
    pub(super) warnings: Vec<String>,
}

/// Makes the files of a deploy.
pub(super) async fn build(
    prepare: &dyn Prepare,
    outbound: &dyn Outbound,
    registry: &str,
    files: Vec<RepoFile>,
    told: &Told,
) -> Result<Built, Failed> {
    // As its author wrote it. What is made of it later has each key once, and hides what was wrong.
    if let Some(own) = files.iter().find(|file| file.path == "app.json") {
        Manifest::parse_new(&own.bytes).map_err(FsError::Manifest)?;
    }
    let files = Arc::new(files);
    let job = Inspect { registry: registry.to_owned() };
    let plan = Arc::new(prepare.inspect(job, Arc::clone(&files)).await?);
    if !plan.missing.is_empty() {
        return Err(Failed::Needs(plan.missing.clone()));
    }
    let mut warnings = plan.warnings.clone();
    let migrations = migrations(&plan, &files);
    let files = if plan.entry.is_some() {
        let packages = packages(outbound, registry, &plan.packages, told).await?;
        told.say(InstallLine::Bundle);
        let bundled = prepare.bundle(Arc::clone(&plan), files, packages).await?;
        warnings.extend(bundled.warnings);
        bundled.files
    } else {
        unbundled(&plan, &files)?
    };
    Ok(Built { migrations, files, warnings })
}

/// The SQL of a plan, out of the repository.
fn migrations(plan: &Plan, files: &[RepoFile]) -> Vec<Migration> {
    let text = |path: &String| {
        let file = files.iter().find(|file| file.path == *path)?;
        Some((migrate::name(path), String::from_utf8_lossy(&file.bytes).into_owned()))
    };
    let one = |of: &Migrations| Migration {
        binding: of.binding.clone(),
        files: of.files.iter().filter_map(text).collect(),
    };
    plan.migrations.iter().map(one).collect()
}

/// Packages in the order of the plan, each as the lock file has it.
async fn packages(
    outbound: &dyn Outbound,
    registry: &str,
    packages: &[Package],
    told: &Told,
) -> Result<Vec<Bytes>, Failed> {
    let total = packages.len() as u64;
    let host = host(registry);
    let fetches = stream::iter(packages.to_vec()).map(move |package| one(outbound, host, package));
    let mut fetches = fetches.buffered(FETCHES_MAX);
    let (mut came, mut bytes) = (Vec::with_capacity(packages.len()), 0);
    if total > 0 {
        told.say(InstallLine::Packages { done: 0, total });
    }
    while let Some(package) = fetches.try_next().await? {
        bytes += package.len();
        if bytes > PACKAGES_BYTES_MAX {
            return Err(Failed::Packages(format!(
                "the packages have more than {} MiB together, packed",
                PACKAGES_BYTES_MAX >> 20
            )));
        }
        came.push(package);
        told.say(InstallLine::Packages { done: came.len() as u64, total });
    }
    Ok(came)
}

/// The host of `https://host[:port][/path]`.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit_once(':').map_or(authority, |(name, _)| name)
}

async fn one(outbound: &dyn Outbound, host: &str, package: Package) -> Result<Bytes, Failed> {
    let name = format!("{} {}", package.name, package.version);
    let mut outgoing = Outgoing::get(Caller::Kernel("install"), package.url.clone(), vec![host.to_owned()]);
    outgoing.cache = Cache::NoStore;
    outgoing.decode = false;
    outgoing.bytes_max = PACKAGE_BYTES_MAX as u64;
    outgoing.wall = WALL;
    let failed = |fault: Fault| Failed::Packages(format!("the package {name} did not come: {fault}"));
    let mut answer = outbound.fetch(outgoing, None).await.map_err(failed)?;
    if answer.head.status != 200 {
        let status = answer.head.status;
        return Err(Failed::Packages(format!("{host} answered with status {status} for the package {name}")));
    }
    let mut pieces = Vec::new();
    while let Some(bytes) = answer.body.next().await.map_err(failed)? {
        pieces.push(bytes);
    }
    if pieces.is_empty() || !package.matches(&pieces) {
        return Err(Failed::Packages(format!(
            "the package {name} is not the one of the lock file: its hash is another one"
        )));
    }
    Ok(pieces.concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_registry_has_no_port() {
        for (url, expect) in [
            ("https://registry.example.org", "registry.example.org"),
            ("https://registry.example.org/npm", "registry.example.org"),
            ("http://127.0.0.1:4873", "127.0.0.1"),
        ] {
            assert_eq!(host(url), expect);
        }
    }
}
