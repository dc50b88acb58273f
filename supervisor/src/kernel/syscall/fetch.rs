//! The global `fetch`: refused until the owner can grant hosts.

use fazt_ipc::syscall::{CallError, ErrorCode};

/// Longest host name that DNS allows.
const HOST_BYTES_MAX: usize = 253;

/// The refusal for `url`, with the permission and how it would be granted.
pub(super) fn refuse(app: &str, url: &str) -> CallError {
    let Some(host) = host(url) else {
        return CallError::new(ErrorCode::InvalidArgument, "fetch needs an absolute http or https URL");
    };
    let permission = format!("net:{host}");
    CallError {
        code: ErrorCode::PermissionDenied,
        message: format!(
            "`{app}` may not reach {host}: permission `{permission}` is not granted. Name the host in app.json \
             under permissions.net ({{ \"permissions\": {{ \"net\": [\"{host}\"] }} }}), then the owner grants \
             it: fazt app grant {app} {permission}"
        ),
        permission,
    }
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
    fn the_refusal_names_permission_manifest_key_and_command() {
        let error = refuse("notes", "https://user:pw@api.github.com:8443/x?y#z");
        assert_eq!(error.code, ErrorCode::PermissionDenied);
        assert_eq!(error.permission, "net:api.github.com");
        assert!(error.message.contains("permissions.net"), "{}", error.message);
        assert!(error.message.contains("fazt app grant notes net:api.github.com"), "{}", error.message);
        assert!(!error.message.contains("pw"), "a password does not reach the message");
    }

    #[test]
    fn what_is_no_url_with_a_host_is_an_argument_error() {
        for url in ["", "x", "ftp://a/", "https://", "https://a b/", "http://\u{1b}[31m/", "https:///x"] {
            assert_eq!(refuse("a", url).code, ErrorCode::InvalidArgument, "{url:?}");
        }
        assert_eq!(host("http://[::1]:80/"), Some("[::1]"));
    }
}
