//! What apps store: calls from JavaScript, whole requests that read or write one document, the first touch of a
//! file that nobody has open. Peers keep theirs in SQLite too, and answer a write when the disk has it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fazt_tests::{Folder, Server};

use super::throughput::{COLUMNS, compare};
use crate::load::{Load, first_byte, percentile, wrk};
use crate::peers::Peer;
use crate::process::Running;
use crate::report::{Table, median};

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
/// Calls of one pipelined run: all runs together stay below what a worker may call at once after a pause.
const CALLS: u32 = 15_000;
const MANIFEST: &str = r#"{ "name": "store", "access": "public", "permissions": { "spaces": true },
    "collections": { "items": {} }, "limits": { "cpuMs": 30000, "wallS": 60 } }"#;

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let server = super::fazt("")?;
    deploy(&server, folder, "store")?;
    let host = super::host(&server, "store");
    for part in 0..10 {
        first_byte(server.address, &host, &format!("/fill/{part}"))?;
    }
    crate::process::pin(server.pid())?;
    let mut out = calls(&server, &host)?;
    out.push_str(&requests(&server, &host, folder)?);
    drop(server);
    out.push_str(&cold(folder)?);
    Ok(out)
}

fn deploy(server: &Server, peers: &Path, name: &str) -> Result<()> {
    let folder = Folder::with(&[("app.json", &MANIFEST.replace("\"store\"", &format!("{name:?}")))]);
    folder.write("server.js", std::fs::read(peers.join("store-fazt.mjs"))?);
    server.deploy(&folder, name);
    Ok(())
}

/// Calls of one worker, 32 at once, through the wire and both walls.
fn calls(server: &Server, host: &str) -> Result<String> {
    let mut table = Table::new(
        "Storage from JavaScript: one worker, 32 calls at once, server and worker on one core",
        &["call", "calls/s", "µs each", "of the 25,000 a second that are the floor"],
    );
    for (name, path) in [("kv.get", "kv"), ("docs.get", "docs")] {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            first_byte(server.address, host, &format!("/{path}/{CALLS}"))?;
            rates.push(f64::from(CALLS) / start.elapsed().as_secs_f64());
        }
        let rate = median(&rates);
        table.row([
            name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.1}", 1e6 / rate),
            format!("{:.2}", rate / 25_000.0),
        ]);
    }
    Ok(table.markdown())
}

/// Requests that read or write one document.
fn requests(server: &Server, host: &str, folder: &Path) -> Result<String> {
    let mut table = Table::new(
        "One document in a request, one core, medians of interleaved rounds; a write is on the disk",
        &COLUMNS,
    );
    let peers = [Peer::NodeStore, Peer::BunStore, Peer::WorkerdStore];
    for (name, path, connections) in
        [("read", "/read", 64), ("durable write", "/write", 64), ("durable write", "/write", 1)]
    {
        let load = |address, host: &str, seconds, pid| {
            wrk(address, &[host.to_owned()], path, connections, seconds, pid)
        };
        let mut ours = Vec::new();
        let mut others: Vec<Vec<Load>> = vec![Vec::new(); peers.len()];
        for _ in 0..ROUNDS {
            ours.push(load(server.address, host, SECONDS, server.pid())?);
            for (peer, loads) in peers.iter().zip(&mut others) {
                let running: Running = peer.start(folder)?;
                load(running.address, "localhost", 1, running.pid())?;
                loads.push(load(running.address, "localhost", SECONDS, running.pid())?);
            }
        }
        compare(&mut table, &format!("{name}, c={connections}"), &ours, peers.iter().zip(others));
    }
    table.note(
        "The page of 20 out of 200,000 documents beside a statement written by hand, in process: `FAZT_MEASURE=1 cargo test --release -p fazt-supervisor newest_twenty -- --nocapture`.",
    );
    Ok(table.markdown())
}

/// The first touch of a file after a start, beside the next one: what opening adds to a wake.
fn cold(folder: &Path) -> Result<String> {
    let apps: Vec<String> = (0..20).map(|n| format!("cold{n}")).collect();
    let mut server = super::fazt("")?;
    for app in &apps {
        deploy(&server, folder, app)?;
        first_byte(server.address, &super::host(&server, app), "/fill/0")?;
    }
    server.fazt(&["proc", "stop"]).ok();
    ensure!(server.exit_code() == Some(0), "the server stops");
    server.start_again();
    crate::process::pin(server.pid())?;
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for app in &apps {
        let host = super::host(&server, app);
        // The worker is awake; nothing is open of its data.
        first_byte(server.address, &host, "/")?;
        first.push(first_byte(server.address, &host, "/read")?);
        next.push((0..5).map(|_| first_byte(server.address, &host, "/read")).collect::<Result<Vec<_>>>()?);
    }
    let mut next: Vec<Duration> = next.into_iter().flatten().collect();
    let (first_p50, first_p99) = (percentile(&mut first, 0.5), percentile(&mut first, 0.99));
    let next = percentile(&mut next, 0.5);
    let mut table = Table::new(
        "A cartridge that nobody has open: what its first document adds",
        &["what", "p50 ms", "p99 ms", "of the 3 ms that are the most"],
    );
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let added = |time: Duration| ms(time) - ms(next);
    table.row([
        "first read after a start, less a later one".to_owned(),
        format!("{:.2}", added(first_p50)),
        format!("{:.2}", added(first_p99)),
        format!("{:.2}", added(first_p50) / 3.0),
    ]);
    Ok(table.markdown())
}
