//! Pages of the edge itself: refusals, failures, health. Plain HTML for people, JSON where the client asks for
//! it. Whatever comes from outside is escaped.

use bytes::Bytes;
use fazt_ipc::ids::RequestId;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, Response, StatusCode};

use super::body::Whole;

/// Name of the field that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
/// Nothing on our own pages loads, runs or is framed.
const STRICT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// What a page says.
pub(crate) struct Page<'a> {
    /// Status.
    pub(crate) status: StatusCode,
    /// What happened and, where it helps, what to do.
    pub(crate) message: &'a str,
    /// Stack for the developer; empty: none is shown.
    pub(crate) detail: &'a str,
    /// The request.
    pub(crate) id: RequestId,
    /// When to try again.
    pub(crate) retry_after_s: Option<u64>,
}

/// The form of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Html,
    /// For programs.
    Json,
    /// For everybody else.
    Text,
}

impl Form {
    /// The one that the client prefers.
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        if wants_html(headers) {
            Self::Html
        } else if wants_json(headers) {
            Self::Json
        } else {
            Self::Text
        }
    }
}

impl Page<'_> {
    /// Makes the response, in the form that the client prefers.
    pub(crate) fn response(&self, asked: &HeaderMap) -> Response<Whole> {
        self.in_form(Form::asked(asked))
    }

    /// Makes the response.
    pub(crate) fn in_form(&self, form: Form) -> Response<Whole> {
        let (media_type, body) = match form {
            Form::Html => (HeaderValue::from_static("text/html; charset=utf-8"), self.html()),
            Form::Json => (HeaderValue::from_static("application/json"), self.json()),
            Form::Text => (HeaderValue::from_static("text/plain; charset=utf-8"), self.text()),
        };
        let mut response = own(self.status, media_type, Bytes::from(body));
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(self.id.to_string())) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn title(&self) -> String {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        format!("{} {reason}", self.status.as_u16())
    }

    fn html(&self) -> String {
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!("<pre>{}</pre>", escape(self.detail))
        };
        html(
            &self.title(),
            &format!("<p>{}</p>{detail}<p><small>Request {}</small></p>", escape(self.message), self.id),
        )
    }

    fn json(&self) -> String {
        let mut error = serde_json::json!({
            "status": self.status.as_u16(),
            "message": self.message,
            "request": self.id,
        });
        if !self.detail.is_empty() {
            error["stack"] = self.detail.into();
        }
        serde_json::json!({ "error": error }).to_string()
    }

    fn text(&self) -> String {
        let detail = if self.detail.is_empty() { String::new() } else { format!("\n{}\n", self.detail) };
        format!("{}: {}\n{detail}Request {}\n", self.title(), self.message, self.id)
    }
}

/// A page around `inside`, which is HTML already.
pub(crate) fn html(title: &str, inside: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:42rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}}pre{{overflow:auto}}</style>\
         <h1>{title}</h1>{inside}</html>\n"
    )
}

/// Where the OS origin has the JSON Schema of `app.json`. Stable: manifests name it in `$schema`.
pub(crate) const SCHEMA_PATH: &str = "/app.schema.json";

/// The JSON Schema of `app.json`. Editors fetch it from pages of any origin, and it is no secret.
pub(crate) fn schema() -> Response<Whole> {
    let text = Bytes::from(crate::kernel::fs::manifest::json_schema());
    let mut response = own(StatusCode::OK, HeaderValue::from_static("application/schema+json"), text);
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A response of the edge's own, which nobody may cache, sniff or frame.
pub(crate) fn own(status: StatusCode, media_type: HeaderValue, body: Bytes) -> Response<Whole> {
    let mut response = Response::new(Whole::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    headers.insert(CSP, STRICT);
    response
}

/// Whether the client prefers a page: it names HTML.
pub(crate) fn wants_html(asked: &HeaderMap) -> bool {
    accepts(asked, b"text/html")
}

fn wants_json(asked: &HeaderMap) -> bool {
    accepts(asked, b"application/json") || accepts(asked, b"application/problem+json")
}

fn accepts(asked: &HeaderMap, media_type: &[u8]) -> bool {
    asked.get_all(ACCEPT).iter().any(|value| {
        value.as_bytes().split(|&b| b == b',').any(|item| {
            let name = item.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            name.eq_ignore_ascii_case(media_type)
        })
    })
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(letter),
            _ if letter.is_control() => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accept: &str) -> (String, String) {
        let mut asked = HeaderMap::new();
        asked.insert(ACCEPT, accept.parse().expect("value"));
        let page = Page {
            status: StatusCode::BAD_GATEWAY,
            message: "<script>alert(1)</script>",
            detail: "at f (server.js:1:2)\u{1b}[31m",
            id: RequestId::new(1, 2),
            retry_after_s: Some(3),
        };
        let response = page.response(&asked);
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        assert_eq!(response.headers()[REQUEST_ID], RequestId::new(1, 2).to_string());
        let media_type = response.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
        (media_type, String::from_utf8(response.into_body().into_bytes().to_vec()).expect("utf-8"))
    }

    #[test]
    fn pages_come_in_the_form_that_is_asked_for_and_run_nothing() {
        let (media_type, html) = page("text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(media_type, "text/html; charset=utf-8");
        assert!(
            html.contains("&lt;script&gt;") && !html.contains("<script") && !html.contains('\u{1b}'),
            "{html}"
        );
        let (media_type, json) = page("application/json");
        assert_eq!(media_type, "application/json");
        let json: serde_json::Value = serde_json::from_str(&json).expect("json");
        assert_eq!(json["error"]["status"], 502);
        assert_eq!(page("*/*").0, "text/plain; charset=utf-8");
    }
}
