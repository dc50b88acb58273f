//! One request from its head to the head of its answer. Everything in it is a stranger's until a rule has
//! looked at it.
//!
//! ```text
//! health ─▶ host ─▶ bounds ─▶ origin ─▶ release ─▶ who, may they? ─▶ file, or worker ─▶ rules for answers
//!            400     429      421        404        303 401 403                           502 503 504
//! ```

mod asked;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fazt_ipc::control::Access;
use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::limits::{HEADER_BYTES_MAX, HEADERS_MAX, METHOD_BYTES_MAX, URL_BYTES_MAX};
use http::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::api::{self, Api};
use super::assets::{self, Answer as Answers};
use super::body::{EdgeBody, Whole};
use super::clients::Clients;
use super::conns::{Awaited, Conn, InFlight};
use super::fields::{self, Answering};
use super::hints::Hints;
use super::host::{self, Origin};
use super::identity::{self, People, Site};
use super::metrics::{Metrics, Source};
use super::page::{self, Form, Page};
use super::tls::Tls;
use crate::config::Config;
use crate::kernel::fs::{Fs, FsError, Release};
use crate::kernel::proc::{BodyError, DispatchError, Proc, RequestBody, WorkerBody};
use crate::kernel::security::{Authority, Visitor, decide};
use crate::limits::{FORWARDED_FIELDS, REQUESTS_PER_CONNECTION_MAX};
use asked::{Asked, is_this_machine, prepare};

/// Who has apps answer requests: proc, or a stand-in in tests.
pub(crate) trait Apps: Send + Sync + 'static {
    /// Body of an answer.
    type Body: Body<Data = Bytes, Error = BodyError> + Send + Unpin + 'static;

    /// Has the app answer.
    fn answer(
        &self,
        release: &Arc<Release>,
        authority: Authority,
        id: RequestId,
        origin: &str,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Self::Body>, DispatchError>> + Send;

    /// Tells the app's author something about an answer, in the app's log.
    fn remark(&self, app: AppId, id: RequestId, text: String);

    /// What the app's log says of a request that failed, for its developer.
    fn trouble(&self, app: AppId, id: RequestId) -> impl Future<Output = String> + Send;
}

impl Apps for Arc<Proc> {
    type Body = WorkerBody;

    async fn answer(
        &self,
        release: &Arc<Release>,
        authority: Authority,
        id: RequestId,
        origin: &str,
        request: Request<RequestBody>,
    ) -> Result<Response<WorkerBody>, DispatchError> {
        self.dispatch(release, authority, id, origin, request).await
    }

    fn remark(&self, app: AppId, id: RequestId, text: String) {
        Proc::remark(self, app, id, text);
    }

    async fn trouble(&self, app: AppId, id: RequestId) -> String {
        let id = id.to_string();
        let (lines, _) = self.logs(app, unix_ms().saturating_sub(60_000)).await;
        let lines: Vec<_> =
            lines.into_iter().filter(|line| line.request == id).map(|line| line.text).collect();
        lines.join("\n")
    }
}

/// The edge.
pub(crate) struct Edge<A> {
    /// Host of the OS origin.
    pub(crate) domain: String,
    /// Stacks are shown to clients on this machine.
    pub(crate) dev: bool,
    /// HTTPS, and its port: who comes without it is led there. None: it is off.
    pub(crate) tls: Option<(Arc<Tls>, u16)>,
    /// The configuration.
    pub(crate) config: Config,
    /// Apps and their files.
    pub(crate) fs: Arc<Fs>,
    /// Who answers for apps.
    pub(crate) apps: A,
    /// Who people are.
    pub(crate) people: People,
    /// The operations of the server, for whoever shows a token; none in tests.
    pub(crate) api: Option<Api>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Bounds.
    pub(crate) clients: Clients,
    /// What authors were told of fields that their apps may not set.
    pub(crate) hints: Hints,
    /// Everything is up and nothing is being stopped.
    pub(crate) ready: AtomicBool,
}

/// A browser that has seen this comes with TLS for a year (RFC 6797). Not for hosts below: there may be others than ours.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

type Answered<A> = Response<EdgeBody<<A as Apps>::Body>>;

