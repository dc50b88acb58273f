//! What deploys and installs need from jails: types stripped and packs unpacked by a build process, bytecode made by
//! a worker in its `Compile` phase. Each process does one job and is killed afterwards, whatever it says.
//!
//! Sources are hostile and so is every answer; what comes back is bounded here and checked by who uses it.

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::codec;
use fazt_ipc::frame::split;
use fazt_ipc::ids::{AppId, Generation};
use fazt_ipc::launch::{Limits, Profile};
use fazt_ipc::limits::{CPU_MS_MAX, FRAME_HEADER_BYTES, MEMORY_MIB_MAX, MODULE_BYTES_MAX, PATH_BYTES_MAX};
use fazt_ipc::wire::kernel::{Configure, ModuleKind};
use fazt_ipc::wire::worker::Bytecode;
use fazt_ipc::wire::{Failure, KernelKind, Phase, WireError, WorkerKind};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::bounds;
use super::launcher::Launcher;
use super::pool::{Pool, Warm};
use super::spec::send_modules;
use crate::build;
use crate::kernel::fs::{
    BuildError, Builder, Bundled, Compiled, Diagnostic, Inspect, Plan, Prepare, RepoFile, Source,
    StripResult, Unpack, Unpacked, builder,
};

/// Scripts that may fail to compile before the rest is given up: each costs a fresh worker.
const FAILURES_MAX: usize = 8;
/// Jobs at once: a build process may take a core and half a gigabyte.
const JOBS_MAX: usize = 1;

/// Builds in jails.
pub(crate) struct JailBuilder {
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) jobs: Arc<Semaphore>,
}

impl JailBuilder {
    pub(crate) fn new(launcher: Arc<Launcher>, pool: Arc<Pool>) -> Self {
        Self { launcher, pool, jobs: Arc::new(Semaphore::new(JOBS_MAX)) }
    }
}

impl Builder for JailBuilder {
    fn strip(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Vec<StripResult>, BuildError>> {
        let (launcher, jobs) = (Arc::clone(&self.launcher), Arc::clone(&self.jobs));
        Box::pin(async move {
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            strip(&launcher, &sources).await
        })
    }

    fn compile(&self, sources: Vec<Source>) -> BoxFuture<'static, Result<Compiled, BuildError>> {
        let (launcher, pool, jobs) =
            (Arc::clone(&self.launcher), Arc::clone(&self.pool), Arc::clone(&self.jobs));
        Box::pin(async move {
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            compile(&launcher, &pool, &sources).await
        })
    }

    fn engine(&self) -> Option<u64> {
        self.pool.engine()
    }
}

