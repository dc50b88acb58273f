//! The pages of the OS origin and the few paths that every app's origin has for signing in.
//!
//! `edge/` calls it, before anything of an app. What arrives here is a stranger's; what may be done is
//! `security`'s to say. No answer tells whether a user exists, no secret is in a log, no page needs a script.
//!
//! ```text
//! app origin                        OS origin
//! GET /x, a stranger ──303──▶ /authorize?app&state&to ──no session──▶ /sign-in ──password──▶ /authorize
//!   sets a state cookie                │ a session
//! /_fazt/enter?code ◀────────303──────┘ code: one app, one minute, once, that state
//!   sets this origin's session ──303──▶ /x
//! ```
//!
//! | task | file |
//! |---|---|
//! | sign in, sign out | `entry.rs` |
//! | links that work once | `join.rs` |
//! | from origin to origin | `across.rs` |
//! | the home page, and what one changes there | `home.rs`, `account.rs` |
//! | confirming that it is still they | `confirm.rs` |
//! | codes of an authenticator app | `totp.rs` |
//! | passkeys, and the one script | `passkey.rs`, `passkey.js` |
//! | cookies | `cookie.rs` |
//! | who may send a form | `form.rs` |
//! | how a page looks | `pages.rs` |

mod account;
mod across;
mod confirm;
mod cookie;
mod entry;
mod form;
mod home;
mod join;
mod pages;
mod passkey;
mod totp;

use std::net::IpAddr;
use std::sync::Arc;

use fazt_ipc::ids::{AppId, RequestId};
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, HeaderName, HeaderValue, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::body::Whole;
use super::page::{self, Page};
use crate::kernel::fs::Fs;
use crate::kernel::security::identity::{AGENT_BYTES_MAX, Client, Known, TOKEN_PREFIX};
use crate::kernel::security::{Denied, Identity, IdentityError, Person, Secret, Visitor};
use cookie::Jar;
use form::{FormError, Sent};

/// Paths of every app's origin that are Fazt's.
pub(crate) const RESERVED: &str = "/_fazt/";
/// Longest path that is gone back to after signing in; from a longer one it is the app's first page.
const TO_BYTES_MAX: usize = 1_500;
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Where a request came from and where it is.
pub(crate) struct Site<'a> {
    /// The client came over https.
    pub(crate) https: bool,
    /// Cookies are safe here: https, or a client on this very machine.
    pub(crate) safe: bool,
    /// Host and port as the client sees them.
    pub(crate) authority: &'a str,
    /// Host and port of the OS origin.
    pub(crate) os: &'a str,
    /// The client.
    pub(crate) client: IpAddr,
    /// The request.
    pub(crate) id: RequestId,
    /// Its fields.
    pub(crate) headers: &'a HeaderMap,
}

impl Site<'_> {
    const fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// This origin.
    fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority)
    }

    /// The OS origin.
    fn os_origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.os)
    }

    /// The origin of an app.
    fn app_origin(&self, name: &str) -> String {
        format!("{}://{name}.{}", self.scheme(), self.os)
    }

    fn cookie(&self, jar: Jar) -> Result<Option<Secret>, cookie::Twice> {
        if self.safe { cookie::read(self.headers, jar, self.https) } else { Ok(None) }
    }

    fn set_cookie(&self, response: &mut Response<Whole>, jar: Jar, secret: Option<&Secret>, seconds: u64) {
        if let Some(value) = cookie::set(jar, secret, seconds, self.https) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }

    /// Who asks, for sessions and the log.
    pub(crate) fn who(&self) -> Client {
        let agent = self.headers.get(http::header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
        let agent = String::from_utf8_lossy(&agent[..agent.len().min(AGENT_BYTES_MAX)]).into_owned();
        // Of no use if it is there twice, and no reason to turn anybody away.
        let device = self.cookie(Jar::Device).unwrap_or_default();
        Client { address: self.client, device, agent }
    }

    /// A script asks for what only somebody who looks at a page should come by: then what is set in cookies on
    /// the way is nobody's wish. Browsers that do not say are taken at their word.
    fn is_scripted(&self) -> bool {
        self.headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode.as_bytes() != b"navigate")
    }

    /// A refusal in the form that the client prefers.
    fn refuse(&self, status: StatusCode, message: &str, retry_after_s: Option<u64>) -> Response<Whole> {
        Page { status, message, detail: "", id: self.id, retry_after_s }.response(self.headers)
    }

    /// Somebody looks at a page, and a redirect to another makes sense.
    fn navigates(&self, method: &Method) -> bool {
        let reads = method == Method::GET || method == Method::HEAD;
        reads
            && match self.headers.get(SEC_FETCH_MODE) {
                Some(mode) => mode.as_bytes() == b"navigate",
                None => page::wants_html(self.headers),
            }
    }
}

