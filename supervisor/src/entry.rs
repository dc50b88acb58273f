//! The ways into this crate for the program `fazt`: [`start`], which becomes the launcher, and [`supervise`], [`build`],
//! [`store`] and [`egress`], which the launcher re-executes itself in.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::config::{Config, ConfigError};
use crate::confine;
use crate::jail::{self, LaunchOptions};
use crate::kernel::{self, Announce};
use crate::limits::{BACKLOG, BLOCKING_LINGER, BLOCKING_THREAD_IDLE, BLOCKING_THREADS_MAX};
use crate::sys;

/// Where the launcher puts the socket of a jailed process.
const JAIL_SOCKET: RawFd = 3;

/// Where egress may connect to by TCP: other servers, and name servers whose answer is too long for UDP.
const EGRESS_PORTS: [u16; 2] = [443, 53];

/// A lock whose holder is gone is free within this time: the rest of its processes die with it.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How the supervisor is told how many of its sockets, the last ones, are for HTTPS.
const TLS: &str = "--tls=";

/// What `fazt proc start` was told on its command line; everything else is in `config.toml`.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Data folder; made if it is not there.
    pub data: PathBuf,
    /// Addresses instead of those of the configuration; empty: those of the configuration.
    pub listen: Vec<SocketAddr>,
    /// Development: missing sandbox layers are borne on loopback, stacks are shown there.
    pub dev: bool,
    /// Announce as one JSON document instead of lines for people.
    pub json: bool,
    /// The program `fazt-worker`.
    pub worker: &'static [u8],
}

/// Why nothing was started. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}: {error}")]
    Data {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another server runs on this data folder.
    #[error("another Fazt{} already runs on {}; stop it with `fazt proc stop`, or use another --data", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), data.display())]
    Running {
        /// Process that holds the lock, where it is known.
        pid: Option<u32>,
        /// Data folder.
        data: PathBuf,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The launcher ended.
    #[error("{0}")]
    Launcher(String),
}

/// Checks the configuration, locks the data folder, binds the addresses, then becomes the launcher. When the
/// server serves, its supervisor announces so on standard output. Returns when the server has ended, or nothing
/// was started; must be called while the process has one thread.
///
/// # Errors
/// See [`StartError`].
pub fn start(options: StartOptions) -> Result<ExitCode, StartError> {
    let StartOptions { data, listen, dev, json, worker } = options;
    folder(&data, 0o700)?;
    let config = Config::load(&data)?;
    folder(&data.join("run"), 0o750)?;
    // Held until this process, the launcher, ends. Nobody inherits it.
    let _lock = lock(&data)?;
    let addresses = if listen.is_empty() { &config.listen } else { &listen };
    let addresses = addresses.iter().chain(config.tls_listen());
    let listeners = addresses.map(|&address| bind(address)).collect::<Result<_, _>>()?;
    let announce = if json { "--json" } else { "--text" };
    let mut egress_args = vec![crate::egress::DOMAIN.into(), config.domain.clone()];
    if config.test_network(&data)? {
        egress_args.push(crate::egress::TEST_NETWORK.into());
    }
    let supervisor_args = vec![announce.into(), format!("{TLS}{}", config.tls_listen().len())];
    let outcome = jail::run(LaunchOptions {
        worker_image: worker,
        listeners,
        dev,
        allow_missing: config.allowed_missing(&data)?,
        data,
        supervisor_args,
        egress_args,
    });
    outcome.map_err(|error| StartError::Launcher(error.to_string()))
}

fn folder(path: &Path, mode: u32) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| StartError::Data { path: path.to_owned(), error })
}

