//! What a person types to say where an app is.

use std::fmt;

use super::super::path;

/// Bytes of the whole.
const BYTES_MAX: usize = 1_024;
/// Bytes of a branch, tag or commit.
const REFERENCE_BYTES_MAX: usize = 200;
/// Names in the path of a repository: groups inside groups.
const SEGMENTS_MAX: usize = 20;
/// Hosts whose repositories are `owner/name` and nothing deeper.
const TWO_DEEP: [&str; 3] = ["github.com", "codeberg.org", "bitbucket.org"];

/// A repository, a place in its history, and a folder in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// `http` instead of `https`.
    plain: bool,
    /// Lower case, with the port if one was given.
    host: String,
    /// Without slashes around it and without `.git`.
    path: String,
    /// Branch, tag or commit; none: what the repository shows first.
    reference: Option<String>,
    /// Folder that is the app; empty: the top.
    folder: String,
}

/// Why a text names no place, and what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OriginError(String);

fn wrong<T>(why: impl Into<String>) -> Result<T, OriginError> {
    Err(OriginError(why.into()))
}

impl Origin {
    /// Reads `github.com/owner/repo`, `https://host/path[.git]`, each with `@branch|tag|commit` and `#folder`, or the
    /// address of a folder as the pages of GitHub, GitLab and Codeberg show it. `test`: plain `http`, `localhost` and
    /// addresses are taken too, as the setting for tests allows.
    ///
    /// # Errors
    /// What is wrong with it and what would be right.
    pub fn parse(text: &str, test: bool) -> Result<Self, OriginError> {
        if text.len() > BYTES_MAX {
            return wrong(format!("{} bytes; at most {BYTES_MAX}", text.len()));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong("there is a space or an invisible character in it");
        }
        if !text.is_ascii() {
            return wrong(
                "there are letters outside ASCII in it; write such a host as `xn--…`, and rename such a folder",
            );
        }
        let (rest, folder) = text.split_once('#').unwrap_or((text, ""));
        let (plain, rest) = scheme(rest, test)?;
        let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return wrong("there is a name or a token before the host; they do not belong into an address");
        }
        let host = host(authority, test)?;
        let (path, reference) = match rest.split_once('@') {
            Some((path, reference)) => (path, Some(reference.to_owned())),
            None => (rest, None),
        };
        if path.contains('?') {
            return wrong("there is a `?` in it; a repository's address has none");
        }
        let mut names: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let shown = page(&host, &mut names)?;
        let (reference, folder) = match (shown, reference, folder) {
            (None, reference, folder) => (reference, folder.to_owned()),
            (Some((shown, below)), None, "") => (Some(shown), below),
            (Some(_), _, _) => {
                return wrong(
                    "it names a branch or folder twice; give the repository, then `@branch` and `#folder`",
                );
            }
        };
        if let Some(last) = names.last_mut() {
            *last = last.strip_suffix(".git").unwrap_or(last);
        }
        segments(&host, &names)?;
        if let Some(reference) = &reference {
            check_reference(reference)?;
        }
        let folder = folder.trim_matches('/').to_owned();
        if !folder.is_empty()
            && let Err(error) = path::check(&folder)
        {
            return wrong(format!("the folder behind `#`: {error}"));
        }
        Ok(Self { plain, host, path: names.join("/"), reference, folder })
    }

    /// Address of the repository, as Git clients write it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.plain { "http" } else { "https" };
        format!("{scheme}://{}/{}.git", self.host, self.path)
    }

    /// Host, with the port if one was given.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Branch, tag or commit that was asked for.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The same place at another branch, tag or commit.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn at(mut self, reference: &str) -> Result<Self, OriginError> {
        check_reference(reference)?;
        self.reference = Some(reference.to_owned());
        Ok(self)
    }

    /// Folder that is the app; empty: the top.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The commit, where it was given with all its digits.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.reference().filter(|text| is_commit(text))
    }

    /// What an app from here may be called: the folder's or repository's name with what a name cannot have as hyphens.
    #[must_use]
    pub fn name(&self) -> String {
        let last = if self.folder.is_empty() { &self.path } else { &self.folder };
        let last = last.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let mut name = String::new();
        for c in last.chars().take(63) {
            match c {
                'a'..='z' | '0'..='9' => name.push(c),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
        }
        name.trim_end_matches('-').to_owned()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", if self.plain { "http://" } else { "" }, self.host, self.path)?;
        if let Some(reference) = &self.reference {
            write!(f, "@{reference}")?;
        }
        if self.folder.is_empty() { Ok(()) } else { write!(f, "#{}", self.folder) }
    }
}