/// Everything about people at the edge.
pub(crate) struct People {
    /// Who people are.
    pub(crate) identity: Arc<Identity>,
    /// Which apps there are.
    pub(crate) fs: Arc<Fs>,
}

/// A request to an app that is not let through to a decision.
#[derive(Debug)]
pub(crate) enum Turned {
    /// The same cookie twice.
    Twice,
    /// A token that is not good here.
    Token,
    /// A token over plain HTTP.
    Plain,
    /// A script where somebody should look.
    Scripted,
    /// A form that is not taken.
    Form(FormError),
    /// The book cannot be read.
    Broken(IdentityError),
}

impl From<FormError> for Turned {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl People {
    /// Who a request to an app's origin is from.
    ///
    /// # Errors
    /// When it carries proof that is not good: a token is not silently left out.
    pub(crate) async fn visitor(&self, site: &Site<'_>, app: AppId) -> Result<Visitor, Turned> {
        if let Some(token) = bearer(site.headers) {
            if !site.safe {
                return Err(Turned::Plain);
            }
            let bearer = self.identity.bearer(token).await.map_err(Turned::Broken)?;
            return match bearer {
                Some(bearer) if bearer.acts_on(app) => Ok(Visitor::Known(bearer.person)),
                _ => Err(Turned::Token),
            };
        }
        Ok(match self.known(site, Some(app)).await? {
            Some(known) => Visitor::Known(known.person),
            None => Visitor::Stranger,
        })
    }

    /// The session of the client at this origin.
    async fn known(&self, site: &Site<'_>, app: Option<AppId>) -> Result<Option<Known>, Turned> {
        let Some(secret) = site.cookie(Jar::Session).map_err(|cookie::Twice| Turned::Twice)? else {
            return Ok(None);
        };
        match self.identity.session_cached(&secret, app) {
            Some(known) => Ok(known),
            None => self.identity.session(&secret, app).await.map_err(Turned::Broken),
        }
    }

    /// The answer to a request that was turned away.
    pub(crate) fn turned(&self, site: &Site<'_>, turned: &Turned) -> Response<Whole> {
        match turned {
            Turned::Twice => site.refuse(
                StatusCode::BAD_REQUEST,
                "the request carries the cookie of its session twice: delete the cookies of this site",
                None,
            ),
            Turned::Token => unauthorised(site, "this token is not good for this app"),
            Turned::Plain => unauthorised(site, "tokens are taken over https only"),
            Turned::Scripted => site.refuse(
                StatusCode::FORBIDDEN,
                "this address is for a browser to go to, not for a script to ask",
                None,
            ),
            Turned::Form(error) => site.refuse(StatusCode::FORBIDDEN, &error.to_string(), None),
            Turned::Broken(error) => {
                tracing::error!(%error, request = %site.id, "a session cannot be looked up");
                site.refuse(StatusCode::SERVICE_UNAVAILABLE, "sessions cannot be read at the moment", Some(5))
            }
        }
    }

