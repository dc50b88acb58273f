//! What the kernel and the egress process, the only one that opens connections to elsewhere, say to each other.
//! Requests are multiplexed on one socket. Each side takes the other for hostile: the kernel because every byte from
//! the network may have taken egress over, egress because it must not become anybody's way around the rules.
//!
//! ```text
//! egress  READY
//! kernel  BEGIN: the launcher has looked; egress opens nothing before
//! kernel  Request ─ Body… END ─┐  Cancel            one stream: a number that is used once, counted up from 1
//! egress  Credit               └─ Head ─ Body… ─ Done     or Failed, at any moment; one of both is the last word
//! kernel  Credit
//! ```
//! Frames are those of [`crate::frame`]. A Request with END has no body; the kernel sends none of a body before
//! egress has granted [`CREDIT_BYTES`](limits::CREDIT_BYTES) by its first Credit, egress may send as many at once and then what the kernel grants.
//! After Cancel the last word still comes. Frames of the kernel for a stream that had its last word are passed over:
//! they crossed it on the way.

pub mod limits;

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::frame::Header;
use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, METHOD_BYTES_MAX, URL_BYTES_MAX};
use limits::{
    FIELDS_BYTES_MAX, FIELDS_MAX, HOST_BYTES_MAX, HOSTS_BYTES_MAX, HOSTS_MAX, KERNEL_BYTES_MAX,
    KERNEL_WALL_MS_MAX, MESSAGE_BYTES_MAX,
};

/// What the process says when it is locked: the launcher looks at it from outside then.
pub const READY: &[u8; 8] = b"fazt net";

/// What the kernel answers: whoever looks has looked.
pub const BEGIN: &[u8; 8] = b"go ahead";

/// The other side does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("egress protocol: {0}")]
pub struct Malformed(pub &'static str);

/// A request to a server elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Connections, and answers that are kept, are shared within a lane and never between two.
    pub lane: u64,
    /// Method.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header fields.
    pub fields: Vec<Field>,
    /// Hosts that the request may go to, also by a redirect: `api.example.org`, or `*.example.org` for everything
    /// below it.
    pub hosts: Vec<String>,
    /// What becomes of a redirect.
    pub redirect: Redirect,
    /// What kept answers are good for.
    pub cache: Cache,
    /// A compressed body is handed on as what it decompresses to.
    pub decode: bool,
    /// Most bytes of the response's body, as it comes and after decompression.
    pub bytes_max: u64,
    /// From now to the last byte of the response, in milliseconds.
    pub wall_ms: u32,
}

/// A header field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Vec<u8>,
    /// It goes to the first origin only, never to where a redirect leads.
    pub secret: bool,
}

/// What becomes of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Redirect {
    /// It is followed, as far as the hosts allow.
    #[default]
    Follow,
    /// It is the answer.
    Manual,
    /// It is a fault.
    Error,
}

/// What kept answers are good for, by the names that `fetch` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Cache {
    /// As HTTP has it.
    #[default]
    Default,
    /// Neither asked nor kept.
    NoStore,
    /// Not asked, but kept.
    Reload,
    /// Asked of the server whether they are still good.
    NoCache,
    /// Good even when stale.
    ForceCache,
    /// Good even when stale, and nothing else is.
    OnlyIfCached,
}

/// Head of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 200 to 599.
    pub status: u16,
    /// Where it came from, after redirects.
    pub url: String,
    /// It came by a redirect.
    pub redirected: bool,
    /// Header fields; names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Use {
    /// Body bytes that were sent.
    pub sent_bytes: u64,
    /// Body bytes that came, as they came.
    pub received_bytes: u64,
    /// The answer was one that was kept.
    pub cached: bool,
}

/// Why there is no response, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// Which host it is about; empty: none.
    pub host: String,
    /// For the app's author: no address of the server's network is in it.
    pub message: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The URL, the method or a header field is none, or not one that may be sent.
    Invalid,
    /// A host that is not among those of the request.
    Host,
    /// The host stands for an address that nobody may reach from here.
    Address,
    /// The host has no address, or nobody knows.
    Name,
    /// Nobody answers there, or the connection broke.
    Connect,
    /// The certificate is not good, or there is no safe connection.
    Tls,
    /// What answers does not speak HTTP.
    Protocol,
    /// A body is over its bound, as it came or after decompression, or the header is.
    TooLarge,
    /// A body that does not decompress.
    Encoding,
    /// More redirects than are followed, or one where none was wanted.
    Redirect,
    /// It took too long.
    Late,
    /// Too many requests at once.
    Busy,
    /// Nothing that was kept is good, and nothing else was wanted.
    NotCached,
    /// The kernel gave it up.
    Cancelled,
    /// The process is gone. Only the kernel says so, to itself.
    Gone,
}

