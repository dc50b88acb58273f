//! Everything that a person owns in every app, as one tar archive, made while it is sent.
//!
//! ```text
//! README.txt                   this, in words
//! apps/NAME/spaces-0001.jsonl  the person's private space, the spaces that they made, and those of others in which
//!                              they are a member ("own": false: of these there is nothing but this line)
//! apps/NAME/docs-0001.jsonl    documents: {"space", "collection", "id", "version", "created", "updated", "body"}
//! apps/NAME/kv-0001.jsonl      keys: {"space", "key", "kind", "version", "expires", "metadata", "value"}
//! apps/NAME/blobs-0001.jsonl   blobs: {"space", "key", "size", "etag", "uploaded", "http", "metadata", "file"}
//! apps/NAME/blobs/000001       the bytes of a blob, as its `file` says; null: they are missing on the server
//! apps/NAME/sql/private.db     the person's SQL file: an SQLite database; `SPACE.db`: that of a space that they made,
//!                              by its `id`. With `.db-wal` beside it where the server could not bring both together
//! export.json                  whose, when, how much of each app, and which app could not be read
//! ```
//! A `.jsonl` file has one JSON object a line and is followed by another one where it would be larger than 4 MiB.
//! Times are milliseconds since 1970. `space` is the number of a line in `spaces`. The value of a key is JSON, a
//! text, or base 64, as `kind` says. `export.json` comes last: an archive that has it is whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use fazt_ipc::ids::{AppId, SpaceId, UserId};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::kernel::fs::{AppInfo, Fs};
use crate::kernel::net::edge::unix_ms;
use crate::kernel::storage::StorageError;
use crate::kernel::storage::data::{Held, KvKind, Owned};
use crate::kernel::storage::sql::Place;
use crate::limits::PIECE_BYTES;

/// Bytes of a file of the archive after which the next one begins.
const FILE_BYTES: usize = 4 << 20;
/// Files that wait to be sent.
const QUEUE: usize = 2;
const BLOCK: usize = 512;

const README: &str = "Everything that one person owns in the apps of a Fazt server.

apps/NAME/spaces-0001.jsonl  the private space, the spaces that the person made, and those in which they are a
                             member only (\"own\": false: nothing of these is here but this line)
apps/NAME/docs-0001.jsonl    documents: space, collection, id, version, created, updated, body
apps/NAME/kv-0001.jsonl      keys: space, key, kind, version, expires, metadata, value
apps/NAME/blobs-0001.jsonl   blobs: space, key, size, etag, uploaded, http, metadata, and the file with the bytes
apps/NAME/blobs/000001       the bytes of a blob
apps/NAME/sql/private.db     the person's own SQL file, an SQLite database; ID.db: that of a space that they made
export.json                  whose, when, how much of each app, and which app could not be read

A .jsonl file has one JSON object a line; more than 4 MiB go on in the next one. Times are milliseconds since 1970.
\"space\" is the \"space\" of a line in spaces. The value of a key is JSON, a text, or base 64, as its kind says.
export.json comes last: an archive that has it is whole.
";

type Piece = io::Result<Bytes>;

/// The archive, as it is made.
pub(super) fn archive(fs: Arc<Fs>, user: UserId, name: String, apps: Vec<AppInfo>) -> Body {
    let (send, pieces) = mpsc::channel::<Piece>(QUEUE);
    tokio::spawn(async move {
        let created = unix_ms();
        let first = file("README.txt", README.as_bytes(), created);
        if send.send(Ok(first)).await.is_err() {
            return;
        }
        let mut told = Vec::new();
        for app in apps {
            let (fs, send) = (Arc::clone(&fs), send.clone());
            let (id, of) = (app.id, app.name.clone());
            let worker = Arc::clone(&fs);
            let sending = send.clone();
            let done = fs.long(move || Ok(one(&worker, id, &of, user, created, &sending))).await;
            let done = match done {
                Ok(Ok(counts)) => sql(&fs, &app, user, created, &send, counts).await,
                Ok(Err(error)) | Err(error) => Err(error),
            };
            match done {
                Ok(Some(counts)) => told.push(counts.told(app.id, &app.name)),
                Ok(None) => {}
                // What is damaged must not keep the rest from its owner.
                Err(error) => {
                    told.push(json!({ "name": app.name, "id": app.id, "trouble": error.to_string() }));
                }
            }
        }
        let about = json!({
            "format": "fazt-user-export", "version": 1, "user": { "id": user, "name": name },
            "created": created, "apps": told,
        });
        let mut last = file("export.json", about.to_string().as_bytes(), created).to_vec();
        last.resize(last.len() + 2 * BLOCK, 0);
        // The reader may have gone.
        let _ = send.send(Ok(last.into())).await;
    });
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    Body::from_stream(pieces)
}

/// What one app gave.
#[derive(Default)]
struct Counts {
    spaces: u64,
    docs: u64,
    keys: u64,
    blobs: u64,
    /// Files of raw SQL.
    sql: u64,
    /// Those that could not be copied, and why.
    sql_trouble: Vec<String>,
    /// Spaces that the person made.
    made: Vec<SpaceId>,
    /// Blobs whose bytes are not there.
    missing: u64,
}

impl Counts {
    fn told(&self, id: AppId, name: &str) -> Value {
        let Self { spaces, docs, keys, blobs, sql, missing, .. } = self;
        let mut trouble = self.sql_trouble.clone();
        if *missing > 0 {
            trouble.push(format!("the bytes of {missing} blobs are missing"));
        }
        let trouble = (!trouble.is_empty()).then(|| trouble.join("; "));
        json!({
            "name": name, "id": id, "spaces": spaces, "docs": docs, "keys": keys, "blobs": blobs, "sql": sql,
            "trouble": trouble,
        })
    }
}

/// Lines of one kind that gather until they are a file.
struct Lines<'a> {
    send: &'a mpsc::Sender<Piece>,
    path: String,
    files: u32,
    text: String,
    created: u64,
}