    /// The answer to somebody who may not reach an app.
    pub(crate) async fn denied(
        &self,
        site: &Site<'_>,
        (app, name): (AppId, &str),
        (method, uri): (&Method, &Uri),
        person: Option<&Person>,
        why: Denied,
    ) -> Response<Whole> {
        if let Some(person) = person {
            self.identity.turned_away(person, app, why, &site.who()).await;
            return site.refuse(StatusCode::FORBIDDEN, &why.to_string(), None);
        }
        if !site.navigates(method) {
            return unauthorised(site, &why.to_string());
        }
        let to = uri.path_and_query().map_or("/", |to| to.as_str());
        self.leave(site, name, to)
    }

    /// Answers a request to one of Fazt's own paths at an app's origin.
    pub(crate) async fn at_app<B: Sent>(
        &self,
        site: &Site<'_>,
        (app, name): (AppId, &str),
        (method, uri): (&Method, &Uri),
        body: B,
    ) -> Response<Whole> {
        let path = uri.path().strip_prefix(RESERVED).unwrap_or_default();
        let done = match (method, path) {
            (&Method::GET, "sign-in" | "enter") if site.is_scripted() => Err(Turned::Scripted),
            (&Method::GET, "sign-in") => Ok(self.leave(site, name, &local(query(uri, "to")))),
            (&Method::GET, "enter") => self.enter(site, app, uri).await,
            (&Method::GET, "sign-out") => self.sign_out_page(site, Some(app)).await,
            (&Method::POST, "sign-out") => self.sign_out(site, Some(app), body).await,
            (&Method::GET, "user") => self.user(site, app).await,
            (&Method::POST, "token") => self.mint(site, app).await,
            _ => Ok(site.refuse(StatusCode::NOT_FOUND, "there is nothing here", None)),
        };
        done.unwrap_or_else(|turned| self.turned(site, &turned))
    }

    /// Answers a request to the OS origin.
    pub(crate) async fn at_os<B: Sent>(
        &self,
        site: &Site<'_>,
        (method, uri): (&Method, &Uri),
        body: B,
    ) -> Response<Whole> {
        let reads = method == Method::GET || method == Method::HEAD;
        let path = uri.path();
        if path == page::SCHEMA_PATH && reads {
            return page::schema();
        }
        if path == "/.well-known/jwks.json" && reads {
            return pages::public(&self.identity.jwt.key_set());
        }
        if !site.safe && path != "/" {
            return insecure(site);
        }
        let done = match path {
            "/" if reads => self.home(site).await,
            "/account/totp" if reads => self.totp_page(site).await,
            _ if path.starts_with("/account/") && method == Method::POST => {
                self.account(site, &path["/account/".len()..], body).await
            }
            _ if path.starts_with("/passkey/") && method == Method::POST => {
                self.passkey(site, &path["/passkey/".len()..], body).await
            }
            "/passkey.js" if reads => Ok(passkey::script()),
            "/sign-in" if reads => self.sign_in_page(site, &next(query(uri, "next")), "", "").await,
            "/sign-in" if method == Method::POST => self.sign_in(site, body).await,
            "/sign-in/code" if method == Method::POST => self.sign_in_code(site, body).await,
            "/confirm" if reads => self.confirm_page(site, &confirm::next(query(uri, "next")), "").await,
            "/confirm" if method == Method::POST => self.confirm(site, body).await,
            "/sign-out" if reads => self.sign_out_page(site, None).await,
            "/sign-out" if method == Method::POST => self.sign_out(site, None, body).await,
            "/authorize" if site.is_scripted() => Err(Turned::Scripted),
            "/authorize" if method == Method::GET => self.authorize(site, uri).await,
            "/" | "/authorize" | page::SCHEMA_PATH => Ok(method_not_allowed(site, "GET, HEAD")),
            "/sign-in" | "/sign-out" | "/confirm" => Ok(method_not_allowed(site, "GET, HEAD, POST")),
            "/sign-in/code" => Ok(pages::redirect("/sign-in")),
            _ => match path.strip_prefix("/join/").and_then(Secret::read) {
                Some(link) if reads => self.join_page(site, &link, "", "").await,
                Some(link) if method == Method::POST => self.join(site, &link, body).await,
                _ => Ok(site.refuse(StatusCode::NOT_FOUND, "there is nothing here", None)),
            },
        };
        done.unwrap_or_else(|turned| self.turned(site, &turned))
    }

