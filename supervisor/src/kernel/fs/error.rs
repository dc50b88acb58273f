//! What can go wrong with apps and their files.

use fazt_ipc::control::{ErrorKind, Problem};

use super::builder::{BuildError, Diagnostic};
use crate::kernel::security::{NoPermission, Permission};
use crate::kernel::storage::StorageError;

/// An operation on apps or files that was not done.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// No app has this name or id.
    #[error("there is no app `{0}`")]
    NoApp(String),
    /// The app has no version yet.
    #[error("app `{0}` has no deployed version")]
    NoVersion(String),
    /// The app has no such version.
    #[error("app `{app}` has no version {number}")]
    UnknownVersion {
        /// Its name.
        app: String,
        /// The number asked for.
        number: u64,
    },
    /// There is nothing older to go back to.
    #[error("app `{0}` has no earlier version to go back to")]
    NothingEarlier(String),
    /// No such file or folder.
    #[error("no file or folder `{0}`")]
    NoFile(String),
    /// A file is meant and that is a folder.
    #[error("`{0}` is a folder")]
    Folder(String),
    /// Not a name for a variable.
    #[error("`{0}` cannot be the name of a variable")]
    BadVariable(String),
    /// A variable that is to be taken away has no value.
    #[error("no variable `{name}` is set for `{app}`")]
    NotSet {
        /// The app.
        app: String,
        /// The variable.
        name: String,
    },
    /// A variable of this name would not be seen.
    #[error("`{0}` is the name of a binding of the app, which stands in `env` in its place")]
    Binding(String),
    /// A sealed value does not open.
    #[error("the value of the variable `{0}` cannot be opened: it was sealed under another key")]
    Sealed(String),
    /// Not a name for an app.
    #[error("`{name}` cannot be the name of an app: {why}")]
    BadName {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// Another app has it.
    #[error("the name `{0}` is taken by another app")]
    NameTaken(String),
    /// That is its name already.
    #[error("the app is named `{0}` already")]
    SameName(String),
    /// A path that may not be in a deploy.
    #[error("`{path}` cannot be deployed: {why}")]
    BadPath {
        /// The path, with control characters escaped.
        path: String,
        /// Why not.
        why: String,
    },
    /// The manifest is refused.
    #[error("{0}")]
    Manifest(super::manifest::ManifestError),
    /// Scripts are refused.
    #[error("{}", join(.0))]
    Scripts(Vec<Diagnostic>),
    /// A bound was reached.
    #[error("{0}")]
    TooLarge(String),
    /// The deploy is unknown: never planned, finished, aborted or timed out.
    #[error("there is no open deploy `{0}`")]
    NoDeploy(String),
    /// The request does not fit the deploy.
    #[error("{0}")]
    BadDeploy(String),
    /// Somebody else's deploy was in the way.
    #[error("{0}")]
    Overtaken(String),
    /// A version asks for more than was ever answered, and nobody was asked.
    #[error("this version of `{app}` asks for more than the one that is live: {}", asks(permissions))]
    Waits {
        /// The app.
        app: String,
        /// What nobody answered yet.
        permissions: Vec<Permission>,
    },
    /// An update whose server does not start.
    #[error("version {number} of `{app}` does not start: {why}; version {before} stays live")]
    NoStart {
        /// The app.
        app: String,
        /// The version that was tried.
        number: u64,
        /// The one that is live.
        before: u64,
        /// Why not.
        why: String,
    },
    /// A permission that the app does not ask for.
    #[error("`{app}` does not ask for `{permission}`: {}", if asks.is_empty() { "it asks for nothing".into() } else { format!("it asks for {}", list(asks)) })]
    NotAsked {
        /// The app.
        app: String,
        /// What was to be granted.
        permission: Permission,
        /// What it asks for.
        asks: Vec<Permission>,
    },
    /// A permission that the app neither has nor asks for.
    #[error("`{app}` does not have `{permission}`")]
    NotGranted {
        /// The app.
        app: String,
        /// What was to be taken away.
        permission: Permission,
    },
    /// Not a permission.
    #[error(transparent)]
    NoPermission(#[from] NoPermission),
    /// Jails could not do the work.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// The database or disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Files beside the databases.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl FsError {
    /// For `map_err`: what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Storage(StorageError::Full(what.into()))
            }
            _ => Self::Io { what: what.into(), source },
        }
    }

    /// Kind for exit codes and HTTP statuses.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoApp(_)
            | Self::NoVersion(_)
            | Self::UnknownVersion { .. }
            | Self::NoFile(_)
            | Self::NotSet { .. }
            | Self::NotGranted { .. }
            | Self::NoDeploy(_) => ErrorKind::NotFound,
            Self::Waits { .. } => ErrorKind::PermissionDenied,
            Self::BadName { .. }
            | Self::BadVariable(_)
            | Self::BadPath { .. }
            | Self::Folder(_)
            | Self::Manifest(_)
            | Self::Scripts(_)
            | Self::NotAsked { .. }
            | Self::NoPermission(_)
            | Self::BadDeploy(_)
            | Self::Build(BuildError::Refused(_)) => ErrorKind::Invalid,
            Self::NameTaken(_)
            | Self::SameName(_)
            | Self::Binding(_)
            | Self::NothingEarlier(_)
            | Self::Overtaken(_) => ErrorKind::Conflict,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::Storage(StorageError::Refused(_)) => ErrorKind::Conflict,
            Self::Build(_) | Self::Storage(_) | Self::Io { .. } | Self::Sealed(_) | Self::NoStart { .. } => {
                ErrorKind::Failed
            }
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NoApp(_) => "`fazt app list` shows the apps that exist",
            Self::NoVersion(_) => "deploy it: `fazt app deploy DIR --name NAME`",
            Self::UnknownVersion { .. } | Self::NothingEarlier(_) => {
                "`fazt app versions NAME` shows what is kept"
            }
            Self::BadName { .. } => "use 1 to 63 lowercase letters, digits and hyphens, as in a host name",
            Self::BadVariable(_) => {
                "use 1 to 63 letters a to z, digits and underscores, beginning with a letter"
            }
            Self::Binding(_) => {
                "choose another name, or give the binding another one under `bindings` in app.json"
            }
            Self::NotSet { .. } => "`fazt app env APP` lists them",
            Self::Sealed(_) => "put DATA/keys/seal back as it was, or set the variable again",
            Self::NameTaken(_) => "choose another name, or remove or rename the app that has it",
            Self::SameName(_) => "nothing was changed; give another name",
            Self::NoFile(_) => "`fazt fs ls APP:PATH` shows what is there",
            Self::Folder(_) => "`fazt fs ls APP:PATH` lists it, `fazt fs get APP:PATH DIR` copies it",
            Self::BadPath { .. } => "rename it",
            Self::Waits { .. } => {
                "nothing has changed; deploy again with --yes, with --grant PERMISSION,… for some of it, or with --grant none"
            }
            Self::NotAsked { .. } | Self::NotGranted { .. } => "`fazt app grants APP` lists what it asks for",
            Self::NoStart { .. } => "`fazt proc logs APP` has the reason with file and line",
            Self::NoDeploy(_) | Self::Overtaken(_) => "run `fazt app deploy` again",
            Self::Build(BuildError::Refused(_)) => "",
            Self::Build(BuildError::Died(_)) => {
                "nothing has changed; a process ends so on files that are nested very deeply, or grow without end as they are built"
            }
            Self::Build(_) => "`fazt proc doctor` says which part of the sandbox is missing",
            Self::Storage(error) => error.hint(),
            _ => "",
        }
    }
}

impl From<FsError> for Problem {
    fn from(error: FsError) -> Self {
        Self { code: error.kind(), message: error.to_string(), hint: error.hint().into() }
    }
}

fn list(permissions: &[Permission]) -> String {
    permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn asks(permissions: &[Permission]) -> String {
    let ask = |permission: &Permission| format!("{permission} ({})", permission.means());
    permissions.iter().map(ask).collect::<Vec<_>>().join(", ")
}

fn join(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}
