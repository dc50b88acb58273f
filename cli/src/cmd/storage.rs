//! `fazt storage`: what apps store, seen by the operator.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use fazt_ipc::control::{
    Checked, CollectionInfo, ErrorKind, Explanation, StoragePage, StorageQuery, StorageUse,
};
use serde_json::{Value, json};

use crate::client::{Client, part};
use crate::error::{Context as _, Done, failed, invalid, problem};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show how much each app stores, and may
    #[command(after_help = "Examples:\n  fazt storage usage\n  fazt storage usage --json")]
    Usage,
    /// List the collections of an app
    #[command(after_help = "Example:\n  fazt storage collections notes")]
    Collections {
        /// Name of the app
        app: String,
    },
    /// Show documents as a user sees them; written into the audit log
    #[command(
        after_help = "Examples:\n  fazt storage query notes notes --as anna\n  fazt storage query notes notes --where '{\"done\":false}' --order -updated --limit 5"
    )]
    Query(Asked),
    /// Show the statement that a query runs, its plan, and the spaces that it is confined to
    #[command(
        after_help = "Example:\n  fazt storage explain notes notes --where '{\"done\":false}' --as anna"
    )]
    Explain(Asked),
    /// Look through the databases for damage
    #[command(after_help = "Examples:\n  fazt storage check\n  fazt storage check notes")]
    Check {
        /// Only that of this app
        app: Option<String>,
    },
    /// Write everything that a user owns in every app into a tar archive
    ///
    /// The archive has a README.txt that says what is where: documents and keys as JSON, a line each. It ends with
    /// export.json, which says how much there is of each app.
    #[command(after_help = "Example:\n  fazt storage export-user anna anna.tar")]
    ExportUser {
        /// Name of the user
        user: String,
        /// The archive to make
        file: PathBuf,
    },
}

/// A query.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// Name of the app
    app: String,
    /// Name of the collection
    collection: String,
    /// Which documents, as an app would say it: {"done": false}
    #[arg(long = "where", value_name = "JSON")]
    filter: Option<String>,
    /// Field to order by, -FIELD for descending; several times for several
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    order: Vec<String>,
    /// Documents of the page [default: 100]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on behind the page that ended with this cursor
    #[arg(long)]
    cursor: Option<String>,
    /// As whom: a user, anonymous or service [default: the owner]
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Where: user, app, or the id of a space
    #[arg(long, default_value = "user")]
    space: String,
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Usage => usage(client, out).await,
        Verb::Collections { app } => {
            let url = format!("/api/apps/{}/collections", part(&app));
            let found: Vec<CollectionInfo> = client.get(&url).await?;
            out.show(&found, |found| collections(found, out))
        }
        Verb::Query(asked) => query(client, asked, out).await,
        Verb::Explain(asked) => {
            let url = format!("/api/apps/{}/explain", part(&asked.app));
            let told: Explanation = client.post(&url, &asked.query()?).await?;
            out.show(&told, |told| explain(told, out))
        }
        Verb::Check { app } => check(client, app.as_deref(), out).await,
        Verb::ExportUser { user, file } => export(client, &user, &file, out).await,
    }
}

async fn usage(client: &Client, out: Out) -> Done {
    let used: Vec<StorageUse> = client.get("/api/storage").await?;
    out.show(&used, |used| {
        let mut table = Table::new(&[
            "APP", ">DATA", ">BLOBS", ">SQL", ">SUM", ">OF", ">ROWS", ">OF", ">FILES", ">DISK", "TROUBLE",
        ]);
        for app in used {
            table.row([
                app.app.clone(),
                text::bytes(app.data_bytes),
                text::bytes(app.blobs_bytes),
                text::bytes(app.sql_bytes),
                text::bytes(app.used_bytes),
                text::bytes(app.data_bytes_max),
                app.rows.to_string(),
                app.rows_max.to_string(),
                text::bytes(app.files_bytes),
                text::bytes(app.disk_bytes),
                app.trouble.clone().unwrap_or_default(),
            ]);
        }
        out.table(&table);
    })
}

fn collections(found: &[CollectionInfo], out: Out) {
    if found.is_empty() {
        out.line("No collection yet. An app names them in app.json under collections.");
        return;
    }
    let mut table = Table::new(&["NAME", ">DOCS", "STATE", "SCHEMA", "INDEXES"]);
    for one in found {
        let fields: Vec<_> = one.schema.iter().map(|(field, kind)| format!("{field}:{kind}")).collect();
        let indexes: Vec<_> = one.indexes.iter().map(|fields| fields.join("+")).collect();
        table.row([
            one.name.clone(),
            one.docs.to_string(),
            if one.active { "active" } else { "dormant" }.to_owned(),
            fields.join(" "),
            indexes.join(" "),
        ]);
    }
    out.table(&table);
}

impl Asked {
    fn query(&self) -> Done<StorageQuery<Value>> {
        let filter = self.filter.as_deref().map(serde_json::from_str).transpose();
        let filter = filter.map_err(|error| {
            invalid(
                format!("--where is not JSON: {error}"),
                r#"quote it for the shell: --where '{"done": false}'"#,
            )
        })?;
        let order = self.order.iter().map(|field| match field.strip_prefix('-') {
            Some(field) => (field.to_owned(), true),
            None => (field.clone(), false),
        });
        Ok(StorageQuery {
            collection: self.collection.clone(),
            user: self.user.clone(),
            space: Some(self.space.clone()),
            filter,
            order: order.collect(),
            limit: self.limit,
            cursor: self.cursor.clone(),
        })
    }
}

