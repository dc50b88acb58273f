//! Signing in and out at the OS origin.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::cookie::{self, Jar};
use super::form::Sent;
use super::pages::{self, escape, hidden};
use super::{People, Site, Tie, Turned, form, next, passkey, query};
use crate::kernel::security::identity::{Entered, Opened};
use crate::kernel::security::{IdentityError, Secret};

/// A browser is known for this time after a sign-in: the longest that browsers keep a cookie.
const DEVICE_SECONDS: u64 = 400 * 24 * 60 * 60;

impl People {
    /// `GET /sign-in`, and again with what was wrong.
    pub(super) async fn sign_in_page(
        &self,
        site: &Site<'_>,
        next: &str,
        name: &str,
        wrong: &str,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        if let Some(known) = &tie.known
            && wrong.is_empty()
        {
            let name = known.person.name();
            tracing::debug!(name, "signed in already");
            return Ok(pages::redirect(next));
        }
        let inside = format!(
            "{}<form method=\"post\" action=\"/sign-in\">{}{}\
             <label for=\"name\">Name</label><input id=\"name\" name=\"name\" value=\"{}\" required \
             autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"64\"{}>\
             <label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" \
             required autocomplete=\"current-password\" maxlength=\"1024\"{}><button>Sign in</button></form>",
            pages::error(wrong),
            tie.field(),
            hidden("next", next),
            escape(name),
            if name.is_empty() { " autofocus" } else { "" },
            if name.is_empty() { "" } else { " autofocus" },
        ) + &passkey::place("enter", "Sign in with a passkey", &tie, next)
            + pages::SCRIPT;
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let mut response = pages::page(status, "Sign in", &inside, &self.leads_to(site, next));
        tie.keep(site, &mut response);
        Ok(response)
    }

    /// `POST /sign-in`
    pub(super) async fn sign_in<B: Sent>(&self, site: &Site<'_>, body: B) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let form = form::take(site, Some(&tie.secret), body).await?;
        let (name, next) = (form.field("name"), next(form.field("next").to_owned()));
        match self.identity.sign_in(name, form.field("password"), &site.who()).await {
            Ok(Entered::Code(ticket)) => Ok(self.code_page(site, &tie, &ticket, &next, "")),
            Ok(Entered::Opened(opened)) => {
                // One browser, one session: whoever was signed in here before is signed out.
                if let Some(known) = &tie.known {
                    self.identity.sign_out(known, &site.who()).await.map_err(Turned::Broken)?;
                }
                Ok(welcome(site, &opened, &next))
            }
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error) => {
                let mut response = self.sign_in_page(site, &next, name, &error.to_string()).await?;
                waits(&mut response, &error);
                Ok(response)
            }
        }
    }

    /// After a right password: asks for the code of an app.
    fn code_page(
        &self,
        site: &Site<'_>,
        tie: &Tie,
        ticket: &Secret,
        next: &str,
        wrong: &str,
    ) -> Response<Whole> {
        let inside = format!(
            "{}<form method=\"post\" action=\"/sign-in/code\">{}{}{}{}<button>Sign in</button></form>\
             <p><small>Without the app: one of your recovery codes. Without those: ask the owner of this server \
             for a link.</small></p>",
            pages::error(wrong),
            tie.field(),
            hidden("ticket", ticket.expose()),
            hidden("next", next),
            pages::code_field("Code of your app, or a recovery code"),
        );
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
        pages::page(status, "One more step", &inside, &self.leads_to(site, next))
    }

    /// `POST /sign-in/code`
    pub(super) async fn sign_in_code<B: Sent>(
        &self,
        site: &Site<'_>,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let form = form::take(site, Some(&tie.secret), body).await?;
        let next = next(form.field("next").to_owned());
        let Some(ticket) = Secret::read(form.field("ticket")) else {
            return Ok(pages::redirect("/sign-in"));
        };
        match self.identity.sign_in_code(&ticket, form.field("code"), &site.who()).await {
            Ok(opened) => {
                if let Some(known) = &tie.known {
                    self.identity.sign_out(known, &site.who()).await.map_err(Turned::Broken)?;
                }
                Ok(welcome(site, &opened, &next))
            }
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(IdentityError::Stale) => {
                self.sign_in_page(site, &next, "", "that took too long: sign in again").await
            }
            Err(error) => {
                let mut response = self.code_page(site, &tie, &ticket, &next, &error.to_string());
                waits(&mut response, &error);
                Ok(response)
            }
        }
    }

    /// `GET /sign-out`: a button, because looking at a page changes nothing.
    pub(super) async fn sign_out_page(
        &self,
        site: &Site<'_>,
        app: Option<fazt_ipc::ids::AppId>,
    ) -> Result<Response<Whole>, Turned> {
        let (Some(known), Ok(Some(secret))) = (self.known(site, app).await?, site.cookie(Jar::Session))
        else {
            return Ok(pages::redirect("/"));
        };
        let action = if app.is_some() { "/_fazt/sign-out" } else { "/sign-out" };
        let word = hidden(form::WORD, &secret.word(form::WORD));
        let inside = format!(
            "<p>You are signed in as <strong>{}</strong>.</p>{}",
            escape(known.person.name()),
            pages::button(action, &word, "Sign out")
        );
        Ok(pages::page(StatusCode::OK, "Sign out", &inside, &site.os_origin()))
    }

    /// `POST /sign-out`, at the OS origin or an app's: this browser is signed out everywhere. An app's own page
    /// may ask for it with `fetch` and without the form's word: it is the same origin.
    pub(super) async fn sign_out<B: Sent>(
        &self,
        site: &Site<'_>,
        app: Option<fazt_ipc::ids::AppId>,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        let secret = site.cookie(Jar::Session).map_err(|cookie::Twice| Turned::Twice)?;
        match app {
            Some(_) => form::own_page(site)?,
            None => drop(form::take(site, secret.as_ref(), body).await?),
        }
        if let Some(known) = self.known(site, app).await? {
            self.identity.sign_out(&known, &site.who()).await.map_err(Turned::Broken)?;
        }
        let mut response = pages::redirect(&format!("{}/", site.os_origin()));
        site.set_cookie(&mut response, Jar::Session, None, 0);
        Ok(response)
    }

    /// The app's origin that a form on the way to it may be redirected to: browsers check redirects after a
    /// form against the page's policy.
    fn leads_to(&self, site: &Site<'_>, next: &str) -> String {
        let Ok(uri) = next.parse() else { return String::new() };
        let name = query(&uri, "app");
        match self.fs.route(&name) {
            Some(_) => site.app_origin(&name),
            None => String::new(),
        }
    }
}

/// Goes on, signed in.
pub(super) fn welcome(site: &Site<'_>, opened: &Opened, next: &str) -> Response<Whole> {
    let mut response = pages::redirect(next);
    keep(site, &mut response, opened);
    response
}

/// Gives the browser what a sign-in opened.
pub(super) fn keep(site: &Site<'_>, response: &mut Response<Whole>, opened: &Opened) {
    site.set_cookie(response, Jar::Session, Some(&opened.secret), opened.seconds);
    site.set_cookie(response, Jar::Form, None, 0);
    if let Some(device) = &opened.device {
        site.set_cookie(response, Jar::Device, Some(device), DEVICE_SECONDS);
    }
}

/// Says in the answer how long to wait, where that is what is wrong.
pub(super) fn waits(response: &mut Response<Whole>, error: &IdentityError) {
    if let IdentityError::Wait(seconds) = error {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(http::header::RETRY_AFTER, (*seconds).into());
    }
}