    /// What a form is tied to at the OS origin: the session, else a cookie of its own.
    async fn tie(&self, site: &Site<'_>) -> Result<Tie, Turned> {
        if let Some(known) = self.known(site, None).await?
            && let Ok(Some(secret)) = site.cookie(Jar::Session)
        {
            return Ok(Tie { secret, known: Some(known), fresh: false });
        }
        let found = site.cookie(Jar::Form).map_err(|cookie::Twice| Turned::Twice)?;
        let fresh = found.is_none();
        let secret = found.unwrap_or_else(|| Secret::new(self.identity.world()));
        Ok(Tie { secret, known: None, fresh })
    }
}

/// What a form is tied to.
struct Tie {
    secret: Secret,
    /// The session, where it is one.
    known: Option<Known>,
    /// The client does not have it yet.
    fresh: bool,
}

impl Tie {
    /// The hidden field that a form needs.
    fn field(&self) -> String {
        pages::hidden(form::WORD, &self.secret.word(form::WORD))
    }

    /// Gives the client what it does not have yet.
    fn keep(&self, site: &Site<'_>, response: &mut Response<Whole>) {
        if self.fresh {
            site.set_cookie(response, Jar::Form, Some(&self.secret), 24 * 60 * 60);
        }
    }
}

fn method_not_allowed(site: &Site<'_>, allowed: &'static str) -> Response<Whole> {
    let mut response = site.refuse(StatusCode::METHOD_NOT_ALLOWED, "this can only be read", None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The token in `Authorization: Bearer fazt_…`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(TOKEN_PREFIX)).then_some(token)
    });
    values.next()
}

/// 401 for a program: JSON, unless it asks for a page.
fn unauthorised(site: &Site<'_>, message: &str) -> Response<Whole> {
    let mut asked = HeaderMap::new();
    let html = HeaderValue::from_static("text/html");
    let json = HeaderValue::from_static("application/json");
    asked.insert(ACCEPT, if page::wants_html(site.headers) { html } else { json });
    let page =
        Page { status: StatusCode::UNAUTHORIZED, message, detail: "", id: site.id, retry_after_s: None };
    let mut response = page.response(&asked);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fazt\""));
    response
}

/// Plain HTTP from elsewhere: a password would travel readable.
fn insecure(site: &Site<'_>) -> Response<Whole> {
    site.refuse(
        StatusCode::FORBIDDEN,
        "signing in needs https: over plain http everybody on the way can read a password. The owner can put \
         a proxy with a certificate in front and name it in trusted_proxies",
        None,
    )
}

/// The value of a query's field, decoded.
fn query(uri: &Uri, name: &str) -> String {
    let fields = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    fields.take(32).find(|(field, _)| field == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A path of the same origin to go on to; anything else is the first page. Browsers read a backslash as a
/// slash and `//host` as another host, and skip control characters.
fn local(to: String) -> String {
    let plain = to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let fits = to.len() <= TO_BYTES_MAX && !to.starts_with(RESERVED);
    if to.starts_with('/') && !to.starts_with("//") && plain && fits { to } else { "/".into() }
}

/// Where to go on to at the OS origin after signing in: to an app, or home.
fn next(to: String) -> String {
    let to = local(to);
    if to.starts_with("/authorize?") { to } else { "/".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_never_led_to_another_origin() {
        for (to, expect) in [
            ("/a?b=c&d=%2f", "/a?b=c&d=%2f"),
            ("/", "/"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/\t/evil.example", "/"),
            ("/a\r\nset-cookie: x=1", "/"),
            ("/é", "/"),
            ("/_fazt/sign-out", "/"),
        ] {
            assert_eq!(local(to.into()), expect, "{to}");
        }
        assert_eq!(local(format!("/{}", "a".repeat(TO_BYTES_MAX))), "/");
        assert_eq!(next("/authorize?app=notes".into()), "/authorize?app=notes");
        assert_eq!(next("/sign-out".into()), "/");
    }
}
