//! `fazt proc start`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use fazt_ipc::control::{ErrorKind, Problem};
use fazt_supervisor::{StartError, StartOptions};

use super::Verb;
use crate::WORKER;
use crate::error::{Context as _, Done, plain, problem};
use crate::output::Out;

/// Reads `ADDRESS:PORT`, `localhost:PORT` or `PORT`. No name is looked up.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port: &str| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    text.parse()
        .ok()
        .or_else(|| loopback(text.strip_prefix("localhost:").unwrap_or(text)))
        .ok_or_else(|| "expected ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or a port".to_owned())
}

/// Becomes the server; returns when it has stopped.
pub(super) fn start(
    data: &Path,
    listen: Vec<SocketAddr>,
    dev: bool,
    out: Out,
) -> Done<Result<ExitCode, Verb>> {
    if WORKER.is_empty() {
        return Err(problem(
            ErrorKind::Failed,
            "this fazt was built without its worker program, so it cannot run apps",
            "build it again without FAZT_SKIP_WORKER",
        ));
    }
    let data = std::path::absolute(data).context(|| format!("find {}", data.display()))?;
    let options = StartOptions { data, listen, dev, json: out.json, worker: WORKER };
    match fazt_supervisor::start(options) {
        Ok(code) => Ok(Ok(code)),
        Err(error) => Err(explain(&error)),
    }
}

fn explain(error: &StartError) -> Problem {
    let (code, hint) = match error {
        StartError::Config(_) => (ErrorKind::Invalid, "fazt proc config explains each field"),
        StartError::Data { .. } => {
            (ErrorKind::Failed, "name a folder that you can write with --data, or see who owns this one")
        }
        StartError::Running { .. } => (ErrorKind::Conflict, "fazt proc status shows it"),
        StartError::Listen { error, .. } => match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                (ErrorKind::Conflict, "another program listens there: choose another address with --listen")
            }
            std::io::ErrorKind::PermissionDenied => {
                (ErrorKind::PermissionDenied, "ports below 1024 want root: choose another with --listen")
            }
            _ => (ErrorKind::Failed, "name an address of this machine with --listen"),
        },
        StartError::Launcher(_) => (ErrorKind::Failed, ""),
    };
    problem(code, plain(&error.to_string()), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_loopback() {
        for (text, expect) in [
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            ("9000", Some("127.0.0.1:9000")),
            ("example.org:80", None),
            ("70000", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok().map(|address| address.to_string()).as_deref(), expect, "{text}");
        }
    }
}
