//! The global `fetch`: refused until the owner can grant hosts.

use fazt_ipc::syscall::{CallError, ErrorCode};

use super::{Answer, grant};
use crate::kernel::fs::Release;
use crate::kernel::security::Permission;

/// Longest host name that DNS allows.
const HOST_BYTES_MAX: usize = 253;

/// Answers a fetch of `url`.
pub(super) fn answer(release: &Release, url: &str) -> Result<Answer, CallError> {
    let Some(host) = host(url) else {
        return Err(CallError::new(ErrorCode::InvalidArgument, "fetch needs an absolute http or https URL"));
    };
    grant::need(release, &Permission::Net(host.to_owned()))?;
    Err(CallError::new(ErrorCode::Unavailable, "this server has no way out yet"))
}

/// Host of an absolute URL that the worker's URL parser has already normalised. Only for the message: nothing
/// connects to it.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    (!host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_has_no_host() {
        for url in ["", "x", "ftp://a/", "https://", "https://a b/", "http://\u{1b}[31m/", "https:///x"] {
            assert_eq!(host(url), None, "{url:?}");
        }
        assert_eq!(host("http://[::1]:80/"), Some("[::1]"));
    }
}
