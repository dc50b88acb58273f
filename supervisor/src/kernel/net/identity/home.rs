//! The home page of the OS origin.

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::cookie::Jar;
use super::pages::{self, escape, hidden};
use super::{People, Site, Turned, form};
use crate::kernel::security::{Visitor, decide};

impl People {
    /// `GET /`: for strangers it says nothing of apps or people.
    pub(super) async fn home(&self, site: &Site<'_>) -> Result<Response<Whole>, Turned> {
        let (Some(known), Ok(Some(secret))) = (self.known(site, None).await?, site.cookie(Jar::Session))
        else {
            let inside = "<p>This is a personal cloud. Its apps have addresses of their own.</p>\
                <p><a href=\"/sign-in\">Sign in</a></p>";
            return Ok(pages::page(StatusCode::OK, "Fazt", inside, ""));
        };
        let person = &known.person;
        let apps = self.fs.apps().await.unwrap_or_default();
        let mine = apps.iter().filter(|app| {
            app.version.is_some() && decide(app.id, app.access, Visitor::Known(person.clone())).is_ok()
        });
        let rows: String = mine
            .map(|app| {
                let about = if app.description.is_empty() {
                    String::new()
                } else {
                    format!("<br><small>{}</small>", escape(&app.description))
                };
                let url = escape(&site.app_origin(&app.name));
                format!("<li><a href=\"{url}/_fazt/sign-in\">{}</a>{about}</li>", escape(&app.name))
            })
            .collect();
        let list = if rows.is_empty() {
            "<p>There is no app for you here yet.</p>".to_owned()
        } else {
            format!("<ul class=\"apps\">{rows}</ul>")
        };
        let word = hidden(form::WORD, &secret.word(form::WORD));
        let inside = format!(
            "<p>You are signed in as <strong>{}</strong> ({}).</p><h2>Apps</h2>{list}{}",
            escape(person.name()),
            person.role(),
            pages::button("/sign-out", &word, "Sign out")
        );
        Ok(pages::page(StatusCode::OK, "Your cloud", &inside, ""))
    }
}
