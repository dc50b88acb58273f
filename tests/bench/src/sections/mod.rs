//! The sections of the table. Each starts what it needs and stops it again.

mod density;
mod neighbour;
mod sixteen;
mod storage;
mod throughput;
mod wake;

use anyhow::{Result, bail};
use fazt_tests::{Folder, Server, ServerOptions};

use crate::{peers, process};

type Section = fn(&std::path::Path) -> Result<String>;

/// Runs the named sections, or all.
pub fn run(names: &[String]) -> Result<String> {
    let folder = peers::folder()?;
    let all: [(&str, Section); 6] = [
        ("wake", wake::run),
        ("throughput", throughput::run),
        ("storage", storage::run),
        ("sixteen", sixteen::run),
        ("neighbour", neighbour::run),
        ("density", density::run),
    ];
    for name in names {
        if !all.iter().any(|(known, _)| known == name) {
            bail!("no section {name}: take {}", all.map(|(known, _)| known).join(", "));
        }
    }
    let mut out = format!(
        "# Measured\n\nAgain: `packaging/need.sh bench && cargo build --release -p fazt && cargo run --release -p fazt-bench -- --out tests/bench/RESULTS.md`. Compare ratios of one run, never figures of two.\n\nMachine: {}\n\n",
        process::machine()
    );
    for (name, section) in all {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("{name}");
            out.push_str(&section(&folder)?);
        }
    }
    Ok(out)
}

/// A server without rate limits for the load generator, pinned to the servers' CPU.
fn fazt(config: &str) -> Result<Server> {
    let server = Server::with(ServerOptions { config: config.to_owned(), ..ServerOptions::default() });
    process::pin(server.pid())?;
    Ok(server)
}

/// Host field of an app.
fn host(server: &Server, app: &str) -> String {
    format!("{app}.localhost:{}", server.address.port())
}

/// Deploys the script that the peers serve, and a static file.
fn deploy_app(server: &Server, peers: &std::path::Path, name: &str) -> Result<()> {
    let folder = Folder::with(&[
        (
            "app.json",
            &format!("{{\"name\": \"{name}\", \"access\": \"public\", \"limits\": {{\"cpuMs\": 10000}}}}"),
        ),
        ("public/file.css", &peers::static_body()),
    ]);
    folder.write("server.js", std::fs::read(peers.join("app.out.js"))?);
    server.deploy(&folder, name);
    Ok(())
}
