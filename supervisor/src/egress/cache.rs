//! Answers that are kept, by the rules of HTTP (RFC 9111) for a cache of one: what one lane was answered is for that
//! lane, and for requests that are the same in every header field. So nobody is given what was meant for another, even
//! where a server forgot to say that its answer varies.
//!
//! Kept is what says itself how long it is good, as it is after decompression; nothing is guessed.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use fazt_ipc::egress::Cache as Mode;
use http::header::{
    HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{Method, Request, Response, StatusCode, response};
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};

use super::limits::{CACHE_BYTES_PER_LANE, CACHE_ENTRY_BYTES_MAX};

/// What an entry takes beside its body: its fields twice, and what they lie in.
const BESIDE_BYTES: usize = 4 * 1024;
/// A request with one of these asks for something that is not the whole answer.
const CONDITIONS: [http::HeaderName; 6] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// The answers of one lane.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    seed: RandomState,
}

type Key = (String, u64);

struct Entry {
    policy: CachePolicy,
    kept: Kept,
    used: Instant,
}

/// An answer that was kept.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    /// Its fields are not as its body any more.
    pub(super) decoded: bool,
    pub(super) body: Bytes,
}

/// What is known of a request's answer.
pub(super) enum Known {
    /// Neither asked nor kept.
    Bypassed,
    /// Nothing; what comes may be kept.
    Nothing,
    /// It, with the fields that it has now.
    Fresh(Kept, HeaderMap),
    /// It may be stale: asked with these fields, the server may say that it is not.
    Stale(HeaderMap),
}

impl Cache {
    fn key(&self, request: &Request<()>) -> Key {
        let mut fields: Vec<(&str, &[u8])> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        // Values of one name keep their order.
        fields.sort_by_key(|(name, _)| *name);
        (request.uri().to_string(), self.seed.hash_one(fields))
    }

    /// What is known of the answer to a request.
    pub(super) fn known(&mut self, request: &Request<()>, mode: Mode, now: SystemTime) -> Known {
        let conditional = CONDITIONS.iter().any(|name| request.headers().contains_key(name));
        if request.method() != Method::GET || conditional || mode == Mode::NoStore {
            return Known::Bypassed;
        }
        let key = self.key(request);
        let Some(entry) = self.entries.get_mut(&key).filter(|_| mode != Mode::Reload) else {
            return Known::Nothing;
        };
        entry.used = Instant::now();
        match entry.policy.before_request(request, now) {
            BeforeRequest::Fresh(parts) if mode != Mode::NoCache => {
                Known::Fresh(entry.kept.clone(), parts.headers)
            }
            BeforeRequest::Fresh(_) => {
                // Good by its own word, but the app wants the server's.
                let mut asking = request.headers().clone();
                asking.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
                let mut probe = Request::new(());
                *probe.uri_mut() = request.uri().clone();
                *probe.headers_mut() = asking;
                match entry.policy.before_request(&probe, now) {
                    BeforeRequest::Stale { request, .. } => Known::Stale(request.headers),
                    BeforeRequest::Fresh(_) => Known::Nothing,
                }
            }
            BeforeRequest::Stale { matches: false, .. } => Known::Nothing,
            BeforeRequest::Stale { .. } if matches!(mode, Mode::ForceCache | Mode::OnlyIfCached) => {
                let fields = entry.policy.response_headers_now(now);
                Known::Fresh(entry.kept.clone(), fields)
            }
            BeforeRequest::Stale { request, .. } => Known::Stale(request.headers),
        }
    }

    /// The server says that what is kept is still good: it, with the fields that it has now.
    pub(super) fn confirmed(
        &mut self,
        request: &Request<()>,
        answer: &response::Parts,
        now: SystemTime,
    ) -> Option<(Kept, HeaderMap)> {
        let key = self.key(request);
        let entry = self.entries.get_mut(&key)?;
        match entry.policy.after_response(request, answer, now) {
            AfterResponse::NotModified(policy, parts) => {
                entry.policy = policy;
                Some((entry.kept.clone(), parts.headers))
            }
            AfterResponse::Modified(..) => {
                self.forget(&key);
                None
            }
        }
    }

