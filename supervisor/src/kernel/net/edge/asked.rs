//! Who asks, and over what: the peer's word, a trusted proxy's, and what an app is told of it.

use std::net::IpAddr;
use std::sync::Arc;

use fazt_ipc::ids::RequestId;
use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName, HeaderValue, VIA};

use super::super::conns::Conn;
use super::super::fields;
use super::{Apps, Edge};
use crate::limits::FORWARDED_FIELDS;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The client as scripts for Workers ask for it.
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// What is known of a request before its app is.
pub(super) struct Asked<'a> {
    pub(super) id: RequestId,
    pub(super) conn: &'a Arc<Conn>,
    /// The client: the peer, or whom a trusted proxy names.
    pub(super) client: IpAddr,
    /// Its address as a field value; none: that of the connection.
    pub(super) forwarded: Option<(HeaderValue, HeaderValue)>,
    pub(super) https: bool,
}

impl<A: Apps> Edge<A> {
    /// Who asks: the peer, unless it is a proxy whose word is taken.
    pub(super) fn asked<'a>(&self, conn: &'a Arc<Conn>, id: RequestId, headers: &HeaderMap) -> Asked<'a> {
        let peer = conn.peer.ip();
        let mut asked = Asked { id, conn, client: peer, forwarded: None, https: conn.secure().is_some() };
        if self.config.trusted_proxies.is_empty() || !self.trusts(peer) {
            return asked;
        }
        asked.https |= forwarded_https(headers);
        // From the nearest hop outwards, up to the first that is not trusted: what lies beyond is hearsay.
        let hops = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = hops.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            asked.client = address.to_canonical();
            if !self.trusts(address) {
                break;
            }
        }
        let client = asked.client.to_string();
        let chain = if asked.client == peer.to_canonical() {
            client.clone()
        } else {
            format!("{client}, {}", peer.to_canonical())
        };
        if let (Ok(client), Ok(chain)) = (HeaderValue::try_from(client), HeaderValue::try_from(chain)) {
            asked.forwarded = Some((client, chain));
        }
        asked
    }

    /// Whether a client is a browser on this very machine. A proxy here that was not named in the configuration
    /// is not: it speaks for others, and says so.
    pub(super) fn is_local(&self, asked: &Asked<'_>, headers: &HeaderMap) -> bool {
        let proxied = [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST, &X_REAL_IP, &FORWARDED, &VIA];
        asked.conn.peer.ip().to_canonical().is_loopback()
            && asked.client.to_canonical().is_loopback()
            && !proxied.into_iter().any(|name| headers.contains_key(name))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|net| net.contains(address))
    }
}

/// The fields that a worker gets: the client's, cleaned, and the edge's words about the client.
pub(super) fn prepare(headers: &mut HeaderMap, asked: &Asked<'_>, origin: &str) {
    fields::clean_request(headers);
    headers.reserve(FORWARDED_FIELDS);
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let host = match headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(authority).ok(),
    };
    if let Some(host) = host {
        headers.insert(HOST, host.clone());
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if asked.https { "https" } else { "http" }));
    let (client, chain) = match &asked.forwarded {
        Some((client, chain)) => (client.clone(), chain.clone()),
        None => (asked.conn.peer_value.clone(), asked.conn.peer_value.clone()),
    };
    headers.insert(CF_CONNECTING_IP, client.clone());
    headers.insert(X_REAL_IP, client);
    headers.insert(X_FORWARDED_FOR, chain);
}

/// What the proxy before us says the client came over: the last word. What stands before it may be the client's
/// own, which the proxy did not take away.
fn forwarded_https(headers: &HeaderMap) -> bool {
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back();
    let last = last.and_then(|value| value.as_bytes().rsplit(|&b| b == b',').next());
    last.is_some_and(|proto| proto.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// Whether a host's name means the very machine that the browser runs on. Over plain HTTP only such a one is
/// safe: a tunnel that ends at loopback and says nothing of it looks like a browser here, but its clients find
/// it under another name.
pub(super) fn is_this_machine(name: &str) -> bool {
    let local = name == "localhost" || name.ends_with(".localhost");
    local || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_proxy_counts() {
        for (values, expect) in [
            (&["https"][..], true),
            (&["HTTPS"], true),
            (&["http"], false),
            (&["https", "http"], false),
            (&["https, http"], false),
            (&["http, https"], true),
            (&["http", "https"], true),
            (&["https,"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_FORWARDED_PROTO, HeaderValue::from_static(value));
            }
            assert_eq!(forwarded_https(&headers), expect, "{values:?}");
        }
    }

    #[test]
    fn a_name_of_this_machine_is_no_other_name() {
        for (name, expect) in [
            ("localhost", true),
            ("notes.localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("cloud.example", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_this_machine(name), expect, "{name}");
        }
    }
}
