//! A deploy: plan, contents, commit.
//!
//! ```text
//! plan ─▶ open ──put*──▶ open ──commit─▶ live (one transaction)
//!           └──abort, or nobody went on──▶ gone
//! ```
//! Contents wait in files below `apps/.deploys/`, which is emptied when the server starts: nothing of an
//! unfinished deploy survives it. A commit that fails changes nothing and may be tried again.

mod build;
mod compress;
mod stage;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use fazt_ipc::control::{Access, Answer, DeployPlan, DeployTicket, OriginInfo};
use fazt_ipc::ids::{AppId, VersionId};

use super::asset::{Encoding, Sha256};
use super::code::is_asset;
use super::error::FsError;
use super::install::Migration;
use super::manifest::Manifest;
use super::shared::{Shared, unix_ms};
use super::{media, path, timetable};
use crate::kernel::security::Permission;
use crate::kernel::storage::{Change, NewContent, NewFile, NewVersion, VersionRow};

/// Deploys that may be open at once.
const DEPLOYS_MAX: usize = 64;

/// Open deploys, by ticket.
#[derive(Default)]
pub(super) struct Deploys {
    pub(super) open: HashMap<String, Deploy>,
}

/// An open deploy.
#[derive(Debug, Clone)]
pub(super) struct Deploy {
    /// Name under which it was planned.
    pub(super) name: String,
    /// Every file, by path.
    pub(super) files: Arc<Vec<Planned>>,
    /// Contents that were missing, with their sizes.
    pub(super) wanted: HashMap<Sha256, u64>,
    /// Those that are here now.
    pub(super) got: BTreeSet<Sha256>,
    /// Where they are.
    pub(super) folder: PathBuf,
    /// When somebody last went on with it.
    pub(super) touched: Instant,
    /// It is being committed.
    pub(super) busy: bool,
    /// Where it came from; none: whoever deploys sent it.
    pub(super) source: Option<Arc<Source>>,
}

/// Where a deploy came from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Repository and commit.
    pub(super) origin: OriginInfo,
    /// It is to take the place of an older version.
    pub(super) update: bool,
    /// What the owner should know.
    pub(super) warnings: Vec<String>,
    /// SQL to be run before its code.
    pub(super) migrations: Vec<Migration>,
}

/// A file of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) path: String,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
}

