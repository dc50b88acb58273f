//! Deployed files over HTTP, without waking a worker. The path and the conditions are a stranger's; the file,
//! its type and its tag come from the index of the release.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LOCATION, RANGE, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body::Body;

use super::body::{EdgeBody, Pieces, Whole};
use super::conditional::{self, Wanted};
use super::{negotiate, page};
use crate::kernel::fs::{AssetMatch, CONTENT_WHOLE_BYTES_MAX, Encoding, File, FsError, Release};

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Who answers a request to an app.
pub(crate) enum Answer<'a> {
    /// This file, with this status.
    File(&'a File, StatusCode),
    /// A redirect to the same path with a slash.
    Folder,
    /// A redirect to the same path without its slash.
    Page,
    /// The app's server.
    Server,
    /// Nobody: 404.
    Nobody,
    /// A file is there, but not for this method.
    Method,
}

/// Decides who answers. A file goes before the server; the server before a page that says what is missing.
pub(crate) fn answer<'a>(
    release: &'a Release,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Answer<'a> {
    let readable = method == Method::GET || method == Method::HEAD;
    let server = release.has_server();
    let found = decode(uri.path()).map_or(AssetMatch::None, |path| release.asset(&path));
    match found {
        AssetMatch::Found(_) | AssetMatch::Folder | AssetMatch::Page | AssetMatch::Spa(_)
            if !readable && server =>
        {
            Answer::Server
        }
        AssetMatch::Found(_) | AssetMatch::Folder | AssetMatch::Page if !readable => Answer::Method,
        AssetMatch::Found(file) => Answer::File(file, StatusCode::OK),
        AssetMatch::Folder => Answer::Folder,
        AssetMatch::Page => Answer::Page,
        AssetMatch::Spa(file) if readable && page::wants_html(headers) => Answer::File(file, StatusCode::OK),
        _ if server => Answer::Server,
        AssetMatch::NotFoundPage(file) if readable => Answer::File(file, StatusCode::NOT_FOUND),
        AssetMatch::NotFoundPage(_) | AssetMatch::Spa(_) | AssetMatch::None if !readable => Answer::Method,
        _ => Answer::Nobody,
    }
}

/// Percent-decodes a path once. None where that gives something that no file can be called, or that another
/// reader would take for a different path.
fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') || path.starts_with("//") || path.contains('\\') {
        return None;
    }
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let value = digit(bytes.get(at + 1))? * 16 + digit(bytes.get(at + 2))?;
            let value = u8::try_from(value).ok()?;
            if matches!(value, 0 | b'/' | b'\\') {
                return None;
            }
            out.push(value);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// 307 to the path with a slash or without it, so that relative links work. Temporary: the next version may