impl Prepare for JailBuilder {
    fn unpack(&self, job: Unpack, pack: Vec<Bytes>) -> BoxFuture<'static, Result<Unpacked, BuildError>> {
        let (launcher, jobs) = (Arc::clone(&self.launcher), Arc::clone(&self.jobs));
        Box::pin(async move {
            if !job.is_plain() {
                return Err(BuildError::Refused("not the name of a commit, or not a plain folder".into()));
            }
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            let process = Process::start(&launcher).await?;
            let (tree, files) = process
                .work(async |socket| build::unpack(socket, &job, &pack).await)
                .await?
                .map_err(refused)?;
            let commit = job.commit;
            let (build::Tree { tree, committed_unix_s, .. }, files) = (tree, builder::checked(files)?);
            if tree.len() != 40 || !tree.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(BuildError::Died("it named no tree".into()));
            }
            Ok(Unpacked { commit, tree, committed_unix_s, files })
        })
    }

    fn extract(&self, archive: Vec<Bytes>) -> BoxFuture<'static, Result<Vec<RepoFile>, BuildError>> {
        let (launcher, jobs) = (Arc::clone(&self.launcher), Arc::clone(&self.jobs));
        Box::pin(async move {
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            let process = Process::start(&launcher).await?;
            let files = process.work(async |socket| build::extract(socket, &archive).await).await?;
            builder::checked(files.map_err(refused)?)
        })
    }

    fn inspect(
        &self,
        job: Inspect,
        files: Arc<Vec<RepoFile>>,
    ) -> BoxFuture<'static, Result<Plan, BuildError>> {
        let (launcher, jobs) = (Arc::clone(&self.launcher), Arc::clone(&self.jobs));
        Box::pin(async move {
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            let process = Process::start(&launcher).await?;
            let plan = process.work(async |socket| build::inspect(socket, &job, &files).await).await?;
            builder::checked_plan(plan.map_err(refused)?, &job, &files)
        })
    }

    fn bundle(
        &self,
        plan: Arc<Plan>,
        files: Arc<Vec<RepoFile>>,
        packages: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<Bundled, BuildError>> {
        let (launcher, jobs) = (Arc::clone(&self.launcher), Arc::clone(&self.jobs));
        Box::pin(async move {
            let Some(entry) = plan.entry.clone() else {
                return Err(BuildError::Died("there is nothing to be bundled".into()));
            };
            let bundling = build::Bundling {
                entry,
                packages: plan.packages.iter().map(|package| package.path.clone()).collect(),
                links: plan.links.clone(),
            };
            let _turn = jobs.acquire_owned().await.map_err(unavailable)?;
            let process = Process::start(&launcher).await?;
            let made = process
                .work(async |socket| build::bundle(socket, &bundling, &files, &packages).await)
                .await?
                .map_err(refused)?;
            builder::bundled(&plan, &files, made)
        })
    }
}

/// What a jail says is wrong with what it was given; the text may be the author's.
fn refused(refusal: build::Refusal) -> BuildError {
    BuildError::Refused(refusal.shown())
}

/// A build process for one job.
struct Process<'a> {
    _killed: Killed<'a>,
    socket: UnixStream,
}

impl<'a> Process<'a> {
    async fn start(launcher: &'a Launcher) -> Result<Self, BuildError> {
        let limits = Limits { memory_bytes: bounds::BUILD_BYTES_MAX, cpu_permille: 0, cpu_weight: 0 };
        let child = launcher.spawn_fresh(Profile::Build, limits).await.map_err(unavailable)?;
        let _killed = Killed(launcher, child.generation);
        Ok(Self { _killed, socket: UnixStream::from_std(child.socket).map_err(unavailable)? })
    }

    /// Does the one job, within the deadline, and ends.
    async fn work<T>(
        mut self,
        job: impl AsyncFnOnce(&mut UnixStream) -> Result<T, build::WireError>,
    ) -> Result<T, BuildError> {
        match tokio::time::timeout(bounds::BUILD_DEADLINE, job(&mut self.socket)).await {
            Ok(Err(build::WireError::Input(why))) => Err(BuildError::Refused(why)),
            Ok(outcome) => outcome.map_err(|error| BuildError::Died(error.to_string())),
            Err(_) => {
                Err(BuildError::Died(format!("it took more than {} s", bounds::BUILD_DEADLINE.as_secs())))
            }
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> BuildError {
    BuildError::Unavailable(error.to_string())
}

/// Kills its process when the job is over, one way or another.
pub(super) struct Killed<'a>(pub(super) &'a Launcher, pub(super) Generation);

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        self.0.kill(self.1);
    }
}

async fn strip(launcher: &Launcher, sources: &[Source]) -> Result<Vec<StripResult>, BuildError> {
    let process = Process::start(launcher).await?;
    process.work(async |socket| build::converse(socket, sources).await).await
}

