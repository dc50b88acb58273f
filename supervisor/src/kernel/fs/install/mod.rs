//! Apps from elsewhere: fetched from a Git server, unpacked in a jail, and left as an open deploy that waits for
//! consent. Dropping the future before that leaves nothing.
//!
//! ```text
//! origin ─▶ commit ─▶ pack ─▶ files ─▶ open deploy ─▶ review, consent, commit: as with any other
//!  typed    resolve   egress   jail      staged
//! ```
//! Every byte is hostile: of the server, of the repository, of the jail that unpacked it. The commit and its tree are
//! kept with the version; a tag that was installed once and names another commit now is refused.
//!
//! | task | file |
//! |---|---|
//! | questions to the Git server | `git.rs` |
//! | packages, and one script of all | `build.rs` |
//! | SQL that is run before its code | `migrate.rs` |
//! | one at a time | `turn.rs` |

mod build;
mod git;
mod migrate;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::control::{DeployPlan, ErrorKind, InstallLine, OriginInfo, PlanFile, Problem};
use fazt_ipc::ids::AppId;
use futures_util::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::deploy::Source;
use super::origin::{GitError, Origin, OriginError, Reference};
use super::outbound::{Fault, FaultKind, Outbound};
use super::{BuildError, Fs, FsError, Manifest, RepoFile, Unpack, lock, name};
use git::Git;
pub(super) use migrate::Migration;
pub(super) use turn::Turns;

/// Lines that wait for whoever watches; further ones of those that only show progress are left out.
pub const LINES_MAX: usize = 16;
/// From its turn until an app is staged. Each question and each step is bounded by itself; together they are longer than
/// others should wait.
const WALL: Duration = Duration::from_secs(10 * 60);
/// Longest token of a Git server.
const TOKEN_BYTES_MAX: usize = 512;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// No place.
    #[error("this is no place of an app: {0}")]
    Origin(#[from] OriginError),
    /// The server spoke nonsense, or said no.
    #[error("{0}")]
    Git(#[from] GitError),
    /// It was not reached.
    #[error("{0}")]
    Fault(Fault),
    /// It says that there is nothing, or nothing for us.
    #[error("{0} has no such repository, or shows it to its members only")]
    Missing(String),
    /// It does not take the token.
    #[error("{0} does not take this token for the repository")]
    Token(String),
    /// It failed.
    #[error("{0} answered with status {1}")]
    Status(String, u16),
    /// A tag names another commit than it did.
    #[error(
        "the tag {tag} of {url} has moved: it was {before} when it was installed and is {now} now. A tag that changes is \
         no name for a version"
    )]
    Moved {
        /// The tag.
        tag: String,
        /// Of which repository.
        url: String,
        /// The commit that it named.
        before: String,
        /// The commit that it names.
        now: String,
    },
    /// The name is another app's.
    #[error("there is an app named `{0}` already")]
    Exists(String),
    /// The app was deployed from a folder.
    #[error("`{0}` was not installed from elsewhere")]
    NoOrigin(String),
    /// A token that cannot be one.
    #[error(
        "this token cannot be one: it is longer than {TOKEN_BYTES_MAX} bytes, or holds a space or control character"
    )]
    BadToken,
    /// It needs what there is not.
    #[error("this app needs what Fazt does not have:\n{}", .0.join("\n"))]
    Needs(Vec<String>),
    /// Its packages.
    #[error("{0}")]
    Packages(String),
    /// There is no process for requests to elsewhere.
    #[error("this server has no way out")]
    NoWayOut,
    /// It took too long in all.
    #[error("it took more than {} minutes in all to fetch and build it", WALL.as_secs() / 60)]
    Late,
    /// Too many others wait already, or those before it take too long.
    #[error("{0}")]
    Busy(String),
    /// The jail, the disk, the files.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        Self::Fs(error.into())
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        let message = failed.to_string();
        let (code, hint) = match failed {
            Failed::Fs(error) => return error.into(),
            Failed::Origin(_) | Failed::BadToken => {
                (ErrorKind::Invalid, "write github.com/owner/repo, with @tag or #folder behind it if need be")
            }
            Failed::Git(GitError::NoReference(_) | GitError::Empty) => (ErrorKind::NotFound, ""),
            Failed::Git(GitError::TooLarge(_)) => (ErrorKind::TooLarge, ""),
            Failed::Git(_) | Failed::Status(..) | Failed::Late => (ErrorKind::Failed, "try again later"),
            Failed::Fault(fault) => match fault.kind {
                FaultKind::Invalid | FaultKind::Address | FaultKind::Host => (ErrorKind::Invalid, ""),
                _ => (ErrorKind::Failed, "try again later"),
            },
            Failed::Missing(_) => (
                ErrorKind::NotFound,
                "a private repository wants a token: --git-token-file FILE, or FAZT_GIT_TOKEN",
            ),
            Failed::Token(_) => {
                (ErrorKind::PermissionDenied, "it has to allow reading the repository's contents")
            }
            Failed::Moved { .. } => {
                (ErrorKind::Conflict, "ask its author why; to take it all the same, name the commit: @COMMIT")
            }
            Failed::Exists(_) => (
                ErrorKind::Conflict,
                "`fazt app update NAME` updates it; --name gives the new one another name",
            ),
            Failed::NoOrigin(_) => {
                (ErrorKind::Invalid, "`fazt app deploy DIR --name NAME` makes a new version of it")
            }
            Failed::Needs(_) => (ErrorKind::Invalid, "nothing was installed"),
            Failed::Packages(_) => (ErrorKind::Failed, ""),
            Failed::Busy(_) => (
                ErrorKind::RateLimited,
                "try again when the others are done; `fazt app list` shows what came",
            ),
            Failed::NoWayOut => (ErrorKind::Failed, "`fazt proc doctor` says more"),
        };
        Self { code, message, hint: hint.into() }
    }
}

