//! `fazt security`: API tokens and the audit log.

use clap::Subcommand;
use fazt_ipc::control::{AuditLine, MadeToken, NewToken, TokenInfo};

use super::user::life_s;
use crate::client::{Client, part};
use crate::error::{Done, invalid};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the API tokens
    #[command(after_help = "Example:\n  fazt security tokens --json")]
    Tokens,
    /// Make or remove an API token
    #[command(subcommand)]
    Token(TokenVerb),
    /// Show what was decided: sign-ins, users, sessions, tokens
    #[command(after_help = "Examples:\n  fazt security audit --since 1d\n  fazt security audit -f")]
    Audit {
        /// Go on as it happens
        #[arg(short, long)]
        follow: bool,
        /// Since then: 30m, 2h, 3d, or 2026-11-20T08:30 in UTC
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token; it is shown this once
    #[command(
        after_help = "Examples:\n  fazt security token new --scope deploy:notes --note CI\n  fazt security token new --user anna --scope app:notes --expires 30d"
    )]
    New {
        /// Whom it acts for [default: the owner]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// What it may do: admin, app:NAME, or deploy:NAME
        ///
        /// `admin` commands the server, as far as its user may. `app:NAME` acts as its user at the app's own address;
        /// of the owner or an admin it also looks at the app, its log and its processes. `deploy:NAME` changes the
        /// app's code and variables and looks at it, and acts as nobody at its address.
        #[arg(long)]
        scope: String,
        /// When it is worthless: 12h, 30d [default: 90d]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Remove a token: it is worthless at once
    #[command(after_help = "Example:\n  fazt security token rm tok_01kaaaaaaaaaaaaaaaaaaaaaaa")]
    Rm {
        /// Its id, as `fazt security tokens` shows it
        id: String,
    },
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Tokens => tokens(client, out).await,
        Verb::Token(TokenVerb::New { user, scope, expires, note }) => {
            let expires_s = expires.as_deref().map(life_s).transpose()?;
            let made: MadeToken =
                client.post("/api/tokens", &NewToken { user, scope, expires_s, note }).await?;
            out.show(&made, |made| {
                let info = &made.info;
                let until = text::timestamp(info.expires_unix_ms);
                let (user, scope) = (text::clean(&info.user), text::clean(&info.scope));
                out.note(format!("For {user}, scope {scope}, until {until}. It is not shown again:"));
                out.line(text::clean(&made.token));
            })
        }
        Verb::Token(TokenVerb::Rm { id }) => {
            client.delete(&format!("/api/tokens/{}", part(&id))).await?;
            out.show(&serde_json::json!({ "token": id, "removed": true }), |_| {
                out.line(format!("{} {}", out.paint(Colour::Yellow, "removed"), text::clean(&id)));
            })
        }
        Verb::Audit { follow, since } => audit(client, follow, since.as_deref(), out).await,
    }
}

async fn tokens(client: &Client, out: Out) -> Done {
    let tokens: Vec<TokenInfo> = client.get("/api/tokens").await?;
    out.show(&tokens, |tokens| {
        if tokens.is_empty() {
            out.line("No token yet. Make one: fazt security token new --scope app:NAME");
            return;
        }
        let mut table = Table::new(&["ID", "USER", "SCOPE", "USED", "EXPIRES", "NOTE"]);
        let now = text::now_ms();
        for token in tokens {
            let expires = text::timestamp(token.expires_unix_ms);
            table.row([
                token.id.to_string(),
                token.user.clone(),
                token.scope.clone(),
                if token.used_unix_ms == 0 { "never".into() } else { text::ago(token.used_unix_ms, now) },
                expires.chars().take(10).collect(),
                token.note.clone(),
            ]);
        }
        out.table(&table);
    })
}

async fn audit(client: &Client, follow: bool, since: Option<&str>, out: Out) -> Done {
    let since_ms = match since {
        None => 0,
        Some(text) => text::since(text, text::now_ms()).ok_or_else(|| {
            invalid(format!("--since {text} is not a time"), "say 30s, 10m, 2h, 3d, or 2026-11-20T08:30")
        })?,
    };
    let mut lines = Vec::new();
    client
        .lines(&format!("/api/audit?since_ms={since_ms}&follow={follow}"), |line: AuditLine| {
            match (out.json, follow) {
                (true, true) => return out.document_line(&line),
                (true, false) => lines.push(line),
                (false, _) => print(&line, out),
            }
            Ok(())
        })
        .await?;
    if out.json && !follow { out.document(&lines) } else { Ok(()) }
}

fn print(line: &AuditLine, out: Out) {
    let time = out.paint(Colour::Dim, &text::timestamp(line.unix_ms));
    let outcome =
        if line.ok { out.paint(Colour::Green, "ok     ") } else { out.paint(Colour::Red, "refused") };
    let mut text = format!("{time} {outcome} {} {}", text::clean(&line.who), text::clean(&line.action));
    for (before, part) in [(" ", &line.target), (" from ", &line.address), (": ", &line.detail)] {
        if !part.is_empty() {
            text.push_str(before);
            text.push_str(&text::clean(part));
        }
    }
    out.line(text);
}
