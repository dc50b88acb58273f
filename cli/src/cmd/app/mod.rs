//! `fazt app`: apps and their versions.

mod consent;
mod deploy;
mod dev;
mod env;
mod install;
mod manage;
mod new;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use fazt_ipc::control::GrantChange;

use crate::client::Client;
use crate::error::Done;
use crate::output::Out;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a folder live as an app; only what changed travels
    ///
    /// What the app asks for is shown, and asked about on a terminal; a script says it beforehand. A new version that
    /// asks for more than was ever answered is refused until it is (exit code 4).
    #[command(
        after_help = "Examples:\n  fazt app deploy ./notes\n  fazt app deploy . --name notes --yes --json\n  fazt app deploy . --grant net:api.github.com,schedule\n  fazt app deploy . --dry-run"
    )]
    Deploy {
        /// The folder of the app
        dir: PathBuf,
        /// Name of the app [default: the name in app.json, else that of the folder]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        said: consent::Said,
        /// Show what it would be and what it asks for, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Install an app from a Git server
    ///
    /// The commit is fetched and unpacked by locked processes, what it asks for is shown, and nothing of it runs before
    /// you agree. Strangers' apps are for members unless they say otherwise.
    #[command(
        after_help = "Examples:\n  fazt app install github.com/owner/repo\n  fazt app install github.com/owner/repo@v1.2.0#packages/app --name notes\n  fazt app install https://git.example.org/owner/repo --grant net:api.example.org\n  fazt app install github.com/owner/repo --dry-run --json"
    )]
    Install {
        /// Repository, with @branch, @tag or @commit, and #folder
        #[arg(value_name = "URL")]
        source: String,
        /// Name of the app [default: the name in app.json, else that of the repository]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        how: install::How,
    },
    /// Bring an app that was installed from elsewhere up to date
    ///
    /// The new version is started beside the one that serves; when that fails, nothing has changed. One that asks for more than was ever
    /// answered waits until it is (exit code 4).
    #[command(
        after_help = "Examples:\n  fazt app update notes\n  fazt app update notes --to v1.3.0 --yes\n  fazt app update --all"
    )]
    Update {
        /// Name of the app; --all for all of them
        #[arg(required_unless_present = "all")]
        app: Option<String>,
        /// Every app that was installed from elsewhere
        #[arg(long, conflicts_with_all = ["app", "to"])]
        all: bool,
        /// Another branch, tag or commit
        #[arg(long, value_name = "REF")]
        to: Option<String>,
        #[command(flatten)]
        how: install::How,
    },
    /// List the apps
    #[command(after_help = "Example:\n  fazt app list --json")]
    List,
    /// Show one app
    #[command(after_help = "Example:\n  fazt app info notes")]
    Info {
        /// Name of the app
        app: String,
    },
    /// Open an app in the browser
    #[command(after_help = "Example:\n  fazt app open notes")]
    Open {
        /// Name of the app
        app: String,
    },
    /// List the versions of an app that are kept
    #[command(after_help = "Example:\n  fazt app versions notes")]
    Versions {
        /// Name of the app
        app: String,
    },
    /// Make an older version live again
    #[command(after_help = "Examples:\n  fazt app rollback notes\n  fazt app rollback notes 3")]
    Rollback {
        /// Name of the app
        app: String,
        /// Number of the version [default: the one before the live one]
        version: Option<u64>,
    },
    /// Remove an app, its versions and its data
    #[command(after_help = "Examples:\n  fazt app remove notes\n  fazt app remove notes --keep-data --yes")]
    Remove {
        /// Name of the app
        app: String,
        /// Keep what it stored
        #[arg(long)]
        keep_data: bool,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
    /// Give an app another name and with it another address
    #[command(after_help = "Example:\n  fazt app rename notes journal")]
    Rename {
        /// Name of the app
        app: String,
        /// The new name; one that an app has, this one or another, is refused with exit code 5
        name: String,
    },
    /// Show what an app asks for, and what was said to it
    #[command(after_help = "Example:\n  fazt app grants notes")]
    Grants {
        /// Name of the app
        app: String,
    },
    /// Give an app permissions that it asks for; holds at once
    #[command(after_help = "Example:\n  fazt app grant notes net:api.github.com schedule")]
    Grant {
        /// Name of the app
        app: String,
        /// Permissions, as `fazt app grants` names them
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Take permissions away from an app; holds at once
    #[command(after_help = "Example:\n  fazt app revoke notes net:api.github.com")]
    Revoke {
        /// Name of the app
        app: String,
        /// Permissions, as `fazt app grants` names them
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Show, set and take away the variables that an app gets in `env`
    ///
    /// Values of secrets are never shown: of variables that app.json declares as secret, and of those that it does
    /// not declare.
    #[command(
        after_help = "Examples:\n  fazt app env notes\n  fazt app env notes set API_KEY\n  fazt app env notes unset API_KEY"
    )]
    Env {
        /// Name of the app
        app: String,
        #[command(subcommand)]
        change: Option<env::Change>,
    },
    /// Make the folder of a new app
    #[command(after_help = "Examples:\n  fazt app new notes\n  fazt app new notes --template ts")]
    New {
        /// Name of the app and of its folder
        name: String,
        /// What to begin with
        #[arg(long, value_enum, default_value = "hello")]
        template: new::Template,
    },
    /// Watch a folder: deploy on each save, print the log
    #[command(after_help = "Examples:\n  fazt app dev ./notes\n  fazt app dev ./notes --yes")]
    Dev {
        /// The folder of the app
        dir: PathBuf,
        /// Name of the app [default: the name in app.json, else that of the folder]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        said: consent::Said,
    },
}