impl Lines<'_> {
    /// False: nobody takes them any more.
    fn add(&mut self, line: &str) -> bool {
        self.text.push_str(line);
        self.text.push('\n');
        self.text.len() < FILE_BYTES || self.flush()
    }

    fn flush(&mut self) -> bool {
        if self.text.is_empty() {
            return true;
        }
        self.files += 1;
        let path = format!("{}-{:04}.jsonl", self.path, self.files);
        let piece = file(&path, self.text.as_bytes(), self.created);
        self.text.clear();
        self.send.blocking_send(Ok(piece)).is_ok()
    }
}

fn one(
    fs: &Fs,
    app: AppId,
    name: &str,
    user: UserId,
    created: u64,
    send: &mpsc::Sender<Piece>,
) -> Result<Option<Counts>, StorageError> {
    let lines = |kind: &str| {
        let path = format!("apps/{name}/{kind}");
        Lines { send, path, files: 0, text: String::new(), created }
    };
    let (mut spaces, mut docs, mut keys) = (lines("spaces"), lines("docs"), lines("kv"));
    let mut blobs = lines("blobs");
    let (mut counts, mut space_now) = (Counts::default(), 0);
    let known = fs.owned_blocking(app, user, &mut |part| match part {
        Owned::Space { space, own } => {
            counts.spaces += 1;
            space_now = space.n;
            if own {
                counts.made.extend(space.id.as_deref().and_then(|id| id.parse::<SpaceId>().ok()));
            }
            let (kind, id, of, role) = (&space.kind, &space.id, &space.name, space.role.name());
            let line = json!({ "space": space.n, "kind": kind, "id": id, "name": of, "role": role, "own": own });
            spaces.add(&line.to_string())
        }
        Owned::Doc { collection, id, version, times_ms: (made, changed), body } => {
            counts.docs += 1;
            let (collection, id) = (Value::from(collection), Value::from(id));
            docs.add(&format!(
                r#"{{"space":{space_now},"collection":{collection},"id":{id},"version":{version},"created":{made},"updated":{changed},"body":{body}}}"#
            ))
        }
        Owned::Key { key, kind, version, expires_ms, meta, value } => {
            counts.keys += 1;
            let text = || String::from_utf8_lossy(value);
            let (kind, value) = match kind {
                KvKind::Json => ("json", text().into_owned()),
                KvKind::Text => ("text", Value::from(text()).to_string()),
                KvKind::Bytes => {
                    let base64 = base64::engine::general_purpose::STANDARD.encode(value);
                    ("bytes", Value::from(base64).to_string())
                }
            };
            let (key, expires) = (Value::from(key), Value::from(expires_ms));
            let meta = meta.unwrap_or("null");
            keys.add(&format!(
                r#"{{"space":{space_now},"key":{key},"kind":"{kind}","version":{version},"expires":{expires},"metadata":{meta},"value":{value}}}"#
            ))
        }
        Owned::Blob { key, size, etag, uploaded_ms, http, meta, bytes } => {
            counts.blobs += 1;
            let path = format!("apps/{name}/blobs/{:06}", counts.blobs);
            let sent = match bytes {
                Held::Whole(bytes) => {
                    Some(send.blocking_send(Ok(file(&path, bytes, created))).is_ok())
                }
                Held::File(from) => File::open(from).ok().map(|from| copy(from, size, &path, created, send)),
            };
            counts.missing += u64::from(sent.is_none());
            let (key, etag) = (Value::from(key), Value::from(etag));
            let at = Value::from(sent.map(|_| format!("blobs/{:06}", counts.blobs)));
            let (http, meta) = (http.unwrap_or("null"), meta.unwrap_or("null"));
            sent.unwrap_or(true)
                && blobs.add(&format!(
                    r#"{{"space":{space_now},"key":{key},"size":{size},"etag":{etag},"uploaded":{uploaded_ms},"http":{http},"metadata":{meta},"file":{at}}}"#
                ))
        }
    })?;
    for mut rest in [spaces, docs, keys, blobs] {
        rest.flush();
    }
    Ok(known.then_some(counts))
}

