//! The home page of the OS origin: apps, sessions, tokens, the password.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::pages::{self, escape, hidden};
use super::{People, Site, Tie, Turned, passkey};
use crate::kernel::fs::AppInfo;
use crate::kernel::security::book::{PasskeyRow, Scope, Session, Token};
use crate::kernel::security::identity::Known;
use crate::kernel::security::{Person, Visitor, decide};

impl People {
    /// `GET /`: for strangers it says nothing of apps or people.
    pub(super) async fn home(&self, site: &Site<'_>) -> Result<Response<Whole>, Turned> {
        let tie = if site.safe { Some(self.tie(site).await?) } else { None };
        let Some((tie, known)) = tie.as_ref().and_then(|tie| Some((tie, tie.known.as_ref()?))) else {
            let inside = "<p>This is a personal cloud. Its apps have addresses of their own.</p>\
                <p><a href=\"/sign-in\">Sign in</a></p>";
            return Ok(pages::page(StatusCode::OK, "Fazt", inside, ""));
        };
        self.home_of(site, tie, known, "").await
    }

    /// The home page, with what went wrong.
    pub(super) async fn home_of(
        &self,
        site: &Site<'_>,
        tie: &Tie,
        known: &Known,
        wrong: &str,
    ) -> Result<Response<Whole>, Turned> {
        let person = &known.person;
        let apps = self.fs.apps().await.unwrap_or_default();
        let mine: Vec<_> = apps.into_iter().filter(|app| is_for(person, app)).collect();
        let sessions = self.identity.sessions(Some(person.id())).await.map_err(Turned::Broken)?;
        let tokens = self.identity.tokens(Some(person.id())).await.map_err(Turned::Broken)?;
        let passkeys = self.identity.passkeys(person.id()).await.map_err(Turned::Broken)?;
        let word = tie.field();
        let inside = format!(
            "{}<p>You are signed in as <strong>{}</strong> ({}).</p>{}<h2>Apps</h2>{}<h2>Signed in at</h2>{}\
             <h2>Tokens</h2><p><small>For programs that act for you in one app, with the field \
             <code>Authorization: Bearer</code>.</small></p>{}{}<h2>Password</h2>{}",
            pages::error(wrong),
            escape(person.name()),
            person.role(),
            pages::button("/sign-out", &word, "Sign out"),
            apps_list(site, &mine),
            sessions_table(&sessions, known, &word),
            self.tokens_table(&tokens, &word),
            new_token_form(&mine, &word),
            password_form(person, &word),
        ) + "<h2>Passkeys</h2>"
            + &passkeys_table(&passkeys, &word)
            + &passkey::place("add", "Add a passkey of this device", tie, "/")
            + pages::SCRIPT;
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Ok(pages::page(status, "Your cloud", &inside, ""))
    }

    fn tokens_table(&self, tokens: &[Token], word: &str) -> String {
        let rows: String = tokens
            .iter()
            .map(|token| {
                let scope = match token.scope {
                    Scope::Admin => "the whole server".to_owned(),
                    Scope::App(app) => self.fs.name_of(app).unwrap_or_else(|| "an app that is gone".into()),
                };
                let id = hidden("id", &token.id.to_string());
                let days = token.expires_unix_ms.saturating_sub(self.identity.world().now_ms()) / 86_400_000;
                format!(
                    "<tr><td>{}<td>{}<td>{days} days left<td>{}",
                    escape(&scope),
                    escape(&token.note),
                    pages::button("/account/token-remove", &format!("{word}{id}"), "Remove")
                )
            })
            .collect();
        if rows.is_empty() { String::new() } else { format!("<table>{rows}</table>") }
    }
}

/// Whether the app is one of theirs to open.
pub(super) fn is_for(person: &Arc<Person>, app: &AppInfo) -> bool {
    app.version.is_some() && decide(app.id, app.access, Visitor::Known(Arc::clone(person))).is_ok()
}

fn apps_list(site: &Site<'_>, apps: &[AppInfo]) -> String {
    let row = |app: &AppInfo| {
        let about = match app.description.as_str() {
            "" => String::new(),
            about => format!("<br><small>{}</small>", escape(about)),
        };
        let url = escape(&site.app_origin(&app.name));
        format!("<li><a href=\"{url}/_fazt/sign-in\">{}</a>{about}</li>", escape(&app.name))
    };
    match apps.iter().map(row).collect::<String>().as_str() {
        "" => "<p>There is no app for you here yet.</p>".to_owned(),
        rows => format!("<ul class=\"apps\">{rows}</ul>"),
    }
}

/// One row for each browser: what it opened at apps' origins ends with it.
fn sessions_table(sessions: &[Session], known: &Known, word: &str) -> String {
    let row = |session: &Session| {
        let agent: String = session.agent.chars().take(80).collect();
        let end = if session.id == known.id {
            "this browser".to_owned()
        } else {
            let id = hidden("id", &session.id.to_string());
            pages::button("/account/session-end", &format!("{word}{id}"), "Sign out")
        };
        format!("<tr><td>{}<br><small>{}</small><td>{end}", escape(&session.address), escape(&agent))
    };
    let homes = sessions.iter().filter(|session| session.app.is_none());
    format!("<table>{}</table>", homes.map(row).collect::<String>())
}

fn passkeys_table(passkeys: &[PasskeyRow], word: &str) -> String {
    let row = |passkey: &PasskeyRow| {
        let remove = format!("{word}{}", hidden("id", &passkey.id));
        let button = pages::button("/account/passkey-remove", &remove, "Remove");
        format!("<tr><td>{}<td>{button}", escape(&passkey.note))
    };
    match passkeys.iter().map(row).collect::<String>().as_str() {
        "" => "<p><small>None yet. A passkey signs you in without a password.</small></p>".to_owned(),
        rows => format!("<table>{rows}</table>"),
    }
}

fn new_token_form(apps: &[AppInfo], word: &str) -> String {
    if apps.is_empty() {
        return String::new();
    }
    let options: String = apps.iter().map(|app| format!("<option>{}</option>", escape(&app.name))).collect();
    format!(
        "<form method=\"post\" action=\"/account/token-new\">{word}<label for=\"app\">App</label>\
         <select id=\"app\" name=\"app\">{options}</select><label for=\"note\">What it is for</label>\
         <input id=\"note\" name=\"note\" maxlength=\"200\"><button>Make a token</button></form>"
    )
}

fn password_form(person: &Person, word: &str) -> String {
    format!(
        "<form method=\"post\" action=\"/account/password\">{word}\
         <input name=\"name\" type=\"hidden\" value=\"{}\" autocomplete=\"username\">\
         <label for=\"old\">Password of now</label><input id=\"old\" name=\"old\" type=\"password\" required \
         autocomplete=\"current-password\" maxlength=\"1024\"><label for=\"new\">New password</label>\
         <input id=\"new\" name=\"new\" type=\"password\" required minlength=\"10\" maxlength=\"1024\" \
         autocomplete=\"new-password\"><label for=\"again\">The same again</label>\
         <input id=\"again\" name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"><button>Change it</button></form>",
        escape(person.name())
    )
}