/// Checks a plan's list.
pub(super) fn check(plan: DeployPlan) -> Result<Vec<Planned>, FsError> {
    path::check_all(plan.files.iter().map(|file| (file.path.as_str(), file.bytes)))?;
    let mut sizes: HashMap<Sha256, u64> = HashMap::new();
    let mut files = Vec::with_capacity(plan.files.len());
    for file in plan.files {
        let Some(sha256) = Sha256::parse(&file.sha256) else {
            return Err(FsError::BadDeploy(format!("`{}` has no SHA-256 of 64 lowercase digits", file.path)));
        };
        if *sizes.entry(sha256).or_insert(file.bytes) != file.bytes {
            return Err(FsError::BadDeploy(format!(
                "`{}` has the hash of a file of another size",
                file.path
            )));
        }
        files.push(Planned { path: file.path, sha256, bytes: file.bytes });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

impl Deploys {
    /// Opens a deploy for contents that `missing` names.
    pub(super) fn insert(
        &mut self,
        ticket: String,
        name: String,
        files: Vec<Planned>,
        missing: &[Sha256],
        folder: PathBuf,
    ) -> Result<DeployTicket, FsError> {
        if self.open.len() >= DEPLOYS_MAX {
            return Err(FsError::TooLarge(format!("{DEPLOYS_MAX} deploys are open; try again in a while")));
        }
        let sizes: HashMap<_, _> = files.iter().map(|file| (file.sha256, file.bytes)).collect();
        let wanted: HashMap<_, _> =
            missing.iter().filter_map(|sha256| Some((*sha256, *sizes.get(sha256)?))).collect();
        let mut list: Vec<_> = wanted.keys().copied().collect();
        list.sort_unstable();
        let deploy = Deploy {
            name,
            files: Arc::new(files),
            wanted,
            got: BTreeSet::new(),
            folder,
            touched: Instant::now(),
            busy: false,
            source: None,
        };
        self.open.insert(ticket.clone(), deploy);
        Ok(DeployTicket { id: ticket, missing: list.iter().map(ToString::to_string).collect() })
    }

    pub(super) fn get(&mut self, ticket: &str) -> Result<&mut Deploy, FsError> {
        let deploy = self.open.get_mut(ticket).ok_or_else(|| FsError::NoDeploy(shown(ticket)))?;
        if deploy.busy {
            return Err(FsError::Overtaken(format!("deploy `{}` is being committed", shown(ticket))));
        }
        deploy.touched = Instant::now();
        Ok(deploy)
    }
}

pub(super) use stage::receive;

fn shown(ticket: &str) -> String {
    ticket.chars().take(40).filter(|c| c.is_ascii_graphic()).collect()
}

/// Hash of all paths and contents: equal trees are equal versions.
fn tree(files: &[Planned]) -> Sha256 {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for file in files {
        hash.update((file.path.len() as u64).to_le_bytes());
        hash.update(file.path.as_bytes());
        hash.update(file.sha256.0);
    }
    Sha256(hash.finalize().into())
}

/// What becomes of what an app asks for.
pub(super) type Answers = Vec<(Permission, Answer)>;

/// Says so for a manifest, or refuses it.
type Decide<'a> = dyn Fn(&Manifest) -> Result<Answers, FsError> + Send + Sync + 'a;

/// What a commit came to.
pub(super) struct Outcome {
    pub(super) row: VersionRow,
    pub(super) unchanged: bool,
    pub(super) warnings: Vec<String>,
    pub(super) manifest: Manifest,
    /// What becomes of what it asks for.
    pub(super) answers: Answers,
}

/// Checks, builds and writes a version into an app's cartridge; `fresh`: it is made for it.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    app: AppId,
    fresh: bool,
    deploy: &Deploy,
    id: VersionId,
    decide: &Decide<'_>,
) -> Result<Outcome, FsError> {
    let missing = deploy.wanted.len() - deploy.got.len();
    if missing > 0 {
        return Err(FsError::BadDeploy(format!("{missing} contents were not sent")));
    }
    let reader = Contents { shared, app, fresh, deploy };
    reader.still_there().await?;
    let files = &*deploy.files;
    let mut manifest = reader.manifest().await?;
    let answers = decide(&manifest)?;
    manifest.complete(
        |path| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok(),
        |folder| files.iter().any(|file| is_asset(Some(folder), &file.path) && !folder.is_empty()),
    )?;
    let tree = tree(files);
    let origin = deploy.source.as_ref().and_then(|source| serde_json::to_string(&source.origin).ok());
    if !fresh {
        let active = shared.storage.read(app, |cartridge| cartridge.active()).await?;
        if let Some(row) = active.filter(|row| row.tree == tree && row.origin == origin) {
            return Ok(Outcome { row, unchanged: true, warnings: Vec::new(), manifest, answers });
        }
    }
    let built = build::build(&reader, &manifest).await?;
    let contents = prepare(&reader, &manifest).await?;
    let version = NewVersion {
        id,
        label: manifest.version.clone(),
        description: manifest.description.clone(),
        // Strangers' apps are for those whom the owner admits.
        access: manifest.access.or(origin.is_some().then_some(Access::Members)).map(access_text),
        origin,
        tree,
        created_unix_ms: unix_ms(),
        files: files
            .iter()
            .map(|file| NewFile {
                path: file.path.clone(),
                sha256: file.sha256,
                bytes: file.bytes,
                built: built.keys.get(&file.path).copied(),
            })
            .collect(),
    };
    let change = Change {
        version,
        contents,
        built: built.rows,
        keep: shared.options.versions_kept.max(1),
        keep_before: deploy.source.as_ref().is_some_and(|source| source.update),
        data: manifest.data(),
    };
    timetable::before(shared, app, Some(&manifest)).await?;
    let storage = Arc::clone(&shared.storage);
    let bytes_max = shared.options.cartridge_bytes_max;
    let row = shared
        .storage
        .long(move || {
            if fresh {
                storage.make_folder(app)?;
            }
            storage.change(app, fresh, |cartridge| {
                cartridge.bound(bytes_max)?;
                cartridge.commit(&change)
            })
        })
        .await?;
    Ok(Outcome { row, unchanged: false, warnings: built.warnings, manifest, answers })
}

pub(super) fn access_text(access: Access) -> String {
    match access {
        Access::Public => "public",
        Access::Members => "members",
        Access::Owner => "owner",
    }
    .into()
}

pub(super) fn access_of(text: &str) -> Option<Access> {
    [Access::Public, Access::Members, Access::Owner].into_iter().find(|access| access_text(*access) == text)
}

/// Contents to insert: those that were sent, and compressed forms of assets that have none yet.
async fn prepare(reader: &Contents<'_>, manifest: &Manifest) -> Result<Vec<NewContent>, FsError> {
    let deploy = reader.deploy;
    let assets = manifest.assets.as_deref();
    let squeezable: HashMap<Sha256, u64> = deploy
        .files
        .iter()
        .filter(|file| is_asset(assets, &file.path) && media::compressible(&file.path))
        .filter(|file| compress::worthwhile(file.bytes))
        .map(|file| (file.sha256, file.bytes))
        .collect();
    let mut todo: Vec<Sha256> = squeezable.keys().copied().collect();
    todo.sort_unstable();
    if !reader.fresh {
        let asked = todo.clone();
        todo = reader.shared.storage.read(reader.app, move |cartridge| cartridge.uncoded(&asked)).await?;
    }
    let total: u64 = todo.iter().filter_map(|sha256| squeezable.get(sha256)).sum();
    let mut contents: HashMap<Sha256, NewContent> = deploy
        .got
        .iter()
        .map(|sha256| {
            let bytes = Some(deploy.folder.join(sha256.to_string()));
            (*sha256, NewContent { sha256: *sha256, bytes, encodings: None })
        })
        .collect();
    // As many at a time as there are threads for it.
    for some in todo.chunks(2) {
        let coded = some.iter().map(|sha256| encode(reader, *sha256, total));
        for (sha256, encodings) in some.iter().zip(futures_util::future::try_join_all(coded).await?) {
            let fresh = NewContent { sha256: *sha256, bytes: None, encodings: None };
            contents.entry(*sha256).or_insert(fresh).encodings = Some(encodings);
        }
    }
    let mut contents: Vec<_> = contents.into_values().collect();
    contents.sort_by_key(|content| content.sha256);
    Ok(contents)
}

async fn encode(
    reader: &Contents<'_>,
    sha256: Sha256,
    total: u64,
) -> Result<Vec<(Encoding, PathBuf)>, FsError> {
    let bytes = reader.bytes(sha256).await?;
    let folder = reader.deploy.folder.clone();
    let work = move || compress::compress(&bytes, total, |encoding| form_path(&folder, sha256, encoding));
    reader.shared.storage.long(work).await
}

fn form_path(folder: &std::path::Path, sha256: Sha256, encoding: Encoding) -> PathBuf {
    folder.join(format!("{sha256}.{}", encoding.token().unwrap_or("raw")))
}

/// Contents of a deploy: sent just now, or in the cartridge.
struct Contents<'a> {
    shared: &'a Arc<Shared>,
    app: AppId,
    fresh: bool,
    deploy: &'a Deploy,
}