/// One server for one data folder: two of them would each believe to be the only writer.
///
/// The folder is the supervisor's, this process may be root: what a broken supervisor left there in the place of
/// the lock, a link to somewhere else, is not followed and not written to.
fn lock(data: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::Data { path: data.join("run/lock"), error };
    let open = || -> rustix::io::Result<OwnedFd> {
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let data = rustix::fs::open(data, folder, Mode::empty())?;
        let run = rustix::fs::openat(data, "run", folder | OFlags::NOFOLLOW, Mode::empty())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(run, "lock", flags, Mode::RUSR | Mode::WUSR)
    };
    let mut file = File::from(open().map_err(|error| failed(error.into()))?);
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() || about.nlink() != 1 {
        return Err(failed(std::io::Error::other("it is not a file of this server; remove it")));
    }
    let patience = Instant::now() + LOCK_WAIT;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut pid));
                let pid: Option<u32> = pid.trim().parse().ok();
                // A launcher that was killed while it made a process: what it made is about to die of it.
                let gone = pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
                if !gone || Instant::now() >= patience {
                    return Err(StartError::Running { pid, data: data.to_owned() });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    file.seek(SeekFrom::Start(0)).and_then(|_| file.set_len(0)).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn bind(address: SocketAddr) -> Result<OwnedFd, StartError> {
    let listener = || -> std::io::Result<OwnedFd> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // A restart must not wait for the last server's connections to be forgotten.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // `[::]` beside `0.0.0.0` is two sockets, not a clash.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    listener().map_err(|error| StartError::Listen { address, error })
}

/// The supervisor: what the launcher runs in a second process. Takes what it inherits, confines itself and
/// serves until it is told to stop.
#[must_use]
pub fn supervise() -> ExitCode {
    let announce =
        if std::env::args().any(|argument| argument == "--json") { Announce::Json } else { Announce::Text };
    // Not from the configuration, which may have become another one since the sockets were bound.
    let tls = std::env::args().find_map(|argument| argument.strip_prefix(TLS)?.parse().ok()).unwrap_or(0);
    log();
    match serve(announce, tls) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The build role: what the launcher runs in a `build` jail. Locks itself down, answers one job, ends. Must be
/// called while the process has one thread.
#[must_use]
pub fn build() -> ExitCode {
    // No log: nothing but the socket is open, and what would be said is about hostile scripts.
    let Some(socket) = sys::take_inherited(JAIL_SOCKET) else { return ExitCode::from(2) };
    crate::build::prepare();
    if confine::build().is_err() {
        return ExitCode::from(3);
    }
    // As a file it is read by `read` and written by `write`, the calls that the lock leaves.
    let mut socket = File::from(socket);
    let served = crate::build::serve(&mut socket);
    // At once: nothing is closed behind the lock, which leaves no call to look at a descriptor.
    sys::exit(if served.is_ok() { 0 } else { 1 })
}

/// The store role: what the launcher runs in a `store` jail. Locks itself down, takes two files, answers until its
/// socket closes. Must be called while the process has one thread.
#[must_use]
pub fn store() -> ExitCode {
    let Some(socket) = sys::take_inherited(JAIL_SOCKET) else { return ExitCode::from(2) };
    if crate::store::prepare().is_err() || confine::store().is_err() {
        return ExitCode::from(3);
    }
    let mut socket = File::from(socket);
    let code = match crate::store::serve(&mut socket, confine::store_holds_its_files) {
        Ok(()) => 0,
        Err(crate::store::ServeError::Sqlite(_)) => fazt_ipc::store::EXIT_DAMAGED,
        Err(_) => 1,
    };
    // At once: nothing is closed behind the lock, which leaves no call to do so.
    sys::exit(code)
}

/// The egress role: what the launcher runs for connections to elsewhere. Reads and closes what it was handed, locks
/// itself down, and carries out requests until its socket closes. Must be called while the process has one thread.
#[must_use]
pub fn egress() -> ExitCode {
    let Some(socket) = sys::take_inherited(JAIL_SOCKET) else { return ExitCode::from(2) };
    let settings = crate::egress::Settings::of(std::env::args().skip(2));
    let ports: &[u16] = if settings.test_network { &[] } else { &EGRESS_PORTS };
    let files = [1, 2, 3, 4].map(|after| sys::take_inherited(JAIL_SOCKET + after));
    let prepared = crate::egress::prepare(settings, files);
    if confine::egress(ports).is_err() {
        return ExitCode::from(3);
    }
    let code = match crate::egress::serve(socket, prepared) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    // At once: what is still on its way has nobody left to go to.
    sys::exit(code)
}

fn serve(announce: Announce, tls: usize) -> Result<(), String> {
    let inherited = jail::inherited().map_err(|error| error.to_string())?;
    raise_descriptors();
    // Before the runtime, while there is one thread: every later one inherits it.
    confine::supervisor(&inherited.facts.data).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .build()
        .map_err(|error| format!("make the runtime: {error}"))?;
    let outcome = runtime.block_on(kernel::run(inherited, announce, tls));
    // What still runs on a blocking thread has nobody left to answer to.
    runtime.shutdown_timeout(BLOCKING_LINGER);
    outcome.map_err(|error| error.to_string())
}

/// Plain lines for a person at a terminal, JSON for whoever collects logs otherwise. `FAZT_LOG` as in
/// `FAZT_LOG=debug`.
fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("FAZT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.compact().init();
    } else {
        log.json().flatten_event(true).init();
    }
}

/// As many descriptors as the system lets this process have: each connection is one.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_leads_elsewhere_is_refused_and_what_it_leads_to_stays_as_it_was() {
        let beside = tempfile::tempdir().expect("temporary folder");
        let secret = beside.path().join("secret");
        std::fs::write(&secret, "unharmed").expect("a file");
        type Plant = fn(&Path, &Path) -> std::io::Result<()>;
        let plants: [Plant; 4] = [
            |data, secret| std::os::unix::fs::symlink(secret, data.join("run/lock")),
            |data, secret| std::fs::hard_link(secret, data.join("run/lock")),
            |data, _| std::fs::create_dir(data.join("run/lock")),
            |data, secret| {
                std::fs::remove_dir(data.join("run"))?;
                std::os::unix::fs::symlink(secret.parent().unwrap_or(secret), data.join("run"))
            },
        ];
        for (at, plant) in plants.into_iter().enumerate() {
            let data = tempfile::tempdir().expect("temporary folder");
            std::fs::create_dir(data.path().join("run")).expect("run");
            plant(data.path(), &secret).expect("planted");
            let refused = lock(data.path()).expect_err("refused").to_string();
            assert!(refused.contains("run/lock"), "plant {at}: {refused}");
            assert_eq!(std::fs::read_to_string(&secret).expect("the file"), "unharmed", "plant {at}");
            assert!(!beside.path().join("lock").exists(), "plant {at}");
        }
    }

    #[test]
    fn one_server_holds_a_folder_and_the_next_is_told_who() {
        let data = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(data.path().join("run")).expect("run");
        let first = lock(data.path()).expect("the first");
        let second = lock(data.path()).expect_err("the second").to_string();
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        drop(first);
        assert!(lock(data.path()).is_ok(), "after it ended");
    }
}