impl<A: Apps> Edge<A> {
    /// Answers one request. The answer's body holds the request's places until it ends.
    pub(crate) async fn handle(
        self: Arc<Self>,
        conn: Arc<Conn>,
        request: Request<Incoming>,
    ) -> Result<Answered<A>, Infallible> {
        let started = Instant::now();
        let version = request.version();
        let held = conn.begin(version == Version::HTTP_2);
        let id = RequestId::new(unix_ms(), rand::random());
        let method = request.method().clone();
        let (mut response, source, held) = self.answer(&conn, id, held, request, started).await;
        let headers = response.headers_mut();
        if version < Version::HTTP_2 && conn.served() >= REQUESTS_PER_CONNECTION_MAX {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if conn.secure().is_some_and(|agreed| agreed.issued) {
            headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        self.metrics.answered(source, response.status().as_u16(), started.elapsed());
        let has_body = fields::has_body(&method, response.status());
        Ok(response.map(|body| {
            let hint = body.size_hint().exact();
            match has_body {
                true => body.holding(held),
                false if method == Method::HEAD => EdgeBody::length(hint),
                false => EdgeBody::length(None),
            }
        }))
    }

    async fn answer(
        &self,
        conn: &Arc<Conn>,
        id: RequestId,
        held: InFlight,
        request: Request<Incoming>,
        started: Instant,
    ) -> (Answered<A>, Source, InFlight) {
        let (parts, body) = request.into_parts();
        let refuse = |status, message: &str| {
            let page = Page { status, message, detail: "", id, retry_after_s: None };
            page.response(&parts.headers).map(EdgeBody::whole)
        };
        if let Some(response) = self.health(parts.uri.path()) {
            return (response, Source::Edge, held);
        }
        let host = match host::host_of(parts.version, &parts.uri, &parts.headers) {
            Ok(Some(host)) => host,
            Ok(None) => {
                let response = refuse(StatusCode::MISDIRECTED_REQUEST, "the request names no host");
                return (response, Source::Edge, held);
            }
            Err(error) => {
                return (refuse(StatusCode::BAD_REQUEST, &error.to_string()), Source::Edge, held);
            }
        };
        if let Some((status, message)) = oversized(&parts) {
            return (refuse(status, message), Source::Edge, held);
        }
        let asked = self.asked(conn, id, &parts.headers);
        if !self.clients.exempt(asked.client)
            && let Err(wait) = self.clients.request(asked.client, started)
        {
            let seconds = wait.as_secs() + 1;
            return (
                self.limited(&parts.headers, id, "too many requests from your address", seconds),
                Source::Edge,
                held,
            );
        }
        if let Some(agreed) = conn.secure().and_then(|agreed| agreed.host.as_deref())
            && agreed != host.name
        {
            return (self.misdirected(&parts.headers, id), Source::Edge, held);
        }
        if let Some((tls, port)) = self.tls.as_ref().filter(|_| !asked.https) {
            if let Some(proof) = tls.proof_at(parts.uri.path()) {
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                let response = page::own(StatusCode::OK, plain, Bytes::from(proof));
                return (response.map(EdgeBody::whole), Source::Edge, held);
            }
            let response = match host::routes(&host.name, &self.domain, &self.fs) {
                true => secured(&host.name, *port, &parts.uri).map(EdgeBody::whole),
                false => self.misdirected(&parts.headers, id),
            };
            return (response, Source::Edge, held);
        }
        let site = |os| Site {
            https: asked.https,
            safe: asked.https || (is_this_machine(&host.name) && self.is_local(&asked, &parts.headers)),
            authority: &host.authority,
            os,
            client: asked.client,
            id,
            headers: &parts.headers,
        };
        let what = (&parts.method, &parts.uri);
        let name = match host::origin(&host.name, &self.domain) {
            Origin::App(name) => name,
            Origin::Os if api::is_mine(parts.uri.path()) => {
                let site = site(&host.authority);
                let response = match &self.api {
                    None => {
                        return (refuse(StatusCode::NOT_FOUND, "there is nothing here"), Source::Edge, held);
                    }
                    Some(api) => match api.commander(&site, &parts.method).await {
                        Err(refused) => api::refuse(refused),
                        Ok(commander) => {
                            drop(host);
                            let body = Awaited::new(body, Arc::clone(conn), None);
                            api.answer(commander, Request::from_parts(parts, body)).await
                        }
                    },
                };
                return (api::named(response, id).map(EdgeBody::api), Source::Edge, held);
            }
            Origin::Os => {
                let body = Awaited::new(body, Arc::clone(conn), None);
                let response = self.people.at_os(&site(&host.authority), what, body).await;
                return (response.map(EdgeBody::whole), Source::Edge, held);
            }
            Origin::Elsewhere => return (self.misdirected(&parts.headers, id), Source::Edge, held),
        };
        let Some(app) = self.fs.route(name) else {
            return (self.misdirected(&parts.headers, id), Source::Edge, held);
        };
        let site = site(&host.authority[name.len() + 1..]);
        if parts.uri.path().starts_with(identity::RESERVED) {
            let body = Awaited::new(body, Arc::clone(conn), None);
            let response = self.people.at_app(&site, (app, name), what, body).await;
            return (response.map(EdgeBody::whole), Source::Edge, held);
        }
        let release = match self.release(app).await {
            Ok(release) => release,
            Err(error) => return (self.unreadable(&parts.headers, id, app, &error), Source::Edge, held),
        };
        // Nothing is awaited between this and the worker: whoever is signed out meanwhile is not let in.
        let visitor = match self.people.visitor(&site, app).await {
            Ok(visitor) => visitor,
            Err(turned) => {
                let response = self.people.turned(&site, &turned);
                return (response.map(EdgeBody::whole), Source::Edge, held);
            }
        };
        let authority = match decide(app, release.access, visitor.clone()) {
            Ok(authority) => authority,
            Err(why) => {
                let person = match &visitor {
                    Visitor::Known(person) => Some(&**person),
                    Visitor::Stranger => None,
                };
                let response = self.people.denied(&site, (app, name), what, person, why).await;
                return (response.map(EdgeBody::whole), Source::Edge, held);
            }
        };
        let answers = match release.has_server() && release.manifest.is_server_first(parts.uri.path()) {
            true => Answers::Server,
            false => assets::answer(&release, &parts.method, &parts.uri, &parts.headers),
        };
        match answers {
            Answers::File(file, status) => {
                match assets::serve(&release, file, status, &parts.method, &parts.headers).await {
                    Ok(mut response) => {
                        if release.access != Access::Public {
                            assets::keep_private(response.headers_mut());
                        }
                        (response, Source::File, held)
                    }
                    Err(error) => (self.unreadable(&parts.headers, id, app, &error), Source::File, held),
                }
            }
            Answers::Folder => (assets::redirect(&parts.uri, true), Source::File, held),
            Answers::Page => (assets::redirect(&parts.uri, false), Source::File, held),
            Answers::Nobody => (refuse(StatusCode::NOT_FOUND, "there is nothing here"), Source::File, held),
            Answers::Method => {
                let mut response =
                    refuse(StatusCode::METHOD_NOT_ALLOWED, "this is a file: it can only be read");
                response.headers_mut().insert(assets::ALLOWED.0, assets::ALLOWED.1);
                (response, Source::File, held)
            }
            Answers::Server => {
                let Some(place) = self.clients.enter(app) else {
                    return (
                        self.limited(&parts.headers, id, "this app is answering too many requests", 1),
                        Source::Edge,
                        held,
                    );
                };
                let held = held.at(place);
                let scheme = if asked.https { "https" } else { "http" };
                let origin = [scheme, "://", &host.authority].concat();
                drop(host);
                let response = self.dispatch(&release, authority, &asked, &origin, parts, body).await;
                (response, Source::App, held)
            }
        }
    }

    async fn release(&self, app: AppId) -> Result<Arc<Release>, FsError> {
        match self.fs.release_cached(app) {
            Some(release) => Ok(release),
            None => self.fs.release(app).await,
        }
    }

    async fn dispatch(
        &self,
        release: &Arc<Release>,
        authority: Authority,
        asked: &Asked<'_>,
        origin: &str,
        mut parts: http::request::Parts,
        body: Incoming,
    ) -> Answered<A> {
        // For a page, should one be needed: the worker gets the fields themselves.
        let form = Form::asked(&parts.headers);
        let broken = (!body.is_end_stream()).then(Arc::<AtomicBool>::default);
        let body = RequestBody::new(Awaited::new(body, Arc::clone(asked.conn), broken.clone()));
        prepare(&mut parts.headers, asked, origin);
        let request = Request::from_parts(parts, body);
        match self.apps.answer(release, authority, asked.id, origin, request).await {
            Ok(response) => self.judge(release, asked, origin, response),
            Err(error) => {
                // The client's doing, not the app's.
                if broken.is_some_and(|broken| broken.load(Relaxed)) {
                    let page = Page {
                        status: StatusCode::BAD_REQUEST,
                        message: "the request's body is malformed or broke off",
                        detail: "",
                        id: asked.id,
                        retry_after_s: None,
                    };
                    return page.in_form(form).map(EdgeBody::whole);
                }
                self.failed(form, asked, release.app, &error).await
            }
        }
    }

    /// Applies the rules for answers.
    fn judge(
        &self,
        release: &Release,
        asked: &Asked<'_>,
        origin: &str,
        response: Response<A::Body>,
    ) -> Answered<A> {
        let mut response = response.map(EdgeBody::worker);
        let answering = Answering { https: asked.https, domain: &self.domain, origin };
        let dropped = fields::clean_response(response.headers_mut(), answering);
        if !dropped.is_empty() {
            self.metrics.fields_dropped.fetch_add(dropped.len() as u64, Relaxed);
            for text in self.hints.fresh(release.app, release.version, &dropped) {
                self.apps.remark(release.app, asked.id, text);
            }
        }
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(asked.id.to_string())) {
            response.headers_mut().insert(page::REQUEST_ID, id);
        }
        response
    }

    async fn failed(&self, form: Form, asked: &Asked<'_>, app: AppId, error: &DispatchError) -> Answered<A> {
        let local = asked.conn.peer.ip().to_canonical().is_loopback() && asked.client.is_loopback();
        let detail = if self.dev && local { self.apps.trouble(app, asked.id).await } else { String::new() };
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let page = Page {
            status,
            message: &error.to_string(),
            detail: &detail,
            id: asked.id,
            retry_after_s: error.retry_after_s(),
        };
        page.in_form(form).map(EdgeBody::whole)
    }

    fn limited(&self, headers: &HeaderMap, id: RequestId, message: &str, seconds: u64) -> Answered<A> {
        self.metrics.limited.fetch_add(1, Relaxed);
        let page = Page {
            status: StatusCode::TOO_MANY_REQUESTS,
            message,
            detail: "",
            id,
            retry_after_s: Some(seconds),
        };
        page.response(headers).map(EdgeBody::whole)
    }

    fn misdirected(&self, headers: &HeaderMap, id: RequestId) -> Answered<A> {
        let message =
            format!("nothing on this server answers to this host; apps are at NAME.{}", self.domain);
        let page = Page {
            status: StatusCode::MISDIRECTED_REQUEST,
            message: &message,
            detail: "",
            id,
            retry_after_s: None,
        };
        page.response(headers).map(EdgeBody::whole)
    }

    fn unreadable(&self, headers: &HeaderMap, id: RequestId, app: AppId, error: &FsError) -> Answered<A> {
        let (status, message) = match error {
            // Removed between the route and here.
            FsError::NoApp(_) => return self.misdirected(headers, id),
            FsError::NoVersion(_) => (StatusCode::NOT_FOUND, "nothing is deployed here yet"),
            _ => {
                tracing::error!(%app, request = %id, %error, "an app cannot be read");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "this app cannot be read; its owner finds the reason in the log",
                )
            }
        };
        Page { status, message, detail: "", id, retry_after_s: None }.response(headers).map(EdgeBody::whole)
    }