    /// Whether an answer may be kept, and its policy.
    pub(super) fn policy(
        request: &Request<()>,
        answer: &response::Parts,
        now: SystemTime,
    ) -> Option<CachePolicy> {
        if answer.status.is_redirection() || !(answer.status.is_success() || answer.status.is_client_error())
        {
            return None;
        }
        let mut head = Response::new(());
        *head.status_mut() = answer.status;
        answer.headers.clone_into(head.headers_mut());
        let options = CacheOptions { shared: false, cache_heuristic: 0.0, ..CacheOptions::default() };
        let policy = CachePolicy::new_options(request, &head, now, options);
        let lives = !policy.time_to_live(now).is_zero();
        // Without a word of its own it is good only for being asked about.
        let asks = answer.headers.contains_key(http::header::ETAG);
        (policy.is_storable() && (lives || asks)).then_some(policy)
    }

    /// Keeps an answer; what was used least lately makes room.
    pub(super) fn keep(&mut self, request: &Request<()>, policy: CachePolicy, kept: Kept) {
        let bytes = kept.body.len() + BESIDE_BYTES;
        if kept.body.len() > CACHE_ENTRY_BYTES_MAX {
            return;
        }
        let key = self.key(request);
        self.forget(&key);
        while self.bytes + bytes > CACHE_BYTES_PER_LANE {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used) else { return };
            let oldest = oldest.0.clone();
            self.forget(&oldest);
        }
        self.bytes += bytes;
        self.entries.insert(key, Entry { policy, kept, used: Instant::now() });
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.kept.body.len() + BESIDE_BYTES;
        }
    }

    /// Something was done to what is there: what is kept of it is not good any more.
    pub(super) fn changed(&mut self, url: &str) {
        let stale: Vec<Key> = self.entries.keys().filter(|(of, _)| of == url).cloned().collect();
        stale.iter().for_each(|key| self.forget(key));
    }
}

/// What a policy says of an answer that is given although it is stale.
trait ResponseHeaders {
    fn response_headers_now(&self, now: SystemTime) -> HeaderMap;
}

