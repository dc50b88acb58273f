//! Servers elsewhere under names of one's own, with the token for each: a file that nobody else can read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fazt_ipc::control::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::client::{Remote, Url};
use crate::error::{Context as _, Done, failed, invalid, problem};

/// Largest file that is read: a thousand servers.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Longest name.
const NAME_BYTES_MAX: usize = 63;

/// What is saved.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hosts {
    /// By name.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<String, Saved>,
}

/// A server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Its OS origin.
    pub(crate) url: String,
    /// `fazt_…`
    pub(crate) token: String,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether a server may be saved under this name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// `$XDG_CONFIG_HOME/fazt/hosts.json`, else below `~/.config`.
fn path() -> Done<PathBuf> {
    choose(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))
}

fn choose(config: Option<OsString>, home: Option<OsString>) -> Done<PathBuf> {
    let said = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = said(config).or_else(|| said(home).map(|home| home.join(".config")));
    folder.map(|folder| folder.join("fazt/hosts.json")).ok_or_else(|| {
        invalid("the file of saved servers is unknown: HOME is not set", "name the server with --host URL")
    })
}

impl Hosts {
    /// Reads the file; empty where there is none.
    pub(crate) fn load() -> Done<Self> {
        Self::read(&path()?)
    }

    fn read(path: &Path) -> Done<Self> {
        let reading = || format!("read {}", path.display());
        let meta = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            meta => meta.context(reading)?,
        };
        if meta.mode() & 0o077 != 0 {
            return Err(problem(
                ErrorKind::PermissionDenied,
                format!("{} holds tokens and others may read it", path.display()),
                format!("chmod 600 {}, and make new tokens if others are on this machine", path.display()),
            ));
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(failed(format!("{} is too large to be a list of servers", path.display())));
        }
        let text = std::fs::read_to_string(path).context(reading)?;
        serde_json::from_str(&text).map_err(|error| {
            problem(
                ErrorKind::Failed,
                format!("{} is not a list of servers: {error}", path.display()),
                "put it right or remove it",
            )
        })
    }

    /// Writes the file: whole or not at all.
    pub(crate) fn save(&self) -> Done {
        self.write(&path()?)
    }

    fn write(&self, path: &Path) -> Done {
        let writing = || format!("write {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).context(writing)?;
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| failed(format!("cannot write JSON: {error}")))?;
        text.push('\n');
        let making = path.with_extension(format!("json.{}", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&making)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&making, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&making);
        }
        written.context(writing)
    }
}

/// Which server is meant, from what was said on the command line and what the environment says. None: the one of
/// the data folder.
pub(crate) fn chosen(host: Option<&str>, token: Option<&str>, data: Option<&Path>) -> Done<Option<Remote>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named = match (host, data) {
        (Some(_), Some(_)) => {
            return Err(invalid("--host and --data name two servers", "leave one of them out"));
        }
        (Some(host), None) => host.to_owned(),
        // A data folder on the command line is nearer than a variable.
        (None, Some(_)) => return Ok(None),
        (None, None) => match variable("FAZT_HOST") {
            Some(host) => host,
            None if token.is_some() => {
                return Err(invalid("--token is for a server elsewhere", "name it with --host"));
            }
            None => return Ok(None),
        },
    };
    if named.contains("://") {
        let url = Url::parse(&named)?;
        let token = match token.map(ToOwned::to_owned).or_else(|| variable("FAZT_TOKEN")) {
            Some(token) => token,
            None => {
                let saved = Hosts::load()?
                    .hosts
                    .into_values()
                    .find(|saved| Url::parse(&saved.url).is_ok_and(|own| own == url));
                saved.map(|saved| saved.token).unwrap_or_default()
            }
        };
        return Ok(Some(Remote { url, token }));
    }
    let saved = Hosts::load()?.hosts.remove(&named).ok_or_else(|| {
        problem(
            ErrorKind::NotFound,
            format!("no server is saved as {named}"),
            "fazt host list shows those that are; fazt host add NAME URL saves one",
        )
    })?;
    // What the environment holds may be for another server: a name brings its own.
    let token = token.map_or(saved.token, ToOwned::to_owned);
    Ok(Some(Remote { url: Url::parse(&saved.url)?, token }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_saved_is_read_again_and_only_where_nobody_else_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/fazt/hosts.json");
        assert!(Hosts::read(&path).expect("nothing yet").hosts.is_empty());
        let mut hosts = Hosts::default();
        hosts
            .hosts
            .insert("home".into(), Saved { url: "https://example.org".into(), token: "fazt_x".into() });
        for _ in 0..2 {
            hosts.write(&path).expect("written");
        }
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("folder"))), (0o600, 0o700));
        assert_eq!(
            std::fs::read_dir(path.parent().expect("folder")).expect("read").count(),
            1,
            "nothing beside it"
        );
        assert_eq!(Hosts::read(&path).expect("read").hosts["home"].token, "fazt_x");
        assert!(!format!("{hosts:?}").contains("fazt_x"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opened");
        assert_eq!(Hosts::read(&path).expect_err("refused").code, ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_file_is_where_configuration_is() {
        let some = |text: &str| Some(OsString::from(text));
        for (config, home, expect) in [
            (some("/c"), some("/h"), Some("/c/fazt/hosts.json")),
            (some("relative"), some("/h"), Some("/h/.config/fazt/hosts.json")),
            (None, some("/h"), Some("/h/.config/fazt/hosts.json")),
            (None, None, None),
        ] {
            assert_eq!(choose(config, home).ok(), expect.map(PathBuf::from));
        }
    }
}