    fn health(&self, path: &str) -> Option<Answered<A>> {
        let (status, text) = match path {
            "/healthz" => (StatusCode::OK, "ok\n"),
            "/readyz" if self.ready.load(Relaxed) => (StatusCode::OK, "ready\n"),
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            _ => return None,
        };
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        Some(page::own(status, plain, Bytes::from_static(text.as_bytes())).map(EdgeBody::whole))
    }
}

/// Leads a request that came without encryption to where there is some; its method and body go along (RFC 9110, section
/// 15.4.9).
fn secured(host: &str, port: u16, uri: &http::Uri) -> Response<Whole> {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let body = Bytes::from_static(b"over HTTPS, please\n");
    let mut response = page::own(StatusCode::PERMANENT_REDIRECT, plain, body);
    // A host of ours and a target that hyper took make a field; were it none, the client sees the text.
    if let Ok(location) = HeaderValue::try_from(format!("https://{host}{port}{target}")) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    response
}

/// Whether a head is over the bounds that a worker is sent.
fn oversized(parts: &http::request::Parts) -> Option<(StatusCode, &'static str)> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > URL_BYTES_MAX / 2 {
        return Some((StatusCode::URI_TOO_LONG, "the address is too long"));
    }
    let method = parts.method.as_str();
    if method.len() > METHOD_BYTES_MAX || matches!(method, "CONNECT" | "TRACE" | "TRACK") {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "the method is not one of an app"));
    }
    if !parts.uri.path().starts_with('/') {
        return Some((StatusCode::BAD_REQUEST, "the request names no path"));
    }
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if parts.headers.len() + FORWARDED_FIELDS > HEADERS_MAX || bytes + 1024 > HEADER_BYTES_MAX {
        return Some((
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's fields are too many or too large",
        ));
    }
    None
}

/// Now, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
