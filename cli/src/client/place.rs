//! Where a server is: on a data folder of this machine, or at an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::error::{Done, invalid};

/// Where a server is.
pub(crate) enum Place {
    /// Behind this socket.
    Here(PathBuf),
    /// At an address, for whoever shows a token.
    There(Remote),
}

/// A server elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Its OS origin.
    pub(crate) url: Url,
    /// `fazt_…`; empty: none.
    pub(crate) token: String,
}

/// `https://HOST[:PORT]`, or `http://` to this very machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Encrypted.
    pub(crate) https: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Url {
    /// Reads an address as people write it.
    pub(crate) fn parse(text: &str) -> Done<Self> {
        let wrong = |why: &str| {
            invalid(
                format!("{text} is not the address of a server: {why}"),
                "say https://DOMAIN, or https://DOMAIN:PORT",
            )
        };
        let (https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some((scheme, _)) => return Err(wrong(&format!("{scheme} is neither https nor http"))),
            None => return Err(wrong("it has no https:// in front")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(wrong("there is more in it than a host and a port"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, rest) = inside.split_once(']').ok_or_else(|| wrong("a bracket is not closed"))?;
                host.parse::<Ipv6Addr>().map_err(|_| wrong("what is in brackets is no IPv6 address"))?;
                (
                    host,
                    rest.strip_prefix(':')
                        .or((rest.is_empty()).then_some(""))
                        .ok_or_else(|| wrong("what follows the bracket is no port"))?,
                )
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_name) {
            return Err(wrong("its host is not a host name"));
        }
        let port = match port {
            "" if https => 443,
            "" => 80,
            port => port.parse().map_err(|_| wrong("its port is not a port"))?,
        };
        let url = Self { https, host: host.to_ascii_lowercase(), port };
        if !https && url.loopback().is_empty() {
            return Err(invalid(
                format!("{text} is plain http, over which everybody on the way could read the token"),
                "say https://…; plain http is taken to this machine alone",
            ));
        }
        Ok(url)
    }

    /// The addresses of this machine that the host stands for; none: it is elsewhere.
    pub(crate) fn loopback(&self) -> Vec<IpAddr> {
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        self.address().filter(|address| address.to_canonical().is_loopback()).into_iter().collect()
    }

    /// The host, where it is an address.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_meant_or_not_at_all() {
        for (text, expect) in [
            ("https://example.org", "https://example.org"),
            ("https://Example.org/", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://[::1]", "https://[::1]"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://cloud.localhost", "http://cloud.localhost"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(Url::parse(text).expect(text).to_string(), expect);
        }
        for text in [
            "example.org",
            "http://example.org",
            "http://192.168.1.2",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "ftp://example.org",
            "https://",
            "https://:443",
            "https://example.org/admin",
            "https://anna:x@example.org",
            "https://example.org:99999",
            "https://[example.org]",
            "https://[::1]x",
            "https://a b",
            "https://a\r\nx",
            "https://münchen.de",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
