//! The home page of the OS origin: apps, sessions, passkeys, codes, tokens, the password. It works without a
//! script but for passkeys, and every part says so when there is nothing in it.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::super::body::Whole;
use super::pages::{self, escape, hidden};
use super::{People, Site, Tie, Turned, passkey};
use crate::kernel::fs::AppInfo;
use crate::kernel::security::book::{PasskeyRow, Scope, Session, Token};
use crate::kernel::security::identity::Known;
use crate::kernel::security::{Person, Visitor, decide};

/// What stands in place of a form until it was confirmed who asks.
const CONFIRM: &str = "<p><a href=\"/confirm\">Confirm that it is you</a> to change this.</p>";

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
        let left = if person.totp() {
            self.identity.recovery_left(person.id()).await.map_err(Turned::Broken)?
        } else {
            0
        };
        let now = self.identity.world().now_ms();
        let fresh = self.identity.is_fresh(known);
        let word = tie.field();
        let parts = [
            pages::section("apps", "Apps", &apps_list(site, &mine)),
            pages::section("sessions", "Signed in at", &self.sessions_table(&sessions, known, &word, now)),
            pages::section("passkeys", "Passkeys", &{
                let add = passkey::place("add", "Add a passkey of this device", tie, "/");
                passkeys_table(&passkeys, &word, now) + if fresh { &add } else { CONFIRM }
            }),
            pages::section("totp", "Codes of an app", &totp_part(person, left, fresh, &word)),
            pages::section("tokens", "Tokens", &{
                let form = new_token_form(&mine, &word);
                self.tokens_table(&tokens, &word, now) + if fresh { &form } else { CONFIRM }
            }),
            pages::section("password", "Password", &{
                if fresh { password_form(person, &word) } else { CONFIRM.to_owned() }
            }),
        ];
        let inside = format!(
            "{}<p>You are signed in as <strong>{}</strong> ({}).</p>{}{}{}",
            pages::error(wrong),
            escape(person.name()),
            person.role(),
            pages::button("/sign-out", &word, "Sign out"),
            parts.concat(),
            pages::SCRIPT,
        );
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Ok(pages::page(status, "Your cloud", &inside, ""))
    }

    /// One row for each browser: what it opened at apps' origins ends with it.
    fn sessions_table(&self, sessions: &[Session], known: &Known, word: &str, now: u64) -> String {
        let row = |session: &Session| {
            let end = if session.id == known.id {
                "this browser".to_owned()
            } else {
                let id = hidden("id", &session.id.to_string());
                let opened = pages::ago(session.created_unix_ms, now);
                let what =
                    format!("{} at {}, opened {opened}", pages::browser(&session.agent), session.address);
                pages::button_for("/account/session-end", &format!("{word}{id}"), "Sign out", &what)
            };
            let below = sessions.iter().filter(|below| below.parent == Some(session.id));
            let apps: Vec<_> =
                below.filter_map(|below| self.fs.name_of(below.app?)).map(|name| escape(&name)).collect();
            let apps = if apps.is_empty() { "none".to_owned() } else { apps.join(", ") };
            format!(
                "<tr><td>{}<br><small>{}</small><td>{}<td>{apps}<td>{end}",
                escape(&pages::browser(&session.agent)),
                escape(&session.address),
                pages::ago(session.seen_unix_ms, now),
            )
        };
        let homes = sessions.iter().filter(|session| session.app.is_none());
        pages::table(&["Browser", "Last used", "Apps", ""], &homes.map(row).collect::<String>())
    }

    fn tokens_table(&self, tokens: &[Token], word: &str, now: u64) -> String {
        const ABOUT: &str = "<p><small>For programs that act for you in one app, with the field \
            <code>Authorization: Bearer</code>.</small></p>";
        let named = |app| self.fs.name_of(app).unwrap_or_else(|| "an app that is gone".into());
        let rows: String = tokens
            .iter()
            .map(|token| {
                let scope = match token.scope {
                    Scope::Admin => "the whole server".to_owned(),
                    Scope::App(app) => named(app),
                    Scope::Deploy(app) => format!("deploying {}", named(app)),
                };
                let id = hidden("id", &token.id.to_string());
                let days = token.expires_unix_ms.saturating_sub(now) / 86_400_000;
                let used = match token.used_unix_ms {
                    0 => "never".to_owned(),
                    used => pages::ago(used, now),
                };
                let what = format!("the token for {scope}");
                format!(
                    "<tr><td>{}<br><small>{}</small><td>{used}<td>{days} days<td>{}",
                    escape(&scope),
                    escape(&token.note),
                    pages::button_for("/account/token-remove", &format!("{word}{id}"), "Remove", &what)
                )
            })
            .collect();
        match rows.as_str() {
            "" => format!("{ABOUT}<p>You have none.</p>"),
            rows => ABOUT.to_owned() + &pages::table(&["For", "Last used", "Good for", ""], rows),
        }
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

fn passkeys_table(passkeys: &[PasskeyRow], word: &str, now: u64) -> String {
    let row = |passkey: &PasskeyRow| {
        let remove = format!("{word}{}", hidden("id", &passkey.id));
        let used = match passkey.used_unix_ms {
            0 => "never".to_owned(),
            used => pages::ago(used, now),
        };
        let note = pages::browser(&passkey.note);
        let added = pages::ago(passkey.created_unix_ms, now);
        let what = format!("the passkey made with {note}, added {added}");
        let button = pages::button_for("/account/passkey-remove", &remove, "Remove", &what);
        format!("<tr><td>{}<td>{added}<td>{used}<td>{button}", escape(&note))
    };
    match passkeys.iter().map(row).collect::<String>().as_str() {
        "" => "<p>You have none. A passkey signs you in without a password.</p>".to_owned(),
        rows => pages::table(&["Made with", "Added", "Last used", ""], rows),
    }
}

fn totp_part(person: &Person, left: u64, fresh: bool, word: &str) -> String {
    if !person.totp() {
        return "<p>Off. With an authenticator app a stolen password alone lets nobody in.</p>\
            <p><a href=\"/account/totp\">Set it up</a></p>"
            .to_owned();
    }
    let codes = match left {
        0 => "No recovery code is left: make new ones.".to_owned(),
        1 => "One recovery code is left.".to_owned(),
        left => format!("{left} recovery codes are left."),
    };
    let change = if fresh {
        pages::button("/account/recovery-new", word, "Make new recovery codes")
            + &pages::button("/account/totp-off", word, "Turn codes off")
    } else {
        CONFIRM.to_owned()
    };
    format!("<p>On: a code is asked for beside your password. {codes}</p>{change}")
}

fn new_token_form(apps: &[AppInfo], word: &str) -> String {
    if apps.is_empty() {
        return "<p><small>There is no app for you yet that a token could be for.</small></p>".to_owned();
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
         <label for=\"new\">New password<br><small>at least ten characters; a few words are good</small></label>\
         <input id=\"new\" name=\"new\" type=\"password\" required minlength=\"10\" maxlength=\"1024\" \
         autocomplete=\"new-password\"><label for=\"again\">The same again</label>\
         <input id=\"again\" name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"><label><input type=\"checkbox\" name=\"keep\" value=\"yes\" checked> \
         Keep my passkeys and tokens</label><button>Change it</button></form>\
         <p><small>Other browsers are signed out.</small></p>",
        escape(person.name())
    )
}