async fn query(client: &Client, asked: Asked, out: Out) -> Done {
    let url = format!("/api/apps/{}/query", part(&asked.app));
    let page: StoragePage<Value> = client.post(&url, &asked.query()?).await?;
    out.show(&page, |page| {
        for document in &page.items {
            // Documents are an app's words.
            out.line(text::clean(&document.to_string()));
        }
        let count = text::count(page.items.len() as u64, "document");
        match &page.cursor {
            Some(cursor) => out.note(format!("{count}; more with --cursor {}", text::clean(cursor))),
            None => out.note(count),
        }
    })
}

fn explain(told: &Explanation, out: Out) {
    out.line(format!("{} {}", out.paint(Colour::Bold, "as"), text::clean(&told.principal)));
    out.line(out.paint(Colour::Bold, "confined to"));
    let mut table = Table::new(&[">SPACE", "KIND", "ROLE", "ID", "NAME"]);
    for space in &told.spaces {
        let number = space.number.to_string();
        table.row([number, space.kind.clone(), space.role.clone(), space.id.clone(), space.name.clone()]);
    }
    out.table(&table);
    out.line(out.paint(Colour::Bold, "statement"));
    out.line(format!("  {}", text::clean(&told.sql)));
    out.line(out.paint(Colour::Bold, "plan"));
    for step in &told.plan {
        out.line(format!("  {}", text::clean(step)));
    }
}

async fn check(client: &Client, app: Option<&str>, out: Out) -> Done {
    let url = app.map_or_else(
        || "/api/storage/check".to_owned(),
        |app| format!("/api/storage/check?app={}", part(app)),
    );
    let checked: Vec<Checked> = client.get(&url).await?;
    out.show(&checked, |checked| {
        let mut table = Table::new(&["APP", "FILE", "STATE", "WHAT IS WRONG"]);
        for one in checked {
            let state = if one.ok { "sound" } else { "damaged" };
            let app = one.app.clone().unwrap_or_else(|| "the server".to_owned());
            table.row([app, one.file.clone(), state.to_owned(), one.detail.clone()]);
        }
        out.table(&table);
    })?;
    match checked.iter().filter(|one| !one.ok).count() {
        0 => Ok(()),
        damaged => Err(problem(
            ErrorKind::Failed,
            format!("{} of {} are damaged", damaged, text::count(checked.len() as u64, "file")),
            "the other apps run; restore the file from a backup, or remove the app and deploy it again",
        )),
    }
}

async fn export(client: &Client, user: &str, path: &Path, out: Out) -> Done {
    let shown = path.display().to_string();
    // Somebody's data: nobody else reads it, and nothing is written over.
    let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            problem(ErrorKind::Conflict, format!("{shown} exists already"), "name another file, or remove it")
        }
        _ => failed(format!("cannot make {shown}: {error}")),
    })?;
    let url = format!("/api/users/{}/export", part(user));
    let mut bytes = 0;
    let loaded = client
        .download(&url, |piece| {
            bytes += piece.len() as u64;
            file.write_all(piece).context(|| format!("write {shown}"))
        })
        .await;
    let about =
        match loaded.and_then(|()| last(&mut file).context(|| format!("read {shown}"))?.ok_or_else(whole)) {
            Ok(about) => about,
            Err(error) => {
                // Half an archive helps nobody. It was ours.
                let _ = std::fs::remove_file(path);
                return Err(error);
            }
        };
    file.sync_all().context(|| format!("write {shown}"))?;
    let apps = about["apps"].as_array().cloned().unwrap_or_default();
    let answer = json!({ "user": user, "file": shown, "bytes": bytes, "apps": apps });
    out.show(&answer, |_| {
        let mut table = Table::new(&["APP", ">SPACES", ">DOCS", ">KEYS", ">BLOBS", ">SQL", "TROUBLE"]);
        for app in &apps {
            let count = |name: &str| app[name].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
            let word = |name: &str| app[name].as_str().unwrap_or_default().to_owned();
            let [spaces, docs, keys, blobs, sql] = ["spaces", "docs", "keys", "blobs", "sql"].map(count);
            table.row([word("name"), spaces, docs, keys, blobs, sql, word("trouble")]);
        }
        out.table(&table);
        let size = text::bytes(bytes);
        out.line(format!("{} {} ({size})", out.paint(Colour::Green, "wrote"), text::clean(&shown)));
    })?;
    let missing = apps.iter().filter(|app| !app["trouble"].is_null()).count();
    if missing == 0 {
        return Ok(());
    }
    let message = format!(
        "not everything of {} could be read; the rest is in the archive",
        text::count(missing as u64, "app")
    );
    Err(problem(ErrorKind::Failed, message, "fazt storage check says what is wrong"))
}

fn whole() -> fazt_ipc::control::Problem {
    problem(ErrorKind::Unreachable, "the archive broke off", "try again")
}

/// The file `export.json` of an archive: its last one, so that an archive that has it is whole.
fn last(file: &mut File) -> std::io::Result<Option<Value>> {
    let mut at = 0;
    let mut head = [0; 512];
    loop {
        file.seek(SeekFrom::Start(at))?;
        if file.read_exact(&mut head).is_err() || head[0] == 0 {
            return Ok(None);
        }
        let bytes =
            std::str::from_utf8(&head[124..135]).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
        let Some(bytes) = bytes else { return Ok(None) };
        if head.starts_with(b"export.json\0") {
            let mut text = Vec::new();
            std::io::Read::by_ref(file).take(bytes).read_to_end(&mut text)?;
            return Ok(serde_json::from_slice(&text).ok());
        }
        at += 512 + bytes.next_multiple_of(512);
    }
}
