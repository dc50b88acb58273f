//! Header rules in both directions. A worker never sees a credential of Fazt's or a forged word about who the
//! client is; a client never sees a field from a worker that speaks for the connection, the site or Fazt.
//! Both sides' bytes are hostile. One pass over the names decides; most requests have nothing to remove.

use http::header::{AUTHORIZATION, CONNECTION, COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, StatusCode};

use super::cookies::{self, Kept};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// Passkeys belong to the OS origin alone: apps may neither make nor use one.
pub(crate) const NO_PASSKEYS: HeaderValue =
    HeaderValue::from_static("publickey-credentials-get=(), publickey-credentials-create=()");
/// Reserved for what the edge may one day tell a worker in fields.
const RESERVED: &str = "x-fazt-";

/// What happens to a request's field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Pass,
    Drop,
    Connection,
    Cookie,
    Authorization,
}

fn asked(name: &str) -> Asked {
    match name {
        // Of this connection, not of the request.
        "connection" => Asked::Connection,
        "keep-alive"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade"
        | "expect"
        | "http2-settings"
        | "proxy-authorization"
        | "proxy-authenticate" => Asked::Drop,
        // Who the client is, is for the edge to say.
        "forwarded"
        | "x-real-ip"
        | "cf-connecting-ip"
        | "true-client-ip"
        | "x-client-ip"
        | "x-cluster-client-ip"
        | "fastly-client-ip"
        | "x-request-id" => Asked::Drop,
        "cookie" => Asked::Cookie,
        "authorization" => Asked::Authorization,
        _ if name.starts_with("x-forwarded-") || name.starts_with(RESERVED) => Asked::Drop,
        _ => Asked::Pass,
    }
}

/// Makes a client's fields fit for a worker. The edge's own words about the client are set afterwards.
pub(crate) fn clean_request(headers: &mut HeaderMap) {
    let mut drop: Vec<HeaderName> = Vec::new();
    let (mut connection, mut cookie, mut authorization) = (false, false, false);
    for name in headers.keys() {
        match asked(name.as_str()) {
            Asked::Pass => {}
            Asked::Drop => drop.push(name.clone()),
            Asked::Connection => connection = true,
            Asked::Cookie => cookie = true,
            Asked::Authorization => authorization = true,
        }
    }
    if connection {
        drop.extend(named_by_connection(headers));
        drop.push(CONNECTION);
    }
    for name in drop {
        headers.remove(name);
    }
    if cookie {
        clean_cookies(headers);
    }
    if authorization && headers.get_all(AUTHORIZATION).iter().any(is_fazts_token) {
        headers.remove(AUTHORIZATION);
    }
}

/// Fields that `Connection` says are of this connection only. `Host` and the like cannot be named away.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| {
            !matches!(name.as_str(), "host" | "content-length" | "content-type" | "authorization" | "cookie")
        })
        .collect()
}

fn clean_cookies(headers: &mut HeaderMap) {
    let mut values = Vec::new();
    let mut changed = false;
    for value in headers.get_all(COOKIE) {
        match cookies::for_worker(value) {
            Kept::Whole => values.push(value.clone()),
            Kept::Part(value) => {
                values.push(value);
                changed = true;
            }
            Kept::Nothing => changed = true,
        }
    }
    if changed {
        headers.remove(COOKIE);
        for value in values {
            headers.append(COOKIE, value);
        }
    }
}

/// `Bearer fazt_…`: a token of Fazt's, which acts for its user and stops at the edge.
fn is_fazts_token(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii();
    let Some((scheme, token)) = value.split_at_checked(6) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer") && token.trim_ascii_start().starts_with(b"fazt_")
}

/// A field, or a part of one, that a worker's answer lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Its name.
    pub(crate) name: HeaderName,
    /// Why, for the app's author; none where there is nothing to correct: the edge writes the true value.
    pub(crate) why: Option<&'static str>,
}

