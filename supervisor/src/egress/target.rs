//! Where a request goes: one parser, that of browsers, says what a URL means, and what it says is what is checked and
//! what is connected to. `0x7f.1`, `2130706433` and `127.1` are the addresses that they are.

use std::net::IpAddr;

use fazt_ipc::egress::{Fault, FaultKind, reaches};
use url::{Host, Url};

use super::Settings;

/// A URL that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: Url,
    /// In the form that hosts are granted in: lower case, without brackets and without a dot at its end.
    pub(super) host: String,
}

impl Target {
    /// Reads a URL and checks everything about it that can be checked before its name is looked up.
    pub(super) fn of(text: &str, hosts: &[String], settings: &Settings) -> Result<Self, Fault> {
        let url =
            Url::parse(text).map_err(|_| Fault::new(FaultKind::Invalid, "this is not an absolute URL"))?;
        Self::check(url, hosts, settings)
    }

    /// Where a redirect leads.
    pub(super) fn next(&self, location: &str, hosts: &[String], settings: &Settings) -> Result<Self, Fault> {
        let url = self.url.join(location);
        let url = url
            .map_err(|_| Fault::new(FaultKind::Redirect, "it redirects to what is no URL").at(&self.host))?;
        Self::check(url, hosts, settings)
    }

    fn check(mut url: Url, hosts: &[String], settings: &Settings) -> Result<Self, Fault> {
        let invalid = |message: &str| Fault::new(FaultKind::Invalid, message);
        if !matches!(url.scheme(), "https" | "http") {
            return Err(invalid("only https URLs can be fetched"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("a URL that holds a user or a password is not fetched; use a header"));
        }
        url.set_fragment(None);
        let host = match url.host() {
            None => return Err(invalid("the URL has no host")),
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                if name.is_empty() || name.ends_with('.') {
                    return Err(invalid("the host has more dots at its end than one"));
                }
                name.to_owned()
            }
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        if !reaches(hosts, &host) {
            return Err(
                Fault::new(FaultKind::Host, "it is not among the hosts that may be reached").at(&host)
            );
        }
        if !settings.test_network && (url.scheme() != "https" || url.port().is_some()) {
            let message = "only https on its own port, 443, can be reached";
            return Err(invalid(message).at(&host));
        }
        if settings.is_own(&host) {
            return Err(Fault::new(FaultKind::Address, "it is this server itself").at(&host));
        }
        // Connected to, and named to the other side, without the dot too.
        if matches!(url.host(), Some(Host::Domain(name)) if name.len() != host.len()) {
            url.set_host(Some(&host)).map_err(|_| invalid("the host is none"))?;
        }
        Ok(Self { url, host })
    }

    /// Whether what was meant for one may be sent to the other.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// The host where it is an address.
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<IpAddr> {
        address(&self.host)
    }
}

/// A host that is an address.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Vec<String> {
        ["127.0.0.1", "::1", "example.org", "*.example.com", "xn--bcher-kva.example", "one.localhost"]
            .map(str::to_owned)
            .into()
    }

    fn settings(test_network: bool) -> Settings {
        Settings { test_network, domain: "cloud.example.com".into(), ..Settings::default() }
    }

    #[test]
    fn hosts_are_seen_for_what_they_are() {
        for (url, host) in [
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://127.1/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://①②⑦.1/", "127.0.0.1"),
            ("https://%31%32%37.1/", "127.0.0.1"),
            ("https://127.0.0.1./", "127.0.0.1"),
            ("https://[::1]/", "::1"),
            ("https://[0:0::0:1]/", "::1"),
            ("https://EXAMPLE.org/", "example.org"),
            ("https://example.org./", "example.org"),
            ("https://example。org/", "example.org"),
            ("https://bücher.example/", "xn--bcher-kva.example"),
            ("https:\\\\example.org\\x", "example.org"),
            ("https://example.org:443/", "example.org"),
        ] {
            let target =
                Target::of(url, &any(), &settings(false)).unwrap_or_else(|fault| panic!("{url}: {fault:?}"));
            assert_eq!(target.host, host, "{url}");
            assert!(!target.url.as_str().contains("./") || target.host.parse::<IpAddr>().is_ok(), "{url}");
        }
        assert_eq!(address("[::1]"), "::1".parse().ok());
        assert!(
            Target::of("https://127.1/", &any(), &settings(false)).expect("a target").address().is_some()
        );
    }

    #[test]
    fn what_is_not_to_be_reached_is_refused_with_its_kind() {
        use FaultKind::{Address, Host, Invalid};
        for (url, kind) in [
            ("", Invalid),
            ("/path", Invalid),
            ("ftp://example.org/", Invalid),
            ("file:///etc/passwd", Invalid),
            ("data:,x", Invalid),
            ("https://user:secret@example.org/", Invalid),
            ("https://user@example.org/", Invalid),
            ("http://example.org/", Invalid),
            ("https://example.org:8443/", Invalid),
            ("https://example.org../", Invalid),
            ("https:///", Invalid),
            ("https://exa mple.org/", Invalid),
            ("https://[::1/", Invalid),
            ("https://256.1.1.1/", Invalid),
            ("https://example.org@evil.example/", Invalid),
            ("https://example.org.evil.example/", Host),
            ("https://evil.example/?example.org", Host),
            ("https://example.com/", Host),
            ("https://10.0.0.1/", Host),
            ("https://cloud.example.com/", Address),
            ("https://app.cloud.example.com/", Address),
        ] {
            let fault = Target::of(url, &any(), &settings(false)).expect_err(url);
            assert_eq!(fault.kind, kind, "{url}: {fault:?}");
            assert!(!fault.message.contains("secret"), "{url}");
        }
    }

    #[test]
    fn the_test_network_opens_plain_http_and_ports() {
        for url in ["http://one.localhost:8080/", "https://example.org:8443/", "http://127.0.0.1:1/"] {
            assert!(Target::of(url, &any(), &settings(true)).is_ok(), "{url}");
            assert!(Target::of(url, &any(), &settings(false)).is_err(), "{url}");
        }
    }

    #[test]
    fn a_redirect_is_looked_at_as_a_url_is() {
        let from = Target::of("https://example.org/a/b", &any(), &settings(false)).expect("a target");
        let to = |location| from.next(location, &any(), &settings(false));
        assert_eq!(to("../c#x").expect("a target").url.as_str(), "https://example.org/c");
        assert!(to("/c").is_ok_and(|next| next.same_origin(&from)));
        assert!(to("//a.example.com/").is_ok_and(|next| !next.same_origin(&from)));
        assert_eq!(to("//169.254.169.254/").expect_err("an address").kind, FaultKind::Host);
        assert_eq!(to("http://example.org/").expect_err("plain").kind, FaultKind::Invalid);
        assert_eq!(to("https://[").expect_err("no URL").kind, FaultKind::Redirect);
    }
}