impl ResponseHeaders for CachePolicy {
    fn response_headers_now(&self, now: SystemTime) -> HeaderMap {
        // A client that takes anything, however old, is told the fields as they are now.
        let mut any = Request::new(());
        any.headers_mut()
            .insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("max-stale=2147483647"));
        match self.before_request(&any, now) {
            BeforeRequest::Fresh(parts) => parts.headers,
            BeforeRequest::Stale { .. } => HeaderMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = "https://a.example/x".parse().expect("a URI");
        for (name, value) in fields {
            request.headers_mut().append(*name, http::HeaderValue::from_static(value));
        }
        request
    }

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in fields {
            response.headers_mut().append(*name, http::HeaderValue::from_static(value));
        }
        response.into_parts().0
    }

    fn store(
        cache: &mut Cache,
        request: &Request<()>,
        answer: &response::Parts,
        body: &'static str,
        now: SystemTime,
    ) -> bool {
        let Some(policy) = Cache::policy(request, answer, now) else { return false };
        let kept = Kept { status: answer.status, decoded: false, body: Bytes::from_static(body.as_bytes()) };
        cache.keep(request, policy, kept);
        true
    }

    fn what(known: &Known) -> &'static str {
        match known {
            Known::Bypassed => "bypassed",
            Known::Nothing => "nothing",
            Known::Fresh(..) => "fresh",
            Known::Stale(_) => "stale",
        }
    }

    #[test]
    fn what_says_how_long_it_is_good_is_kept_so_long() {
        let (mut cache, now) = (Cache::default(), SystemTime::now());
        let ask = request(&[]);
        for (fields, kept) in [
            (&[("cache-control", "max-age=60")][..], true),
            (&[("cache-control", "private, max-age=60")], true),
            (&[("cache-control", "no-store, max-age=60")], false),
            (&[("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")], false),
            (&[], false),
            (&[("etag", "\"1\"")], true),
        ] {
            assert_eq!(store(&mut cache, &ask, &answer(200, fields), "b", now), kept, "{fields:?}");
        }
        assert!(!store(&mut cache, &ask, &answer(500, &[("cache-control", "max-age=60")]), "b", now));
        store(
            &mut cache,
            &ask,
            &answer(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")]),
            "body",
            now,
        );
        let mut at = |seconds, mode| cache.known(&ask, mode, now + Duration::from_secs(seconds));
        assert!(matches!(at(59, Mode::Default), Known::Fresh(kept, _) if kept.body == "body"));
        let Known::Stale(fields) = at(61, Mode::Default) else { panic!("stale") };
        assert_eq!(fields.get("if-none-match").map(|value| value.as_bytes()), Some(&b"\"1\""[..]));
        for (seconds, mode, expect) in [
            (1, Mode::NoStore, "bypassed"),
            (1, Mode::Reload, "nothing"),
            (1, Mode::NoCache, "stale"),
            (61, Mode::ForceCache, "fresh"),
            (61, Mode::OnlyIfCached, "fresh"),
        ] {
            assert_eq!(what(&at(seconds, mode)), expect, "{mode:?} after {seconds} s");
        }
    }

    #[test]
    fn another_request_is_not_given_it() {
        let (mut cache, now) = (Cache::default(), SystemTime::now());
        let mine = request(&[("authorization", "Bearer a")]);
        store(&mut cache, &mine, &answer(200, &[("cache-control", "max-age=60")]), "mine", now);
        assert_eq!(what(&cache.known(&mine, Mode::Default, now)), "fresh");
        for other in [
            request(&[]),
            request(&[("authorization", "Bearer b")]),
            request(&[("authorization", "Bearer a"), ("x", "y")]),
        ] {
            assert_eq!(what(&cache.known(&other, Mode::Default, now)), "nothing");
            assert_eq!(what(&cache.known(&other, Mode::OnlyIfCached, now)), "nothing");
        }
        let part = request(&[("authorization", "Bearer a"), ("range", "bytes=0-1")]);
        assert_eq!(what(&cache.known(&part, Mode::Default, now)), "bypassed");
        let mut post = mine.clone();
        *post.method_mut() = Method::POST;
        assert_eq!(what(&cache.known(&post, Mode::Default, now)), "bypassed");
        cache.changed("https://a.example/x");
        assert_eq!(what(&cache.known(&mine, Mode::Default, now)), "nothing");
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn what_the_server_confirms_is_good_again() {
        let (mut cache, now) = (Cache::default(), SystemTime::now());
        let ask = request(&[]);
        store(
            &mut cache,
            &ask,
            &answer(200, &[("cache-control", "max-age=1"), ("etag", "\"1\"")]),
            "body",
            now,
        );
        let later = now + Duration::from_secs(10);
        let same = answer(304, &[("cache-control", "max-age=60"), ("etag", "\"1\"")]);
        let (kept, fields) = cache.confirmed(&ask, &same, later).expect("still good");
        assert_eq!((&kept.body[..], fields.get("etag").is_some()), (&b"body"[..], true));
        assert_eq!(what(&cache.known(&ask, Mode::Default, later + Duration::from_secs(30))), "fresh");
        let other = answer(304, &[("etag", "\"2\"")]);
        assert!(cache.confirmed(&ask, &other, later).is_none());
        assert_eq!(what(&cache.known(&ask, Mode::Default, later)), "nothing");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut cache, now) = (Cache::default(), SystemTime::now());
        let long = answer(200, &[("cache-control", "max-age=60")]);
        let body = Bytes::from(vec![0; CACHE_ENTRY_BYTES_MAX]);
        for number in 0..3 * CACHE_BYTES_PER_LANE / CACHE_ENTRY_BYTES_MAX {
            let mut ask = request(&[]);
            *ask.uri_mut() = format!("https://a.example/{number}").parse().expect("a URI");
            let policy = Cache::policy(&ask, &long, now).expect("storable");
            cache.keep(
                &ask,
                policy.clone(),
                Kept { status: StatusCode::OK, decoded: false, body: body.clone() },
            );
            assert!(cache.bytes <= CACHE_BYTES_PER_LANE && cache.known(&ask, Mode::Default, now).is_fresh());
            let more = Bytes::from(vec![0; CACHE_ENTRY_BYTES_MAX + 1]);
            cache.keep(&request(&[]), policy, Kept { status: StatusCode::OK, decoded: false, body: more });
        }
        assert!(!cache.known(&request(&[]), Mode::Default, now).is_fresh(), "too large for one");
    }

    impl Known {
        fn is_fresh(&self) -> bool {
            matches!(self, Self::Fresh(..))
        }
    }
}
