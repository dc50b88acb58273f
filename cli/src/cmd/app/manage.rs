//! `fazt app list`, `info`, `open`, `versions`, `rollback`, `remove`, `rename`.

use std::process::{Command, Stdio};

use fazt_ipc::control::{App, ErrorKind, Rename, Rollback, Version};

use super::deploy::access;
use crate::client::{Client, part};
use crate::cmd::proc::{facts, word};
use crate::error::{Done, problem};
use crate::output::{Colour, Out, confirm};
use crate::table::Table;
use crate::text;

fn url(app: &str) -> String {
    format!("/api/apps/{}", part(app))
}

pub(super) async fn list(client: &Client, out: Out) -> Done {
    let apps: Vec<App> = client.get("/api/apps").await?;
    out.show(&apps, |apps| {
        if apps.is_empty() {
            out.line("No app yet. Make one: fazt app new hello, then fazt app deploy hello");
            return;
        }
        let mut table = Table::new(&["APP", ">VERSION", "STATE", "ACCESS", ">DISK", "DEPLOYED", "URL"]);
        let now = text::now_ms();
        for app in apps {
            let version = app.version.as_ref();
            table.row([
                app.name.clone(),
                version.map_or("-".into(), |version| version.number.to_string()),
                word(app.state).to_owned(),
                format!("{:?}", app.access).to_lowercase(),
                text::bytes(app.disk_bytes),
                version.map_or("-".into(), |version| text::ago(version.created_unix_ms, now)),
                app.url.clone(),
            ]);
        }
        out.table(&table);
    })
}

pub(super) async fn info(client: &Client, app: &str, out: Out) -> Done {
    let app: App = client.get(&url(app)).await?;
    out.show(&app, |app| {
        let mut rows = vec![("name", app.name.clone()), ("url", app.url.clone()), ("id", app.id.to_string())];
        if !app.description.is_empty() {
            rows.push(("about", app.description.clone()));
        }
        rows.push(("access", access(app.access).to_owned()));
        rows.push(("state", word(app.state).to_owned()));
        match &app.version {
            None => rows.push(("version", "none: no deploy succeeded yet".to_owned())),
            Some(version) => {
                let own = if version.version.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", version.version)
                };
                let files = text::count(version.files, "file");
                rows.push(("version", format!("{}{own}", version.number)));
                rows.push(("deployed", text::timestamp(version.created_unix_ms)));
                rows.push(("content", format!("{files}, {}", text::bytes(version.bytes))));
                if let Some(origin) = &version.origin {
                    rows.push(("from", origin.source.clone()));
                    rows.push(("commit", origin.commit.clone()));
                    rows.push(("tree", origin.tree.clone()));
                }
            }
        }
        rows.push(("disk", text::bytes(app.disk_bytes)));
        rows.push(("made", text::timestamp(app.created_unix_ms)));
        facts(out, rows);
    })
}

#[derive(serde::Serialize)]
struct Opened<'a> {
    url: &'a str,
    opened: bool,
}

pub(super) async fn open(client: &Client, app: &str, out: Out) -> Done {
    let app: App = client.get(&url(app)).await?;
    let web = app.url.starts_with("http://") || app.url.starts_with("https://");
    // Without a desktop there is no browser to open: the URL is the answer.
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opened = web && desktop && {
        let mut browser = Command::new("xdg-open");
        browser.arg(&app.url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        browser.status().is_ok_and(|status| status.success())
    };
    out.show(&Opened { url: &app.url, opened }, |opened| out.line(text::clean(opened.url)))
}

pub(super) async fn versions(client: &Client, app: &str, out: Out) -> Done {
    let versions: Vec<Version> = client.get(&format!("{}/versions", url(app))).await?;
    out.show(&versions, |versions| {
        let mut table =
            Table::new(&[">NUMBER", "LIVE", "VERSION", ">FILES", ">SIZE", "DEPLOYED", "TREE", "COMMIT"]);
        let now = text::now_ms();
        for version in versions {
            table.row([
                version.number.to_string(),
                if version.active { "yes" } else { "" }.to_owned(),
                version.version.clone(),
                version.files.to_string(),
                text::bytes(version.bytes),
                text::ago(version.created_unix_ms, now),
                version.tree_sha256.chars().take(12).collect(),
                version.origin.as_ref().map_or_else(|| "-".into(), |of| of.commit.chars().take(12).collect()),
            ]);
        }
        out.table(&table);
    })
}

pub(super) async fn rollback(client: &Client, app: &str, number: Option<u64>, out: Out) -> Done {
    let version: Version = client.post(&format!("{}/rollback", url(app)), &Rollback { number }).await?;
    out.show(&version, |version| {
        let when = text::timestamp(version.created_unix_ms);
        out.line(format!("{} is live as version {}, deployed {when}", text::clean(app), version.number));
    })
}

#[derive(serde::Serialize)]
struct Removed<'a> {
    app: &'a str,
    removed: bool,
    kept_data: bool,
}

pub(super) async fn remove(client: &Client, name: &str, keep_data: bool, yes: bool, out: Out) -> Done {
    // Asked of the server first: a name that is wrong is said before the question, not after it.
    let app: App = client.get(&url(name)).await?;
    let name_clean = text::clean(&app.name).into_owned();
    if !yes {
        let what =
            if keep_data { "its versions; its data stays" } else { "its versions and all of its data" };
        match confirm(&format!("Remove {name_clean}, {what} ({})?", text::bytes(app.disk_bytes))) {
            Some(true) => {}
            Some(false) => return Err(problem(ErrorKind::Failed, "nothing was removed", "")),
            None => {
                return Err(problem(
                    ErrorKind::Invalid,
                    format!("{name_clean} was not removed: there is no terminal to ask on"),
                    format!("fazt app remove {name_clean} --yes"),
                ));
            }
        }
    }
    client.delete(&format!("{}?keep_data={keep_data}", url(name))).await?;
    out.show(&Removed { app: name, removed: true, kept_data: keep_data }, |_| {
        out.line(format!("{} {name_clean}", out.paint(Colour::Yellow, "removed")));
    })
}

pub(super) async fn rename(client: &Client, app: &str, name: String, out: Out) -> Done {
    let app_now: App = client.post(&format!("{}/rename", url(app)), &Rename { name }).await?;
    out.show(&app_now, |now| {
        out.line(format!("{} is now {}", text::clean(app), text::clean(&now.name)));
        out.line(format!("  {}", text::clean(&now.url)));
    })
}