/// Runs what needs no server; hands everything else back.
pub(crate) fn alone(verb: Verb, out: Out) -> Done<Result<ExitCode, Verb>> {
    match verb {
        Verb::New { name, template } => new::new(&name, template, out).map(|()| Ok(ExitCode::SUCCESS)),
        verb => Ok(Err(verb)),
    }
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Deploy { dir, name, said, dry_run: false } => {
            deploy::command(client, &dir, name.as_deref(), &said, out).await
        }
        Verb::Deploy { dir, name, said: _, dry_run: true } => {
            deploy::dry_run(client, &dir, name.as_deref(), out).await
        }
        Verb::Install { source, name, how } => install::install(client, source, name, &how, out).await,
        Verb::Update { app: Some(app), to, how, .. } => install::update(client, &app, to, &how, out).await,
        Verb::Update { app: None, how, .. } => install::update_all(client, &how, out).await,
        Verb::List => manage::list(client, out).await,
        Verb::Info { app } => manage::info(client, &app, out).await,
        Verb::Open { app } => manage::open(client, &app, out).await,
        Verb::Versions { app } => manage::versions(client, &app, out).await,
        Verb::Rollback { app, version } => manage::rollback(client, &app, version, out).await,
        Verb::Remove { app, keep_data, yes } => manage::remove(client, &app, keep_data, yes, out).await,
        Verb::Rename { app, name } => manage::rename(client, &app, name, out).await,
        Verb::Grants { app } => consent::grants(client, &app, out).await,
        Verb::Grant { app, permissions } => {
            let change = GrantChange { grant: permissions, ..GrantChange::default() };
            consent::change(client, &app, change, out).await
        }
        Verb::Revoke { app, permissions } => {
            let change = GrantChange { revoke: permissions, ..GrantChange::default() };
            consent::change(client, &app, change, out).await
        }
        Verb::Env { app, change } => env::run(client, &app, change, out).await,
        Verb::Dev { dir, name, said } => dev::dev(client, &dir, name.as_deref(), &said, out).await,
        // Answered without a server.
        Verb::New { .. } => Ok(()),
    }
}
