//! Pages of the OS origin: plain HTML that works without a script. What comes from outside is escaped; nothing
//! is loaded from anywhere.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY,
};
use http::{Response, StatusCode};
use sha2::Digest as _;

use super::super::body::Whole;
pub(super) use super::super::page::escape;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;\
color-scheme:light dark}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}label{display:block;margin:1rem 0 0}\
input:not([type=hidden]):not([type=checkbox]),select{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}\
button{font:inherit;padding:.5rem 1rem;margin:1rem 0 0}.error{border-left:.25rem solid #c33;padding-left:.75rem}\
small{opacity:.75}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .75rem .35rem 0;\
vertical-align:top}td form{margin:0}td button{margin:0;padding:.15rem .6rem}ul.apps{list-style:none;padding:0}\
ul.apps a{display:inline-block;padding:.5rem 0}ul.codes{columns:2;font-size:1.1rem}code{overflow-wrap:anywhere}\
svg{max-width:100%;height:auto}small{display:block}td small{display:inline}";

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const FRAME: HeaderName = HeaderName::from_static("x-frame-options");

/// Loads the one script, on pages that have something for it to do.
pub(super) const SCRIPT: &str = "<script type=\"module\" src=\"/passkey.js\"></script>";

/// A page. `actions`: origins beside its own that its forms may lead to.
pub(super) fn page(status: StatusCode, title: &str, inside: &str, actions: &str) -> Response<Whole> {
    static HASH: OnceLock<String> = OnceLock::new();
    let hash = HASH.get_or_init(|| STANDARD.encode(sha2::Sha256::digest(STYLE)));
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\
         <main><h1>{title}</h1>{inside}</main></html>\n"
    );
    let mut response = Response::new(Whole::new(Bytes::from(html)));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; {}form-action 'self'{}{actions}; frame-ancestors 'none'; \
         base-uri 'none'",
        if inside.contains(SCRIPT) { "script-src 'self'; connect-src 'self'; " } else { "" },
        if actions.is_empty() { "" } else { " " }
    );
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CSP, policy);
    }
    fields(headers);
    response
}

/// JSON, for a program.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Whole> {
    let mut response = Response::new(Whole::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(CSP, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    fields(response.headers_mut());
    response
}

/// JSON that is no secret and that pages of any origin may read.
pub(super) fn public(value: &serde_json::Value) -> Response<Whole> {
    let mut response = Response::new(Whole::new(Bytes::from(value.to_string())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// 303: whatever the method was, `GET` that.
pub(super) fn redirect(to: &str) -> Response<Whole> {
    let mut response = Response::new(Whole::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    fields(response.headers_mut());
    response
}

/// Of every answer about people: nobody keeps, sniffs, frames or reads it from elsewhere.
fn fields(headers: &mut http::HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    headers.insert(FRAME, HeaderValue::from_static("DENY"));
    headers.insert(COOP, HeaderValue::from_static("same-origin"));
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// An error above a form; empty: none.
pub(super) fn error(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("<p class=\"error\" role=\"alert\">{}</p>", escape(text)),
    }
}

/// A field for a code of an authenticator app, or a recovery code.
pub(super) fn code_field(label: &str) -> String {
    format!(
        "<label for=\"code\">{}</label><input id=\"code\" name=\"code\" required autocomplete=\"one-time-code\" \
         autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"32\">",
        escape(label)
    )
}

/// How long ago, in words.
pub(super) fn ago(then_ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    let (count, unit) = match minutes {
        0 => return "just now".to_owned(),
        1..60 => (minutes, "minute"),
        60..1_440 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A browser by the name that people know, as far as it says one; else what it calls itself.
pub(super) fn browser(agent: &str) -> String {
    // The first that fits: most browsers also say that they are those further down.
    const NAMES: [(&str, &str); 6] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "a Mac"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name)
    };
    match (find(&NAMES), find(&SYSTEMS)) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        _ if agent.is_empty() => "a program that does not say its name".to_owned(),
        _ => agent.chars().take(80).collect(),
    }
}

/// A part of a page with a heading, which those who do not see it can jump to.
pub(super) fn section(id: &str, title: &str, inside: &str) -> String {
    format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{}</h2>{inside}</section>", escape(title))
}

/// A table; `heads` name its columns. The last may be empty: buttons.
pub(super) fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads
        .iter()
        .map(|head| match *head {
            "" => "<td></td>".to_owned(),
            head => format!("<th scope=\"col\">{}</th>", escape(head)),
        })
        .collect();
    format!("<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
}

/// A hidden field.
pub(super) fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
}

/// A button that is a form of its own.
pub(super) fn button(action: &str, fields: &str, text: &str) -> String {
    button_for(action, fields, text, "")
}

/// One of several that look the same: `what` says to those who do not see it what it is for.
pub(super) fn button_for(action: &str, fields: &str, text: &str, what: &str) -> String {
    let label = match what {
        "" => String::new(),
        what => format!(" aria-label=\"{} {}\"", escape(text), escape(what)),
    };
    format!(
        "<form method=\"post\" action=\"{}\">{fields}<button{label}>{}</button></form>",
        escape(action),
        escape(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_have_the_names_that_people_know() {
        for (agent, expect) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 Version/19.0 Safari/604.1",
                "Safari on an iPhone",
            ),
            ("Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
            ("curl/8.1", "curl/8.1"),
            ("", "a program that does not say its name"),
        ] {
            assert_eq!(browser(agent), expect);
        }
        assert_eq!(browser(&"x".repeat(200)).len(), 80);
    }

    #[test]
    fn times_are_said_in_words() {
        let now = 100 * 86_400_000;
        for (back_s, expect) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (3_000, "50 minutes ago"),
            (3_600, "1 hour ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(now - back_s * 1_000, now), expect);
        }
        assert_eq!(ago(now + 5_000, now), "just now", "a clock that was set back");
    }
}