async fn compile(launcher: &Launcher, pool: &Pool, sources: &[Source]) -> Result<Compiled, BuildError> {
    let mut modules: Vec<Option<Result<Bytes, Diagnostic>>> = vec![None; sources.len()];
    let mut engine = None;
    for _ in 0..=FAILURES_MAX {
        let todo: Vec<usize> = (0..sources.len()).filter(|&at| modules[at].is_none()).collect();
        if todo.is_empty() {
            break;
        }
        let warm = pool.take().await.map_err(unavailable)?;
        // A worker that was upgraded in between would make code for another engine.
        if *engine.get_or_insert(warm.engine) != warm.engine {
            return Err(BuildError::Unavailable("the engine changed during the build".into()));
        }
        let _killed = Killed(launcher, warm.generation);
        let job = one_worker(warm, sources, &todo, &mut modules);
        match tokio::time::timeout(bounds::BUILD_DEADLINE, job).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(BuildError::Died("compiling took too long".into())),
        }
    }
    let give_up = |at: usize| Diagnostic {
        path: sources[at].path.clone(),
        line: 0,
        column: 0,
        message: "not compiled: too many other scripts have errors".into(),
        frame: String::new(),
    };
    let modules = modules.into_iter().enumerate().map(|(at, done)| done.unwrap_or_else(|| Err(give_up(at))));
    Ok(Compiled { engine: engine.or(pool.engine()).unwrap_or(0), modules: modules.collect() })
}

/// Has one worker compile what is left, until the first script that fails.
async fn one_worker(
    warm: Warm,
    sources: &[Source],
    todo: &[usize],
    modules: &mut [Option<Result<Bytes, Diagnostic>>],
) -> Result<(), BuildError> {
    let died = |error: &dyn std::fmt::Display| BuildError::Died(error.to_string());
    let Warm { mut socket, mut wire, .. } = warm;
    let configure = Configure {
        app: AppId::new(0, 0),
        app_name: String::new(),
        app_version: String::new(),
        memory_bytes: u64::from(MEMORY_MIB_MAX) << 20,
        cpu_ms: CPU_MS_MAX,
        user: None,
        env: Vec::new(),
        bindings: Vec::new(),
        compatibility_date: String::new(),
        assets: String::new(),
        spa: false,
    };
    let sent = wire.send(KernelKind::Configure, 0, false, &configure).and_then(|()| {
        let scripts = todo.iter().map(|&at| &sources[at]);
        send_modules(&mut wire, scripts.map(|s| (&*s.path, ModuleKind::Script, s.text.as_bytes())))?;
        wire.send_raw(KernelKind::Compile, 0, false, &[])
    });
    sent.map_err(|error| died(&error))?;
    let mut out = Vec::new();
    wire.take_out(&mut out);
    let (mut read, mut write) = socket.split();
    // The worker may answer before it has read everything; both directions move.
    let write = async {
        let sent = write.write_all(&out).await;
        if let Err(error) = sent {
            return died(&error);
        }
        std::future::pending::<BuildError>().await
    };
    let read = async {
        let mut collect = Collect { phase: wire.phase(), sources, todo, announced: None };
        let mut buffer = Vec::new();
        let mut chunk = vec![0; bounds::READ_BYTES];
        loop {
            let bytes = read.read(&mut chunk).await.map_err(|error| died(&error))?;
            if bytes == 0 {
                return Err(BuildError::Died("the compiling worker ended".into()));
            }
            buffer.extend_from_slice(&chunk[..bytes]);
            if collect.take(&mut buffer, modules).map_err(|error| died(&error))? {
                return Ok(());
            }
        }
    };
    tokio::select! {
        outcome = read => outcome,
        error = write => Err(error),
    }
}

/// Gathers what a compiling worker sends.
struct Collect<'a> {
    phase: Phase,
    sources: &'a [Source],
    todo: &'a [usize],
    /// Index of the script, bytes announced, bytes so far.
    announced: Option<(usize, usize, Vec<u8>)>,
}

