//! What one changes on the home page: always by a form of ours, always of one's own.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::cookie::Jar;
use super::form::Sent;
use super::pages::{self, escape};
use super::{People, Site, Turned, form, home};
use crate::kernel::security::IdentityError;
use crate::kernel::security::book::Scope;
use crate::kernel::security::identity::Known;

impl People {
    /// `POST /account/WHAT`
    pub(super) async fn account<B: Sent>(
        &self,
        site: &Site<'_>,
        what: &str,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let Some(known) = &tie.known else { return Ok(pages::redirect("/sign-in")) };
        let form = form::take(site, Some(&tie.secret), body).await?;
        let done = match what {
            "session-end" => self.end_session(known, form.field("id")).await,
            "token-new" => self.make_token(known, form.field("app"), form.field("note")).await,
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
        let by = known.person.name();
        let account = self.identity.user(by).await?;
        let (token, _) = self.identity.new_token(&account, Scope::App(app.id), note, None, by).await?;
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
        let opened = self.identity.change_password(&known.person, form.field("old"), new, &who).await?;
        let mut response = pages::redirect("/");
        site.set_cookie(&mut response, Jar::Session, Some(&opened.secret), opened.seconds);
        Ok(response)
    }
}

/// What somebody sent, as far as a message repeats it.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
