//! What one changes on the home page: always by a form of ours, always of one's own.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::form::Sent;
use super::pages::{self, escape};
use super::{People, Site, Turned, entry, form, home, totp};
use crate::kernel::security::IdentityError;
use crate::kernel::security::identity::Known;

impl People {
    /// `POST /account/WHAT`
    pub(super) async fn account<B: Sent>(
        &self,
        site: &Site<'_>,
        what: &str,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        form::own_page(site)?;
        let tie = self.tie(site).await?;
        let Some(known) = &tie.known else { return Ok(pages::redirect("/sign-in")) };
        let form = form::take(site, Some(&tie.secret), body).await?;
        let done = match what {
            "session-end" => self.end_session(known, form.field("id")).await,
            "token-new" => self.make_token(known, form.field("app"), form.field("note")).await,
            "totp-on" => self.totp_on(site, &tie, known, &form).await,
            "totp-off" => self.identity.totp_remove(known, &site.who()).await.map(|()| pages::redirect("/")),
            "recovery-new" => {
                let codes = self.identity.recovery_anew(known, &site.who()).await;
                codes.map(|codes| totp::recovery_page(&codes))
            }
            "token-remove" => self.remove_token(known, form.field("id")).await,
            "passkey-remove" => {
                let removed = self.identity.passkey_remove(&known.person, form.field("id")).await;
                removed.map(|()| pages::redirect("/"))
            }
            "password" => self.change_password(site, known, &form).await,
            _ => return Ok(site.refuse(StatusCode::NOT_FOUND, "there is nothing here", None)),
        };
        match done {
            Ok(response) => Ok(response),
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(IdentityError::Confirm) => Ok(pages::redirect("/confirm")),
            Err(error) => self.home_of(site, &tie, known, &error.to_string()).await,
        }
    }

    async fn end_session(&self, known: &Known, id: &str) -> Result<Response<Whole>, IdentityError> {
        let id = id.parse().map_err(|_| IdentityError::Unknown("session", cut(id)))?;
        self.identity.revoke_own_session(&known.person, id).await?;
        Ok(pages::redirect("/"))
    }

    async fn make_token(
        &self,
        known: &Known,
        name: &str,
        note: &str,
    ) -> Result<Response<Whole>, IdentityError> {
        let apps = self.fs.apps().await.map_err(|error| IdentityError::Failed(error.to_string()))?;
        let app = apps.iter().find(|app| app.name == name && home::is_for(&known.person, app));
        let app = app.ok_or_else(|| IdentityError::Unknown("app", cut(name)))?;
        let token = self.identity.new_own_token(known, app.id, note).await?;
        let inside = format!(
            "<p>For <strong>{}</strong>. Keep it now: it is not shown again.</p><p><code>{}</code></p>\
             <p><a href=\"/\">Back</a></p>",
            escape(name),
            escape(&token)
        );
        Ok(pages::page(StatusCode::OK, "A new token", &inside, ""))
    }

    async fn remove_token(&self, known: &Known, id: &str) -> Result<Response<Whole>, IdentityError> {
        let id = id.parse().map_err(|_| IdentityError::Unknown("token", cut(id)))?;
        self.identity.remove_own_token(&known.person, id).await?;
        Ok(pages::redirect("/"))
    }

    async fn change_password(
        &self,
        site: &Site<'_>,
        known: &Known,
        form: &form::Form,
    ) -> Result<Response<Whole>, IdentityError> {
        let new = form.field("new");
        if new != form.field("again") {
            return Err(IdentityError::Again);
        }
        let who = site.who();
        let keeps = form.field("keep") == "yes";
        let opened = self.identity.change_password(known, new, keeps, &who).await?;
        Ok(entry::welcome(site, &opened, "/"))
    }
}

/// What somebody sent, as far as a message repeats it.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