const OF_CONNECTION: &str = "it belongs to the connection, which is the server's";
const OF_SERVER: &str = "it is for the server to say, or reaches beyond the one app";
const OF_FAZT: &str = "the name is reserved for the server";
const OF_PASSKEYS: &str = "it is malformed or speaks of passkeys, which belong to the server's own pages";
const TO_OS: &str = "it names the server's own origin, which takes no part in apps";
const OF_COOKIES: &str = "a cookie of that name is the server's, or it has no name at all";
const COOKIE_DOMAIN: &str = "`Domain` was left out of a cookie: it is for the app's own host alone";

/// What happens to a worker's field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Pass,
    Drop(Option<&'static str>),
    Cookie,
    Policy,
    AllowOrigin,
    Refresh,
}

fn answered(name: &str) -> Answered {
    match name {
        // Of the connection; the length is counted, not believed.
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade"
        | "host"
        | "http2-settings"
        | "proxy-authenticate"
        | "proxy-authorization" => Answered::Drop(Some(OF_CONNECTION)),
        // Counted or told by the edge, whatever the app says.
        "content-length" | "date" => Answered::Drop(None),
        // Of the server, or of every app on it: these reach beyond the one origin or the one answer.
        "server"
        | "alt-svc"
        | "strict-transport-security"
        | "clear-site-data"
        | "nel"
        | "report-to"
        | "reporting-endpoints"
        | "service-worker-allowed"
        | "public-key-pins"
        | "public-key-pins-report-only"
        | "expect-ct"
        | "set-cookie2"
        | "feature-policy"
        | "secure-session-registration"
        | "sec-session-registration"
        | "x-request-id" => Answered::Drop(Some(OF_SERVER)),
        "set-cookie" => Answered::Cookie,
        "permissions-policy" => Answered::Policy,
        "access-control-allow-origin" => Answered::AllowOrigin,
        "refresh" => Answered::Refresh,
        _ if name.starts_with(RESERVED) => Answered::Drop(Some(OF_FAZT)),
        _ => Answered::Pass,
    }
}

/// What the rules for answers need to know of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answering<'a> {
    /// The client came over https.
    pub(crate) https: bool,
    /// The host of the OS origin, in lower case, without port.
    pub(crate) domain: &'a str,
    /// The origin at which the client reached the app; the OS origin has its port.
    pub(crate) origin: &'a str,
}

/// Makes a worker's fields fit for a client and adds those that are the edge's. Returns what was dropped.
pub(crate) fn clean_response(headers: &mut HeaderMap, answering: Answering<'_>) -> Vec<Dropped> {
    let mut dropped: Vec<Dropped> = Vec::new();
    let mut cookie = false;
    for (name, value) in &*headers {
        let why = match answered(name.as_str()) {
            Answered::Pass => continue,
            Answered::Drop(why) => why,
            Answered::Cookie => {
                cookie = true;
                continue;
            }
            Answered::Policy if is_harmless_policy(value.as_bytes()) => continue,
            Answered::AllowOrigin | Answered::Refresh if !names_host(value.as_bytes(), answering.domain) => {
                continue;
            }
            Answered::AllowOrigin if is_beside(value, answering) => continue,
            Answered::Policy => Some(OF_PASSKEYS),
            Answered::AllowOrigin | Answered::Refresh => Some(TO_OS),
        };
        dropped.push(Dropped { name: name.clone(), why });
    }
    // A field that came twice goes once.
    dropped.retain(|dropped| headers.remove(&dropped.name).is_some());
    if cookie {
        clean_set_cookies(headers, answering.https, &mut dropped);
    }
    headers.append(PERMISSIONS_POLICY, NO_PASSKEYS);
    dropped
}

