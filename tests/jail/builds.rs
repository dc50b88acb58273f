//! The build role in its real jail, behind its real lock: what it is for, and what hostile work comes to.

use std::future::Future;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fazt_ipc::launch::{Limits, Order, Profile};
use fazt_supervisor::build::{self, Bundling, Entry, Inspect, RepoFile, Unpack};
use tokio::net::UnixStream;

use crate::Test;
use crate::rig::{Handed, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("a_build_process_unpacks_looks_and_bundles_behind_its_lock", true, work),
    ("a_pack_that_is_a_bomb_is_refused_and_little_memory_was_used", true, bomb),
    ("a_build_process_that_is_killed_in_the_middle_is_an_ordinary_error", true, killed),
    ("scripts_that_are_nested_without_end_kill_only_the_build_process", true, nested),
];

/// As the supervisor gives it.
const LIMITS: Limits = Limits { memory_bytes: 512 << 20, cpu_permille: 0, cpu_weight: 0 };

/// Starts one build process and talks to it.
fn with<T, F>(rig: &mut Rig, talk: impl FnOnce(UnixStream) -> F) -> Result<(Handed, T)>
where
    F: Future<Output = T>,
{
    let child = rig.spawn(Profile::Build, LIMITS)?;
    let socket = child.socket.try_clone()?;
    socket.set_read_timeout(None)?;
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let answer =
        runtime.block_on(async { Ok::<_, anyhow::Error>(talk(UnixStream::from_std(socket)?).await) })?;
    Ok((child, answer))
}

fn git(folder: &std::path::Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .current_dir(folder)
        .output()?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// A pack with one commit, as `git` makes it.
fn pack(files: &[(&str, &[u8])]) -> Result<(String, Vec<u8>)> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    git(at, &["init", "-q"])?;
    for (path, bytes) in files {
        let path = at.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, bytes)?;
    }
    git(at, &["add", "-f", "."])?;
    git(at, &["commit", "-qm", "x"])?;
    git(at, &["repack", "-adq"])?;
    let commit = String::from_utf8(git(at, &["rev-parse", "HEAD"])?)?.trim().to_owned();
    for entry in std::fs::read_dir(at.join(".git/objects/pack"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            return Ok((commit, std::fs::read(path)?));
        }
    }
    anyhow::bail!("git made no pack")
}

fn unpack(rig: &mut Rig, commit: &str, pack: &[u8]) -> Result<(Handed, Result<Vec<RepoFile>, String>)> {
    let job = Unpack { commit: commit.to_owned(), folder: String::new() };
    let pack: Vec<Bytes> = pack.chunks(50_000).map(Bytes::copy_from_slice).collect();
    with(rig, |mut socket| async move {
        match build::unpack(&mut socket, &job, &pack).await {
            Ok(Ok((_, files))) => Ok(files),
            Ok(Err(refusal)) => Err(format!("refused: {refusal}")),
            Err(error) => Err(format!("died: {error}")),
        }
    })
}

fn work() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let noise: Vec<u8> = (0..2_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (commit, pack) = pack(&[
        ("wrangler.toml", b"name = \"a\"\nmain = \"src/index.ts\"\n[[kv_namespaces]]\nbinding = \"KV\"\n"),
        ("src/index.ts", b"import { x } from 'pkg'; import './b'; export default { fetch: (r: Request) => new Response(x) };"),
        ("src/b.ts", b"export enum E { A }\nconsole.log(E.A, require('events'));"),
        ("node_modules/pkg/package.json", b"{\"main\": \"i.js\"}"),
        ("node_modules/pkg/i.js", b"exports.x = 'from the package'"),
        ("public/noise", &noise),
    ])?;
    let (child, files) = unpack(&mut rig, &commit, &pack)?;
    let files = files.map_err(anyhow::Error::msg)?;
    ensure!(files.len() == 6 && files.iter().any(|file| file.bytes == noise), "{} files", files.len());
    let (code, signal, ..) = rig.exited(child.generation)?;
    ensure!((code, signal) == (0, 0), "unpacking ended with {code}, signal {signal}");

    let job = Inspect { registry: "https://registry.example.org".into() };
    let (child, plan) = with(&mut rig, |mut socket| {
        let files = &files;
        async move { build::inspect(&mut socket, &job, files).await }
    })?;
    let plan = plan?.map_err(anyhow::Error::msg)?;
    ensure!(plan.made_from == "wrangler.toml" && plan.packages.is_empty(), "{plan:?}");
    let (code, signal, ..) = rig.exited(child.generation)?;
    ensure!((code, signal) == (0, 0), "looking ended with {code}, signal {signal}");

    let bundling = Bundling { entry: plan.entry.context("a script")?, ..Bundling::default() };
    let (child, bundle) = with(&mut rig, |mut socket| {
        let files = &files;
        async move { build::bundle(&mut socket, &bundling, files, &[]).await }
    })?;
    let bundle = bundle?.map_err(anyhow::Error::msg)?;
    ensure!(bundle.code.contains("from the package") && bundle.map.contains("src/b.ts"), "{}", bundle.code);
    let (code, signal, ..) = rig.exited(child.generation)?;
    ensure!((code, signal) == (0, 0), "bundling ended with {code}, signal {signal}");
    rig.stop()
}

