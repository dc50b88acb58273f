//! `DATA/config.toml`: few fields, each with a default, a unit and a reason. What varies per app lives in
//! `app.json`; what changes at run time lives in the database. The file is root's or the owner's own: its
//! bytes are trusted, its typing errors are not.

mod explain;
mod net;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use explain::Explained;
pub use net::Net;

/// The configuration of one server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Addresses to serve on.
    pub listen: Vec<SocketAddr>,
    /// Host of the OS origin; apps are `NAME.DOMAIN`.
    pub domain: String,
    /// Encryption of what is served.
    pub tls: Tls,
    /// Proxies whose word about the client is taken.
    pub trusted_proxies: Vec<Net>,
    /// Bounds for clients and apps.
    pub limits: Limits,
    /// Workers.
    pub workers: Workers,
    /// Versions of one app that are kept for going back.
    pub keep_versions: usize,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What goes out.
    pub egress: Egress,
    /// Apps from elsewhere.
    pub install: Install,
}

/// Encryption of what is served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Where certificates come from.
    pub mode: TlsMode,
    /// Addresses to serve HTTPS on.
    pub listen: Vec<SocketAddr>,
    /// Of whom the authority tells when something is wrong; empty: of nobody.
    pub email: String,
    /// The authority: where its directory is (RFC 8555, section 7.1.1).
    pub directory: String,
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// There are none: nothing is encrypted here.
    Off,
    /// The server's own root signs them.
    SelfSigned,
    /// An authority that everybody trusts issues them.
    Auto,
}

impl TlsMode {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::SelfSigned => "self-signed",
            Self::Auto => "auto",
        }
    }
}

impl Tls {
    fn check(&self, domain: &str) -> Result<(), String> {
        // An address is no name either: authorities issue for names.
        let is_name = domain.contains('.') && domain.parse::<std::net::IpAddr>().is_err();
        if self.mode == TlsMode::Auto && !is_name {
            return Err(format!(
                "tls.mode = \"auto\" wants a domain that the Internet knows, and domain is `{domain}`: name yours, or take \
                 \"self-signed\""
            ));
        }
        let email = |text: &str| {
            text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        };
        if !self.email.is_empty()
            && (!email(&self.email) || self.email.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            return Err(format!(
                "tls.email `{}` is not an address such as me@example.org",
                self.email.escape_debug()
            ));
        }
        let directory = url::Url::parse(&self.directory).ok().filter(|url| url.scheme() == "https");
        if directory.is_none_or(|url| !url.has_host()) {
            return Err(format!("tls.directory `{}` is not an https URL", self.directory.escape_debug()));
        }
        Ok(())
    }
}

impl Default for Tls {
    fn default() -> Self {
        let port = 443;
        let listen = vec![
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)),
        ];
        Self {
            mode: TlsMode::Off,
            listen,
            email: String::new(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
        }
    }
}

/// Apps from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Install {
    /// Where packages of npm come from.
    pub registry: String,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Apps may reach this machine itself, without encryption, at any port.
    pub test_network: bool,
}

/// Bounds for clients and apps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Connections at once of one client address.
    pub connections_per_client: u32,
    /// Requests per second of one client address, on average.
    pub requests_per_s_per_client: u32,
    /// Requests in flight for one app.
    pub requests_per_app: u32,
    /// Loopback clients are bounded too.
    pub loopback: bool,
}

/// Workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// Locked workers kept warm.
    pub pool: usize,
    /// An idle worker goes after this time.
    pub idle_s: u64,
    /// Memory of all workers together; 0: 60 % of the machine's.
    pub memory_mib: u64,
}

/// The sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Layers that may be missing.
    pub allow_missing: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            domain: "localhost".into(),
            tls: Tls::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            workers: Workers::default(),
            keep_versions: 10,
            sandbox: Sandbox::default(),
            egress: Egress::default(),
            install: Install::default(),
        }
    }
}