fn clean_set_cookies(headers: &mut HeaderMap, https: bool, dropped: &mut Vec<Dropped>) {
    let judged: Vec<(Kept, &HeaderValue)> =
        headers.get_all(SET_COOKIE).iter().map(|value| (cookies::from_worker(value, https), value)).collect();
    if judged.iter().all(|(kept, _)| *kept == Kept::Whole) {
        return;
    }
    let mut values = Vec::with_capacity(judged.len());
    for (kept, value) in judged {
        match kept {
            Kept::Whole => values.push(value.clone()),
            Kept::Part(part) => {
                // What it gained (`Secure`) is nobody's loss.
                if part.len() < value.len() {
                    dropped.push(Dropped { name: SET_COOKIE, why: Some(COOKIE_DOMAIN) });
                }
                values.push(part);
            }
            Kept::Nothing => dropped.push(Dropped { name: SET_COOKIE, why: Some(OF_COOKIES) }),
        }
    }
    headers.remove(SET_COOKIE);
    for value in values {
        headers.append(SET_COOKIE, value);
    }
}

/// Whether a value names the OS origin by its host: `//DOMAIN`, `//DOMAIN:…`, `//DOMAIN/…`. An app's own host
/// ends in the domain but has its name before it.
fn names_host(value: &[u8], domain: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let domain = domain.as_bytes();
    // Browsers read a backslash as a slash, and skip tabs and line breaks inside a URL.
    let value: Vec<u8> = value
        .into_iter()
        .filter(|b| !matches!(b, b'\t' | b'\n' | b'\r'))
        .map(|b| if b == b'\\' { b'/' } else { b })
        .collect();
    value.windows(domain.len()).enumerate().any(|(at, window)| {
        let before = value[..at].last();
        let after = value.get(at + domain.len());
        window == domain
            && matches!(before, None | Some(b'/' | b'@' | b' ' | b':' | b',' | b'=' | b'"' | b'\''))
            && !after.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !after.is_some_and(|&b| {
                b == b'.' && value.get(at + domain.len() + 1).is_some_and(u8::is_ascii_alphanumeric)
            })
    })
}

/// Whether a value is one plain origin on the OS origin's host but at another port: not the OS, but a program
/// beside it, such as a bundler's server that an author of an app develops with. The ports of the web itself
/// are always the OS's.
fn is_beside(value: &HeaderValue, answering: Answering<'_>) -> bool {
    let port = |authority: &str| authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let Ok(value) = value.to_str() else { return false };
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let named = rest.and_then(|rest| rest.strip_prefix(answering.domain)?.strip_prefix(':'));
    let digits = named.filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let Some(there) = digits.and_then(|port| port.parse::<u16>().ok()) else { return false };
    !matches!(there, 80 | 443) && port(answering.origin) != Some(there)
}

/// Whether an app's `Permissions-Policy` can stand beside ours: a plain dictionary that a browser reads as we
/// do and that says nothing of passkeys. A malformed one would make the browser ignore the whole field, ours
/// with it.
fn is_harmless_policy(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    value.split(',').map(|item| item.trim_matches([' ', '\t'])).all(|item| {
        let Some((feature, list)) = item.split_once('=') else { return false };
        let mut letters = feature.bytes();
        letters.next().is_some_and(|b| b.is_ascii_lowercase())
            && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !feature.starts_with("publickey-credentials")
            && is_allowlist(list)
    })
}

/// `*`, `self` or `(…)` of those and of quoted origins.
fn is_allowlist(list: &str) -> bool {
    let member = |member: &str| {
        matches!(member, "*" | "self" | "src")
            || member.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|origin| {
                origin
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',' | b'(' | b')'))
            })
    };
    match list.strip_prefix('(').map(|rest| rest.strip_suffix(')')) {
        Some(Some(inside)) => inside.split(' ').filter(|part| !part.is_empty()).all(member),
        Some(None) => false,
        None => matches!(list, "*" | "self"),
    }
}

/// Whether an answer of this status to this method may have a body at all.
pub(crate) fn has_body(method: &http::Method, status: StatusCode) -> bool {
    method != http::Method::HEAD
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
