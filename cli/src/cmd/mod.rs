//! The commands, a folder or file for each noun.

mod app;
mod docs;
mod fs;
mod host;
mod net;
mod proc;
mod security;
mod storage;
mod user;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use crate::client::{Client, Remote};
use crate::error::Done;
use crate::output::Out;

/// What a command is about.
#[derive(Subcommand)]
pub(crate) enum Noun {
    /// The server and the processes of its apps
    #[command(subcommand)]
    Proc(proc::Verb),
    /// Apps: deploy, list, roll back, remove
    #[command(subcommand)]
    App(app::Verb),
    /// The files that apps were deployed with
    #[command(subcommand)]
    Fs(fs::Verb),
    /// What apps reach elsewhere
    #[command(subcommand)]
    Net(net::Verb),
    /// What apps store: usage, collections, documents, checks
    #[command(subcommand)]
    Storage(storage::Verb),
    /// Servers elsewhere, saved under names
    #[command(subcommand)]
    Host(host::Verb),
    /// People who may sign in, and their sessions
    #[command(subcommand)]
    User(user::Verb),
    /// API tokens and the audit log
    #[command(subcommand)]
    Security(security::Verb),
    #[command(flatten)]
    Docs(docs::Verb),
}

/// A role in which the server re-executes this program, if the first argument names one.
pub(crate) fn role(name: &str) -> Option<ExitCode> {
    match name {
        fazt_supervisor::jail::SUPERVISE => Some(fazt_supervisor::supervise()),
        fazt_supervisor::jail::BUILD => Some(fazt_supervisor::entry::build()),
        fazt_supervisor::jail::STORE => Some(fazt_supervisor::entry::store()),
        fazt_supervisor::jail::EGRESS => Some(fazt_supervisor::entry::egress()),
        _ => None,
    }
}

/// Runs what needs no server; hands everything else back.
pub(crate) fn alone(
    noun: Noun,
    data: &Path,
    remote: Option<&Remote>,
    out: Out,
) -> Done<Result<ExitCode, Noun>> {
    match noun {
        Noun::Proc(verb) => Ok(proc::alone(verb, data, remote, out)?.map_err(Noun::Proc)),
        Noun::App(verb) => Ok(app::alone(verb, out)?.map_err(Noun::App)),
        Noun::Docs(verb) => {
            docs::run(&verb, out)?;
            Ok(Ok(ExitCode::SUCCESS))
        }
        Noun::Fs(verb) => Ok(Err(Noun::Fs(fs::alone(verb)?))),
        noun @ (Noun::Host(_) | Noun::Net(_) | Noun::Storage(_) | Noun::User(_) | Noun::Security(_)) => {
            Ok(Err(noun))
        }
    }
}

/// Runs what speaks to the server.
pub(crate) async fn run(noun: Noun, client: &Client, token: Option<String>, out: Out) -> Done<ExitCode> {
    match noun {
        Noun::Host(verb) => host::run(verb, token, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Proc(verb) => proc::run(verb, client, out).await,
        Noun::App(verb) => app::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Fs(verb) => fs::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Net(verb) => net::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Storage(verb) => storage::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::User(verb) => user::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Security(verb) => security::run(verb, client, out).await.map(|()| ExitCode::SUCCESS),
        Noun::Docs(verb) => docs::run(&verb, out).map(|()| ExitCode::SUCCESS),
    }
}