impl Default for Install {
    fn default() -> Self {
        Self { registry: "https://registry.npmjs.org".into() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_client: 512,
            requests_per_s_per_client: 500,
            requests_per_app: 1_024,
            loopback: false,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self { pool: 2, idle_s: 30, memory_mib: 0 }
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
        /// Which file, with the line.
        path: String,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Name of the file in the data folder.
    pub(crate) const FILE: &str = "config.toml";

    /// The layers that this configuration lets be missing. They count only in a file of the user who starts the
    /// server: the folder is the supervisor's, and one that was broken could write them for the next start.
    ///
    /// # Errors
    /// When there are some and the file is not this user's alone to write.
    pub(crate) fn allowed_missing(self, data: &Path) -> Result<Vec<String>, ConfigError> {
        let names = self.sandbox.allow_missing;
        if !names.is_empty() {
            Self::is_own(data, "sandbox.allow_missing")?;
        }
        Ok(names)
    }

    /// Whether this configuration opens the test network. As with [`Self::allowed_missing`].
    ///
    /// # Errors
    /// When it does and the file is not this user's alone to write.
    pub(crate) fn test_network(&self, data: &Path) -> Result<bool, ConfigError> {
        if self.egress.test_network {
            Self::is_own(data, "egress.test_network")?;
        }
        Ok(self.egress.test_network)
    }

    /// Demands that the file is the user's alone to write: `field` loosens something.
    fn is_own(data: &Path, field: &str) -> Result<(), ConfigError> {
        let me = rustix::process::geteuid().as_raw();
        let path = data.join(Self::FILE);
        let own =
            |about: std::fs::Metadata| about.is_file() && about.uid() == me && about.mode() & 0o022 == 0;
        if std::fs::symlink_metadata(&path).is_ok_and(own) {
            return Ok(());
        }
        let path = path.display();
        Err(ConfigError::Wrong {
            path: path.to_string(),
            message: format!(
                "{field} counts only in a file that belongs to the user who starts the server and \
                 that nobody else may write: chown {me} {path} && chmod go-w {path}"
            ),
        })
    }

    /// Reads `DATA/config.toml`; without one, the defaults.
    ///
    /// # Errors
    /// When it cannot be read, holds an unknown key or a value out of its bounds.
    pub fn load(data: &Path) -> Result<Self, ConfigError> {
        let path = data.join(Self::FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|(line, message)| ConfigError::Wrong {
                path: format!("{}{line}", path.display()),
                message,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Read { path, error }),
        }
    }

    /// Reads the text of a file that is about to be written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|(line, message)| format!("config.toml{line}: {message}"))
    }

    /// Reads the text; the error is `:LINE` (or nothing) and what is wrong.
    fn parse(text: &str) -> Result<Self, (String, String)> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| format!(":{}", before.matches('\n').count() + 1));
            (line.unwrap_or_default(), error.message().replace('\n', " "))
        })?;
        config.check().map_err(|message| (String::new(), message))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if self.domain.len() > 190 || !self.domain.split('.').all(label) {
            return Err(format!(
                "domain `{}` is not a host name in lower case such as example.org",
                self.domain.escape_debug()
            ));
        }
        self.tls.check(&self.domain)?;
        let bounds = [
            ("listen", self.listen.len() as u64, 1, 16),
            ("tls.listen", self.tls.listen.len() as u64, 1, 16),
            ("keep_versions", self.keep_versions as u64, 1, 1_000),
            ("limits.connections", self.limits.connections.into(), 16, 1_000_000),
            ("limits.connections_per_client", self.limits.connections_per_client.into(), 1, 1_000_000),
            ("limits.requests_per_s_per_client", self.limits.requests_per_s_per_client.into(), 1, 1_000_000),
            ("limits.requests_per_app", self.limits.requests_per_app.into(), 1, 65_536),
            ("workers.pool", self.workers.pool as u64, 0, 64),
            ("workers.idle_s", self.workers.idle_s, 1, 86_400),
        ];
        for (field, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                let what = if field.ends_with("listen") { "has" } else { "is" };
                return Err(format!("{field} {what} {value}, but must be from {least} to {most}"));
            }
        }
        if self.workers.memory_mib != 0 && self.workers.memory_mib < 64 {
            return Err("workers.memory_mib must be 0 (60 % of the machine's memory) or at least 64".into());
        }
        Ok(())
    }

    /// Where HTTPS is served; nowhere when it is off.
    #[must_use]
    pub fn tls_listen(&self) -> &[SocketAddr] {
        if self.tls.mode == TlsMode::Off { &[] } else { &self.tls.listen }
    }

    /// Every address to serve on.
    fn addresses(&self) -> impl Iterator<Item = &SocketAddr> {
        self.listen.iter().chain(self.tls_listen())
    }

    /// Only this machine can reach the server.
    #[must_use]
    pub fn loopback_only(&self) -> bool {
        self.addresses().all(|address| address.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_lifted_only_by_a_file_that_nobody_else_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().expect("temporary folder");
        let path = data.path().join(Config::FILE);
        let lifted = || {
            let config = Config::load(data.path()).expect("config");
            config.allowed_missing(data.path()).map_err(|error| error.to_string())
        };
        std::fs::write(&path, "[sandbox]\nallow_missing = ['pressure']\n").expect("config.toml");
        for (mode, good) in [(0o600, true), (0o644, true), (0o664, false), (0o606, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
            assert_eq!(lifted().is_ok(), good, "{mode:o}: {:?}", lifted());
        }
        assert!(lifted().is_err_and(|text| text.contains("chmod go-w")));
        let elsewhere = data.path().join("elsewhere");
        std::fs::rename(&path, &elsewhere).expect("moved");
        std::os::unix::fs::symlink(&elsewhere, &path).expect("a link");
        assert!(lifted().is_err(), "a link is not the file");
        std::fs::remove_file(&path).expect("gone");
        std::fs::write(&path, "").expect("config.toml");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("mode");
        assert_eq!(lifted(), Ok(vec![]), "without a name the file may be anybody's");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse(""), Ok(Config::default()));
        assert!(Config::default().loopback_only());
    }

    #[test]
    fn fields_are_read() {
        let config = Config::parse(
            "listen = ['0.0.0.0:80', '[::]:80']\ndomain = 'example.org'\ntrusted_proxies = ['10.0.0.0/8', '::1']\n\
             keep_versions = 3\n[workers]\nidle_s = 5\n[sandbox]\nallow_missing = ['memory.cgroup']\n",
        )
        .expect("config");
        assert_eq!((config.listen.len(), config.workers.idle_s, config.keep_versions), (2, 5, 3));
        assert!(!config.loopback_only());
        assert!(config.trusted_proxies[0].contains([10, 1, 2, 3].into()));
        assert_eq!(config.workers.pool, Workers::default().pool);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, part) in [
            ("domain = 'a'\nlisten = 5\n", ":2", "invalid type"),
            ("\n\nlissten = []\n", ":3", "unknown field `lissten`"),
            ("[workers]\nidle = 1\n", ":2", "unknown field `idle`"),
            ("listen = ['localhost:80']\n", ":1", "invalid socket address"),
            ("trusted_proxies = ['10.0.0.0/40']\n", ":1", "10.0.0.0/40"),
            ("domain = 'Example.org'\n", "", "lower case"),
            ("listen = []\n", "", "listen has 0"),
            ("[workers]\nidle_s = 0\n", "", "workers.idle_s is 0"),
            ("x", ":1", ""),
        ] {
            let (found, message) = Config::parse(text).expect_err(text);
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