impl Fault {
    /// A fault of no host.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, host: String::new(), message: cut(message.into()) }
    }

    /// The same, about a host.
    #[must_use]
    pub fn at(mut self, host: &str) -> Self {
        let end = host.floor_char_boundary(HOST_BYTES_MAX);
        host[..end].clone_into(&mut self.host);
        self
    }
}

/// One sentence, with the host in front where it is not inside.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.host.is_empty() && !self.message.contains(&self.host) {
            write!(f, "{}: ", self.host)?;
        }
        f.write_str(&self.message)
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}

/// From the kernel. The number is the frame's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToEgress<'a> {
    /// 1: a request. END: without a body.
    Request(Box<Request>),
    /// 2: more of its body. END: the last of it.
    Body(&'a [u8]),
    /// 3: so many more bytes of the response may come.
    Credit(u32),
    /// 4: nobody wants it any more.
    Cancel,
}

/// From egress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromEgress<'a> {
    /// 0x81: the response begins.
    Head(Box<Head>),
    /// 0x82: more of its body.
    Body(&'a [u8]),
    /// 0x83: so many more bytes of the request's body may come.
    Credit(u32),
    /// 0x84: that was all of it. The last word.
    Done(Use),
    /// 0x85: it comes to nothing. The last word.
    Failed(Fault),
}

fn frame(kind: u8, end: bool, stream: u32, body: &[u8], out: &mut Vec<u8>) {
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&Header { body_bytes, kind, end, stream }.encode());
    out.extend_from_slice(body);
}

fn typed<T: Serialize>(
    kind: u8,
    end: bool,
    stream: u32,
    body: &T,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = out.len();
    out.resize(start + FRAME_HEADER_BYTES, 0);
    if let Err(error) = codec::encode(body, out) {
        out.truncate(start);
        return Err(error);
    }
    let body_bytes = u32::try_from(out.len() - start - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
    out[start..start + FRAME_HEADER_BYTES]
        .copy_from_slice(&Header { body_bytes, kind, end, stream }.encode());
    Ok(())
}

fn decoded<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    codec::decode(body).map_err(|_| Malformed("a malformed body"))
}

fn credit(body: &[u8]) -> Result<u32, Malformed> {
    match decoded(body)? {
        0 => Err(Malformed("credit for nothing")),
        bytes if bytes > limits::CREDIT_BYTES => Err(Malformed("credit over its bound")),
        bytes => Ok(bytes),
    }
}

fn check(holds: bool, what: &'static str) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed(what)) }
}

impl<'a> ToEgress<'a> {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// When it does not fit a frame; `out` is then as it was.
    pub fn encode(&self, stream: u32, end: bool, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::Request(request) => return typed(1, end, stream, request, out),
            Self::Body(bytes) if bytes.len() > FRAME_BODY_BYTES_MAX => {
                return Err(CodecError::TooLong(bytes.len()));
            }
            Self::Body(bytes) => frame(2, end, stream, bytes, out),
            Self::Credit(bytes) => return typed(3, end, stream, bytes, out),
            Self::Cancel => frame(4, end, stream, &[], out),
        }
        Ok(())
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is none of the kernel's, or over a bound.
    pub fn decode(header: Header, body: &'a [u8]) -> Result<Self, Malformed> {
        check(header.stream != 0, "a frame of no stream")?;
        check(!header.end || header.kind <= 2, "an end where there is none")?;
        match header.kind {
            1 => {
                let request: Box<Request> = decoded(body)?;
                request.check()?;
                Ok(Self::Request(request))
            }
            2 => {
                check(header.end || !body.is_empty(), "a body of nothing")?;
                Ok(Self::Body(body))
            }
            3 => Ok(Self::Credit(credit(body)?)),
            4 => {
                check(body.is_empty(), "bytes after a word without any")?;
                Ok(Self::Cancel)
            }
            _ => Err(Malformed("a frame of no kind")),
        }
    }
}