/// What is to be fetched.
#[derive(Clone)]
pub enum Wanted {
    /// A new app.
    Install {
        /// As it was typed.
        source: String,
        /// Its name; none: as its manifest says, or the repository is called.
        name: Option<String>,
    },
    /// A new version of an app that came from elsewhere.
    Update {
        /// Its name.
        app: String,
        /// Another branch, tag or commit.
        reference: Option<String>,
    },
}

/// Whoever watches. Nobody has to.
pub struct Told(pub mpsc::Sender<InstallLine>);

impl Told {
    fn say(&self, line: InstallLine) {
        let _ = self.0.try_send(line);
    }
}

/// What the deploy is of, found out step by step.
struct Place {
    origin: Origin,
    /// The app that is there, when it is an update.
    app: Option<(AppId, String)>,
    /// What it runs.
    live: Option<OriginInfo>,
}

impl Fs {
    /// Fetches an app, or a new version of one, and leaves it as an open deploy; the last line says which.
    pub async fn fetch_app(
        self: Arc<Self>,
        wanted: Wanted,
        token: Option<String>,
        test: bool,
        told: Told,
    ) -> InstallLine {
        match self.fetch(wanted, token.as_deref(), test, &told).await {
            Ok(line) => line,
            Err(failed) => InstallLine::Failed { error: failed.into() },
        }
    }

    async fn fetch(
        self: &Arc<Self>,
        wanted: Wanted,
        token: Option<&str>,
        test: bool,
        told: &Told,
    ) -> Result<InstallLine, Failed> {
        let is_token =
            |token: &str| token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_some_and(|token| !is_token(token)) {
            return Err(Failed::BadToken);
        }
        let place = self.place(&wanted, test).await?;
        let outbound = self.outbound().ok_or(Failed::NoWayOut)?;
        // Until it is staged: before that it is in memory.
        let _turn = self.turns.take(told).await?;
        let fetched = self.fetch_in_turn(place, &wanted, token, &*outbound, told);
        tokio::time::timeout(WALL, fetched).await.unwrap_or(Err(Failed::Late))
    }

    async fn fetch_in_turn(
        self: &Arc<Self>,
        place: Place,
        wanted: &Wanted,
        token: Option<&str>,
        outbound: &dyn Outbound,
        told: &Told,
    ) -> Result<InstallLine, Failed> {
        told.say(InstallLine::Resolve { url: place.origin.url() });
        let mut git = Git::new(outbound, &place.origin, token);
        let reference = git.resolve().await?;
        if let Some((app, name)) = &place.app {
            if place.live.as_ref().is_some_and(|live| live.commit == reference.commit) {
                return Ok(InstallLine::Current { app: name.clone(), commit: reference.commit });
            }
            self.unmoved(*app, &place.origin, &reference).await?;
        }
        told.say(InstallLine::Fetch { commit: reference.commit.clone(), bytes: 0 });
        let pack = git.fetch(&reference, told).await?;
        told.say(InstallLine::Unpack);
        let job = Unpack { commit: reference.commit.clone(), folder: place.origin.folder().to_owned() };
        let prepare = self.shared.prepare.get().ok_or(Failed::NoWayOut)?;
        let unpacked = prepare.unpack(job, pack).await?;
        let origin = OriginInfo {
            source: place.origin.to_string(),
            url: place.origin.url(),
            reference: reference.name,
            folder: place.origin.folder().to_owned(),
            commit: unpacked.commit,
            tree: unpacked.tree,
            committed_unix_s: unpacked.committed_unix_s,
        };
        let built =
            build::build(&**prepare, outbound, &self.shared.options.registry, unpacked.files, told).await?;
        let name = match &place.app {
            Some((_, name)) => name.clone(),
            None => self.free_name(wanted, &place.origin, &built.files)?,
        };
        let source = Source {
            origin,
            update: place.app.is_some(),
            warnings: built.warnings,
            migrations: built.migrations,
        };
        let deploy = self.stage(&name, built.files, source).await?;
        Ok(InstallLine::Ready { deploy })
    }

