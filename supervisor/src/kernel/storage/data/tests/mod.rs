//! Data from end to end: the engine on real files, with a clock that stands still unless a test turns it.

mod blobs;
mod bounds;
mod cost;
mod crash;
mod disk;
mod fair;
mod hostile;
mod life;
mod oracle;
mod plans;
mod query;
mod quota;
mod schema;
mod shrink;
mod spaces;
mod together;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fazt_ipc::ids::{AppId, UserId, VersionId};
use fazt_ipc::syscall::ErrorCode;

use super::super::cartridge::{Cartridge, Change, NewVersion};
use super::super::db::Mode;
use super::super::value::Sha256;
use super::*;
use crate::kernel::security::{Actor, Principal};
use crate::kernel::storage::StorageError;

/// Apps in a folder, and the engine over them.
struct Stage {
    folder: tempfile::TempDir,
    data: Data,
    clock: Arc<AtomicU64>,
    app: AppId,
}

const START_MS: u64 = 1_700_000_000_000;

impl Stage {
    /// With one app.
    fn new(schema: &DataSchema) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let clock = Arc::new(AtomicU64::new(START_MS));
        let data = engine(folder.path().to_owned(), &clock);
        let stage = Self { folder, data, clock, app: AppId::new(1, 1) };
        stage.deploy(stage.app, schema).expect("deploys");
        stage
    }

    fn file(&self, app: AppId) -> PathBuf {
        self.folder.path().join(app.to_string()).join("app.fazt")
    }

    fn deploy(&self, app: AppId, schema: &DataSchema) -> Result<u64, StorageError> {
        deploy(&self.file(app), schema).inspect(|_| self.data.reload(app))
    }

    async fn ask(&self, who: Principal, request: Request) -> Result<Response, DataError> {
        self.data.call(Actor::of_worker(self.app, who), request).await
    }

    async fn doc(&self, who: Principal, space: SpaceName, call: DocCall) -> Result<Response, DataError> {
        self.ask(who, Request::Docs(space, "notes".into(), call)).await
    }

    async fn put(&self, who: Principal, space: SpaceName, body: &str) -> String {
        let write = DocWrite::Put { body: body.into(), if_version: None };
        match self.doc(who, space, DocCall::Write(write)).await {
            Ok(Response::Doc(Some(document))) => document,
            other => panic!("{body}: {other:?}"),
        }
    }

    async fn find(
        &self,
        who: Principal,
        space: SpaceName,
        find: Find,
    ) -> Result<(Vec<String>, Option<String>), DataError> {
        match self.doc(who, space, DocCall::Find(find)).await? {
            Response::Docs { items, cursor } => Ok((items, cursor)),
            other => panic!("{other:?}"),
        }
    }

    async fn set(
        &self,
        who: Principal,
        space: SpaceName,
        key: &str,
        value: &str,
    ) -> Result<Response, DataError> {
        self.ask(who, Request::Kv(space, set(key, value))).await
    }

    async fn get(&self, who: Principal, space: SpaceName, key: &str) -> Result<Response, DataError> {
        self.ask(who, Request::Kv(space, KvCall::Get { key: key.into() })).await
    }

    fn later(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }
}

fn engine(apps: PathBuf, clock: &Arc<AtomicU64>) -> Data {
    let clock = Arc::clone(clock);
    Data::new(apps, [7; 32], Arc::new(move || clock.load(Ordering::Relaxed)), None)
}

fn set(key: &str, value: &str) -> KvCall {
    KvCall::Set {
        key: key.into(),
        value: value.as_bytes().to_vec(),
        kind: KvKind::Text,
        meta: None,
        ttl_s: None,
        expires_unix_ms: None,
        if_version: None,
    }
}

/// What a deploy does to a cartridge, without files.
fn deploy(file: &std::path::Path, schema: &DataSchema) -> Result<u64, StorageError> {
    std::fs::create_dir_all(file.parent().expect("folder")).expect("folder");
    let version = NewVersion {
        origin: None,
        id: VersionId::new(1, rand::random()),
        label: String::new(),
        description: String::new(),
        access: None,
        tree: Sha256::of(b""),
        created_unix_ms: START_MS,
        files: Vec::new(),
    };
    let change = Change {
        version,
        contents: Vec::new(),
        built: Vec::new(),
        keep: 10,
        keep_before: false,
        data: schema.clone(),
    };
    Ok(Cartridge::open(file, Mode::Create)?.commit(&change)?.number)
}

/// A schema with one collection, `notes`.
fn notes(fields: &[(&str, FieldKind)], indexes: &[&[&str]]) -> DataSchema {
    let fields = fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    let indexes = indexes.iter().map(|fields| fields.iter().map(|f| (*f).to_owned()).collect()).collect();
    let collections = BTreeMap::from([("notes".to_owned(), CollectionSchema { fields, indexes })]);
    DataSchema { spaces: true, storage_mib: 0, collections }
}

fn plain() -> DataSchema {
    notes(
        &[("title", FieldKind::String), ("done", FieldKind::Boolean), ("n", FieldKind::Json)],
        &[&["n"], &["done", "n"]],
    )
}

fn person(n: u128) -> Principal {
    Principal::User(UserId::new(5, n))
}

fn user(n: u128) -> UserId {
    UserId::new(5, n)
}

fn code<T: std::fmt::Debug>(result: Result<T, DataError>) -> ErrorCode {
    result.expect_err("refused").code
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

/// The seed of a random test: printed when it fails, given with `FAZT_SEED`.
fn seed() -> u64 {
    let given = std::env::var("FAZT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("FAZT_SEED={seed}");
    seed
}
