//! `fazt fs`: the files that apps were deployed with. They never change; a new deploy makes new ones.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::Subcommand;
use fazt_ipc::control::{App, ErrorKind, FileInfo, Listing};
use serde::Serialize;

use crate::client::{Client, part};
use crate::error::{Context as _, Done, failed, invalid, problem};
use crate::output::Out;
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List a folder of an app
    #[command(after_help = "Examples:\n  fazt fs ls notes\n  fazt fs ls notes:public --json")]
    Ls {
        /// APP or APP:PATH
        place: String,
    },
    /// Print a file of an app
    #[command(after_help = "Example:\n  fazt fs cat notes:server.js")]
    Cat {
        /// APP:PATH
        place: String,
    },
    /// Say what a path in an app is
    #[command(after_help = "Example:\n  fazt fs stat notes:public/index.html")]
    Stat {
        /// APP:PATH
        place: String,
    },
    /// Copy a file or a folder of an app to this machine
    #[command(after_help = "Examples:\n  fazt fs get notes:server.js .\n  fazt fs get notes: /tmp/notes")]
    Get {
        /// APP:PATH; without a path, the whole app
        place: String,
        /// File or folder to make
        dest: PathBuf,
    },
    /// Show how much room each app takes on disk
    #[command(after_help = "Example:\n  fazt fs du")]
    Du,
    /// Deployed files cannot be changed: deploy again
    #[command(hide = true, after_help = "Example:\n  fazt fs put server.js notes:server.js")]
    Put {
        /// File on this machine
        file: PathBuf,
        /// APP:PATH
        place: String,
    },
    /// Deployed files cannot be changed: deploy again
    #[command(hide = true, after_help = "Example:\n  fazt fs rm notes:server.js")]
    Rm {
        /// APP:PATH
        place: String,
    },
}

/// Answers what can be answered without a server.
pub(crate) fn alone(verb: Verb) -> Done<Verb> {
    match &verb {
        Verb::Put { place, .. } | Verb::Rm { place } => {
            let (app, _) = split(place);
            Err(problem(
                ErrorKind::PermissionDenied,
                format!("the files of a deployed version never change, so nothing was done to {place}"),
                format!("change the app's folder, then: fazt app deploy FOLDER --name {app}"),
            ))
        }
        _ => Ok(verb),
    }
}

fn split(place: &str) -> (&str, &str) {
    let (app, path) = place.split_once(':').unwrap_or((place, ""));
    (app, path.trim_matches('/'))
}

fn with_path(place: &str) -> Done<(&str, &str)> {
    match split(place) {
        (_, "") => Err(invalid(format!("{place} names no file"), "name it as APP:PATH")),
        split => Ok(split),
    }
}

fn url(app: &str, what: &str, path: &str) -> String {
    format!("/api/apps/{}/{what}?path={}", part(app), part(path))
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Ls { place } => {
            let (app, path) = split(&place);
            let listing: Listing = client.get(&url(app, "files", path)).await?;
            out.show(&listing, |listing| ls(listing, out))
        }
        Verb::Stat { place } => {
            let (app, path) = split(&place);
            let listing: Listing = client.get(&url(app, "files", path)).await?;
            out.show(&listing.entry, |entry| stat(entry, out))
        }
        Verb::Cat { place } => {
            let (app, path) = with_path(&place)?;
            cat(client, app, path, out).await
        }
        Verb::Get { place, dest } => {
            let (app, path) = split(&place);
            get(client, app, path, &dest, out).await
        }
        Verb::Du => {
            let mut apps: Vec<App> = client.get("/api/apps").await?;
            apps.sort_by_key(|app| std::cmp::Reverse(app.disk_bytes));
            let used: Vec<Used> = apps.into_iter().map(Used::from).collect();
            out.show(&used, |used| {
                let mut table = Table::new(&["APP", ">DISK", ">FILES", ">VERSION"]);
                for app in used {
                    let [disk, files] = [text::bytes(app.disk_bytes), app.files.to_string()];
                    table.row([app.app.clone(), disk, files, text::bytes(app.version_bytes)]);
                }
                out.table(&table);
            })
        }
        Verb::Put { .. } | Verb::Rm { .. } => alone(verb).map(|_| ()),
    }
}

/// A row of `fazt fs du`.
#[derive(Serialize)]
struct Used {
    app: String,
    disk_bytes: u64,
    files: u64,
    version_bytes: u64,
}

