//! Forms that change something: small, of one type, from our own page and no other. Everything in them is
//! hostile.

use std::error::Error;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, ORIGIN};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};

use super::Site;
use crate::kernel::security::Secret;

/// Largest form.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Most fields of one.
const FIELDS_MAX: usize = 32;
/// The field that says that the page was ours.
pub(super) const WORD: &str = "form";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A body that a client sends.
pub(crate) trait Sent: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> {}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>> Sent for B {}

/// Why a form is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    /// Another site sent it, or nobody knows who.
    #[error("this form did not come from a page of this server")]
    Foreign,
    /// The page was not made for this browser, or long ago.
    #[error("this page is too old: go back, load it again and send the form once more")]
    Old,
    /// Not a form, or too large.
    #[error("this is not a form that this page sends")]
    Malformed,
}

/// Whether the request changes something by the will of our own page: browsers say where a request comes from
/// in a field that no script can set. A sibling's page is same-site, so only same-origin will do.
pub(super) fn own_page(site: &Site<'_>) -> Result<(), FormError> {
    let fetch_site = site.headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes());
    let origin = site.headers.get(ORIGIN).map(|value| value.as_bytes());
    let own = site.origin();
    let is_own = |origin: &[u8]| origin.eq_ignore_ascii_case(own.as_bytes());
    match (fetch_site, origin) {
        (Some(b"same-origin"), None) => Ok(()),
        (Some(b"same-origin") | None, Some(origin)) if is_own(origin) => Ok(()),
        // A referrer policy may hide the origin; the other field cannot be hidden.
        (Some(b"same-origin"), Some(b"null")) => Ok(()),
        _ => Err(FormError::Foreign),
    }
}

/// The fields of a form.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The field of this name, or nothing.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

/// Takes a form in that our own page sent, made for the browser that holds `tied`.
pub(super) async fn take<B: Sent>(
    site: &Site<'_>,
    tied: Option<&Secret>,
    body: B,
) -> Result<Form, FormError> {
    own_page(site)?;
    let media_type = site.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(FormError::Malformed);
    }
    let bytes =
        Limited::new(body, FORM_BYTES_MAX).collect().await.map_err(|_| FormError::Malformed)?.to_bytes();
    let fields =
        form_urlencoded::parse(&bytes).take(FIELDS_MAX).map(|(k, v)| (k.into_owned(), v.into_owned()));
    let form = Form(fields.collect());
    match tied {
        Some(tied) if tied.said(WORD, form.field(WORD)) => Ok(form),
        _ => Err(FormError::Old),
    }
}