/// Whether a text is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn scheme(text: &str, test: bool) -> Result<(bool, &str), OriginError> {
    if let Some(rest) = strip_ignoring_case(text, "https://") {
        return Ok((false, rest));
    }
    if let Some(rest) = strip_ignoring_case(text, "http://") {
        return if test {
            Ok((true, rest))
        } else {
            wrong(
                "`http://` shows everybody on the way what is fetched, and lets them change it; use `https://`",
            )
        };
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return wrong(format!("`{scheme}://` is not spoken; repositories are fetched over `https://`"));
    }
    // `git@host:owner/repo`, as `git clone` takes it over SSH.
    let authority = text.split('/').next().unwrap_or_default();
    if let Some((user, host)) = authority.split_once('@')
        && host.contains(':')
        && !user.contains(':')
    {
        let host = host.split(':').next().unwrap_or_default();
        return wrong(format!("that is an address for SSH, which is not spoken; write `https://{host}/…`"));
    }
    if text.starts_with(['/', '.']) {
        return wrong("that is a folder on this machine; deploy it with `fazt app deploy DIR`");
    }
    Ok((false, text))
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A name of labels, or in tests anything that a loopback server may be called.
fn host(authority: &str, test: bool) -> Result<String, OriginError> {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    };
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if let Some(port) = port
        && !(number(port) && port.parse::<u16>().is_ok())
    {
        return wrong(format!("`{port}` is no port"));
    }
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let name = name.strip_prefix("www.").filter(|bare| TWO_DEEP.contains(bare)).unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = name.len() <= 253 && name.split('.').all(label);
    // A last label that starts with a digit is an address, however it is written.
    let last = name.rsplit('.').next().unwrap_or_default();
    let public = name.contains('.') && !last.starts_with(|c: char| c.is_ascii_digit());
    let local = test && (name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok());
    if !labels || !(public || local) {
        return wrong(format!(
            "`{authority}` is no host with a name; an app is installed from a place such as `github.com/owner/repo`"
        ));
    }
    Ok(match port {
        None | Some("443") => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    })
}

/// The branch and folder that a page about them names; `names` becomes the repository.
fn page(host: &str, names: &mut Vec<&str>) -> Result<Option<(String, String)>, OriginError> {
    let (length, skipped) = match (host, &names[..]) {
        ("github.com", [_, _, "tree" | "commit", _, ..]) => (2, 1),
        ("codeberg.org", [_, _, "src", "branch" | "tag" | "commit", _, ..]) => (2, 2),
        ("github.com", [_, _, "blob" | "raw", ..]) => {
            return wrong("that is the address of a file; give the repository, or one of its folders");
        }
        (_, names) => match names.windows(2).position(|pair| pair == ["-", "tree"]) {
            Some(at) if names.len() > at + 2 => (at, 2),
            _ => return Ok(None),
        },
    };
    let rest = names.split_off(length);
    let reference = rest[skipped].to_owned();
    Ok(Some((reference, rest[skipped + 1..].join("/"))))
}

fn segments(host: &str, names: &[&str]) -> Result<(), OriginError> {
    let plain = |name: &&str| {
        !matches!(*name, "" | "." | "..")
            && name.len() <= 255
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~+".contains(&byte))
    };
    if names.len() > SEGMENTS_MAX || !names.iter().all(plain) {
        return wrong("there is no repository behind the host: write it as in `github.com/owner/repo`");
    }
    if TWO_DEEP.contains(&host) && names.len() != 2 {
        return wrong(format!(
            "a repository there is `{host}/owner/repo`; a folder in it goes behind a `#`, a branch behind an `@`"
        ));
    }
    Ok(())
}

