//! A browser as far as signing in needs one: cookies by host, redirects, forms. It runs no script and keeps to
//! the rules for cookies that matter here: they belong to one host, `Max-Age=0` takes them away.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::http::{Client, Response};

/// Redirects before it gives up.
const REDIRECTS_MAX: usize = 10;

/// A browser. Each has cookies of its own.
pub struct Browser {
    address: SocketAddr,
    /// By host, then by name.
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// A page that was loaded.
#[derive(Debug)]
pub struct Page {
    /// Its address, after redirects.
    pub url: String,
    /// The last answer.
    pub response: Response,
    /// Addresses that led here, the first first.
    pub hops: Vec<String>,
}

impl Page {
    /// Status of the last answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.response.status
    }

    /// Body as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.response.text()
    }
}

impl Browser {
    /// A fresh one, which finds every host at `address`.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// The URL of the OS origin (`app` empty) or of an app, with this path.
    #[must_use]
    pub fn url(&self, app: &str, path: &str) -> String {
        let dot = if app.is_empty() { "" } else { "." };
        format!("http://{app}{dot}localhost:{}{path}", self.address.port())
    }

    /// Looks at a page, following redirects.
    pub fn open(&mut self, url: &str) -> Page {
        self.go("GET", url, &[], b"")
    }

    /// One request without following redirects. Cookies are sent and kept.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&mut self, method: &str, url: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
        let (host, path) = split(url);
        let mut client = Client::connect(self.address, host).expect("connection");
        let cookies = self.cookies.get(host).map(|jar| {
            jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
        });
        let mut all = fields.to_vec();
        if let Some(cookies) = cookies.as_deref().filter(|cookies| !cookies.is_empty()) {
            all.push(("cookie", cookies));
        }
        let response = client.request(method, path, &all, body).expect("answer");
        for cookie in response.all("set-cookie") {
            let mut parts = cookie.split(';').map(str::trim);
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let jar = self.cookies.entry(host.to_owned()).or_default();
            if parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    /// Fills in the first form of a page and sends it.
    ///
    /// # Panics
    /// When the page has no form.
    pub fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let html = page.text();
        let form = html.split("<form ").nth(1).unwrap_or_else(|| panic!("no form on {}: {html}", page.url));
        let form = form.split("</form>").next().unwrap_or_default();
        let action = attribute(form, "action").expect("an action");
        let mut values: Vec<(String, String)> = form
            .split("<input ")
            .skip(1)
            .filter(|input| input.contains("type=\"hidden\""))
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)))
            .collect();
        values.retain(|(name, _)| !fields.iter().any(|(field, _)| field == name));
        values.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body: Vec<String> =
            values.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let (host, _) = split(&page.url);
        let origin = format!("http://{host}");
        let url = format!("{origin}{action}");
        let fields = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.go("POST", &url, &fields, body.join("&").as_bytes())
    }

    fn go(&mut self, method: &str, url: &str, fields: &[(&str, &str)], body: &[u8]) -> Page {
        let (mut url, mut hops) = (url.to_owned(), Vec::new());
        let mut all = vec![("accept", "text/html,*/*;q=0.8"), ("sec-fetch-mode", "navigate")];
        all.extend_from_slice(fields);
        let mut response = self.send(method, &url, &all, body);
        while let (301..=303 | 307 | 308, Some(to)) = (response.status, response.field("location")) {
            assert!(hops.len() < REDIRECTS_MAX, "round and round: {hops:?}");
            let (host, _) = split(&url);
            let next = if to.starts_with('/') { format!("http://{host}{to}") } else { to.to_owned() };
            hops.push(std::mem::replace(&mut url, next));
            response = self.send("GET", &url, &all[..2], b"");
        }
        Page { url, response, hops }
    }
}

/// Host with port, and path.
fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not http: {url}"));
    let at = rest.find('/').unwrap_or(rest.len());
    (&rest[..at], if at == rest.len() { "/" } else { &rest[at..] })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
    Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&"))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
