//! `fazt proc`: the server and the processes of its apps.

mod init;
mod logs;
mod schedule;
mod show;
mod start;
mod stop;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use fazt_ipc::control::Changed;

use crate::client::{Client, Remote, not_there, part};
use crate::error::Done;
use crate::output::Out;
use crate::text;

pub(crate) use logs::follow;
pub(crate) use show::{facts, word};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Install the server: as root on a machine with systemd it runs from now on and starts with the machine
    ///
    /// Looks at the machine first, and says what would keep people out. Can be given again: what is so already stays. With
    /// another --data than root's own, or without systemd, only the data folder and its configuration are made.
    #[command(
        after_help = "Examples:\n  fazt proc init --domain me.example --email me@me.example\n  fazt proc init --dry-run\n  fazt proc init --data ./cloud"
    )]
    Init {
        #[command(flatten)]
        wishes: init::Wishes,
    },
    /// Take the installed server away from this machine; its data stays
    #[command(after_help = "Examples:\n  fazt proc uninstall\n  fazt proc uninstall --purge")]
    Uninstall {
        /// Delete the data too: all apps, users and what they stored
        #[arg(long)]
        purge: bool,
        /// Do not ask before deleting
        #[arg(long, short)]
        yes: bool,
    },
    /// Start the server in the foreground
    #[command(
        after_help = "Examples:\n  fazt proc start\n  fazt proc start --dev --listen 127.0.0.1:0 --data ./cloud"
    )]
    Start {
        /// Address to listen on instead of those in config.toml: ADDRESS:PORT, or a port on loopback
        #[arg(long, value_name = "ADDR", value_parser = start::address)]
        listen: Vec<SocketAddr>,
        /// Development: sandbox layers that an ordinary user cannot have may be missing, on loopback only
        #[arg(long)]
        dev: bool,
    },
    /// Stop the server: requests in flight are answered first
    #[command(after_help = "Example:\n  fazt proc stop")]
    Stop,
    /// Show how the server is
    #[command(after_help = "Example:\n  fazt proc status --json")]
    Status,
    /// List the processes of apps
    #[command(after_help = "Examples:\n  fazt proc ps\n  fazt proc ps --watch")]
    Ps {
        /// Show again each second
        #[arg(short, long)]
        watch: bool,
    },
    /// Show which apps use the machine now, busiest first
    #[command(after_help = "Example:\n  fazt proc top")]
    Top,
    /// Kill an app's processes at once; a request wakes it again. Ends the wait after crashes, but no quarantine
    #[command(after_help = "Example:\n  fazt proc kill notes")]
    Kill {
        /// Name of the app
        app: String,
    },
    /// End an app's processes when their requests are answered
    #[command(after_help = "Example:\n  fazt proc hibernate notes")]
    Hibernate {
        /// Name of the app
        app: String,
    },
    /// Start an app before a request does; lifts back-off and quarantine
    ///
    /// An app is quarantined when one of its processes did what no app can do by itself: its engine was taken over.
    /// It stays so across versions and restarts of the server until you, having looked at `fazt proc logs`, wake or
    /// restart it.
    #[command(after_help = "Example:\n  fazt proc wake notes")]
    Wake {
        /// Name of the app
        app: String,
    },
    /// Give an app new processes; starts one that sleeps, lifts back-off and quarantine
    #[command(after_help = "Example:\n  fazt proc restart notes")]
    Restart {
        /// Name of the app
        app: String,
    },
    /// Print the log of an app
    #[command(after_help = "Examples:\n  fazt proc logs notes --since 10m\n  fazt proc logs notes -f")]
    Logs {
        /// Name of the app
        app: String,
        /// Go on as lines come
        #[arg(short, long)]
        follow: bool,
        /// From when: 30s, 10m, 2h, 3d ago, or a UTC time such as 2026-11-20T08:30
        #[arg(long, value_name = "T")]
        since: Option<String>,
    },
    /// Print the messages between the server and an app's processes as they pass
    #[command(after_help = "Example:\n  fazt proc trace notes")]
    Trace {
        /// Name of the app
        app: String,
    },
    /// Run an entry of an app's `cron` now, wait for it and tell what became of it; code 1 if it failed
    #[command(after_help = "Example:\n  fazt proc run notes digest")]
    Run {
        /// Name of the app
        app: String,
        /// Name of the entry
        name: String,
    },
    /// Show the schedules of an app, or of all: when they are due, what became of them last
    #[command(after_help = "Examples:\n  fazt proc schedules\n  fazt proc schedules notes --json")]
    Schedules {
        /// Name of the app
        app: Option<String>,
    },
    /// Show what an app did without a request, newest first
    #[command(after_help = "Example:\n  fazt proc runs notes")]
    Runs {
        /// Name of the app
        app: String,
    },
    /// Show the runs and jobs of an app that wait, or those that failed for good; try those again, throw some away
    #[command(
        after_help = "Examples:\n  fazt proc jobs notes\n  fazt proc jobs notes --dead\n  fazt proc jobs notes --retry job_01jabc…"
    )]
    Jobs {
        /// Name of the app
        app: String,
        /// Those that failed for good
        #[arg(long)]
        dead: bool,
        /// Try this dead one again
        #[arg(long, value_name = "ID")]
        retry: Option<String>,
        /// Throw this one away
        #[arg(long, value_name = "ID")]
        discard: Option<String>,
    },
    /// Try real escapes in a real process and show which layer stops each
    #[command(after_help = "Example:\n  fazt proc doctor")]
    Doctor,
    /// Explain each field of config.toml
    #[command(after_help = "Example:\n  fazt proc config")]
    Config,
}