impl Request {
    /// Whether it keeps to the bounds of the protocol.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self) -> Result<(), Malformed> {
        check(self.method.len() <= METHOD_BYTES_MAX, "a method over its bound")?;
        check(self.url.len() <= URL_BYTES_MAX, "a URL over its bound")?;
        check(self.fields.len() <= FIELDS_MAX, "too many fields")?;
        let bytes: usize = self.fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        check(bytes <= FIELDS_BYTES_MAX, "fields over their bound")?;
        check(self.hosts.len() <= HOSTS_MAX, "too many hosts")?;
        let bytes: usize = self.hosts.iter().map(String::len).sum();
        check(bytes <= HOSTS_BYTES_MAX, "hosts over their bound")?;
        check(self.bytes_max <= KERNEL_BYTES_MAX, "a body over its bound")?;
        check(self.wall_ms <= KERNEL_WALL_MS_MAX, "a time over its bound")
    }
}

impl<'a> FromEgress<'a> {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// When it does not fit a frame; `out` is then as it was.
    pub fn encode(&self, stream: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::Head(head) => return typed(0x81, false, stream, head, out),
            Self::Body(bytes) if bytes.len() > FRAME_BODY_BYTES_MAX => {
                return Err(CodecError::TooLong(bytes.len()));
            }
            Self::Body(bytes) => frame(0x82, false, stream, bytes, out),
            Self::Credit(bytes) => return typed(0x83, false, stream, bytes, out),
            Self::Done(used) => return typed(0x84, false, stream, used, out),
            Self::Failed(fault) => return typed(0x85, false, stream, fault, out),
        }
        Ok(())
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is none of egress's, or over a bound.
    pub fn decode(header: Header, body: &'a [u8]) -> Result<Self, Malformed> {
        check(header.stream != 0, "a frame of no stream")?;
        check(!header.end, "an end where there is none")?;
        match header.kind {
            0x81 => {
                let head: Box<Head> = decoded(body)?;
                check((200..=599).contains(&head.status), "a status of no response")?;
                check(head.url.len() <= URL_BYTES_MAX, "a URL over its bound")?;
                check(head.fields.len() <= FIELDS_MAX, "too many fields")?;
                let bytes: usize = head.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
                check(bytes <= FIELDS_BYTES_MAX, "fields over their bound")?;
                Ok(Self::Head(head))
            }
            0x82 => {
                check(!body.is_empty(), "a body of nothing")?;
                Ok(Self::Body(body))
            }
            0x83 => Ok(Self::Credit(credit(body)?)),
            0x84 => Ok(Self::Done(decoded(body)?)),
            0x85 => {
                let fault: Fault = decoded(body)?;
                check(fault.message.len() <= MESSAGE_BYTES_MAX, "a message over its bound")?;
                check(fault.host.len() <= HOST_BYTES_MAX, "a host over its bound")?;
                Ok(Self::Failed(fault))
            }
            _ => Err(Malformed("a frame of no kind")),
        }
    }
}

