//! The supervisor's life: wires storage, processes and network together, serves, drains, ends.
//!
//! ```text
//! config ─▶ proc (pool) ─▶ fs ─▶ control socket ─▶ listeners ─▶ ready, announced ─▶ … ─▶ drain ─▶ exit
//! ```
//! Each step needs the one before: fs builds deploys in proc's jails, the socket answers with both, and nobody
//! is served before all of it stands.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fazt_ipc::control::Access;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::fs::{Fs, FsError, FsOptions};
use super::net::api::Api;
use super::net::clients::Clients;
use super::net::control::{self, Control, Door};
use super::net::edge::Edge;
use super::net::egress::{Egress, Started, Way};
use super::net::hints::Hints;
use super::net::identity::People;
use super::net::metrics::Metrics;
use super::net::serve;
use super::net::tls::{Tls, TlsError};
use super::proc::schedule::Scheduler;
use super::proc::{Outward, Proc, ProcError, ProcOptions};
use super::security::identity::SERVER;
use super::security::{Identity, Real};
use super::storage::StorageError;
use crate::config::{Config, ConfigError};
use crate::jail::Inherited;
use crate::limits::{CONTROL_LINGER, SIGN_OF_LIFE};

/// Why the supervisor could not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Workers cannot be made.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The server's secret.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket, a signal or a file.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |error| RunError::Io { what, error }
}

/// How the supervisor says that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// In lines for people.
    Text,
    /// As one JSON document on one line.
    Json,
}

/// Serves until told to stop. `inherited` is what the launcher handed down; the last `tls` of its sockets are for HTTPS.
///
/// # Errors
/// When a part of it cannot be brought up.
pub(crate) async fn run(inherited: Inherited, announce: Announce, tls: usize) -> Result<(), RunError> {
    let started = Instant::now();
    let Inherited { launcher, listeners, facts, alive } = inherited;
    let config = Config::load(&facts.data)?;
    let listeners = listeners.into_iter().map(listener).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(io("take over the listening sockets"))?;
    let plain = listeners.len().saturating_sub(tls);
    let addresses: Vec<SocketAddr> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let tls_port = addresses.get(plain).map(SocketAddr::port);

    let (stop, stopping) = watch::channel(false);
    let lost = {
        let stop = stop.clone();
        // The launcher ends so when it is told to and may not send signals: requests in flight still finish.
        move || {
            stop.send_replace(true);
        }
    };
    let proc = Proc::start(launcher, proc_options(&config, &facts.data), lost)?;
    let fs = Fs::open(&facts.data, proc.builder(), fs_options(&config, &addresses)).await?;
    proc.follow(Arc::clone(&fs));
    fs.run_sql_in(proc.stores());
    let egress = egress(&proc);
    fs.reach_out_by(Arc::new(Way(Arc::clone(&egress))));
    fs.prepare_in(proc.prepare());
    fs.try_with(proc.trial());
    let tls = match tls_port {
        Some(_) => Some(Tls::open(&config, &fs).await?),
        None => None,
    };
    let secret = super::storage::secret(&facts.data, "identity")?;
    let identity = Identity::new(fs.book(), Arc::new(Real), &secret);
    let workers = Arc::clone(&proc);
    identity.on_end(move |user, app| workers.end(user, app));
    // Not held by what they hold: databases are closed when the last of them goes.
    proc.on_quarantine({
        let (identity, fs) = (Arc::downgrade(&identity), Arc::downgrade(&fs));
        move |app, why| {
            let (Some(identity), Some(fs)) = (identity.upgrade(), fs.upgrade()) else { return };
            let why = why.to_owned();
            let name = fs.name_of(app).unwrap_or_else(|| app.to_string());
            tokio::spawn(
                async move { identity.note(SERVER, "app.quarantine", &name, false, None, &why).await },
            );
        }
    });
    let sweeping = Arc::clone(&identity);
    let sweeping = tokio::spawn(async move { sweeping.sweep().await });
    // On a full disk nobody can be added, but whoever is there is served. After a restart the link that was
    // announced stays the good one.
    let first_link = match facts.restarts {
        0 => identity.first_link().await.unwrap_or_else(|error| {
            tracing::error!(%error, "no sign-in link for the owner: `fazt user passwd owner` makes one later");
            None
        }),
        _ => None,
    };

    let scheduler = Arc::new(Scheduler::start(&proc, &fs));
    let metrics = Arc::new(Metrics::default());
    let people = People { identity: Arc::clone(&identity), fs: Arc::clone(&fs) };
    let control = Arc::new(Control {
        fs: Arc::clone(&fs),
        identity,
        proc: Arc::clone(&proc),
        egress,
        scheduler: Arc::clone(&scheduler),
        metrics: Arc::clone(&metrics),
        config: config.clone(),
        addresses,
        tls_port,
        tls: tls.clone(),
        data: facts.data.clone(),
        layers: facts.layers,
        missing: facts.missing,
        started,
        stop,
        stops: Box::new({
            let alive = alive.clone();
            move || alive.stops()
        }),
    });
    let socket_path = control::socket_path(&facts.data);
    let socket = control::bind(&socket_path).map_err(io("make the control socket"))?;
    let (end_control, control_ending) = tokio::sync::oneshot::channel::<()>();
    let api = axum::serve(socket, control::router(Arc::clone(&control), Door::Socket))
        .with_graceful_shutdown(async { drop(control_ending.await) });
    let api = tokio::spawn(api.into_future());

    let edge = Arc::new(Edge {
        domain: config.domain.clone(),
        dev: facts.dev,
        tls: tls.clone().zip(tls_port),
        clients: Clients::new(config.limits.clone()),
        hints: Hints::default(),
        config,
        fs,
        apps: Arc::clone(&proc),
        people,
        api: Some(Api::new(Arc::clone(&control))),
        metrics,
        ready: AtomicBool::new(true),
    });
    let certificates = tls.clone().map(|tls| tokio::spawn(tls.run()));
    let listeners = listeners.into_iter().enumerate();
    let listeners = listeners.map(|(at, listener)| (listener, tls.clone().filter(|_| at >= plain)));
    let serving = serve::serve(&edge, listeners.collect());
    // After a restart whoever waited for the announcement has had it.
    if facts.restarts == 0 {
        say(&control, announce, first_link.map(|(link, _)| control.join_url(&link)));
    }
    if control.config.egress.test_network {
        tracing::warn!("egress.test_network is on: requests of apps may reach this machine itself");
    }
    tracing::info!(url = control.url(None), pid = std::process::id(), "serving");
    // The launcher tells the service manager; a loop that hangs stops giving the sign.
    let resting = tokio::spawn(super::rest::run());
    let alive = tokio::spawn(async move {
        let mut every = tokio::time::interval(SIGN_OF_LIFE);
        loop {
            every.tick().await;
            alive.give();
        }
    });

    until_stopped(stopping).await.map_err(io("listen for signals"))?;
    (control.stops)();
    control.stop.send_replace(true);
    tracing::info!("stopping: requests in flight finish");
    edge.ready.store(false, Relaxed);
    scheduler.rest();
    // Side by side: a request that waits for its worker ends when proc says so.
    tokio::join!(serving.drain(), proc.drain());
    scheduler.stop().await;
    alive.abort();
    sweeping.abort();
    resting.abort();
    if let Some(certificates) = certificates {
        certificates.abort();
    }
    // Whoever asked for the stop gets the answer; nobody can hold the server up.
    drop(end_control);
    let _ = tokio::time::timeout(CONTROL_LINGER, api).await;
    let _ = std::fs::remove_file(socket_path);
    Ok(())
}