/// Runs what needs no server; hands everything else back.
pub(crate) fn alone(
    verb: Verb,
    data: &Path,
    remote: Option<&Remote>,
    out: Out,
) -> Done<Result<ExitCode, Verb>> {
    let own = match verb {
        Verb::Init { .. } => Some("fazt proc init"),
        Verb::Uninstall { .. } => Some("fazt proc uninstall"),
        Verb::Start { .. } => Some("fazt proc start"),
        Verb::Config => Some("fazt proc config"),
        _ => None,
    };
    if let (Some(what), Some(remote)) = (own, remote) {
        return Err(not_there(what, &remote.url.to_string()));
    }
    match verb {
        Verb::Init { wishes } => init::init(data, &wishes, out).map(|()| Ok(ExitCode::SUCCESS)),
        Verb::Uninstall { purge, yes } => {
            init::uninstall(data, purge, yes, out).map(|()| Ok(ExitCode::SUCCESS))
        }
        Verb::Start { listen, dev } => start::start(data, listen, dev, out),
        Verb::Config => show::config(data, out).map(|()| Ok(ExitCode::SUCCESS)),
        verb => Ok(Err(verb)),
    }
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done<ExitCode> {
    match verb {
        Verb::Stop => stop::stop(client, out).await?,
        Verb::Status => show::status(client, out).await?,
        Verb::Ps { watch } => show::ps(client, watch, out).await?,
        Verb::Top => show::top(client, out).await?,
        Verb::Kill { app } => change(client, &app, "kill", "killed", out).await?,
        Verb::Hibernate { app } => change(client, &app, "hibernate", "sent to sleep", out).await?,
        Verb::Wake { app } => change(client, &app, "wake", "woken", out).await?,
        Verb::Restart { app } => change(client, &app, "restart", "restarted", out).await?,
        Verb::Logs { app, follow, since } => logs::logs(client, &app, follow, since.as_deref(), out).await?,
        Verb::Trace { app } => logs::trace(client, &app, out).await?,
        Verb::Run { app, name } => return schedule::run(client, &app, &name, out).await,
        Verb::Schedules { app } => schedule::schedules(client, app.as_deref(), out).await?,
        Verb::Runs { app } => schedule::runs(client, &app, out).await?,
        Verb::Jobs { app, dead, retry, discard } => {
            let act = schedule::act(dead, retry, discard)?;
            schedule::jobs(client, &app, act, out).await?;
        }
        Verb::Doctor => return show::doctor(client, out).await,
        // Answered without a server.
        Verb::Init { .. } | Verb::Uninstall { .. } | Verb::Start { .. } | Verb::Config => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(client: &Client, app: &str, verb: &str, done: &str, out: Out) -> Done {
    let changed: Changed = client.order(&format!("/api/apps/{}/{verb}", part(app))).await?;
    out.show(&changed, |changed| match changed.workers {
        0 => out.line(format!("{}: no process had to be {done}", text::clean(app))),
        1 => out.line(format!("{}: 1 process {done}", text::clean(app))),
        workers => out.line(format!("{}: {workers} processes {done}", text::clean(app))),
    })
}
