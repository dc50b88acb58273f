//! Links that work once: the owner's first, an invitation, a new password.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::entry::{waits, welcome};
use super::form::Sent;
use super::pages::{self, escape};
use super::{People, Site, Turned, form};
use crate::kernel::security::identity::Choice;
use crate::kernel::security::{IdentityError, Secret};

/// Whoever opens a link for a new password may have lost a device, or somebody else may have added one.
const KEEP: &str = "<p><label><input type=\"checkbox\" name=\"keep\" value=\"yes\"> Keep my passkeys</label>\
    <small>Not if somebody else may have added one, or you lost a device. Tokens end, and other browsers are \
    signed out.</small></p>";

impl People {
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
             autocomplete=\"new-password\">{}{}<button>Go on</button></form>",
            pages::error(wrong),
            link.expose(),
            tie.field(),
            if linked.code {
                pages::code_field("Code of your app, or a recovery code")
            } else {
                String::new()
            },
            if linked.passkeys { KEEP } else { "" },
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
        let choice =
            Choice { name, password, code: form.field("code"), keeps_passkeys: form.field("keep") == "yes" };
        match self.identity.join(link, choice, &site.who()).await {
            Ok(opened) => {
                if let Some(known) = &tie.known {
                    self.identity.sign_out(known, &site.who()).await.map_err(Turned::Broken)?;
                }
                Ok(welcome(site, &opened, "/"))
            }
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error @ IdentityError::Link) => Ok(site.refuse(StatusCode::GONE, &error.to_string(), None)),
            Err(error) => {
                let mut response = self.join_page(site, link, name, &error.to_string()).await?;
                waits(&mut response, &error);
                Ok(response)
            }
        }
    }
}
