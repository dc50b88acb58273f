//! Cookies in both directions: Fazt's own never reach a worker, and a worker never sets one that is Fazt's or
//! that another origin would see. Both sides' bytes are hostile.

use http::HeaderValue;

/// A cookie name that is Fazt's: browsers compare the `__Host-` prefix without case, so does this.
fn is_fazts(name: &[u8]) -> bool {
    let starts =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts(b"__Host-fazt") || starts(b"__Secure-fazt") || starts(b"fazt_")
}

/// What is left of a `Cookie` field for a worker. `None`: nothing. `Some(None)`: it is as it was.
pub(crate) fn for_worker(value: &HeaderValue) -> Kept {
    let bytes = value.as_bytes();
    let pairs = || bytes.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let ours = |pair: &[u8]| is_fazts(pair.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii());
    if !pairs().any(ours) {
        return Kept::Whole;
    }
    let mut left = Vec::with_capacity(bytes.len());
    for pair in pairs().filter(|pair| !pair.is_empty() && !ours(pair)) {
        if !left.is_empty() {
            left.extend_from_slice(b"; ");
        }
        left.extend_from_slice(pair);
    }
    match HeaderValue::from_maybe_shared(bytes::Bytes::from(left)) {
        Ok(value) if !value.is_empty() => Kept::Part(value),
        _ => Kept::Nothing,
    }
}

/// What may pass of a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Whole,
    /// This instead.
    Part(HeaderValue),
    /// Nothing.
    Nothing,
}

/// What may pass of a worker's `Set-Cookie`: without `Domain`, with `Secure` on https, under a name of its
/// own. Nothing of one without a name: browsers that read `=x=1` as a cookie `x` exist.
pub(crate) fn from_worker(value: &HeaderValue, https: bool) -> Kept {
    let bytes = value.as_bytes();
    let mut parts = bytes.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next().unwrap_or_default();
    let Some(at) = pair.iter().position(|&b| b == b'=') else { return Kept::Nothing };
    let name = pair[..at].trim_ascii();
    if name.is_empty() || is_fazts(name) || name.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return Kept::Nothing;
    }
    let key = |part: &[u8], is: &[u8]| {
        part.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(is)
    };
    let domain = parts.clone().any(|part| key(part, b"domain"));
    let secure = parts.clone().any(|part| key(part, b"secure"));
    if !domain && (secure || !https) {
        return Kept::Whole;
    }
    let mut kept = pair.to_vec();
    for part in parts.filter(|part| !part.is_empty() && !key(part, b"domain")) {
        kept.extend_from_slice(b"; ");
        kept.extend_from_slice(part);
    }
    if https && !secure {
        kept.extend_from_slice(b"; Secure");
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).map_or(Kept::Nothing, Kept::Part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kept: Kept, whole: &str) -> Option<String> {
        match kept {
            Kept::Whole => Some(whole.into()),
            Kept::Part(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            Kept::Nothing => None,
        }
    }

    #[test]
    fn a_worker_never_sees_a_cookie_of_fazts() {
        for (sent, expect) in [
            ("a=1; b=2", Some("a=1; b=2")),
            ("a=1; __Host-fazt=s; b=2", Some("a=1; b=2")),
            ("__host-FAZT-session=s", None),
            ("fazt_session=s; x=fazt_1", Some("x=fazt_1")),
            ("  fazt_session =s;a=1", Some("a=1")),
            ("__Secure-fazt=1;;", None),
            ("myfazt_=1", Some("myfazt_=1")),
        ] {
            let value = HeaderValue::from_str(sent).expect("value");
            assert_eq!(text(for_worker(&value), sent).as_deref(), expect, "{sent}");
        }
    }

    #[test]
    fn a_worker_sets_cookies_for_its_own_host_only() {
        for (sent, https, expect) in [
            ("a=1", false, Some("a=1")),
            ("a=1", true, Some("a=1; Secure")),
            ("a=1; secure", true, Some("a=1; secure")),
            ("a=1; Domain=example.org; Path=/", false, Some("a=1; Path=/")),
            ("a=1; DOMAIN = .example.org", true, Some("a=1; Secure")),
            ("a=1; domain", false, Some("a=1")),
            ("a=b=c; Path=/x; HttpOnly", false, Some("a=b=c; Path=/x; HttpOnly")),
            ("__Host-fazt=1; Secure; Path=/", true, None),
            ("__HOST-Fazt-session=1", true, None),
            ("__Secure-fazt=1", true, None),
            ("fazt_session=1", false, None),
            (" fazt_session =1", false, None),
            ("=__Host-fazt=1", true, None),
            ("novalue", true, None),
            ("", true, None),
            ("__Host-mine=1; Secure; Path=/", true, Some("__Host-mine=1; Secure; Path=/")),
        ] {
            let value = HeaderValue::from_str(sent).expect("value");
            assert_eq!(text(from_worker(&value, https), sent).as_deref(), expect, "{sent}");
        }
    }
}
