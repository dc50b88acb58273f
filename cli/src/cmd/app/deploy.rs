//! `fazt app deploy`: the list of files goes first, then the contents that the server does not have, then one
//! commit makes the version live. Whatever fails before the commit changes nothing.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use fazt_ipc::control::{Access, DeployPlan, DeployTicket, Deployed, ErrorKind, Problem, Review};
use fazt_ipc::limits::MANIFEST_BYTES_MAX;

use fazt_supervisor::kernel::fs::manifest::Manifest;

use super::consent::{self, Said};
use crate::client::{Client, part};
use crate::error::{Context as _, Done, failed, invalid, problem};
use crate::output::{Colour, Out, Progress};
use crate::text;
use crate::walk::{self, Found, Hashes};

pub(super) async fn command(client: &Client, dir: &Path, name: Option<&str>, said: &Said, out: Out) -> Done {
    let name = name_of(dir, name)?;
    let began = Instant::now();
    let what = Deploy { dir, name: &name, said };
    let deployed = deploy(client, what, &mut Hashes::default(), out).await?;
    out.show(&deployed, |deployed| print(deployed, began, out))
}

/// Shows what a folder would be as an app, and changes nothing.
pub(super) async fn dry_run(client: &Client, dir: &Path, name: Option<&str>, out: Out) -> Done {
    let name = name_of(dir, name)?;
    let found = walk::walk(dir, &mut Hashes::default())?;
    let open = Open::plan(client, &name, &found).await?;
    let reviewed = async {
        open.send(client, &found, out).await?;
        client.get::<Review>(&open.url).await
    }
    .await;
    open.abort(client).await;
    out.show(&reviewed?, |review| consent::print(review, out))
}

/// What is to be deployed, and what is said to what it asks for.
#[derive(Clone, Copy)]
pub(super) struct Deploy<'a> {
    pub(super) dir: &'a Path,
    pub(super) name: &'a str,
    pub(super) said: &'a Said,
}

/// An open deploy.
struct Open {
    url: String,
    missing: Vec<String>,
}

impl Open {
    async fn plan(client: &Client, name: &str, found: &[Found]) -> Done<Self> {
        let plan = DeployPlan { files: found.iter().map(|file| file.plan.clone()).collect() };
        let ticket: DeployTicket = client.post(&format!("/api/apps/{}/deploys", part(name)), &plan).await?;
        Ok(Self { url: format!("/api/deploys/{}", part(&ticket.id)), missing: ticket.missing })
    }

    async fn send(&self, client: &Client, found: &[Found], out: Out) -> Done {
        send(client, &self.url, &self.missing, found, out).await
    }

    /// The server forgets it by itself in time; a failure to say so is not what went wrong.
    async fn abort(&self, client: &Client) {
        let _ = client.delete(&self.url).await;
    }
}

/// What the app is called: as told, else `name` of `app.json`, else the folder's name made a label.
pub(super) fn name_of(dir: &Path, told: Option<&str>) -> Done<String> {
    if let Some(name) = told {
        return Ok(name.to_owned());
    }
    if let Some(name) = manifest_name(dir)? {
        return Ok(name);
    }
    let dir =
        std::fs::canonicalize(dir).context(|| format!("deploy {}", dir.display())).map_err(|error| {
            Problem { hint: "name the folder that holds app.json or index.html".into(), ..error }
        })?;
    let folder = dir.file_name().unwrap_or_default().to_string_lossy();
    walk::label(&folder).ok_or_else(|| {
        invalid(format!("no name for an app can be made of the folder's name “{folder}”"), "say --name NAME")
    })
}

fn manifest_name(dir: &Path) -> Done<Option<String>> {
    let path = dir.join("app.json");
    let meta = match std::fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(_) => return Ok(None),
    };
    if !meta.is_file() || meta.len() > MANIFEST_BYTES_MAX as u64 {
        // Refused with its reason when the folder is walked, or by the server.
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let manifest: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| invalid(wrong(dir, &text, &error), "correct that line"))?;
    Ok(manifest.get("name").and_then(|name| name.as_str()).map(ToOwned::to_owned))
}

/// Where and why a manifest is no JSON, in the words of the server, which knows comments and commas.
fn wrong(dir: &Path, text: &str, error: &serde_json::Error) -> String {
    match Manifest::parse(text.as_bytes()) {
        Err(error) => dir.join(error.to_string()).display().to_string(),
        Ok(_) => format!("{} is not JSON: {error}", dir.join("app.json").display()),
    }
}