/// have a file there. A path that could be read as another host never gets here: no file matches it.
pub(crate) fn redirect<W: Body>(uri: &Uri, slash: bool) -> Response<EdgeBody<W>> {
    let path = uri.path().trim_end_matches('/');
    let slash = if slash { "/" } else { "" };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(EdgeBody::whole(Whole::default()));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::from_maybe_shared(Bytes::from(format!("{path}{slash}{query}"))) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The fields of 405 for a file.
pub(crate) const ALLOWED: (HeaderName, HeaderValue) = (ALLOW, HeaderValue::from_static("GET, HEAD"));

/// Serves a file.
///
/// # Errors
/// When its content cannot be read.
pub(crate) async fn serve<W: Body>(
    release: &Arc<Release>,
    file: &File,
    status: StatusCode,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<EdgeBody<W>>, FsError> {
    // A range is of one fixed sequence of bytes: the one that every client can put together.
    let ranged = method == Method::GET && status == StatusCode::OK && headers.contains_key(RANGE);
    let encoding = if ranged { Encoding::Identity } else { negotiate::choose(headers, file.encodings) };
    let bytes = file.encodings.bytes(encoding).map_or(file.bytes, u64::from);
    let etag = etag(file, encoding);
    let wanted = match status {
        StatusCode::OK => conditional::judge(headers, etag.as_bytes()),
        _ => None,
    };
    let wanted = wanted.unwrap_or_else(|| match ranged {
        true => conditional::range(headers, etag.as_bytes(), bytes),
        false => Wanted::Whole,
    });

    let mut response = Response::new(EdgeBody::length(None));
    let (body, status) = match wanted {
        Wanted::NothingNew => (EdgeBody::length(None), StatusCode::NOT_MODIFIED),
        Wanted::Failed => (EdgeBody::whole(Whole::default()), StatusCode::PRECONDITION_FAILED),
        Wanted::Unsatisfiable => (EdgeBody::whole(Whole::default()), StatusCode::RANGE_NOT_SATISFIABLE),
        _ if method == Method::HEAD => (EdgeBody::length(Some(bytes)), status),
        Wanted::Whole => (content(release, file, encoding, 0, bytes, bytes).await?, status),
        Wanted::Part { first, last } => (
            content(release, file, encoding, first, last - first + 1, bytes).await?,
            StatusCode::PARTIAL_CONTENT,
        ),
    };
    *response.body_mut() = body;
    *response.status_mut() = status;
    fields(response.headers_mut(), file, encoding, etag, status);
    match wanted {
        Wanted::Part { first, last } => {
            content_range(response.headers_mut(), &format!("bytes {first}-{last}/{bytes}"))
        }
        Wanted::Unsatisfiable => content_range(response.headers_mut(), &format!("bytes */{bytes}")),
        _ => {}
    }
    Ok(response)
}

fn fields(headers: &mut HeaderMap, file: &File, encoding: Encoding, etag: HeaderValue, status: StatusCode) {
    headers.reserve(8);
    if !matches!(
        status,
        StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED
    ) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
        if let Some(token) = encoding.token() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
        }
        headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        if runs_scripts(file.media_type) {
            headers.insert(PERMISSIONS_POLICY, super::fields::NO_PASSKEYS);
        }
    }
    headers.insert(ETAG, etag);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static(match (file.immutable, status) {
            (true, status) if status != StatusCode::NOT_FOUND => "public, max-age=31536000, immutable",
            _ => "no-cache",
        }),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if file.encodings != crate::kernel::fs::Encodings::default() {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Whether a browser that opens a file of this type runs its scripts: HTML, and every XML (SVG, XHTML).
fn runs_scripts(media_type: &str) -> bool {
    media_type.starts_with("text/html") || media_type.contains("xml")
}

/// For an app that is not public: no cache between here and the browser keeps its files.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    let immutable = headers.get(CACHE_CONTROL).is_some_and(|value| value.as_bytes().starts_with(b"public"));
    let value = if immutable { "private, max-age=31536000, immutable" } else { "private, no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// Half of the hash in hexadecimal, and the form: strong, because each form is fixed bytes.
fn etag(file: &File, encoding: Encoding) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(40);
    text.push(b'"');
    for byte in &file.sha256.0[..16] {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    if let Some(token) = encoding.token() {
        text.push(b'-');
        text.extend_from_slice(token.as_bytes());
    }
    text.push(b'"');
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// `length` bytes from `offset` of a content of `bytes`.
async fn content<W: Body>(
    release: &Arc<Release>,
    file: &File,
    encoding: Encoding,
    offset: u64,
    length: u64,
    bytes: u64,
) -> Result<EdgeBody<W>, FsError> {
    if length == 0 {
        return Ok(EdgeBody::whole(Whole::default()));
    }
    if bytes > CONTENT_WHOLE_BYTES_MAX {
        return Ok(EdgeBody::pieces(Pieces::new(
            Arc::clone(release),
            file.clone(),
            encoding,
            offset,
            length,
        )));
    }
    let whole = match release.content_cached(file, encoding) {
        Some(whole) => whole,
        None => release.content(file, encoding).await?,
    };
    let (from, to) = (offset as usize, (offset + length) as usize);
    if whole.len() as u64 != bytes {
        return Err(FsError::NoFile(file.sha256.to_string()));
    }
    Ok(EdgeBody::whole(Whole::new(whole.slice(from..to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_never_into_another_path() {
        for (path, expect) in [
            ("/", Some("/")),
            ("/a%20b.txt", Some("/a b.txt")),
            ("/%C3%A9", Some("/é")),
            ("/%2541", Some("/%41")),
            ("/a%2fb", None),
            ("/a%5cb", None),
            ("/a\\b", None),
            ("/a%00", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%ff", None),
            ("//evil.example/", None),
            ("*", None),
        ] {
            assert_eq!(decode(path).as_deref(), expect, "{path}");
        }
    }
}
