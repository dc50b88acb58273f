//! One sign-in for all origins, without a cookie that they share: from an app's origin to the OS origin and
//! back with a code. What the code is good for is in `security`.

use std::sync::Arc;

use fazt_ipc::ids::AppId;
use http::{Response, StatusCode, Uri};

use super::super::body::Whole;
use super::cookie::{self, Jar};
use super::pages::{self, escape};
use super::{People, RESERVED, Site, Turned, bearer, form, insecure, local, query, unauthorised};
use crate::kernel::fs::Release;
use crate::kernel::security::{Denied, Secret, Visitor, decide};

/// Seconds that a browser may take to sign in.
const STATE_SECONDS: u64 = 60 * 60;

impl People {
    /// Sends a browser from an app's origin to the OS origin to sign in. It keeps a state, which the code that
    /// comes back is tied to; several tabs share it.
    pub(super) fn leave(&self, site: &Site<'_>, name: &str, to: &str) -> Response<Whole> {
        if !site.safe {
            return insecure(site);
        }
        let kept = match site.cookie(Jar::State) {
            Ok(kept) => kept,
            Err(cookie::Twice) => return self.turned(site, &Turned::Twice),
        };
        let state = kept.unwrap_or_else(|| Secret::new(self.identity.world()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("app", name)
            .append_pair("state", &state.mark().text())
            .append_pair("to", &local(to.to_owned()))
            .finish();
        let mut response = pages::redirect(&format!("{}/authorize?{query}", site.os_origin()));
        site.set_cookie(&mut response, Jar::State, Some(&state), STATE_SECONDS);
        response
    }

    async fn release(&self, app: AppId) -> Option<Arc<Release>> {
        match self.fs.release_cached(app) {
            Some(release) => Some(release),
            None => self.fs.release(app).await.ok(),
        }
    }

    /// `GET /authorize?app=NAME&state=S&to=PATH` at the OS origin.
    pub(super) async fn authorize(&self, site: &Site<'_>, uri: &Uri) -> Result<Response<Whole>, Turned> {
        let name = query(uri, "app");
        let (Some(app), Some(state)) = (self.fs.route(&name), mark(&query(uri, "state"))) else {
            return Ok(site.refuse(StatusCode::BAD_REQUEST, "this is not a way to sign in to an app", None));
        };
        let Some(known) = self.known(site, None).await? else {
            let next = uri.path_and_query().map_or("/", |next| next.as_str());
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
            return Ok(pages::redirect(&format!("/sign-in?{query}")));
        };
        let Some(release) = self.release(app).await else {
            return Ok(site.refuse(StatusCode::NOT_FOUND, "nothing is deployed there yet", None));
        };
        // Asked here too: whoever may not go in is told so where they can do something about it.
        if let Err(why) = decide(app, release.access, Visitor::Known(known.person.clone())) {
            self.identity.turned_away(&known.person, app, why, &site.who()).await;
            return Ok(self.not_for_you(site, &known.person, &name, why));
        }
        let to = local(query(uri, "to"));
        let code = self.identity.pass(&known, app, (state, site.client), to);
        Ok(pages::redirect(&format!("{}{RESERVED}enter?code={}", site.app_origin(&name), code.expose())))
    }

    fn not_for_you(
        &self,
        site: &Site<'_>,
        person: &crate::kernel::security::Person,
        name: &str,
        why: Denied,
    ) -> Response<Whole> {
        let inside = format!(
            "<p>You are signed in as <strong>{}</strong>. {}.</p><p><a href=\"/\">Your apps</a> · \
             <a href=\"/sign-out\">Sign out</a></p><p><small>Request {}</small></p>",
            escape(person.name()),
            escape(&capital(&why.to_string())),
            site.id
        );
        pages::page(StatusCode::FORBIDDEN, &format!("{name} is not for you"), &inside, "")
    }

    /// `GET /_fazt/enter?code=C` at an app's origin.
    pub(super) async fn enter(
        &self,
        site: &Site<'_>,
        app: AppId,
        uri: &Uri,
    ) -> Result<Response<Whole>, Turned> {
        if !site.safe {
            return Ok(insecure(site));
        }
        let state = site.cookie(Jar::State).map_err(|cookie::Twice| Turned::Twice)?;
        // Without a state it is spent too: whoever shows it has it from somebody else.
        let state = state.unwrap_or_else(|| Secret::new(self.identity.world()));
        let arrived = match Secret::read(&query(uri, "code")) {
            Some(code) => {
                self.identity.arrive(&code, app, &state, &site.who()).await.map_err(Turned::Broken)?
            }
            None => None,
        };
        let Some(arrived) = arrived else {
            // Not by itself: a browser that keeps no cookies would go round for ever.
            let inside = "<p>Signing in took too long, the network changed meanwhile, or this browser keeps no \
                cookies for this site.</p><p><a href=\"/_fazt/sign-in\">Try again</a></p>";
            return Ok(pages::page(StatusCode::BAD_REQUEST, "Not signed in", inside, ""));
        };
        let opened = &arrived.opened;
        let mut response = pages::redirect(&arrived.to);
        site.set_cookie(&mut response, Jar::Session, Some(&opened.secret), opened.seconds);
        site.set_cookie(&mut response, Jar::State, None, 0);
        Ok(response)
    }

    /// `GET /_fazt/user` at an app's origin: who is signed in, for apps without a server.
    pub(super) async fn user(&self, site: &Site<'_>, app: AppId) -> Result<Response<Whole>, Turned> {
        let user = match self.visitor(site, app).await? {
            Visitor::Stranger => serde_json::Value::Null,
            Visitor::Known(person) => serde_json::json!({
                "id": person.id(),
                "name": person.name(),
                "role": person.role(),
            }),
        };
        Ok(pages::json(StatusCode::OK, &serde_json::json!({ "user": user })))
    }

    /// `POST /_fazt/token` at an app's origin: a signed token about who is signed in, which another service can
    /// check with the key set of the OS origin. For the app's own pages, and for programs with a token.
    pub(super) async fn mint(&self, site: &Site<'_>, app: AppId) -> Result<Response<Whole>, Turned> {
        if bearer(site.headers).is_none() {
            form::own_page(site)?;
        }
        let Visitor::Known(person) = self.visitor(site, app).await? else {
            return Ok(unauthorised(site, "sign in first: a token is about somebody"));
        };
        // A session outlives a membership; a token for the app must not be had without one.
        let Some(release) = self.release(app).await else {
            return Ok(site.refuse(StatusCode::NOT_FOUND, "nothing is deployed there yet", None));
        };
        if let Err(why) = decide(app, release.access, Visitor::Known(Arc::clone(&person))) {
            self.identity.turned_away(&person, app, why, &site.who()).await;
            return Ok(site.refuse(StatusCode::FORBIDDEN, &why.to_string(), None));
        }
        let now = self.identity.world().now_ms();
        let (issuer, audience) = (site.os_origin(), site.origin());
        let (token, expires) = self.identity.jwt.mint(&person, app, &issuer, &audience, now);
        let value = serde_json::json!({ "token": token, "expires_unix_ms": expires });
        Ok(pages::json(StatusCode::OK, &value))
    }
}

/// A mark in text.
fn mark(text: &str) -> Option<crate::kernel::security::Mark> {
    crate::kernel::security::Mark::read(text)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
