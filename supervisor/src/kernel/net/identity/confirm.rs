//! Confirming that it is still they, before what would let somebody else stay in.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::entry::waits;
use super::form::Sent;
use super::pages::{self, hidden};
use super::{People, Site, Turned, form, passkey};
use crate::kernel::security::IdentityError;

/// Where one goes on to afterwards: to pages of ours that change something, else home.
pub(super) fn next(to: String) -> String {
    if to == "/account/totp" { to } else { "/".into() }
}

impl People {
    /// `GET /confirm`, and again with what was wrong.
    pub(super) async fn confirm_page(
        &self,
        site: &Site<'_>,
        next: &str,
        wrong: &str,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let Some(known) = &tie.known else { return Ok(pages::redirect("/sign-in")) };
        let person = &known.person;
        let code = if person.totp() {
            pages::code_field("Code of your app, or a recovery code")
        } else {
            String::new()
        };
        let inside = format!(
            "<p>You are signed in as <strong>{}</strong>. What you are about to change would let somebody else \
             stay in, so say once more who you are.</p>{}<form method=\"post\" action=\"/confirm\">{}{}\
             <input name=\"name\" type=\"hidden\" value=\"{0}\" autocomplete=\"username\">\
             <label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" \
             required autocomplete=\"current-password\" maxlength=\"1024\" autofocus>{code}\
             <button>Confirm</button></form>",
            pages::escape(person.name()),
            pages::error(wrong),
            tie.field(),
            hidden("next", next),
        ) + &passkey::place("confirm", "Confirm with a passkey", &tie, next)
            + "<p><a href=\"/\">Back</a></p>"
            + pages::SCRIPT;
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
        Ok(pages::page(status, "Confirm that it is you", &inside, ""))
    }

    /// `POST /confirm`
    pub(super) async fn confirm<B: Sent>(&self, site: &Site<'_>, body: B) -> Result<Response<Whole>, Turned> {
        form::own_page(site)?;
        let tie = self.tie(site).await?;
        let Some(known) = &tie.known else { return Ok(pages::redirect("/sign-in")) };
        let form = form::take(site, Some(&tie.secret), body).await?;
        let next = next(form.field("next").to_owned());
        let (password, code) = (form.field("password"), form.field("code"));
        match self.identity.confirm(known, password, code, &site.who()).await {
            Ok(()) => Ok(pages::redirect(&next)),
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error) => {
                let mut response = self.confirm_page(site, &next, &error.to_string()).await?;
                waits(&mut response, &error);
                Ok(response)
            }
        }
    }
}
