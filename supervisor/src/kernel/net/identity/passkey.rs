//! Passkeys: what the one script of our pages asks for, in JSON. Only our own pages may ask.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use super::super::body::Whole;
use super::form::Sent;
use super::pages::{self, escape};
use super::{People, Site, Tie, Turned, confirm, entry, form, next};
use crate::kernel::security::passkey::{ANSWER_BYTES_MAX, Origin};
use crate::kernel::security::{IdentityError, Secret};

const SCRIPT: &str = include_str!("passkey.js");

/// `GET /passkey.js`
pub(super) fn script() -> Response<Whole> {
    let mut response = Response::new(Whole::new(Bytes::from_static(SCRIPT.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// A place in a page where a passkey can be used: shown by the script alone.
pub(super) fn place(way: &str, button: &str, tie: &Tie, next: &str) -> String {
    format!(
        "<p data-passkey=\"{way}\" data-form=\"{}\" data-next=\"{}\" hidden><button type=\"button\">{button}</button> \
         <output role=\"alert\"></output></p>",
        tie.secret.word(form::WORD),
        escape(next)
    )
}

impl People {
    /// `POST /passkey/WHAT`
    pub(super) async fn passkey<B: Sent>(
        &self,
        site: &Site<'_>,
        what: &str,
        body: B,
    ) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let refuse = |status, message: &str| Ok(site.refuse(status, message, None));
        form::own_page(site)?;
        let body =
            Limited::new(body, 2 * ANSWER_BYTES_MAX).collect().await.map(http_body_util::Collected::to_bytes);
        let Some(mut said) = body.ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
            return refuse(StatusCode::BAD_REQUEST, "this is not what our script sends");
        };
        if !tie.secret.said(form::WORD, said["form"].as_str().unwrap_or_default()) {
            return Err(form::FormError::Old.into());
        }
        let ticket = said["ticket"].as_str().and_then(Secret::read);
        let answer = said["answer"].take();
        let origin = site.passkey_origin();
        let begun = |(ticket, options): (Secret, Value)| {
            pages::json(StatusCode::OK, &json!({ "ticket": ticket.expose(), "options": options }))
        };
        let done = match (what, &tie.known, ticket) {
            ("ask", _, _) => self.identity.passkey_ask(&origin, &site.who()).map(begun),
            ("enter", _, Some(ticket)) => {
                let to = next(said["next"].as_str().unwrap_or_default().to_owned());
                self.enter_with(site, &tie, &ticket, answer, &to).await
            }
            ("confirm", Some(known), Some(ticket)) => {
                let who = site.who();
                let confirmed = self.identity.passkey_confirm(known, &ticket, answer, &origin, &who);
                let to = confirm::next(said["next"].as_str().unwrap_or_default().to_owned());
                confirmed.await.map(|()| pages::json(StatusCode::OK, &json!({ "to": to })))
            }
            ("begin", Some(known), _) => self.identity.passkey_begin(known, &origin).await.map(begun),
            ("add", Some(known), Some(ticket)) => {
                let who = site.who();
                let added = self.identity.passkey_add(known, &ticket, answer, &origin, &who);
                added.await.map(|()| pages::json(StatusCode::OK, &json!({})))
            }
            _ => return refuse(StatusCode::NOT_FOUND, "there is nothing here"),
        };
        match done {
            Ok(response) => Ok(response),
            Err(error @ IdentityError::Failed(_)) => Err(Turned::Broken(error)),
            Err(error) => refuse(StatusCode::FORBIDDEN, &error.to_string()),
        }
    }

    async fn enter_with(
        &self,
        site: &Site<'_>,
        tie: &Tie,
        ticket: &Secret,
        answer: Value,
        to: &str,
    ) -> Result<Response<Whole>, IdentityError> {
        let opened = self.identity.passkey_enter(ticket, answer, &site.passkey_origin(), &site.who()).await?;
        if let Some(known) = &tie.known {
            self.identity.sign_out(known, &site.who()).await?;
        }
        let mut response = pages::json(StatusCode::OK, &json!({ "to": to }));
        entry::keep(site, &mut response, &opened);
        Ok(response)
    }
}

impl Site<'_> {
    fn passkey_origin(&self) -> Origin {
        let domain = self.os.rsplit_once(':').map_or(self.os, |(domain, _)| domain);
        Origin { url: self.os_origin(), domain: domain.to_owned() }
    }
}
