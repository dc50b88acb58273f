//! Permissions: what an app may ask the owner for, and what holds of two of them. Their texts come from manifests
//! and command lines.

use std::fmt;
use std::str::FromStr;

use fazt_ipc::control::Risk;
use fazt_ipc::egress::reaches;

/// Longest text of a permission: `net:` and the longest host name, or two names of apps.
const BYTES_MAX: usize = 300;

/// Something that an app does not have by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// `fetch` reaches this host; with `*.` in front any host below it.
    Net(String),
    /// It runs without a request.
    Schedule,
    /// Push messages.
    Push,
    /// Raw SQL.
    Sql,
    /// The `app` space and named spaces.
    Spaces,
    /// What another app exports, as the same user.
    Apps {
        /// Name of the other app.
        app: String,
        /// Its data may be changed too.
        write: bool,
    },
}

/// A text that is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no permission; there are net:HOST, apps:NAME:read, apps:NAME:write, schedule, push, sql and spaces"
)]
pub struct NoPermission(String);

impl Permission {
    /// Whether whoever has this one has the other too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Net(pattern), Self::Net(host)) => reaches(std::slice::from_ref(pattern), host),
            (Self::Apps { app, write }, Self::Apps { app: other, write: more }) => {
                app == other && (*write || !more)
            }
            (this, other) => this == other,
        }
    }

    /// What an app may do with it, in words that need no manual.
    #[must_use]
    pub fn means(&self) -> String {
        match self {
            Self::Net(host) => match host.strip_prefix("*.") {
                Some(domain) => format!("exchange data with any server below {domain}"),
                None => format!("exchange data with {host}"),
            },
            Self::Schedule => "run by itself, at set times and in the background".into(),
            Self::Push => "send notifications to people's devices".into(),
            Self::Sql => "keep SQL databases of its own".into(),
            Self::Spaces => {
                "keep data that several people share, and all its users' data in one place".into()
            }
            Self::Apps { app, write: false } => format!("read what {app} shares, as the person who uses it"),
            Self::Apps { app, write: true } => {
                format!("read and change what {app} shares, as the person who uses it")
            }
        }
    }

    /// What it can cost when the app means harm.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        match self {
            Self::Net(_) | Self::Apps { .. } => Risk::High,
            Self::Push | Self::Spaces => Risk::Medium,
            Self::Schedule | Self::Sql => Risk::Low,
        }
    }

    /// How the manifest asks for it.
    #[must_use]
    pub fn manifest(&self) -> String {
        let inner = match self {
            Self::Net(host) => format!("\"net\": [\"{host}\"]"),
            Self::Apps { app, write } => {
                format!("\"apps\": {{ \"{app}\": \"{}\" }}", if *write { "write" } else { "read" })
            }
            flag => format!("\"{flag}\": true"),
        };
        format!("{{ \"permissions\": {{ {inner} }} }}")
    }

    /// What an app is told that lacks it: the permission, the key of the manifest, the command.
    #[must_use]
    pub fn lacking(&self, app: &str, asked: bool) -> String {
        let means = self.means();
        let grant = format!("the owner grants it: fazt app grant {app} {self}");
        let way = match asked {
            true => format!("In app.json it is asked for ({}); {grant}", self.manifest()),
            false => format!("Ask for it in app.json ({}), then {grant}", self.manifest()),
        };
        format!("`{app}` may not {means}: permission `{self}` is not granted. {way}")
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(host) => write!(f, "net:{host}"),
            Self::Schedule => f.write_str("schedule"),
            Self::Push => f.write_str("push"),
            Self::Sql => f.write_str("sql"),
            Self::Spaces => f.write_str("spaces"),
            Self::Apps { app, write } => write!(f, "apps:{app}:{}", if *write { "write" } else { "read" }),
        }
    }
}

impl FromStr for Permission {
    type Err = NoPermission;

    fn from_str(text: &str) -> Result<Self, NoPermission> {
        let plain = |text: &str, also: &str| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c);
            !text.is_empty() && text.chars().all(known)
        };
        let parsed = match text {
            _ if text.len() > BYTES_MAX => None,
            "schedule" => Some(Self::Schedule),
            "push" => Some(Self::Push),
            "sql" => Some(Self::Sql),
            "spaces" => Some(Self::Spaces),
            _ => match text.split_once(':') {
                Some(("net", host)) => {
                    let inner = host.strip_prefix("*.").unwrap_or(host);
                    plain(inner, ".-").then(|| Self::Net(host.into()))
                }
                Some(("apps", rest)) => match rest.rsplit_once(':') {
                    Some((app, level @ ("read" | "write"))) if plain(app, "-") => {
                        Some(Self::Apps { app: app.into(), write: level == "write" })
                    }
                    _ => None,
                },
                _ => None,
            },
        };
        // Nothing of it moves a terminal's cursor.
        parsed.ok_or_else(|| NoPermission(text.chars().take(60).flat_map(char::escape_default).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Permission {
        text.parse().expect(text)
    }

    #[test]
    fn texts_come_back_as_they_were_and_others_are_refused() {
        for text in [
            "net:a.b",
            "net:*.example.org",
            "schedule",
            "push",
            "sql",
            "spaces",
            "apps:drive:read",
            "apps:a-b:write",
        ] {
            assert_eq!(of(text).to_string(), text);
        }
        let long = format!("net:{}", "a".repeat(400));
        for text in [
            "",
            "net",
            "net:",
            "net:*.",
            "net:A.b",
            "net:a b",
            "net:a/b",
            "apps:drive",
            "apps::read",
            "apps:a:all",
            "all",
            "net:\u{1b}[31m",
            &long,
        ] {
            let refused = text.parse::<Permission>().expect_err(text).to_string();
            assert!(refused.contains("net:HOST") && !refused.contains('\u{1b}'), "{refused}");
        }
    }

    #[test]
    fn what_covers_what() {
        let check = |one: &str, other: &str, expect: bool| {
            assert_eq!(of(one).covers(&of(other)), expect, "{one} covers {other}");
        };
        check("net:a.org", "net:a.org", true);
        check("net:*.a.org", "net:b.a.org", true);
        check("net:*.a.org", "net:c.b.a.org", true);
        check("net:*.a.org", "net:*.b.a.org", true);
        check("net:*.a.org", "net:*.a.org", true);
        check("net:*.a.org", "net:a.org", false);
        check("net:*.a.org", "net:ba.org", false);
        check("net:*.b.a.org", "net:*.a.org", false);
        check("net:b.a.org", "net:*.a.org", false);
        check("apps:drive:write", "apps:drive:read", true);
        check("apps:drive:read", "apps:drive:write", false);
        check("apps:drive:read", "apps:drives:read", false);
        check("sql", "sql", true);
        check("sql", "spaces", false);
        check("net:*.a.org", "net:.a.org", false);
    }

    #[test]
    fn whoever_lacks_one_is_told_the_permission_the_key_and_the_command() {
        let text = of("net:api.github.com").lacking("notes", false);
        assert!(text.contains("`net:api.github.com`"), "{text}");
        assert!(text.contains("{ \"permissions\": { \"net\": [\"api.github.com\"] } }"), "{text}");
        assert!(text.contains("fazt app grant notes net:api.github.com"), "{text}");
        let text = of("sql").lacking("notes", true);
        assert!(
            text.contains("In app.json it is asked for ({ \"permissions\": { \"sql\": true } })"),
            "{text}"
        );
    }
}
