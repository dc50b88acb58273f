//! `fazt app install`, `fazt app update`: an app from a Git server. The server fetches it and says how far it has come;
//! whoever stops here leaves nothing there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fazt_ipc::control::{App, Deployed, ErrorKind, Install, InstallLine, Problem, Review, Update};
use serde::Serialize;

use super::consent::{self, Said};
use super::deploy::print;
use crate::client::{Client, part};
use crate::error::{Context as _, Done, failed, problem};
use crate::output::{Out, print_problem};
use crate::text;

/// Where a token for a private repository is, without it being on a command line.
const TOKEN: &str = "FAZT_GIT_TOKEN";

#[derive(clap::Args)]
pub(crate) struct How {
    #[command(flatten)]
    said: Said,
    /// Show what it would be and what it asks for, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// File with a token for a private repository [default: the variable FAZT_GIT_TOKEN]
    #[arg(long, value_name = "FILE")]
    git_token_file: Option<PathBuf>,
}

/// What came of it.
enum Came {
    Deployed(Box<Deployed>),
    Reviewed(Box<Review>),
    Current { app: String, commit: String },
}

/// What is said where there is nothing to do.
#[derive(Serialize)]
struct Current<'a> {
    app: &'a str,
    commit: &'a str,
    current: bool,
}

fn token(file: Option<&Path>) -> Done<Option<String>> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).context(|| format!("read {}", file.display()))?,
        None => std::env::var(TOKEN).unwrap_or_default(),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

pub(super) async fn install(
    client: &Client,
    source: String,
    name: Option<String>,
    how: &How,
    out: Out,
) -> Done {
    let token = token(how.git_token_file.as_deref())?;
    let began = Instant::now();
    let came = fetch(client, "/api/installs", &Install { source, name, token }, how, out).await?;
    show(came, began, out)
}

pub(super) async fn update(
    client: &Client,
    app: &str,
    reference: Option<String>,
    how: &How,
    out: Out,
) -> Done {
    let token = token(how.git_token_file.as_deref())?;
    let began = Instant::now();
    let url = format!("/api/apps/{}/updates", part(app));
    let came = fetch(client, &url, &Update { reference, token }, how, out).await?;
    show(came, began, out)
}

/// One app after the other; one that cannot be updated keeps none of the others from it.
pub(super) async fn update_all(client: &Client, how: &How, out: Out) -> Done {
    let token = token(how.git_token_file.as_deref())?;
    let apps: Vec<App> = client.get("/api/apps").await?;
    let from_elsewhere = |app: &&App| app.version.as_ref().is_some_and(|version| version.origin.is_some());
    let apps: Vec<&App> = apps.iter().filter(from_elsewhere).collect();
    let (mut outcomes, mut wrong) = (Vec::new(), 0);
    for app in &apps {
        let began = Instant::now();
        let url = format!("/api/apps/{}/updates", part(&app.name));
        let update = Update { reference: None, token: token.clone() };
        let done = match fetch(client, &url, &update, how, out).await {
            Ok(came) if out.json => {
                outcomes.push(document(&came)?);
                Ok(())
            }
            Ok(came) => show(came, began, out),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = done {
            wrong += 1;
            match out.json {
                true => outcomes.push(serde_json::json!({ "app": app.name, "error": problem })),
                false => print_problem(
                    &Problem { message: format!("{}: {}", app.name, problem.message), ..problem },
                    false,
                ),
            }
        }
    }
    if out.json {
        out.document(&outcomes)?;
    } else if apps.is_empty() {
        out.line("No app was installed from elsewhere.");
    }
    if wrong > 0 {
        return Err(failed(format!("{wrong} of {} were not updated", text::count(apps.len() as u64, "app"))));
    }
    Ok(())
}

fn document(came: &Came) -> Done<serde_json::Value> {
    let value = match came {
        Came::Deployed(deployed) => serde_json::to_value(deployed),
        Came::Reviewed(review) => serde_json::to_value(review),
        Came::Current { app, commit } => serde_json::to_value(Current { app, commit, current: true }),
    };
    value.map_err(|error| failed(format!("cannot write JSON: {error}")))
}

fn show(came: Came, began: Instant, out: Out) -> Done {
    if out.json {
        return out.document(&document(&came)?);
    }
    match came {
        Came::Deployed(deployed) => print(&deployed, began, out),
        Came::Reviewed(review) => consent::print(&review, out),
        Came::Current { app, commit } => {
            out.line(format!("{} is up to date: commit {}", text::clean(&app), short(&commit)));
        }
    }
    Ok(())
}

/// The first digits of a commit, which came from elsewhere.
fn short(commit: &str) -> String {
    text::clean(&commit.chars().take(12).collect::<String>()).into_owned()
}

/// Has the server fetch, says how far it has come, asks for consent, and makes it live.
async fn fetch(client: &Client, url: &str, wanted: &impl Serialize, how: &How, out: Out) -> Done<Came> {
    let mut last = None;
    let fetched = client.post_lines(url, wanted, |line: InstallLine| {
        say(&line, out);
        last = Some(line);
        Ok(())
    });
    fetched.await?;
    let deploy = match last {
        Some(InstallLine::Ready { deploy }) => format!("/api/deploys/{}", part(&deploy)),
        Some(InstallLine::Current { app, commit }) => return Ok(Came::Current { app, commit }),
        Some(InstallLine::Failed { error }) => return Err(error),
        _ => {
            let hint = "nothing has changed; try again";
            return Err(problem(ErrorKind::Failed, "the server stopped in the middle", hint));
        }
    };
    let finish = async {
        if how.dry_run {
            return Ok(Came::Reviewed(Box::new(client.get(&deploy).await?)));
        }
        let commit = format!("{deploy}/commit");
        let deployed = match consent::consent(client, &deploy, &how.said, out).await? {
            Some(consent) => client.post(&commit, &consent).await?,
            None => client.order(&commit).await?,
        };
        Ok(Came::Deployed(Box::new(deployed)))
    };
    let outcome = tokio::select! {
        outcome = finish => outcome,
        _ = tokio::signal::ctrl_c() => Err(failed("stopped; nothing was changed")),
    };
    if !matches!(outcome, Ok(Came::Deployed(_))) {
        // The server forgets it by itself in time; a failure to say so is not what went wrong.
        let _ = client.delete(&deploy).await;
    }
    outcome
}

fn say(line: &InstallLine, out: Out) {
    match line {
        InstallLine::Wait { before } => {
            out.note(format!("waiting for {} to be fetched", text::count(*before, "other app")));
        }
        InstallLine::Resolve { url } => out.note(format!("asking {}", text::clean(url))),
        InstallLine::Fetch { commit, bytes: 0 } => out.note(format!("fetching commit {}", short(commit))),
        InstallLine::Fetch { bytes, .. } => out.note(format!("  {}", text::bytes(*bytes))),
        InstallLine::Unpack => out.note("unpacking"),
        InstallLine::Packages { done, total } => out.note(format!("packages: {done} of {total}")),
        InstallLine::Bundle => out.note("bundling"),
        InstallLine::Ready { .. } | InstallLine::Current { .. } | InstallLine::Failed { .. } => {}
    }
}