    async fn place(&self, wanted: &Wanted, test: bool) -> Result<Place, Failed> {
        match wanted {
            Wanted::Install { source, name } => {
                let origin = Origin::parse(source, test)?;
                if let Some(name) = name {
                    name::check(name)?;
                    if self.route(name).is_some() {
                        return Err(Failed::Exists(name.clone()));
                    }
                }
                Ok(Place { origin, app: None, live: None })
            }
            Wanted::Update { app, reference } => {
                let release = self.release(self.row(app)?.id).await?;
                let live = release.origin().ok_or_else(|| Failed::NoOrigin(app.clone()))?;
                let mut origin = Origin::parse(&live.source, test)?;
                if let Some(reference) = reference {
                    origin = origin.at(reference)?;
                }
                Ok(Place { origin, app: Some((release.app, app.clone())), live: Some(live) })
            }
        }
    }

    /// Refuses a tag that was installed once and was another commit then.
    async fn unmoved(&self, app: AppId, origin: &Origin, reference: &Reference) -> Result<(), Failed> {
        if !reference.is_tag() {
            return Ok(());
        }
        let (url, tag) = (origin.url(), reference.name.clone());
        let asked = (url.clone(), tag.clone());
        let pinned = self.shared.storage.kernel(move |kernel| kernel.pinned(app, &asked.0, &asked.1)).await;
        match pinned.map_err(FsError::from)? {
            Some(before) if before != reference.commit => {
                Err(Failed::Moved { tag, url, before, now: reference.commit.clone() })
            }
            _ => Ok(()),
        }
    }

    /// What a new app is called.
    fn free_name(&self, wanted: &Wanted, origin: &Origin, files: &[RepoFile]) -> Result<String, Failed> {
        let told = match wanted {
            Wanted::Install { name, .. } => name.clone(),
            Wanted::Update { app, .. } => Some(app.clone()),
        };
        let own = || {
            let file = files.iter().find(|file| file.path == "app.json")?;
            // What is wrong with it is told when it is deployed.
            Manifest::parse(&file.bytes).ok()?.name
        };
        let name = told.or_else(own).unwrap_or_else(|| origin.name());
        name::check(&name)?;
        if self.route(&name).is_some() {
            return Err(Failed::Exists(name));
        }
        Ok(name)
    }

    /// Leaves files as an open deploy.
    async fn stage(
        self: &Arc<Self>,
        name: &str,
        files: Vec<RepoFile>,
        source: Source,
    ) -> Result<String, Failed> {
        let hash = |file: &RepoFile| super::Sha256(Sha256::digest(&file.bytes).into()).to_string();
        let plan = |file: &RepoFile| PlanFile {
            path: file.path.clone(),
            sha256: hash(file),
            bytes: file.bytes.len() as u64,
        };
        let plan = DeployPlan { files: files.iter().map(plan).collect() };
        let mut contents: std::collections::BTreeMap<String, Vec<u8>> = plan
            .files
            .iter()
            .map(|file| file.sha256.clone())
            .zip(files.into_iter().map(|file| file.bytes))
            .collect();
        let ticket = self.plan(name, plan).await?;
        let open = Open { fs: self, deploy: Some(ticket.id.clone()) };
        for sha256 in &ticket.missing {
            let bytes = contents.remove(sha256).unwrap_or_default();
            self.put(&ticket.id, sha256, stream::iter([Ok(Bytes::from(bytes))]).boxed()).await?;
        }
        lock(&self.deploys).get(&ticket.id)?.source = Some(Arc::new(source));
        open.keep();
        Ok(ticket.id)
    }
}

/// Throws a deploy away unless it was finished.
struct Open<'a> {
    fs: &'a Arc<Fs>,
    deploy: Option<String>,
}

impl Open<'_> {
    fn keep(mut self) {
        self.deploy = None;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(deploy) = self.deploy.take() {
            let fs = Arc::clone(self.fs);
            tokio::spawn(async move {
                let _ = fs.abort(&deploy).await;
            });
        }
    }
}
