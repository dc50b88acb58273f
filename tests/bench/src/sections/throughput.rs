//! Requests per second of one app, everything on one core, the generator on the other.

use std::path::Path;

use anyhow::Result;

use crate::load::{Load, wrk};
use crate::peers::Peer;
use crate::report::{Table, mb, median};

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;

struct Case {
    name: &'static str,
    path: &'static str,
    connections: u32,
    peers: &'static [Peer],
}

const CASES: [Case; 5] = [
    Case {
        name: "hello",
        path: "/",
        connections: 64,
        peers: &[Peer::Axum, Peer::Node, Peer::Hono, Peer::Bun, Peer::Workerd],
    },
    Case { name: "hello", path: "/", connections: 1, peers: &[Peer::Axum, Peer::Hono, Peer::Workerd] },
    Case { name: "static file", path: "/file.css", connections: 64, peers: &[Peer::Axum] },
    Case {
        name: "JSON 100 KB",
        path: "/json",
        connections: 1,
        peers: &[Peer::Node, Peer::Bun, Peer::Workerd],
    },
    Case {
        name: "SHA-256 100 KB",
        path: "/sha",
        connections: 1,
        peers: &[Peer::Node, Peer::Bun, Peer::Workerd],
    },
];

/// Median of every figure.
pub(super) fn middle(loads: &[Load]) -> Load {
    let of = |pick: fn(&Load) -> f64| median(&loads.iter().map(pick).collect::<Vec<_>>());
    Load {
        rate: of(|load| load.rate),
        p50_us: of(|load| load.p50_us),
        p99_us: of(|load| load.p99_us),
        cpu_us: of(|load| load.cpu_us),
        pss: loads.iter().map(|load| load.pss).max().unwrap_or(0),
    }
}

/// The section.
pub fn run(folder: &Path) -> Result<String> {
    let mut table = Table::new("Throughput on one core, keep-alive, medians of interleaved rounds", &COLUMNS);
    let server = super::fazt("")?;
    super::deploy_app(&server, folder, "app")?;
    let host = super::host(&server, "app");
    wrk(server.address, std::slice::from_ref(&host), "/", 64, 1, server.pid())?;
    crate::process::pin(server.pid())?;
    for case in CASES {
        let mut fazt = Vec::new();
        let mut others: Vec<Vec<Load>> = vec![Vec::new(); case.peers.len()];
        for _ in 0..ROUNDS {
            fazt.push(wrk(
                server.address,
                std::slice::from_ref(&host),
                case.path,
                case.connections,
                SECONDS,
                server.pid(),
            )?);
            for (peer, loads) in case.peers.iter().zip(&mut others) {
                let running = peer.start(folder)?;
                let hosts = ["localhost".to_owned()];
                wrk(running.address, &hosts, case.path, case.connections, 1, running.pid())?;
                loads.push(wrk(
                    running.address,
                    &hosts,
                    case.path,
                    case.connections,
                    SECONDS,
                    running.pid(),
                )?);
            }
        }
        let label = format!("{}, c={}", case.name, case.connections);
        compare(&mut table, &label, &fazt, case.peers.iter().zip(others));
    }
    table.note("PocketBase is in no package registry and so is not in this run.");
    Ok(table.markdown())
}

/// The columns that [`compare`] fills.
pub(super) const COLUMNS: [&str; 8] =
    ["case", "server", "req/s", "fazt / this", "p50 µs", "p99 µs", "CPU µs/req", "PSS MB"];

/// A row for Fazt and one for each peer, each the middle one of its rounds.
pub(super) fn compare<'a>(
    table: &mut Table,
    case: &str,
    fazt: &[Load],
    peers: impl Iterator<Item = (&'a Peer, Vec<Load>)>,
) {
    let ours = middle(fazt);
    let mut row = |server: &str, load: Load| {
        table.row([
            case.to_owned(),
            server.to_owned(),
            format!("{:.0}", load.rate),
            format!("{:.2}", ours.rate / load.rate),
            format!("{:.0}", load.p50_us),
            format!("{:.0}", load.p99_us),
            format!("{:.1}", load.cpu_us),
            mb(load.pss),
        ]);
    };
    row("**fazt**", ours);
    for (peer, loads) in peers {
        row(peer.name(), middle(&loads));
    }
}
