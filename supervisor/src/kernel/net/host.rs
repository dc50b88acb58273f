//! Which origin a request is for: exact host match, nothing else. The bytes are a stranger's.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, Uri, Version};

use crate::kernel::fs::Fs;
use crate::limits::HOST_BYTES_MAX;

/// Why the host of a request is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// HTTP/1.1 and later demand one.
    #[error("the request names no host")]
    Missing,
    /// Two of them: a proxy may have looked at the other one.
    #[error("the request names its host more than once")]
    Repeated,
    /// Target and header disagree.
    #[error("the request's target and its Host header name different hosts")]
    Mismatch,
    /// Not a host and port.
    #[error("the request's host is not a host name and port")]
    Malformed,
}

/// The host a request names: `host` in lower case without port, `authority` as sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// In lower case, without port and brackets kept.
    pub(crate) name: Cow<'a, str>,
    /// With its port, in lower case.
    pub(crate) authority: Cow<'a, str>,
}

/// Finds the one host of a request: the Host header, the `:authority`, or the target in absolute form; where
/// two of them are there they must agree.
///
/// # Errors
/// When there is none, more than one, or it is malformed.
pub(crate) fn host_of<'a>(
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Option<Host<'a>>, HostError> {
    let mut values = headers.get_all(HOST).iter();
    let header = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().map_err(|_| HostError::Malformed)?),
        (Some(_), Some(_)) => return Err(HostError::Repeated),
    };
    let target = uri.authority().map(http::uri::Authority::as_str);
    let named = match (header, target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => {
            return Err(HostError::Mismatch);
        }
        (Some(header), _) => header,
        (None, Some(target)) => target,
        (None, None) if version < Version::HTTP_11 => return Ok(None),
        (None, None) => return Err(HostError::Missing),
    };
    parse(named).map(Some)
}

/// Reads `host[:port]`.
fn parse(named: &str) -> Result<Host<'_>, HostError> {
    if named.is_empty() || named.len() > HOST_BYTES_MAX {
        return Err(HostError::Malformed);
    }
    let (name, port) = if named.starts_with('[') {
        let end = named.find(']').ok_or(HostError::Malformed)?;
        let (name, rest) = named.split_at(end + 1);
        if name[1..end].parse::<std::net::Ipv6Addr>().is_err() {
            return Err(HostError::Malformed);
        }
        (name, rest)
    } else {
        let end = named.find(':').unwrap_or(named.len());
        let (name, rest) = named.split_at(end);
        if name.is_empty() || !name.bytes().all(is_host_byte) {
            return Err(HostError::Malformed);
        }
        (name, rest)
    };
    match port.strip_prefix(':') {
        None if !port.is_empty() => return Err(HostError::Malformed),
        Some(port) if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() => {
            return Err(HostError::Malformed);
        }
        _ => {}
    }
    if named.bytes().any(|b| b.is_ascii_uppercase()) {
        let authority = named.to_ascii_lowercase();
        let name = authority[..name.len()].to_owned();
        return Ok(Host { name: Cow::Owned(name), authority: Cow::Owned(authority) });
    }
    Ok(Host { name: Cow::Borrowed(name), authority: Cow::Borrowed(named) })
}

/// Letters, digits, hyphen, dot; underscore, which some resolvers allow.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// The origin that a host name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// `DOMAIN`: the OS.
    Os,
    /// `NAME.DOMAIN`: perhaps an app.
    App(&'a str),
    /// None of ours.
    Elsewhere,
}

/// Whether a host name in lower case is ours: the OS's, or that of an app that there is.
pub(crate) fn routes(name: &str, domain: &str, fs: &Fs) -> bool {
    match origin(name, domain) {
        Origin::Os => true,
        Origin::App(app) => fs.route(app).is_some(),
        Origin::Elsewhere => false,
    }
}

/// Matches a host name in lower case against the domain. Exactly: no trailing dot, no deeper name.
pub(crate) fn origin<'a>(name: &'a str, domain: &str) -> Origin<'a> {
    if name == domain {
        return Origin::Os;
    }
    match name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) {
        Some(app) if !app.is_empty() && !app.contains('.') => Origin::App(app),
        _ => Origin::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, hosts: &[&str], expect: Result<&str, HostError>) {
        let uri: Uri = target.parse().expect("target");
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, http::HeaderValue::from_bytes(host.as_bytes()).expect("value"));
        }
        let found = host_of(Version::HTTP_11, &uri, &headers)
            .map(|host| host.map(|host| format!("{}|{}", host.name, host.authority)).unwrap_or_default());
        assert_eq!(found.as_deref().map_err(|error| *error), expect, "{target} {hosts:?}");
    }

    #[test]
    fn the_host_is_named_once_and_agrees_with_the_target() {
        use HostError as E;
        check("/", &["notes.localhost:8080"], Ok("notes.localhost|notes.localhost:8080"));
        check("/", &["Notes.LocalHost"], Ok("notes.localhost|notes.localhost"));
        check("/", &["[::1]:8080"], Ok("[::1]|[::1]:8080"));
        check("/", &["a:"], Err(E::Malformed));
        check("http://a.localhost/", &["a.localhost"], Ok("a.localhost|a.localhost"));
        check("http://a.localhost/", &[], Ok("a.localhost|a.localhost"));
        check("http://a.localhost/", &["b.localhost"], Err(E::Mismatch));
        check("http://a.localhost:1/", &["a.localhost"], Err(E::Mismatch));
        check("/", &[], Err(E::Missing));
        check("/", &["a", "a"], Err(E::Repeated));
        for bad in [
            "", " ", "a b", "a/b", "u@a", "a:b", "a:1:2", "a:99999", "[::1", "[::1]x", "[zz]", "é", "a%2e",
            ":80", "a,b",
        ] {
            check("/", &[bad], Err(E::Malformed));
        }
        let long = "a".repeat(HOST_BYTES_MAX + 1);
        check("/", &[&long], Err(E::Malformed));
    }

    #[test]
    fn http_1_0_may_leave_the_host_out() {
        let uri: Uri = "/".parse().expect("target");
        assert_eq!(host_of(Version::HTTP_10, &uri, &HeaderMap::new()), Ok(None));
    }

    #[test]
    fn only_the_exact_host_is_an_origin() {
        for (name, expect) in [
            ("example.org", Origin::Os),
            ("notes.example.org", Origin::App("notes")),
            ("a.b.example.org", Origin::Elsewhere),
            (".example.org", Origin::Elsewhere),
            ("example.org.", Origin::Elsewhere),
            ("notes.example.org.", Origin::Elsewhere),
            ("notesexample.org", Origin::Elsewhere),
            ("example.com", Origin::Elsewhere),
            ("127.0.0.1", Origin::Elsewhere),
            ("[::1]", Origin::Elsewhere),
        ] {
            assert_eq!(origin(name, "example.org"), expect, "{name}");
        }
    }
}
