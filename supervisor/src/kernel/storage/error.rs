//! Failures of databases, without naming the library behind them.

/// A database operation that was not done.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room on the disk.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The disk did not take a change.
    #[error("the disk failed to take a change of {path}: {detail}")]
    Disk {
        /// The file.
        path: String,
        /// What SQLite or the system says.
        detail: String,
    },
    /// The file is not what it should be.
    #[error("{path} is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: String,
        /// What SQLite says.
        detail: String,
    },
    /// The memory of all databases together is used up.
    #[error("no memory left for {0}")]
    Starved(String),
    /// Made by a newer Fazt.
    #[error("{path} has schema {found}; this program knows {known}")]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A unique key exists already.
    #[error("{0} exists already")]
    Taken(&'static str),
    /// A version would make data unusable that is there.
    #[error("{0}")]
    Refused(String),
    /// Anything else.
    #[error("{path}: {detail}")]
    Failed {
        /// The file.
        path: String,
        /// What SQLite or the system says.
        detail: String,
    },
}

impl StorageError {
    /// What the operator can do; may be empty.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Full(_) => "free some space; reading goes on, nothing was changed",
            Self::Disk { .. } => {
                "nothing was changed and reading goes on; look at the disk, and try again when it works"
            }
            Self::Corrupt { .. } => {
                "only this app is affected: restore its file from a backup, or remove the app and deploy again"
            }
            Self::Newer { .. } => "run the newer program, or restore a backup made before the upgrade",
            Self::Refused(_) => {
                "nothing was changed: keep the old type, use \"json\", or put the documents right first"
            }
            Self::Starved(_) => "try again when less is asked of the server's databases",
            Self::Taken(_) | Self::Failed { .. } => "",
        }
    }
}
