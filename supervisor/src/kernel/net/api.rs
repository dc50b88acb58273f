//! The admin API at the OS origin: the operations of the control socket for whoever shows a token. Never by cookie,
//! so no page can have a browser command the server; never over plain HTTP from another machine.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use fazt_ipc::control::ErrorKind;
use fazt_ipc::ids::TokenId;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::control::{self, Control, Door, Refused, unproved};
use super::identity::{Site, bearer};
use super::page;
use crate::kernel::security::{Commander, Identity};
use crate::limits::{API_BURST, API_REQUESTS_MAX, API_REQUESTS_PER_S, API_TOKENS_MAX};

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Whether a path of the OS origin belongs to the API.
pub(crate) fn is_mine(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// A token that was shown, and who shows it.
pub(crate) struct Shown {
    commander: Commander,
    token: String,
}

/// The API.
pub(crate) struct Api {
    identity: Arc<Identity>,
    operations: TowerToHyperService<Router>,
    places: Arc<Semaphore>,
    rates: Mutex<HashMap<TokenId, (f64, Instant)>>,
}

impl Api {
    /// Over these operations.
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self {
            identity: Arc::clone(&control.identity),
            operations: TowerToHyperService::new(control::router(control, Door::Net)),
            places: Arc::new(Semaphore::new(API_REQUESTS_MAX)),
            rates: Mutex::default(),
        }
    }

    /// Who asks. None: nobody says so; what needs nobody is still answered.
    ///
    /// # Errors
    /// When a token is shown that is not good, or asks too often.
    pub(crate) async fn commander(&self, site: &Site<'_>, method: &Method) -> Result<Option<Shown>, Refused> {
        let Some(token) = bearer(site.headers) else { return Ok(None) };
        if !site.safe {
            let hint = "put a proxy with a certificate in front, and name it in trusted_proxies";
            return Err(Refused::new(ErrorKind::PermissionDenied, "tokens are taken over https only", hint));
        }
        let bearer = self.identity.bearer(token).await?.ok_or_else(unproved)?;
        // Contents of a deploy are as many as its plan says.
        if method != Method::PUT && !self.take(bearer.id, Instant::now()) {
            let message = format!("more than {API_REQUESTS_PER_S} requests a second with this token");
            return Err(Refused::new(ErrorKind::RateLimited, message, "try again in a second"));
        }
        Ok(Some(Shown { commander: Commander::bearer(&bearer, site.who()), token: token.to_owned() }))
    }

    /// Has an operation done. The answer's body holds its place until it ends.
    pub(crate) async fn answer<B>(&self, shown: Option<Shown>, request: Request<B>) -> Response<ApiBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return refuse(Refused::new(
                ErrorKind::RateLimited,
                "the server is doing too many things already",
                "try again in a second",
            ));
        };
        let mut request = request.map(Body::new);
        let mut revoked: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        if let Some(Shown { commander, token }) = shown {
            let (identity, role) = (Arc::clone(&self.identity), commander.role());
            revoked = Box::pin(async move { identity.revoked(&token, role).await });
            request.extensions_mut().insert(commander);
        }
        let response = match self.operations.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        own(response.map(|body| ApiBody { body, revoked: Some(revoked), _place: Some(place) }))
    }

    /// Whether a token has a request left.
    fn take(&self, token: TokenId, now: Instant) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= API_TOKENS_MAX && !rates.contains_key(&token) {
            rates.clear();
        }
        let (left, filled) = rates.entry(token).or_insert((API_BURST, now));
        let passed = now.saturating_duration_since(*filled).as_secs_f64();
        *left = (*left + passed * API_REQUESTS_PER_S).min(API_BURST);
        *filled = now;
        let has = *left >= 1.0;
        if has {
            *left -= 1.0;
        }
        has
    }
}

/// A refusal as an answer.
pub(crate) fn refuse(refused: Refused) -> Response<ApiBody> {
    own(refused.into_response().map(|body| ApiBody { body, revoked: None, _place: None }))
}

/// What every answer says of itself.
fn own(mut response: Response<ApiBody>) -> Response<ApiBody> {
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Names the request in an answer.
pub(crate) fn named(mut response: Response<ApiBody>, id: fazt_ipc::ids::RequestId) -> Response<ApiBody> {
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(id.to_string())) {
        response.headers_mut().insert(page::REQUEST_ID, id);
    }
    response
}

/// The body of an answer.
pub(crate) struct ApiBody {
    body: Body,
    /// Ends when the token does, and the body with it: a log is not followed any longer than it may be read.
    revoked: Option<BoxFuture<'static, ()>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl http_body::Body for ApiBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // What is ready was allowed when it was asked for: only waiting is cut short.
        if frame.is_pending()
            && let Some(revoked) = &mut self.revoked
            && revoked.as_mut().poll(cx).is_ready()
        {
            self.revoked = None;
            return Poll::Ready(Some(Err(axum::Error::new("the token is no longer good"))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