impl Collect<'_> {
    /// Takes every whole frame of the buffer. True: the worker is done, or has failed at a script.
    fn take(
        &mut self,
        buffer: &mut Vec<u8>,
        modules: &mut [Option<Result<Bytes, Diagnostic>>],
    ) -> Result<bool, WireError> {
        let mut used = 0;
        let mut done = false;
        while let Some((header, body)) = split(&buffer[used..])? {
            used += FRAME_HEADER_BYTES + body.len();
            let kind = WorkerKind::try_from(header.kind)?;
            self.phase = self.phase.sent_by_worker(kind)?;
            if header.stream != 0 || header.end {
                return Err(WireError::Stream { kind: kind.name(), stream: header.stream });
            }
            match kind {
                WorkerKind::Bytecode => self.announce(&codec::decode(body)?, modules)?,
                WorkerKind::BytecodeData => self.data(body, modules)?,
                WorkerKind::Compiled => {
                    if self.announced.is_some() || self.todo.iter().any(|&at| modules[at].is_none()) {
                        return Err(WireError::Bound("bytecode that was announced"));
                    }
                    done = true;
                }
                WorkerKind::LoadFailed => {
                    self.failed(&codec::decode(body)?, modules);
                    done = true;
                }
                _ => return Err(WireError::Phase { kind: kind.name(), phase: self.phase }),
            }
            if done {
                break;
            }
        }
        buffer.drain(..used);
        Ok(done)
    }

    fn announce(
        &mut self,
        bytecode: &Bytecode<'_>,
        modules: &mut [Option<Result<Bytes, Diagnostic>>],
    ) -> Result<(), WireError> {
        if self.announced.is_some() || bytecode.path.len() > PATH_BYTES_MAX {
            return Err(WireError::Bound("bytecode announcement"));
        }
        let known = |&&at: &&usize| self.sources[at].path == bytecode.path && modules[at].is_none();
        let &at = self.todo.iter().find(known).ok_or(WireError::Bound("path of bytecode"))?;
        let bytes = bytecode.bytes as usize;
        let most = self.sources[at].text.len() * bounds::BYTECODE_FACTOR_MAX + 64 * 1024;
        if bytes == 0 || bytes > most.min(4 * MODULE_BYTES_MAX) {
            return Err(WireError::Bound("size of bytecode"));
        }
        self.announced = Some((at, bytes, Vec::new()));
        Ok(())
    }

    fn data(
        &mut self,
        body: &[u8],
        modules: &mut [Option<Result<Bytes, Diagnostic>>],
    ) -> Result<(), WireError> {
        let Some((at, bytes, so_far)) = &mut self.announced else {
            return Err(WireError::Bound("bytecode that was announced"));
        };
        if so_far.len() + body.len() > *bytes {
            return Err(WireError::Bound("size of bytecode"));
        }
        so_far.extend_from_slice(body);
        if so_far.len() == *bytes {
            modules[*at] = Some(Ok(Bytes::from(std::mem::take(so_far))));
            self.announced = None;
        }
        Ok(())
    }

    /// Scripts are compiled in the order in which they were sent: the first without bytecode is the one that
    /// failed, unless the failure itself names another that was sent.
    fn failed(&self, failure: &Failure, modules: &mut [Option<Result<Bytes, Diagnostic>>]) {
        let text = format!("{}\n{}", failure.message, failure.stack);
        let (path, line, column) = place(&text).unwrap_or_default();
        let open = |&&at: &&usize| modules[at].is_none();
        let named = self.todo.iter().filter(open).find(|&&at| self.sources[at].path == path);
        let Some(&at) = named.or_else(|| self.todo.iter().find(open)) else { return };
        let (line, column) = if named.is_some() { (line, column) } else { (0, 0) };
        modules[at] = Some(Err(Diagnostic {
            path: self.sources[at].path.clone(),
            line,
            column,
            message: failure.message.clone(),
            frame: String::new(),
        }));
    }
}

