//! Signing in and out at the OS origin, and links that work once.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::cookie::{self, Jar};
use super::form::Sent;
use super::pages::{self, escape, hidden};
use super::{People, Site, Turned, form, next, passkey, query};
use crate::kernel::security::identity::Opened;
use crate::kernel::security::{IdentityError, Secret};

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
            Ok(opened) => {
                // One browser, one session: whoever was signed in here before is signed out.
                if let Some(known) = &tie.known {
                    self.identity.sign_out(known, &site.who()).await.map_err(Turned::Broken)?;
                }
                Ok(welcome(site, &opened, &next))
            }
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error) => {
                let mut response = self.sign_in_page(site, &next, name, &error.to_string()).await?;
                if let IdentityError::Wait(seconds) = error {
                    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
                }
                Ok(response)
            }
        }
    }

    /// `GET /join/LINK`, and again with what was wrong. Looking does not spend the link.
    pub(super) async fn join_page(
        &self,
        site: &Site<'_>,
        link: &Secret,
        name: &str,
        wrong: &str,
    ) -> Result<Response<Whole>, Turned> {
        let linked = match self.identity.linked(link).await {
            Ok(linked) => linked,
            Err(error @ IdentityError::Failed(_)) => return Err(Turned::Broken(error)),
            Err(error) => return Ok(site.refuse(StatusCode::GONE, &error.to_string(), None)),
        };
        let tie = self.tie(site).await?;
        let (title, chooses) = match &linked.name {
            None => ("Welcome".to_owned(), true),
            Some(_) if linked.renames => ("Welcome to your cloud".to_owned(), true),
            Some(name) => (format!("A password for {name}"), false),
        };
        let shown = if name.is_empty() { linked.name.as_deref().unwrap_or_default() } else { name };
        let name_field = if chooses {
            format!(
                "<label for=\"name\">Your name here<br><small>letters a to z, digits, dots and hyphens</small></label>\
                 <input id=\"name\" name=\"name\" value=\"{}\" required autocomplete=\"username\" \
                 autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"32\" autofocus>",
                escape(shown)
            )
        } else {
            // For password stores, which want to know whose it is.
            format!(
                "<input name=\"name\" type=\"hidden\" value=\"{}\" autocomplete=\"username\">",
                escape(shown)
            )
        };
        let inside = format!(
            "{}<form method=\"post\" action=\"/join/{}\">{}{name_field}\
             <label for=\"password\">Password<br><small>at least ten characters; a few words are good</small></label>\
             <input id=\"password\" name=\"password\" type=\"password\" required minlength=\"10\" maxlength=\"1024\" \
             autocomplete=\"new-password\"><label for=\"again\">The same again</label>\
             <input id=\"again\" name=\"again\" type=\"password\" required maxlength=\"1024\" \
             autocomplete=\"new-password\"><button>Go on</button></form>",
            pages::error(wrong),
            link.expose(),
            tie.field(),
        );
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let mut response = pages::page(status, &title, &inside, "");
        tie.keep(site, &mut response);
        Ok(response)
    }

    /// `POST /join/LINK`
    pub(super) async fn join<B: Sent>(
        &self,
        site: &Site<'_>,
        link: &Secret,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let form = form::take(site, Some(&tie.secret), body).await?;
        let (name, password) = (form.field("name"), form.field("password"));
        if password != form.field("again") {
            return self.join_page(site, link, name, "the two passwords are not the same").await;
        }
        match self.identity.join(link, name, password, &site.who()).await {
            Ok(opened) => {
                if let Some(known) = &tie.known {
                    self.identity.sign_out(known, &site.who()).await.map_err(Turned::Broken)?;
                }
                Ok(welcome(site, &opened, "/"))
            }
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error @ IdentityError::Link) => Ok(site.refuse(StatusCode::GONE, &error.to_string(), None)),
            Err(error) => self.join_page(site, link, name, &error.to_string()).await,
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
fn welcome(site: &Site<'_>, opened: &Opened, next: &str) -> Response<Whole> {
    let mut response = pages::redirect(next);
    site.set_cookie(&mut response, Jar::Session, Some(&opened.secret), opened.seconds);
    site.set_cookie(&mut response, Jar::Form, None, 0);
    response
}
