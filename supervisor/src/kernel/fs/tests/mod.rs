//! Deploys from end to end, without processes: scripts are stripped in place of a jail, bytecode is a label.

mod crash;
mod deploy;
mod faults;
mod hostile;
mod install;
mod lifecycle;
mod model;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use fazt_ipc::control::{DeployPlan, PlanFile};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::build;

/// Strips for real and pretends to compile.
#[derive(Default)]
struct FakeBuilder {
    engine: AtomicU64,
    broken: AtomicBool,
    stripped: AtomicUsize,
    compiled: AtomicUsize,
}

impl FakeBuilder {
    fn new() -> Arc<Self> {
        Arc::new(Self { engine: AtomicU64::new(1), ..Self::default() })
    }
}

impl Builder for FakeBuilder {
    fn strip(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Vec<StripResult>, BuildError>> {
        self.stripped.fetch_add(sources.len(), Ordering::Relaxed);
        let broken = self.broken.load(Ordering::Relaxed);
        async move {
            if broken {
                return Err(BuildError::Died("out of memory".into()));
            }
            Ok(sources.iter().map(build::strip).collect())
        }
        .boxed()
    }

    fn compile(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Compiled, BuildError>> {
        self.compiled.fetch_add(sources.len(), Ordering::Relaxed);
        let engine = self.engine.load(Ordering::Relaxed);
        let modules = sources
            .iter()
            .map(|source| Ok(Bytes::from(format!("bytecode {engine} of {}: {}", source.path, source.text))))
            .collect();
        async move { Ok(Compiled { engine, modules }) }.boxed()
    }

    fn engine(&self) -> Option<u64> {
        Some(self.engine.load(Ordering::Relaxed)).filter(|engine| *engine != 0)
    }
}

/// A folder on somebody's machine.
type Tree = BTreeMap<String, Vec<u8>>;

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn plan_of(tree: &Tree) -> DeployPlan {
    let file = |(path, bytes): (&String, &Vec<u8>)| PlanFile {
        path: path.clone(),
        sha256: Sha256::of(bytes).to_string(),
        bytes: bytes.len() as u64,
    };
    DeployPlan { files: tree.iter().map(file).collect() }
}

async fn open(data: &Path, builder: &Arc<FakeBuilder>) -> Arc<Fs> {
    open_with(data, builder, FsOptions::default()).await
}

async fn open_with(data: &Path, builder: &Arc<FakeBuilder>, options: FsOptions) -> Arc<Fs> {
    let builder: Arc<dyn Builder> = Arc::<FakeBuilder>::clone(builder);
    Fs::open(data, builder, options).await.expect("the data folder opens")
}

async fn send(fs: &Fs, ticket: &str, sha256: &str, bytes: &[u8]) -> Result<(), FsError> {
    let chunks: Vec<_> = bytes.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    fs.put(ticket, sha256, stream::iter(chunks).boxed()).await
}

/// What `fazt app deploy` does.
async fn deploy(fs: &Arc<Fs>, name: &str, tree: &Tree) -> Result<Committed, FsError> {
    let ticket = upload(fs, name, tree).await?;
    fs.commit(&ticket, Said::default()).await
}

async fn upload(fs: &Arc<Fs>, name: &str, tree: &Tree) -> Result<String, FsError> {
    let ticket = fs.plan(name, plan_of(tree)).await?;
    for bytes in tree.values() {
        let sha256 = Sha256::of(bytes).to_string();
        if ticket.missing.contains(&sha256) {
            send(fs, &ticket.id, &sha256, bytes).await?;
        }
    }
    Ok(ticket.id)
}

/// The active version as a folder again.
async fn read_back(fs: &Fs, name: &str) -> Tree {
    let release = fs.release(fs.route(name).expect("routes")).await.expect("a release");
    let mut tree = Tree::new();
    for (path, file) in release.index.below("") {
        let bytes = release.content(file, Encoding::Identity).await.expect("its content");
        tree.insert(path.to_owned(), bytes.to_vec());
    }
    tree
}