/// The first `path:line:column` or `path:line` of a text.
fn place(text: &str) -> Option<(String, u32, u32)> {
    text.split(|letter: char| letter.is_whitespace() || "()".contains(letter)).find_map(|word| {
        let (rest, last) = word.trim_end_matches(':').rsplit_once(':')?;
        let last: u32 = last.parse().ok()?;
        match rest.rsplit_once(':').and_then(|(path, line)| Some((path, line.parse().ok()?))) {
            Some((path, line)) => Some((path.to_owned(), line, last)),
            None => Some((rest.to_owned(), last, 0)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fazt_ipc::frame::Header;
    use fazt_ipc::wire::FailureKind;

    fn frame(kind: WorkerKind, body: &[u8]) -> Vec<u8> {
        let header = Header { body_bytes: body.len() as u32, kind: kind as u8, end: false, stream: 0 };
        [&header.encode()[..], body].concat()
    }

    fn typed(kind: WorkerKind, body: &impl serde::Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(body, &mut bytes).expect("small");
        frame(kind, &bytes)
    }

    fn sources() -> Vec<Source> {
        ["a.js", "b.js"]
            .map(|path| Source { path: path.into(), text: "1".into(), ..Source::default() })
            .to_vec()
    }

    type Modules = Vec<Option<Result<Bytes, Diagnostic>>>;

    fn collect(frames: &[Vec<u8>]) -> (Result<bool, WireError>, Modules) {
        let sources = sources();
        let mut modules = vec![None; 2];
        let mut collect =
            Collect { phase: Phase::Compiling, sources: &sources, todo: &[0, 1], announced: None };
        let outcome = collect.take(&mut frames.concat(), &mut modules);
        (outcome, modules)
    }

    #[test]
    fn bytecode_comes_in_pieces_and_any_order_of_paths() {
        let (outcome, modules) = collect(&[
            typed(WorkerKind::Bytecode, &Bytecode { path: "b.js", bytes: 3 }),
            frame(WorkerKind::BytecodeData, b"xy"),
            frame(WorkerKind::BytecodeData, b"z"),
            typed(WorkerKind::Bytecode, &Bytecode { path: "a.js", bytes: 1 }),
            frame(WorkerKind::BytecodeData, b"w"),
            frame(WorkerKind::Compiled, b""),
        ]);
        assert_eq!(outcome, Ok(true));
        assert_eq!(modules, [Some(Ok(Bytes::from("w"))), Some(Ok(Bytes::from("xyz")))]);
    }

    #[test]
    fn what_a_compiling_worker_may_not_send_ends_the_job() {
        let announce = |path, bytes| typed(WorkerKind::Bytecode, &Bytecode { path, bytes });
        for (why, frames) in [
            ("a path that was not asked for", vec![announce("c.js", 1)]),
            ("too long", vec![announce("a.js", u32::MAX)]),
            ("data unannounced", vec![frame(WorkerKind::BytecodeData, b"x")]),
            ("more than announced", vec![announce("a.js", 1), frame(WorkerKind::BytecodeData, b"xx")]),
            ("done too early", vec![frame(WorkerKind::Compiled, b"")]),
            ("two at once", vec![announce("a.js", 1), announce("b.js", 1)]),
            ("a response", vec![frame(WorkerKind::Body, b"")]),
        ] {
            assert!(collect(&frames).0.is_err(), "{why}");
        }
    }

    #[test]
    fn a_script_that_fails_is_found_by_its_stack_or_by_its_turn() {
        let failure = |message: &str, stack: &str| Failure {
            kind: FailureKind::Load,
            message: message.into(),
            stack: stack.into(),
        };
        let (outcome, modules) =
            collect(&[typed(WorkerKind::LoadFailed, &failure("SyntaxError: x", "    at b.js:4:2"))]);
        assert_eq!(outcome, Ok(true));
        let diagnostic = modules[1].clone().and_then(Result::err).expect("b.js");
        assert_eq!((diagnostic.line, diagnostic.column), (4, 2));
        let (_, modules) = collect(&[typed(WorkerKind::LoadFailed, &failure("SyntaxError: x", ""))]);
        assert!(modules[0].as_ref().is_some_and(Result::is_err) && modules[1].is_none());
    }
}