impl From<App> for Used {
    fn from(app: App) -> Self {
        let (files, version_bytes) = app.version.map_or((0, 0), |version| (version.files, version.bytes));
        Self { app: app.name, disk_bytes: app.disk_bytes, files, version_bytes }
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn ls(listing: &Listing, out: Out) {
    let mut table = Table::new(&["NAME", ">SIZE", "TYPE"]);
    let rows = if listing.entry.dir { &listing.children[..] } else { std::slice::from_ref(&listing.entry) };
    for file in rows {
        let slash = if file.dir { "/" } else { "" };
        table.row([format!("{}{slash}", name(&file.path)), text::bytes(file.bytes), file.media_type.clone()]);
    }
    out.table(&table);
}

fn stat(file: &FileInfo, out: Out) {
    let top = if file.path.is_empty() { "." } else { &file.path };
    let mut rows = vec![
        ("path", top.to_owned()),
        ("kind", if file.dir { "folder" } else { "file" }.to_owned()),
        ("size", format!("{} ({} bytes)", text::bytes(file.bytes), file.bytes)),
        ("stored", text::bytes(file.stored_bytes)),
    ];
    if !file.dir {
        rows.push(("type", file.media_type.clone()));
        rows.push(("sha256", file.sha256.clone()));
    }
    super::proc::facts(out, rows);
}

#[derive(Serialize)]
struct Content {
    path: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

async fn cat(client: &Client, app: &str, path: &str, out: Out) -> Done {
    let url = url(app, "file", path);
    // Into a file or a pipe go the bytes as they are; a terminal is not driven by an app's file.
    if !out.json && !out.terminal {
        return client
            .download(&url, |bytes| {
                out.raw(bytes);
                Ok(())
            })
            .await;
    }
    let mut content = Vec::new();
    client
        .download(&url, |bytes| {
            content.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
    let bytes = content.len() as u64;
    match (String::from_utf8(content), out.json) {
        (Ok(text), true) => {
            out.document(&Content { path: path.into(), bytes, text: Some(text), base64: None })
        }
        (Err(error), true) => {
            let base64 = base64::engine::general_purpose::STANDARD.encode(error.as_bytes());
            out.document(&Content { path: path.into(), bytes, text: None, base64: Some(base64) })
        }
        (Ok(text), false) => {
            out.raw(text::clean_lines(&text).as_bytes());
            Ok(())
        }
        (Err(_), false) => Err(problem(
            ErrorKind::Failed,
            format!("{path} is not text ({}) and would garble the terminal", text::bytes(bytes)),
            format!("fazt fs get {app}:{path} ."),
        )),
    }
}

#[derive(Serialize)]
struct Got {
    dest: PathBuf,
    files: u64,
    bytes: u64,
}

async fn get(client: &Client, app: &str, path: &str, dest: &Path, out: Out) -> Done {
    let listing: Listing = client.get(&url(app, "files", path)).await?;
    let mut got = Got { dest: dest.to_owned(), files: 0, bytes: 0 };
    if listing.entry.dir {
        folder(client, app, listing, dest, &mut got).await?;
    } else {
        if dest.is_dir() {
            got.dest = dest.join(safe_name(&listing.entry.path)?);
        }
        let to = got.dest.clone();
        file(client, app, &listing.entry, &to, &mut got).await?;
    }
    out.show(&got, |got| {
        out.line(format!(
            "{}, {}, copied to {}",
            text::count(got.files, "file"),
            text::bytes(got.bytes),
            got.dest.display()
        ));
    })
}

/// The last part of a path, if it can be the name of a file here.
fn safe_name(path: &str) -> Done<&str> {
    match name(path) {
        bad @ ("" | "." | "..") => {
            Err(failed(format!("the app has a file called “{bad}”, which was not copied")))
        }
        name => Ok(name),
    }
}

async fn folder(client: &Client, app: &str, top: Listing, dest: &Path, got: &mut Got) -> Done {
    let mut left = vec![(top, dest.to_owned())];
    while let Some((listing, dest)) = left.pop() {
        std::fs::create_dir_all(&dest).context(|| format!("make the folder {}", dest.display()))?;
        for child in listing.children {
            let to = dest.join(safe_name(&child.path)?);
            if child.dir {
                left.push((client.get(&url(app, "files", &child.path)).await?, to));
            } else {
                file(client, app, &child, &to, got).await?;
            }
        }
    }
    Ok(())
}

async fn file(client: &Client, app: &str, info: &FileInfo, dest: &Path, got: &mut Got) -> Done {
    let writing = || format!("write {}", dest.display());
    // A file that is there is not overwritten: it may be the only copy of somebody's work.
    if dest.symlink_metadata().is_ok() {
        return Err(problem(
            ErrorKind::Conflict,
            format!("{} is there already and is not overwritten", dest.display()),
            "copy to another folder, or move it away",
        ));
    }
    let mut to = File::create_new(dest).context(writing)?;
    let mut bytes = 0;
    client
        .download(&url(app, "file", &info.path), |piece| {
            bytes += piece.len() as u64;
            to.write_all(piece).context(writing)
        })
        .await?;
    got.files += 1;
    got.bytes += bytes;
    Ok(())
}