/// Copies a person's files of raw SQL in an app into the archive: their own, and those of spaces that they made.
async fn sql(
    fs: &Fs,
    app: &AppInfo,
    user: UserId,
    created: u64,
    send: &mpsc::Sender<Piece>,
    counts: Option<Counts>,
) -> Result<Option<Counts>, StorageError> {
    let (known, mut counts) = (counts.is_some(), counts.unwrap_or_default());
    let made = std::mem::take(&mut counts.made);
    let own = (Place::User(user), "private".to_owned());
    let places = made.into_iter().map(|space| (Place::Space(space), space.to_string()));
    for (place, name) in std::iter::once(own).chain(places) {
        let copied = match fs.sql_copy(app.id, place).await {
            Ok(Some(copied)) => copied,
            Ok(None) => continue,
            Err(error) => {
                counts.sql_trouble.push(format!("sql/{name}.db: {error}"));
                continue;
            }
        };
        counts.sql += 1;
        let (path, send) = (format!("apps/{}/sql/{name}.db", app.name), send.clone());
        let sent = fs.long(move || {
            let all = [(Some(copied.database), path.clone()), (copied.wal, format!("{path}-wal"))];
            for (from, path) in all {
                let Some(from) = from else { continue };
                let failed =
                    |error: io::Error| StorageError::Failed { path: path.clone(), detail: error.to_string() };
                let size = from.metadata().map_err(failed)?.len();
                copy(from, size, &path, created, &send);
            }
            Ok(())
        });
        sent.await?;
    }
    let any = known || counts.sql > 0 || !counts.sql_trouble.is_empty();
    Ok(any.then_some(counts))
}

/// Copies a file into the archive, in pieces. One that is shorter than it should be ends the archive.
fn copy(from: File, size: u64, path: &str, created: u64, send: &mpsc::Sender<Piece>) -> bool {
    if send.blocking_send(Ok(head(path, size, created).into())).is_err() {
        return false;
    }
    let mut from = from.take(size);
    let mut left = size;
    while left > 0 {
        let bytes = u32::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; bytes as usize];
        if let Err(error) = from.read_exact(&mut piece) {
            let _ = send.blocking_send(Err(error));
            return false;
        }
        left -= piece.len() as u64;
        if left == 0 {
            piece.resize(piece.len() + (size.next_multiple_of(BLOCK as u64) - size) as usize, 0);
        }
        if send.blocking_send(Ok(piece.into())).is_err() {
            return false;
        }
    }
    true
}

/// A file as it stands in a tar archive: head, bytes, zeros up to a whole block.
fn file(path: &str, bytes: &[u8], unix_ms: u64) -> Bytes {
    let mut out = head(path, bytes.len() as u64, unix_ms);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out.into()
}

fn head(path: &str, size: u64, unix_ms: u64) -> Vec<u8> {
    let mut out = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| out[at..at + text.len()].copy_from_slice(text);
    // The folder of a long path has a place of its own.
    let (folder, name) = match path.rsplit_once('/') {
        Some(parts) if path.len() > 100 => parts,
        _ => ("", path),
    };
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(345, &folder.as_bytes()[..folder.len().min(155)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", unix_ms / 1000).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out
}