/// Whether a host is one of these: itself, or anything below a `*.`, but not what stands behind it. Both in the form
/// that URLs have after parsing.
#[must_use]
pub fn reaches(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
        Some(above) => host.strip_suffix(above).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        None => pattern == host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use proptest::prelude::*;

    fn request() -> Request {
        Request {
            lane: 1,
            method: "GET".into(),
            url: "https://example.org/".into(),
            fields: vec![Field { name: "a".into(), value: b"b".to_vec(), secret: true }],
            hosts: vec!["example.org".into()],
            redirect: Redirect::Follow,
            cache: Cache::Default,
            decode: true,
            bytes_max: 1,
            wall_ms: 1,
        }
    }

    fn to(message: &ToEgress<'_>, end: bool) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(7, end, &mut out).expect("fits");
        out
    }

    fn from(message: &FromEgress<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(7, &mut out).expect("fits");
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let words = [
            ToEgress::Request(Box::new(request())),
            ToEgress::Body(b"x"),
            ToEgress::Credit(9),
            ToEgress::Cancel,
        ];
        for word in words {
            let bytes = to(&word, false);
            let (header, body) = frame::split(&bytes).expect("a frame").expect("whole");
            assert_eq!((header.stream, ToEgress::decode(header, body)), (7, Ok(word)));
        }
        let head = Head {
            status: 200,
            url: String::new(),
            redirected: false,
            fields: vec![("a".into(), vec![0xff])],
        };
        let words = [
            FromEgress::Head(Box::new(head)),
            FromEgress::Body(b"x"),
            FromEgress::Credit(9),
            FromEgress::Done(Use::default()),
            FromEgress::Failed(Fault::new(FaultKind::Late, "no").at("example.org")),
        ];
        for word in words {
            let bytes = from(&word);
            let (header, body) = frame::split(&bytes).expect("a frame").expect("whole");
            assert_eq!(FromEgress::decode(header, body), Ok(word));
        }
    }

    #[test]
    fn what_is_over_a_bound_is_refused() {
        type Change = fn(&mut Request);
        let changes: [Change; 8] = [
            |r| r.method = "A".repeat(METHOD_BYTES_MAX + 1),
            |r| r.url = "A".repeat(URL_BYTES_MAX + 1),
            |r| r.fields = vec![r.fields[0].clone(); FIELDS_MAX + 1],
            |r| r.fields[0].value = vec![b'a'; FIELDS_BYTES_MAX],
            |r| r.hosts = vec![String::new(); HOSTS_MAX + 1],
            |r| r.hosts = vec!["a".repeat(HOSTS_BYTES_MAX + 1)],
            |r| r.bytes_max = KERNEL_BYTES_MAX + 1,
            |r| r.wall_ms = KERNEL_WALL_MS_MAX + 1,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut request = request();
            change(&mut request);
            let bytes = to(&ToEgress::Request(Box::new(request)), true);
            let (header, body) = frame::split(&bytes).expect("a frame").expect("whole");
            assert!(ToEgress::decode(header, body).is_err(), "change {at}");
        }
        let header = |kind, end, stream| Header { body_bytes: 0, kind, end, stream };
        for bad in [
            header(2, false, 1),
            header(2, true, 0),
            header(4, true, 1),
            header(3, false, 1),
            header(9, false, 1),
        ] {
            assert!(ToEgress::decode(bad, &[]).is_err(), "{bad:?}");
        }
        for bad in
            [header(0x82, false, 1), header(0x85, false, 1), header(0x84, true, 1), header(0x81, false, 1)]
        {
            assert!(FromEgress::decode(bad, &[]).is_err(), "{bad:?}");
        }
        for (status, good) in [(199, false), (200, true), (599, true), (600, false), (101, false)] {
            let head = Head { status, url: String::new(), redirected: false, fields: vec![] };
            let bytes = from(&FromEgress::Head(Box::new(head)));
            let (header, body) = frame::split(&bytes).expect("a frame").expect("whole");
            assert_eq!(FromEgress::decode(header, body).is_ok(), good, "{status}");
        }
        let long = vec![0; FRAME_BODY_BYTES_MAX + 1];
        let mut out = Vec::new();
        assert!(ToEgress::Body(&long).encode(1, true, &mut out).is_err() && out.is_empty());
        assert!(FromEgress::Body(&long).encode(1, &mut out).is_err() && out.is_empty());
    }

    #[test]
    fn a_pattern_reaches_what_it_names() {
        let hosts = ["api.example.org".to_owned(), "*.example.com".to_owned()];
        for (host, reached) in [
            ("api.example.org", true),
            ("example.org", false),
            ("x.api.example.org", false),
            ("example.com", false),
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("aexample.com", false),
            (".example.com", false),
            ("", false),
            ("api.example.org.", false),
        ] {
            assert_eq!(reaches(&hosts, host), reached, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_frame_is_read_or_refused(kind: u8, end: bool, stream: u32, body: Vec<u8>) {
            let header = Header { body_bytes: body.len() as u32, kind, end, stream };
            if let Ok(word) = ToEgress::decode(header, &body) {
                let mut out = Vec::new();
                prop_assert!(word.encode(stream, end, &mut out).is_ok());
            }
            if let Ok(word) = FromEgress::decode(header, &body) {
                let mut out = Vec::new();
                prop_assert!(word.encode(stream, &mut out).is_ok());
            }
        }
    }
}
