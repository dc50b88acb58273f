//! Fazt's own cookies. Over TLS their names begin with `__Host-`, so that no other host can plant one; on plain
//! HTTP at loopback a browser would refuse that, so the name is another. `cookies.rs` keeps all of them from
//! workers.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

use crate::kernel::security::Secret;

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jar {
    /// The session at this origin.
    Session,
    /// At an app's origin, while its browser is at the OS origin to sign in.
    State,
    /// Before there is a session: what forms are tied to.
    Form,
    /// Somebody has signed in with this browser before.
    Device,
}

impl Jar {
    const fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Self::Session, true) => "__Host-fazt-session",
            (Self::Session, false) => "fazt_session",
            (Self::State, true) => "__Host-fazt-state",
            (Self::State, false) => "fazt_state",
            (Self::Form, true) => "__Host-fazt-form",
            (Self::Form, false) => "fazt_form",
            (Self::Device, true) => "__Host-fazt-device",
            (Self::Device, false) => "fazt_device",
        }
    }
}

/// A request that carries the same cookie twice: somebody planted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Twice;

/// The secret in a cookie. What does not look like one of ours is none.
pub(super) fn read(headers: &HeaderMap, jar: Jar, https: bool) -> Result<Option<Secret>, Twice> {
    let name = jar.name(https).as_bytes();
    let mut found: Option<&[u8]> = None;
    for pair in headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|&b| b == b';')) {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
        if !pair[..at].trim_ascii().eq_ignore_ascii_case(name) {
            continue;
        }
        if found.replace(pair.get(at + 1..).unwrap_or_default()).is_some() {
            return Err(Twice);
        }
    }
    let text = found.and_then(|value| std::str::from_utf8(value.trim_ascii()).ok());
    Ok(text.and_then(Secret::read))
}

/// `Set-Cookie` for so many seconds; 0 takes the cookie away.
pub(super) fn set(jar: Jar, secret: Option<&Secret>, seconds: u64, https: bool) -> Option<HeaderValue> {
    let value = secret.map_or("", Secret::expose);
    let secure = if https { "; Secure" } else { "" };
    let name = jar.name(https);
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::Real;

    #[test]
    fn one_cookie_is_read_and_two_are_refused() {
        let secret = Secret::new(&Real);
        let one = secret.expose();
        let check = |values: &[&str], https, expect: Result<bool, Twice>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, value.parse().expect("value"));
            }
            let found = read(&headers, Jar::Session, https).map(|found| found.as_ref() == Some(&secret));
            assert_eq!(found, expect, "{values:?} {https}");
        };
        check(&[&format!("a=1; fazt_session={one}; b=2")], false, Ok(true));
        check(&[&format!("__Host-fazt-session={one}")], true, Ok(true));
        check(&[&format!("fazt_session={one}")], true, Ok(false));
        check(&[&format!("__Host-fazt-session={one}")], false, Ok(false));
        check(&[&format!("fazt_session={one}; fazt_session={one}")], false, Err(Twice));
        check(&[&format!("fazt_session={one}"), "FAZT_session=x"], false, Err(Twice));
        check(&[&format!("fazt_session={one}; fazt_session")], false, Err(Twice));
        check(&[&format!("fazt_session={one}x")], false, Ok(false));
        check(&["fazt_session="], false, Ok(false));
        check(&[], false, Ok(false));
    }

    #[test]
    fn a_cookie_is_for_one_host_and_no_script() {
        let secret = Secret::new(&Real);
        let text = |https| {
            let value = set(Jar::Session, Some(&secret), 60, https).expect("value");
            value.to_str().expect("text").replace(secret.expose(), "S")
        };
        assert_eq!(text(true), "__Host-fazt-session=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(text(false), "fazt_session=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=60");
    }
}