/// Requests to elsewhere, by processes that `proc` makes.
fn egress(proc: &Arc<Proc>) -> Arc<Egress> {
    let proc = Arc::downgrade(proc);
    Egress::new(Box::new(move || {
        let proc = proc.upgrade();
        Box::pin(async move {
            let proc = proc.ok_or("the server is stopping")?;
            let Outward { pid, socket, exited, kill } = proc.outward().await?;
            Ok(Started { pid, socket, exited, kill })
        })
    }))
}

fn listener(fd: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn proc_options(config: &Config, data: &Path) -> ProcOptions {
    ProcOptions {
        pool: config.workers.pool,
        idle: Duration::from_secs(config.workers.idle_s),
        budget_bytes: (config.workers.memory_mib > 0).then_some(config.workers.memory_mib << 20),
        ..ProcOptions::new(data.to_owned())
    }
}

/// Without a word in the manifest an app is open where only this machine can reach it.
fn fs_options(config: &Config, addresses: &[SocketAddr]) -> FsOptions {
    let loopback = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
    FsOptions {
        access_default: if loopback { Access::Public } else { Access::Owner },
        versions_kept: config.keep_versions,
        registry: config.install.registry.trim_end_matches('/').to_owned(),
        ..FsOptions::default()
    }
}

/// Waits for SIGTERM, SIGINT or the word of the control API.
async fn until_stopped(mut stopping: watch::Receiver<bool>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    Ok(())
}

/// Whether what is said lands in a log that others read too: a service manager gives its services a socket.
fn is_logged() -> bool {
    let about = rustix::fs::fstat(io::stdout());
    about
        .is_ok_and(|about| rustix::fs::FileType::from_raw_mode(about.st_mode) == rustix::fs::FileType::Socket)
}

/// Tells whoever started the server that it serves: from the first line on, a request is answered.
fn say(control: &Control, announce: Announce, first_link: Option<String>) {
    let url = control.url(None);
    let listen: Vec<String> = control.addresses.iter().map(ToString::to_string).collect();
    let text = match announce {
        Announce::Json => {
            let document = serde_json::json!({
                "url": url,
                "listen": listen,
                "data": control.data.display().to_string(),
                "pid": std::process::id(),
                "missing_layers": control.missing,
                "sign_in_url": first_link,
            });
            format!("{document}\n")
        }
        Announce::Text => {
            let mut text = format!("Fazt is up at {url} (listening on {})\n", listen.join(", "));
            if !control.missing.is_empty() {
                let missing = control.missing.join(", ");
                let (red, plain) =
                    if io::stdout().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
                text.push_str(&format!(
                    "{red}Without the sandbox layers {missing}: run only apps that you wrote yourself.{plain} \
                     `fazt proc doctor` says more.\n"
                ));
            }
            if control.config.egress.test_network {
                let (red, plain) =
                    if io::stdout().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
                text.push_str(&format!(
                    "{red}The test network is open: requests of apps may reach this machine itself.{plain} Never on a \
                     server that others use.\n"
                ));
            }
            match first_link {
                Some(link) if !is_logged() => {
                    text.push_str(&format!("Choose your name and password, once, within a day: {link}\n"));
                }
                Some(_) => {
                    text.push_str("Nobody owns this server yet: `fazt user passwd owner` prints a link.\n")
                }
                None => {}
            }
            text.push_str("Deploy an app: fazt app deploy DIR --name NAME\n");
            text
        }
    };
    let mut out = io::stdout().lock();
    // Nobody may be reading; the server serves all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
