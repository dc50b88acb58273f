//! Having codes of an authenticator app asked for: the picture, the first code, the recovery codes.

use std::fmt::Write as _;

use http::{Response, StatusCode};
use qrcodegen::{QrCode, QrCodeEcc};

use super::super::body::Whole;
use super::pages::{self, escape, hidden};
use super::{People, Site, Tie, Turned, form};
use crate::kernel::security::identity::{Enrolment, Known};
use crate::kernel::security::{IdentityError, Secret};

/// Light modules around the code, as its standard wants them.
const MARGIN: i32 = 4;

impl People {
    /// `GET /account/totp`
    pub(super) async fn totp_page(&self, site: &Site<'_>) -> Result<Response<Whole>, Turned> {
        let tie = self.tie(site).await?;
        let Some(known) = &tie.known else { return Ok(pages::redirect("/sign-in")) };
        if known.person.totp() {
            return Ok(pages::redirect("/"));
        }
        match self.identity.totp_offer(known, site.os) {
            Ok(offer) => Ok(offered(&tie, &offer, "")),
            Err(_) => Ok(pages::redirect("/confirm?next=/account/totp")),
        }
    }

    /// `POST /account/totp-on`
    pub(super) async fn totp_on(
        &self,
        site: &Site<'_>,
        tie: &Tie,
        known: &Known,
        form: &form::Form,
    ) -> Result<Response<Whole>, IdentityError> {
        let ticket = Secret::read(form.field("ticket")).ok_or(IdentityError::Stale)?;
        match self.identity.totp_enrol(known, &ticket, form.field("code"), &site.who()).await {
            Ok(codes) => Ok(recovery_page(&codes)),
            Err(error @ IdentityError::Code) => {
                let offer =
                    self.identity.totp_offered(known, &ticket, site.os).ok_or(IdentityError::Stale)?;
                Ok(offered(tie, &offer, &error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

fn offered(tie: &Tie, offer: &Enrolment, wrong: &str) -> Response<Whole> {
    let picture = picture(&offer.uri).unwrap_or_default();
    // In groups, as one reads it out to oneself.
    let mut text = String::new();
    for (at, letter) in offer.text.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    let inside = format!(
        "<p>From then on a code of an authenticator app is asked for beside your password. Signing in with a \
         passkey needs none.</p><ol><li><p>Show this to the app:</p>{picture}<p>or type this into it: \
         <code>{text}</code></p></li><li><p>Say the code that it shows now.</p>{}\
         <form method=\"post\" action=\"/account/totp-on\">{}{}{}<button>Turn it on</button></form></li></ol>\
         <p><a href=\"/\">Back, leave it off</a></p>",
        pages::error(wrong),
        tie.field(),
        hidden("ticket", offer.ticket.expose()),
        pages::code_field("Code of the app"),
    );
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    pages::page(status, "Codes of an app", &inside, "")
}

/// Recovery codes: shown this once.
pub(super) fn recovery_page(codes: &[String]) -> Response<Whole> {
    let list: String = codes.iter().map(|code| format!("<li><code>{}</code></li>", escape(code))).collect();
    let inside = format!(
        "<p>Codes of your app are asked for from now on. If you lose it, each of these lets you in once in its \
         place. Print them or write them down: they are not shown again.</p><ul class=\"codes\">{list}</ul>\
         <p><a href=\"/\">I have them</a></p>"
    );
    pages::page(StatusCode::OK, "Your recovery codes", &inside, "")
}

/// A QR code as a picture in the page itself.
fn picture(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let side = code.size() + 2 * MARGIN;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                let _ = write!(path, "M{} {}h1v1h-1z", x + MARGIN, y + MARGIN);
            }
        }
    }
    Some(format!(
        "<svg role=\"img\" aria-label=\"QR code with the same text as below\" width=\"240\" height=\"240\" \
         viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" \
         d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_the_three_corners_of_a_code_and_room_around() {
        let picture = picture("otpauth://totp/cloud.example:anna?secret=ABC").expect("fits");
        // The first dark module of a finder pattern, behind the margin.
        assert!(picture.contains("d=\"M4 4h1v1h-1z"), "{picture}");
        assert!(!picture.contains("M3 ") && picture.contains("fill=\"#fff\""));
        assert_eq!(super::picture(&"x".repeat(5_000)), None, "too long");
    }
}