/// The manifest of an open deploy; `app`: the one that it goes to, if there is one.
pub(super) async fn manifest(
    shared: &Arc<Shared>,
    app: Option<AppId>,
    deploy: &Deploy,
) -> Result<Manifest, FsError> {
    // Nothing is read of an app that is not there.
    let (fresh, app) = (app.is_none(), app.unwrap_or_else(|| AppId::new(0, 0)));
    let reader = Contents { shared, app, fresh, deploy };
    let mut manifest = reader.manifest().await?;
    let files = &*deploy.files;
    manifest.complete(
        |path| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok(),
        |folder| files.iter().any(|file| is_asset(Some(folder), &file.path) && !folder.is_empty()),
    )?;
    Ok(manifest)
}

impl Contents<'_> {
    /// `app.json`, if there is one.
    async fn manifest(&self) -> Result<Manifest, FsError> {
        match self.deploy.files.iter().find(|file| file.path == "app.json") {
            Some(file) if file.bytes > fazt_ipc::limits::MANIFEST_BYTES_MAX as u64 => {
                let (bytes, max) = (file.bytes, fazt_ipc::limits::MANIFEST_BYTES_MAX);
                Err(FsError::TooLarge(format!("app.json has {bytes} bytes; at most {max}")))
            }
            Some(file) if self.fresh && !self.deploy.got.contains(&file.sha256) => {
                Err(FsError::BadDeploy("app.json was not sent yet".into()))
            }
            Some(file) => Manifest::parse_new(&self.whole(file).await?).map_err(FsError::Manifest),
            None => Ok(Manifest::default()),
        }
    }

    /// Between plan and commit another deploy may have pruned what this one counted on.
    async fn still_there(&self) -> Result<(), FsError> {
        let kept: Vec<_> = self
            .deploy
            .files
            .iter()
            .map(|file| file.sha256)
            .filter(|sha256| !self.deploy.got.contains(sha256))
            .collect();
        let missing = if self.fresh {
            kept
        } else {
            self.shared.storage.read(self.app, move |cartridge| cartridge.missing(&kept)).await?
        };
        if missing.is_empty() {
            return Ok(());
        }
        Err(FsError::Overtaken(format!(
            "the app changed since this deploy was planned: {} contents are gone",
            missing.len()
        )))
    }

    async fn whole(&self, file: &Planned) -> Result<Vec<u8>, FsError> {
        self.bytes(file.sha256).await
    }

    async fn bytes(&self, sha256: Sha256) -> Result<Vec<u8>, FsError> {
        if self.deploy.got.contains(&sha256) {
            let path = self.deploy.folder.join(sha256.to_string());
            return self.shared.storage.blocking(move || stage::read(&path)).await;
        }
        let found = self
            .shared
            .storage
            .read(self.app, move |cartridge| cartridge.content(sha256, Encoding::Identity, 0, usize::MAX))
            .await?;
        found.ok_or_else(|| FsError::NoFile(sha256.to_string()))
    }
}