/// The rules of Git for names of branches and tags.
fn check_reference(text: &str) -> Result<(), OriginError> {
    let fine = !text.is_empty()
        && text.len() <= REFERENCE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte))
        && !text.contains("..")
        && !text.contains("@{")
        && !text.starts_with('-')
        && !text.ends_with('.')
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
    if fine {
        Ok(())
    } else {
        let shown: String = text.chars().take(60).collect();
        wrong(format!("`{shown}` behind the `@` cannot be the name of a branch, tag or commit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood_in_every_way_in_which_people_write_them() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, url, reference, folder) in [
            ("github.com/a/b", "https://github.com/a/b.git", None, ""),
            ("https://github.com/a/b", "https://github.com/a/b.git", None, ""),
            ("https://github.com/a/b.git", "https://github.com/a/b.git", None, ""),
            ("HTTPS://WWW.GitHub.com:443/a/B/", "https://github.com/a/B.git", None, ""),
            ("github.com/a/b@v1.2.3", "https://github.com/a/b.git", Some("v1.2.3"), ""),
            (
                "github.com/a/b@feature/x#apps/one/",
                "https://github.com/a/b.git",
                Some("feature/x"),
                "apps/one",
            ),
            ("github.com/a/b#apps/one", "https://github.com/a/b.git", None, "apps/one"),
            ("github.com/a/b/tree/main/apps/one", "https://github.com/a/b.git", Some("main"), "apps/one"),
            ("https://github.com/a/b/commit/abc", "https://github.com/a/b.git", Some("abc"), ""),
            ("gitlab.com/g/h/i", "https://gitlab.com/g/h/i.git", None, ""),
            ("gitlab.com/g/h/i/-/tree/v1/sub", "https://gitlab.com/g/h/i.git", Some("v1"), "sub"),
            ("codeberg.org/a/b", "https://codeberg.org/a/b.git", None, ""),
            ("codeberg.org/a/b/src/branch/main/x", "https://codeberg.org/a/b.git", Some("main"), "x"),
            ("https://git.example.org:8443/x.git", "https://git.example.org:8443/x.git", None, ""),
            ("git.sr.ht/~me/thing", "https://git.sr.ht/~me/thing.git", None, ""),
        ] {
            let found = Origin::parse(text, false).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (found.url().as_str(), found.reference(), found.folder()),
                (url, reference, folder),
                "{text}"
            );
            // What is shown can be typed again.
            assert_eq!(Origin::parse(&found.to_string(), false), Ok(found), "{text}");
        }
        let pinned = Origin::parse(&format!("github.com/a/b@{commit}"), false).expect("fine");
        assert_eq!(pinned.commit(), Some(commit));
        assert_eq!(Origin::parse("github.com/a/b@0123456", false).expect("fine").commit(), None);
        assert_eq!(Origin::parse("github.com/a/My_App.js", false).expect("fine").name(), "my-app-js");
        assert_eq!(Origin::parse("github.com/a/b#apps/Chat", false).expect("fine").name(), "chat");
    }

    #[test]
    fn a_test_server_is_a_place_only_where_the_setting_says_so() {
        for text in ["http://127.0.0.1:8080/a.git", "http://localhost:1/a/b", "https://127.0.0.1/a"] {
            assert!(Origin::parse(text, true).is_ok(), "{text}");
            assert!(Origin::parse(text, false).is_err(), "{text}");
        }
        assert_eq!(
            Origin::parse("http://127.0.0.1:8080/a.git@main", true).expect("fine").to_string(),
            "http://127.0.0.1:8080/a@main"
        );
    }

    #[test]
    fn what_is_no_place_is_refused_and_says_what_would_be_right() {
        let long = format!("github.com/a/{}", "b".repeat(2000));
        for (text, says) in [
            ("", "host"),
            ("github.com", "repository"),
            ("github.com/a", "owner/repo"),
            ("github.com/a/b/c", "#"),
            ("github.com/a/b/blob/main/x.js", "file"),
            ("github.com/a/b/tree/main/x@v1", "twice"),
            ("http://github.com/a/b", "https://"),
            ("ssh://git@github.com/a/b", "ssh://"),
            ("git@github.com:a/b.git", "SSH"),
            ("file:///etc/passwd", "file://"),
            ("ext::sh -c id", "space"),
            ("/srv/app", "deploy"),
            ("./app", "deploy"),
            ("https://me:secret@github.com/a/b", "token"),
            ("https://github.com@evil.example/a/b", "token"),
            ("https://github.com/a/b?x=1", "`?`"),
            ("https://github.com/../b", "repository"),
            ("https://github.com//b", "repository"),
            ("https://github.com/a/%2e%2e", "repository"),
            ("https://github.com/a\\b/c", "repository"),
            ("https://0x7f.1/a/b", "host"),
            ("https://2130706433/a/b", "host"),
            ("https://127.1/a/b", "host"),
            ("https://[::1]/a/b", "port"),
            ("https://github.com:0/a/b", "port"),
            ("https://github.com:99999/a/b", "port"),
            ("https://gıthub.com/a/b", "ASCII"),
            ("https://-a.example/a/b", "host"),
            ("github.com/a/b@", "branch"),
            ("github.com/a/b@--upload-pack=x", "branch"),
            ("github.com/a/b@a..b", "branch"),
            ("github.com/a/b@a:b", "branch"),
            ("github.com/a/b@refs/heads/", "branch"),
            ("github.com/a/b#../..", "folder"),
            ("github.com/a/b#a//b", "folder"),
            ("github.com/a/b\n", "invisible"),
            (&long, "bytes"),
        ] {
            let error = Origin::parse(text, false).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
