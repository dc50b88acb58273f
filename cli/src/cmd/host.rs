//! `fazt host`: servers elsewhere, saved under names for `--host`.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Subcommand;
use fazt_ipc::control::{ErrorKind, Myself};

use crate::client::{Client, Remote, Url};
use crate::error::{Context as _, Done, invalid, problem};
use crate::hosts::{Hosts, Saved, is_name};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::{secret, text};

/// Longest token that is read from a file or standard input.
const TOKEN_BYTES_MAX: u64 = 4 * 1024;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Save a server elsewhere under a name; asks it who the token is for
    ///
    /// The token is asked for without showing it, or read from standard input. Make one on the server, with
    /// `fazt security token new --scope admin`.
    #[command(
        after_help = "Examples:\n  fazt host add home https://example.org\n  fazt host add home https://example.org --token-file token.txt"
    )]
    Add {
        /// What to call it
        name: String,
        /// Its address: https://DOMAIN
        url: String,
        /// Read the token from a file
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// List the servers that are saved
    #[command(after_help = "Example:\n  fazt host list --json")]
    List,
    /// Forget a server and its token
    #[command(after_help = "Example:\n  fazt host remove home")]
    Remove {
        /// What it is called
        name: String,
    },
}

pub(crate) async fn run(verb: Verb, token: Option<String>, out: Out) -> Done {
    match verb {
        Verb::Add { name, url, token_file } => add(name, &url, token, token_file, out).await,
        Verb::List => list(out),
        Verb::Remove { name } => remove(&name, out),
    }
}

#[derive(serde::Serialize)]
struct Row<'a> {
    name: &'a str,
    url: &'a str,
}

#[derive(serde::Serialize)]
struct Added<'a> {
    name: &'a str,
    url: String,
    user: String,
    scope: String,
}

async fn add(name: String, url: &str, token: Option<String>, file: Option<PathBuf>, out: Out) -> Done {
    if !is_name(&name) {
        return Err(invalid(
            format!("{name} cannot be the name of a server"),
            "use 1 to 63 letters, digits, dots, hyphens and underscores",
        ));
    }
    let url = Url::parse(url)?;
    let mut hosts = Hosts::load()?;
    if let Some(there) = hosts.hosts.get(&name) {
        return Err(problem(
            ErrorKind::Conflict,
            format!("{name} is saved already: {}", there.url),
            format!("choose another name, or fazt host remove {name} first"),
        ));
    }
    let token = match token {
        Some(token) => token,
        None => token_of(file)?,
    };
    // Saved only once it is known to work: a typing mistake is told now and not by the next command.
    let client = Client::there(Remote { url: url.clone(), token: token.clone() });
    let me: Myself = client.get("/api/me").await?;
    hosts.hosts.insert(name.clone(), Saved { url: url.to_string(), token });
    hosts.save()?;
    let added = Added { name: &name, url: url.to_string(), user: me.name, scope: me.scope };
    out.show(&added, |added| {
        let (user, scope) = (text::clean(&added.user), text::clean(&added.scope));
        out.line(format!(
            "{} {name}: {}, as {user} with the scope {scope}",
            out.paint(Colour::Green, "saved"),
            added.url
        ));
        out.line(format!("  fazt app list --host {name}"));
    })
}

/// The token, from wherever it is.
fn token_of(file: Option<PathBuf>) -> Done<String> {
    let read = |from: &mut dyn std::io::Read, what: &str| -> Done<String> {
        let mut text = String::new();
        from.take(TOKEN_BYTES_MAX).read_to_string(&mut text).context(|| format!("read {what}"))?;
        Ok(text)
    };
    let text = match file {
        Some(path) => {
            let name = path.display().to_string();
            read(&mut std::fs::File::open(&path).context(|| format!("read {name}"))?, &name)?
        }
        None if std::io::stdin().is_terminal() => secret::ask("Token: ")?.unwrap_or_default(),
        None => read(&mut std::io::stdin().lock(), "standard input")?,
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(
            "no token was given",
            "make one on the server: fazt security token new --scope admin; pass it with --token-file or standard input",
        ));
    }
    Ok(token.to_owned())
}

fn list(out: Out) -> Done {
    let hosts = Hosts::load()?;
    let rows: Vec<_> = hosts.hosts.iter().map(|(name, saved)| Row { name, url: &saved.url }).collect();
    out.show(&rows, |rows| {
        if rows.is_empty() {
            out.line("No server is saved. Save one: fazt host add NAME https://DOMAIN");
            return;
        }
        let mut table = Table::new(&["NAME", "URL"]);
        for row in rows {
            table.row([row.name.to_owned(), row.url.to_owned()]);
        }
        out.table(&table);
    })
}

fn remove(name: &str, out: Out) -> Done {
    let mut hosts = Hosts::load()?;
    if hosts.hosts.remove(name).is_none() {
        return Err(problem(
            ErrorKind::NotFound,
            format!("no server is saved as {}", text::clean(name)),
            "fazt host list shows those that are",
        ));
    }
    hosts.save()?;
    out.show(&serde_json::json!({ "name": name, "removed": true }), |_| {
        out.line(format!(
            "{} {}; its token is still good there",
            out.paint(Colour::Yellow, "forgot"),
            text::clean(name)
        ));
        out.line("  make it worthless on the server: fazt security tokens, fazt security token rm ID");
    })
}