fn bomb() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    // Four times 50 MB of nothing, in a pack of 200 kB; and each file over its own bound.
    let zeros = vec![0u8; 50_000_000];
    let list: Vec<(String, Vec<u8>)> = (0..4)
        .map(|at| {
            let mut one = zeros.clone();
            one[0] = at;
            (format!("f{at}"), one)
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        list.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (commit, pack) = pack(&files)?;
    ensure!(pack.len() < 1 << 20, "a pack of {} bytes is no bomb", pack.len());
    let (child, outcome) = unpack(&mut rig, &commit, &pack)?;
    let error = outcome.err().context("a bomb came out")?;
    ensure!(error.starts_with("refused:"), "{error}");
    let (code, signal, oom, _, peak) = rig.exited(child.generation)?;
    ensure!((code, signal, oom) == (0, 0, false), "it ended with {code}, signal {signal}, oom {oom}");
    ensure!(peak < 256 << 20, "it used {} MiB", peak >> 20);
    rig.stop()
}

fn killed() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let child = rig.spawn(Profile::Build, LIMITS)?;
    let generation = child.generation;
    let socket = child.socket.try_clone()?;
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let outcome = runtime.block_on(async {
        let mut socket = UnixStream::from_std(socket)?;
        let job = Unpack { commit: "0".repeat(40), folder: String::new() };
        // More than the socket holds, so that it is in the middle when its process is gone.
        let pack = vec![Bytes::from(vec![b'P'; 1 << 20]); 19];
        rig.order(Order::Kill { generation })?;
        Ok::<_, anyhow::Error>(build::unpack(&mut socket, &job, &pack).await)
    })?;
    let error = outcome.err().context("a process that is gone has answered")?;
    ensure!(!error.to_string().is_empty());
    let (_, signal, ..) = rig.exited(generation)?;
    ensure!(signal == 9, "signal {signal}");
    rig.stop()
}

fn nested() -> Result<()> {
    let mut rig = Rig::start("obedient")?;
    let text = format!("export default {}1{};", "[".repeat(300_000), "]".repeat(300_000));
    let files = [RepoFile { path: "a.js".into(), bytes: text.into_bytes() }];
    let bundling =
        Bundling { entry: Entry { main: "a.js".into(), ..Entry::default() }, ..Bundling::default() };
    let (child, outcome) = with(&mut rig, |mut socket| {
        let files = &files;
        async move { build::bundle(&mut socket, &bundling, files, &[]).await }
    })?;
    let (code, signal, ..) = rig.exited(child.generation)?;
    // Either it noticed, or it ran out of stack; never a call that its lock forbids.
    ensure!(signal != 31, "killed by its lock");
    ensure!(matches!(outcome, Ok(Err(_)) | Err(_)), "it was bundled; exit {code}");
    // The next one is not the worse for it.
    let (_, next) = with(&mut rig, |mut socket| async move {
        let files = [RepoFile { path: "a.js".into(), bytes: b"export default 1".to_vec() }];
        let entry = Entry { main: "a.js".into(), ..Entry::default() };
        build::bundle(&mut socket, &Bundling { entry, ..Bundling::default() }, &files, &[]).await
    })?;
    next?.map_err(anyhow::Error::msg)?;
    rig.stop()
}
