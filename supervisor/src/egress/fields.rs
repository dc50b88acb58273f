//! Header fields on their way out and in. Every name is a token and every value has no line break, or there is no
//! request: nothing that an app writes can become a field, a request or a host of its own making.

use fazt_ipc::egress::limits::{FIELDS_BYTES_MAX, FIELDS_MAX};
use fazt_ipc::egress::{Fault, FaultKind, Field};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};

use super::decode;

/// What belongs to the connection, which is not the app's: who wrote them would frame the message another way.
const OF_CONNECTION: [&str; 12] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of a request, ready to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    map: HeaderMap,
    /// Names of those that go to the first origin only.
    secret: Vec<HeaderName>,
    /// What the app says of the body's length.
    pub(super) length: Option<u64>,
}

impl Fields {
    /// Reads the fields of a request.
    pub(super) fn of(fields: &[Field], decode: bool) -> Result<Self, Fault> {
        let mut all = Self::default();
        for Field { name, value, secret } in fields {
            let invalid = |what: &str| {
                let name: String = name.escape_debug().take(60).collect();
                Fault::new(FaultKind::Invalid, format!("{what} of the header field `{name}` is not one"))
            };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("the name"))?;
            // Whitespace at its ends means nothing, and some servers take it for something.
            let mut value = HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| invalid("the value"))?;
            if OF_CONNECTION.contains(&name.as_str()) {
                continue;
            }
            if name == CONTENT_LENGTH {
                let length =
                    value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let length = length.and_then(|text| text.parse().ok()).ok_or_else(|| invalid("the value"))?;
                if all.length.is_some_and(|other| other != length) {
                    return Err(invalid("the second value"));
                }
                all.length = Some(length);
                continue;
            }
            if *secret {
                value.set_sensitive(true);
                all.secret.push(name.clone());
            }
            all.map.append(name, value);
        }
        let default = |map: &mut HeaderMap, name: HeaderName, value: &'static str| {
            map.entry(name).or_insert(HeaderValue::from_static(value));
        };
        default(&mut all.map, ACCEPT, "*/*");
        default(&mut all.map, USER_AGENT, concat!("fazt/", env!("CARGO_PKG_VERSION")));
        if decode {
            default(&mut all.map, ACCEPT_ENCODING, decode::ACCEPTED);
        }
        Ok(all)
    }

    /// What is sent.
    pub(super) const fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// What may go to another origin.
    pub(super) fn cross(&mut self) {
        for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].into_iter().chain(self.secret.drain(..)) {
            self.map.remove(name);
        }
    }

    /// The body stays behind, and with it what was said of it.
    pub(super) fn bare(&mut self) {
        let of_body: Vec<HeaderName> =
            self.map.keys().filter(|name| name.as_str().starts_with("content-")).cloned().collect();
        for name in of_body {
            self.map.remove(name);
        }
        self.length = None;
    }
}

/// Fields of a response as the app gets them. `decoded`: the body is not as they say any more.
pub(super) fn received(map: &HeaderMap, decoded: bool) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let passed = map.iter().filter(|(name, _)| {
        let of_body = decoded && (*name == CONTENT_ENCODING || *name == CONTENT_LENGTH);
        !of_body && !OF_CONNECTION.contains(&name.as_str())
    });
    let fields: Vec<(String, Vec<u8>)> =
        passed.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > FIELDS_MAX || bytes > FIELDS_BYTES_MAX {
        return Err(Fault::new(FaultKind::TooLarge, "the header of the response is too large"));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &[u8], secret: bool) -> Field {
        Field { name: name.into(), value: value.into(), secret }
    }

    fn text(fields: &Fields) -> Vec<String> {
        let mut all: Vec<String> = fields
            .map()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn no_field_can_become_another_one() {
        for (name, value) in [
            ("a\r\nb", &b"x"[..]),
            ("a b", b"x"),
            ("a:", b"x"),
            ("", b"x"),
            ("a", b"x\r\nhost: evil.example"),
            ("a", b"x\ny"),
            ("a", b"x\0y"),
            ("a\0", b"x"),
            ("\u{e4}", b"x"),
            ("content-length", b"1, 2"),
            ("content-length", b"+1"),
            ("content-length", b"99999999999999999999999"),
        ] {
            let fault = Fields::of(&[field(name, value, false)], true).expect_err("refused");
            assert_eq!(fault.kind, FaultKind::Invalid, "{name:?}");
            assert!(!fault.message.contains(['\r', '\n', '\0']), "{name:?}");
        }
        let twice = [field("content-length", b"1", false), field("content-length", b"2", false)];
        assert!(Fields::of(&twice, true).is_err());
    }

    #[test]
    fn what_belongs_to_the_connection_is_not_the_apps() {
        let fields: Vec<Field> = OF_CONNECTION
            .iter()
            .map(|name| field(&name.to_uppercase(), b"x", false))
            .chain([field("X-Own", b" y ", false)])
            .collect();
        let fields = Fields::of(&fields, false).expect("fields");
        let user_agent = concat!("user-agent: fazt/", env!("CARGO_PKG_VERSION"));
        assert_eq!(text(&fields), ["accept: */*", user_agent, "x-own: y"]);
    }

    #[test]
    fn at_another_origin_nothing_secret_is_left() {
        let mut fields = Fields::of(
            &[
                field("authorization", b"Bearer x", false),
                field("cookie", b"a=b", false),
                field("x-api-key", b"sesame", true),
                field("x-plain", b"1", false),
                field("content-type", b"text/plain", false),
                field("content-length", b"7", false),
                field("accept", b"text/html", false),
                field("user-agent", b"me", false),
            ],
            false,
        )
        .expect("fields");
        assert!(!format!("{:?}", fields.map()).contains("sesame"), "it is not shown");
        assert_eq!(fields.length, Some(7));
        fields.cross();
        assert_eq!(
            text(&fields),
            ["accept: text/html", "content-type: text/plain", "user-agent: me", "x-plain: 1"]
        );
        fields.bare();
        assert_eq!(text(&fields), ["accept: text/html", "user-agent: me", "x-plain: 1"]);
        assert_eq!(fields.length, None);
    }

    #[test]
    fn a_response_keeps_its_fields_within_bounds() {
        let mut map = HeaderMap::new();
        map.insert("content-encoding", HeaderValue::from_static("gzip"));
        map.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        map.append("set-cookie", HeaderValue::from_static("a"));
        map.append("set-cookie", HeaderValue::from_static("b"));
        let names = |decoded| -> Vec<String> {
            received(&map, decoded).expect("fields").into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(true), ["set-cookie", "set-cookie"]);
        assert_eq!(names(false), ["content-encoding", "set-cookie", "set-cookie"]);
        for _ in 0..FIELDS_MAX {
            map.append("x", HeaderValue::from_static("y"));
        }
        assert!(received(&map, false).is_err());
    }
}