/// Deploys a folder.
pub(super) async fn deploy(
    client: &Client,
    what: Deploy<'_>,
    hashes: &mut Hashes,
    out: Out,
) -> Done<Deployed> {
    let found = walk::walk(what.dir, hashes)?;
    let open = Open::plan(client, what.name, &found).await?;
    let done = async {
        open.send(client, &found, out).await?;
        let commit = format!("{}/commit", open.url);
        match consent::consent(client, &open.url, what.said, out).await? {
            Some(consent) => client.post(&commit, &consent).await,
            None => client.order(&commit).await,
        }
    }
    .await;
    if done.is_err() {
        open.abort(client).await;
    }
    done
}

async fn send(client: &Client, deploy: &str, missing: &[String], found: &[Found], out: Out) -> Done {
    let by_hash: HashMap<&str, &Found> = found.iter().map(|file| (file.plan.sha256.as_str(), file)).collect();
    let wanted = missing
        .iter()
        .map(|sha256| by_hash.get(sha256.as_str()).copied().ok_or_else(unasked))
        .collect::<Result<Vec<_>, Problem>>()?;
    let mut progress = Progress::new(out, wanted.iter().map(|file| file.plan.bytes).sum());
    for file in wanted {
        let path = format!("{deploy}/files/{}", file.plan.sha256);
        let source = File::open(&file.source).context(|| format!("read {}", file.source.display()))?;
        client.upload(&path, source, file.plan.bytes).await.map_err(|error| of_file(file, error))?;
        progress.add(file.plan.bytes);
    }
    Ok(())
}

/// The server knows contents by their hashes; people know files. What it calls invalid is a content that is
/// not the one whose hash was planned.
fn of_file(file: &Found, error: Problem) -> Problem {
    match error.code {
        ErrorKind::Invalid => problem(
            ErrorKind::Conflict,
            format!("{} changed while it was deployed", file.source.display()),
            "deploy again when nothing writes into the folder",
        ),
        _ => Problem { message: format!("{}: {}", file.source.display(), error.message), ..error },
    }
}

fn unasked() -> Problem {
    failed("the server asked for a file that is not in the folder")
}

/// Who may reach an app, in words.
pub(super) const fn access(access: Access) -> &'static str {
    match access {
        Access::Public => "public (anyone who reaches this server)",
        Access::Members => "members (people whom the owner admitted)",
        Access::Owner => "owner (you alone)",
    }
}

/// Says what a deploy did.
pub(super) fn print(deployed: &Deployed, began: Instant, out: Out) {
    let version = &deployed.version;
    let took = text::span(began.elapsed().as_millis() as u64);
    let name = text::clean(&deployed.app.name);
    if deployed.unchanged {
        out.line(format!("{name} is live as version {}: nothing had changed ({took})", version.number));
    } else {
        out.line(format!(
            "{name} is live as version {}: {} of {} sent, {} in all, {took}",
            version.number,
            deployed.files_sent,
            text::count(version.files, "file"),
            text::bytes(version.bytes)
        ));
    }
    out.line(format!("  {}", out.paint(Colour::Bold, &text::clean(&deployed.app.url))));
    if let Some(origin) = &version.origin {
        out.line(format!("  from {}, commit {}", text::clean(&origin.source), text::clean(&origin.commit)));
    }
    out.line(format!("  access: {}", access(deployed.app.access)));
    consent::outcome(&name, &deployed.permissions, out);
    for warning in &deployed.warnings {
        out.line(format!("  {} {}", out.paint(Colour::Yellow, "warning:"), text::clean(warning)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_called_as_told_or_by_its_manifest_or_by_its_folder() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("My Notes");
        std::fs::create_dir(&dir).expect("a folder");
        assert_eq!(name_of(&dir, None).as_deref(), Ok("my-notes"));
        std::fs::write(dir.join("app.json"), r#"{"name":"journal"}"#).expect("a manifest");
        assert_eq!(name_of(&dir, None).as_deref(), Ok("journal"));
        assert_eq!(name_of(&dir, Some("told")).as_deref(), Ok("told"));
        std::fs::write(dir.join("app.json"), "{\n  \"name\": oops }").expect("a manifest");
        let problem = name_of(&dir, None).expect_err("not JSON");
        assert!(problem.message.ends_with("app.json:2:11: expected a value, found `o`"), "{problem}");
        assert!(problem.message.starts_with(&dir.display().to_string()), "{problem}");
        std::fs::write(dir.join("app.json"), "\u{feff}{\"name\":\"marked\"}").expect("a manifest");
        assert_eq!(name_of(&dir, None).as_deref(), Ok("marked"));
    }
}
